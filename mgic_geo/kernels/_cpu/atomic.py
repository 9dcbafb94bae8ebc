"""Counters that several threads share."""

# mypy: disable-error-code="no-untyped-def, call-arg, unreachable, var-annotated"

from __future__ import annotations

import os

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# Turns of an empty loop before a waiting thread lets others have its core.
_SPINS = 2000


@intrinsic
def add_atomically(typing, counters, index, value):
    """Adds to ``counters[index]`` and returns what it was before."""

    def generate(context, builder, signature, args):
        place = _place(context, builder, signature.args[0], args)
        return builder.atomic_rmw("add", place, args[2], "seq_cst")

    return types.int64(counters, types.int64, types.int64), generate


@intrinsic
def load_atomically(typing, counters, index):
    """``counters[index]``, and all that a thread wrote before it added to it."""

    def generate(context, builder, signature, args):
        place = _place(context, builder, signature.args[0], args)
        return builder.load_atomic(place, "seq_cst", align=8)

    return types.int64(counters, types.int64), generate


def _place(context, builder, kind, args):
    data = cgutils.create_struct_proxy(kind)(context, builder, value=args[0]).data
    return builder.gep(data, [builder.sext(args[1], ir.IntType(64))])


if os.name == "posix":
    _yield = types.ExternalFunction("sched_yield", types.int32())

    @numba.njit(cache=True, nogil=True)
    def _let_others():
        _yield()

else:

    @numba.njit(cache=True, nogil=True)
    def _let_others():
        pass


@numba.njit(cache=True, nogil=True)
def wait_for(counters, index, value):
    """Waits until ``counters[index]`` is ``value``."""
    turns = 0
    while load_atomically(counters, index) < value:
        turns += 1
        if turns > _SPINS:
            _let_others()
