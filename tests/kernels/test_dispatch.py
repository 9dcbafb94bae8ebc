"""Who watches torch sees every call; nobody watching, nothing is in the way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from mgic_geo.kernels import dispatch, grouped_pointwise, without_compiler

X, WEIGHT = torch.ones(3, 8), torch.ones(2, 4, 4)


class _Dispatched(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


class _Called(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


def _of_flops(mode: Any) -> list[str]:
    return [str(op) for op in mode.get_flop_counts()["Global"]]


def _of_profiler(mode: Any) -> list[str]:
    return [event.key for event in mode.key_averages()]


@pytest.mark.parametrize(
    ("watch", "seen"),
    [
        (_Dispatched, lambda mode: mode.seen),
        (_Called, lambda mode: mode.seen),
        (lambda: FlopCounterMode(display=False), _of_flops),
        (lambda: profile(activities=[ProfilerActivity.CPU]), _of_profiler),
    ],
    ids=["dispatch", "function", "flops", "profiler"],
)
def test_watchers_see_the_operator(
    watch: Callable[[], AbstractContextManager[Any]], seen: Callable[[Any], list[str]]
) -> None:
    with watch() as mode:
        grouped_pointwise(X, WEIGHT)
    assert any("mgic_geo" in name and "grouped_pointwise" in name for name in seen(mode))


def test_gradients_take_the_registered_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    direct = []
    function = grouped_pointwise.function
    monkeypatch.setattr(
        grouped_pointwise, "function", lambda *args: direct.append(1) or function(*args)
    )
    weight = WEIGHT.clone().requires_grad_()
    assert grouped_pointwise(X, weight).requires_grad
    assert not direct
    with torch.no_grad():
        assert not grouped_pointwise(X, weight).requires_grad
    grouped_pointwise(X, WEIGHT)
    assert len(direct) == 2


@pytest.mark.skipif(not dispatch.COMPILED, reason="no compiled kernels here")
def test_without_compiler() -> None:
    assert dispatch.backend_for(X) == "cpu"
    with without_compiler(), without_compiler():
        assert dispatch.backend_for(X) == "torch"
        assert not dispatch.reads_indices(torch.ones(1, dtype=torch.int64))
        torch.testing.assert_close(grouped_pointwise(X, WEIGHT), torch.full((3, 8), 4.0))
    assert dispatch.backend_for(X) == "cpu"
