"""Decides which implementation takes a call: the one place to ask about devices and transforms.

A call of an operator passes two questions:

1. :func:`runs_plain`, ahead of torch's dispatcher: is plain torch to do it, operation by operation?
   Under ``vmap``, ``grad`` and the other transforms of ``torch.func``, with forward-mode tangents,
   while ``torch.jit`` traces, for tensor subclasses with a dispatch of their own and inside of
   :func:`plain_torch` the answer is yes: torch knows how to transform its own operations.
2. :func:`backend_for`, inside of the registered operator, where tensors have plain memory (what is
   fake, functional or on the meta device ends at the registered shapes): which loops run?
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock, local
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

MODE = os.environ.get("MGIC_GEO_KERNELS", "auto")
"""``MGIC_GEO_KERNELS``: ``"auto"``, or ``"torch"`` for plain torch everywhere."""
if MODE not in ("auto", "torch"):
    raise ValueError(f"MGIC_GEO_KERNELS = {MODE!r}: use 'auto' or 'torch'")

_PLAIN_TYPES = (Tensor, nn.Parameter, nn.Buffer)
_CPU_TYPES = (torch.float32, torch.float64)
_GPU_TYPES = (torch.float32, torch.float16, torch.bfloat16)  # float64 is for oracles


class _Thread(local):
    uncompiled = 0


_plain_calls = 0
_lock = Lock()
_thread = _Thread()


@contextmanager
def plain_torch() -> Iterator[None]:
    """Inside, every operator of the package runs as plain torch operations.

    There are neither compiled loops nor registered operators. An exporter sees operations that any
    engine knows, and a debugger can follow each. It holds for all threads of the process.

    Example:
        >>> import torch
        >>> from mgic_geo.kernels import grouped_pointwise, plain_torch
        >>> x, weight = torch.ones(3, 8), torch.ones(2, 4, 4)
        >>> with plain_torch():
        ...     y = grouped_pointwise(x, weight)
    """
    global _plain_calls
    with _lock:
        _plain_calls += 1
    try:
        yield
    finally:
        with _lock:
            _plain_calls -= 1


@contextmanager
def without_compiler() -> Iterator[None]:
    """Inside, operators called on this thread compute by torch, and nothing is compiled.

    Compiling the loops of a network takes seconds, which a single call does not win back. Other
    threads are left alone. Results are the same up to the order of summation.

    Example:
        >>> import torch
        >>> from mgic_geo.kernels import kernel_backend, grouped_pointwise, without_compiler
        >>> x, weight = torch.ones(3, 8), torch.ones(2, 4, 4)
        >>> with without_compiler():
        ...     y = grouped_pointwise(x, weight)
        ...     print(kernel_backend())
        torch
    """
    _thread.uncompiled += 1
    try:
        yield
    finally:
        _thread.uncompiled -= 1


def runs_plain(arguments: Iterable[Any]) -> bool:
    """Whether a call with these arguments is plain torch's, as a whole."""
    if _plain_calls:
        return True
    if torch.compiler.is_compiling():
        return torch.onnx.is_in_onnx_export()  # engines do not know our operators
    return _is_transformed() or any(map(_is_strange, arguments))


def runs_directly(arguments: Iterable[Any]) -> bool:
    """Whether torch's dispatcher has nothing to add to a call that is not plain torch's.

    No gradient, tracer, mode or profiler. Such a call need not wait for what the dispatcher brings
    with it: its first step through a custom operator imports ``torch._dynamo``, a second's work.
    """
    if (
        torch.compiler.is_compiling()
        or is_in_torch_dispatch_mode()
        or torch._C._len_torch_function_stack()
        or torch.autograd._profiler_enabled()
    ):
        return False
    return not any(_is_watched(argument, torch.is_grad_enabled()) for argument in arguments)


def _is_watched(argument: Any, grad: bool) -> bool:
    """Whether it is a tensor without plain memory, or one whose gradient will be asked for."""
    if not isinstance(argument, Tensor):
        return isinstance(argument, list) and any(_is_watched(each, grad) for each in argument)
    return (grad and argument.requires_grad) or not _has_memory(argument)


