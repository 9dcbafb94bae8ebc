"""How an operator is registered: once, with its plain twin."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from mgic_geo.kernels.dispatch import is_readable, runs_directly, runs_plain

R = TypeVar("R")


class Operator(Generic[R]):
    """A function that torch knows as ``torch.ops.mgic_geo.<name>``, beside its plain twin.

    Called, it is one step for ``torch.compile``, ``torch.export`` and ``make_fx``, and a call of
    fused loops otherwise; where neither would do (see
    :func:`~mgic_geo.kernels.dispatch.runs_plain`) it is the plain twin, operation by operation.

    Args:
        function: What runs on tensors with plain memory. It begins with its checks.
        plain: The same in plain torch, with the same arguments: the oracle of the tests.
        check: The checks of ``function``, for the plain twin where memory can be read.
        constants: Names of arguments that only the plain twin can give a gradient; so where one is
            asked for, it takes the call.

    Attributes:
        op: The registered operator.
        function: What it runs.
        plain: The plain twin.
    """

    __name__: str

    def __init__(
        self,
        function: Callable[..., R],
        plain: Callable[..., R],
        check: Callable[..., object] | None = None,
        constants: Sequence[str] = (),
    ) -> None:
        functools.update_wrapper(self, function)
        self._custom = torch.library.custom_op(
            f"mgic_geo::{function.__name__}", function, mutates_args=()
        )
        self.op: Any = self._custom._opoverload
        self.function = function
        self.plain = plain
        self.check = check
        names = list(inspect.signature(function).parameters)
        self._constants = [(name, names.index(name)) for name in constants]
        self.register_fake = self._custom.register_fake
        self.register_autograd = self._custom.register_autograd
        self._custom.register_vmap(self._batched)

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        if runs_plain(args) or (kwargs and runs_plain(kwargs.values())):
            if self.check is not None and all(map(is_readable, (*args, *kwargs.values()))):
                self.check(*args, **kwargs)
            return self.plain(*args, **kwargs)
        for name, place in self._constants:
            value = args[place] if place < len(args) else kwargs.get(name)
            if value is not None and value.requires_grad and torch.is_grad_enabled():
                return self.plain(*args, **kwargs)
        if runs_directly((*args, *kwargs.values())):
            return self.function(*args, **kwargs)
        done: R = self.op(*args, **kwargs)
        return done

    def __reduce__(self) -> str:
        return self.__name__  # there is one of each: pickled and copied by its name

    def _batched(self, info: Any, in_dims: Any, *args: Any) -> tuple[Any, Any]:
        """One sample after another, for those who call ``op`` itself under ``vmap``."""
        if not info.batch_size:
            raise ValueError(f"vmap of {self.__name__} over no samples")
        leaves, spec = tree_flatten(args)
        dims = tree_flatten(in_dims, is_leaf=lambda dim: dim is None)[0]
        if len(dims) != len(leaves):  # one None stands for a list
            raise NotImplementedError(f"vmap over a part of {self.__name__}'s lists of tensors")
        done = [
            self(
                *tree_unflatten(
                    [t if d is None else t.select(d, i) for t, d in zip(leaves, dims)], spec
                )
            )
            for i in range(info.batch_size)
        ]
        return tree_map(lambda *each: torch.stack(each), *done), tree_map(lambda _: 0, done[0])


def operator(
    plain: Callable[..., R],
    check: Callable[..., object] | None = None,
    constants: Sequence[str] = (),
) -> Callable[[Callable[..., R]], Operator[R]]:
    """Registers the decorated function under its own name; see :class:`Operator`."""

    def decorate(function: Callable[..., R]) -> Operator[R]:
        return Operator(function, plain, check, constants)

    return decorate
