from __future__ import annotations

import threading

import pytest

from mgic_geo.kernels import dispatch

if not dispatch.COMPILED:
    pytest.skip("no compiled kernels here", allow_module_level=True)


def test_compiling_is_counted_once_and_on_all_threads() -> None:
    import numba

    from mgic_geo.kernels.cpu.compiler import compile_seconds

    @numba.njit
    def inner(x: float) -> float:
        return x + 1.0

    @numba.njit
    def outer(x: float) -> float:
        return inner(x) * 2.0

    before = compile_seconds()
    assert outer(1.0) == 4.0
    first = compile_seconds()
    outer(1.0)
    assert before < first == compile_seconds()
    thread = threading.Thread(target=outer, args=[1])  # another type
    thread.start()
    thread.join()
    assert compile_seconds() > first
