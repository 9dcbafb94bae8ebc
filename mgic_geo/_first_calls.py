"""A prediction never waits for a compiler."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, Thread
from weakref import WeakKeyDictionary, WeakSet

from torch import Tensor, nn

from mgic_geo.kernels import without_compiler

WORTH = 64
"""Predictions that win back, about, what compiling the loops of a network costs."""

_lock = Lock()
_calls: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
_ready: WeakSet[nn.Module] = WeakSet()


def run_at_once(model: nn.Module, call: Callable[[], Tensor]) -> Tensor:
    """``call()`` of a model, by torch at first and by compiled loops once they are there.

    They are compiled on a thread of their own beside the call number :data:`WORTH`, so that few
    calls cost no compiler at all and none waits for it. From then on last bits may differ.

    Args:
        model: Whose call it is.
        call: Runs the model for inference, with the same result on any thread.
    """
    if model in _ready:
        return call()
    with _lock:
        _calls[model] = count = _calls.get(model, 0) + 1
    if count == WORTH:
        # no daemon: the process must not end inside of the compiler
        Thread(target=_build, args=[model, call], name="mgic_geo compiler").start()
    with without_compiler():
        return call()


def _build(model: nn.Module, call: Callable[[], Tensor]) -> None:
    call()
    _ready.add(model)