def _has_memory(tensor: Tensor) -> bool:
    return not (
        type(tensor) not in _PLAIN_TYPES
        or tensor.is_meta
        or torch._C._functorch.is_legacy_batchedtensor(tensor)  # of ``is_grads_batched``
    )


def is_readable(argument: Any) -> bool:
    """Whether code may look into a tensor: it has memory, and nobody traces, transforms or counts.

    What is no tensor may be looked at.
    """
    if isinstance(argument, list):
        return all(map(is_readable, argument))
    if not isinstance(argument, Tensor):
        return True
    return not (
        torch.compiler.is_compiling()
        or not _has_memory(argument)
        or is_in_torch_dispatch_mode()
        or _is_transformed()
    )


def _is_transformed() -> bool:
    """Whether torch traces, or runs a transform of functions."""
    return (
        torch._C._get_tracing_state() is not None
        or torch._C._functorch.peek_interpreter_stack() is not None
        or forward_ad._current_level >= 0
    )


def _is_strange(argument: Any) -> bool:
    """Whether it is a tensor whose memory only its own class knows."""
    if type(argument) in _PLAIN_TYPES or not isinstance(argument, Tensor):
        return isinstance(argument, list) and any(map(_is_strange, argument))
    from torch._subclasses import FakeTensor
    from torch._subclasses.functional_tensor import FunctionalTensor

    # These two come from torch's own tracers, which want the operator as one step.
    return not isinstance(argument, (FakeTensor, FunctionalTensor))


def backend_for(x: Tensor) -> str:
    """``"cpu"`` or ``"gpu"`` where fused loops take tensors like ``x``, else ``"torch"``.

    Args:
        x: The operator's features.
    """
    if x.device.type == "cpu" and x.dtype in _CPU_TYPES and has_loops():
        return "cpu"
    return "gpu" if _gpu_takes(x) else "torch"


def has_loops() -> bool:
    """Whether this thread may call compiled loops of the CPU."""
    return COMPILED and not _thread.uncompiled


def _gpu_takes(x: Tensor) -> bool:
    return TRITON and x.is_cuda and x.dtype in _GPU_TYPES and not _thread.uncompiled


def takes_compiled(x: Tensor) -> bool:
    """Whether the compiled loops of the CPU take tensors like ``x``."""
    return backend_for(x) == "cpu"


def reads_indices(index: Tensor) -> bool:
    """Whether compiled loops take tensors of integers, such as graphs, that lie where this does."""
    return has_loops() and index.device.type == "cpu"


def lanes(x: Tensor) -> int:
    """Numbers of ``x`` in a vector register, or 0 where no compiled loops take it."""
    return VECTOR_BYTES // x.element_size() if takes_compiled(x) else 0


def compile_seconds() -> float:
    """Seconds that Numba's compiler has taken in this process; loops from its cache take none."""
    if not COMPILED:
        return 0.0
    from mgic_geo.kernels.cpu import compiler

    return compiler.compile_seconds()


def kernel_backend() -> str:
    """What runs on the CPU here: ``"numba"``, compiled loops, or ``"torch"``.

    Returns:
        One of the two names.

    Example:
        >>> from mgic_geo.kernels import kernel_backend
        >>> kernel_backend() in ("numba", "torch")
        True
    """
    return "numba" if has_loops() else "torch"


def _vector_bytes() -> int:
    """Bytes of a vector register; 0 where no loops can be compiled."""
    if MODE == "torch":
        return 0
    try:
        import numba  # noqa: F401
    except ImportError:  # no wheel for this platform
        return 0
    try:
        from mgic_geo.kernels.cpu import compiler, graph, vector  # noqa: F401
    except RuntimeError:  # nowhere to cache
        return 0
    return vector.machine()[0]


VECTOR_BYTES = _vector_bytes()
COMPILED = VECTOR_BYTES > 0
"""Whether loops for the CPU are compiled here."""
TRITON = MODE != "torch" and importlib.util.find_spec("triton") is not None
"""Whether GPU kernels can be compiled here."""
