"""Triton where it is installed, and the settings that its kernels share."""

from __future__ import annotations

import importlib
import os
from typing import Any

import torch
from torch import Tensor

try:
    triton: Any = importlib.import_module("triton")
    tl: Any = importlib.import_module("triton.language")
except ImportError:  # the modules of this folder import all the same, and dispatch knows
    triton = tl = None


def jit(function: Any) -> Any:
    """``triton.jit``, or the function itself without Triton."""
    return function if triton is None else triton.jit(function)


def autotune(configs: list[dict[str, int]], key: list[str]) -> Any:
    """Measures the configurations once for each ``key``; an interpreter takes the first.

    A key holds what the kernel is specialised for and never the number of nodes: clouds of another
    size must not be measured again.
    """
    if triton is None:
        return lambda kernel: kernel
    tried = configs[:1] if os.environ.get("TRITON_INTERPRET") == "1" else configs
    found = [
        triton.Config(
            {k: v for k, v in config.items() if k != "num_warps"}, num_warps=config["num_warps"]
        )
        for config in tried
    ]
    return triton.autotune(configs=found, key=key)


def precision(x: Tensor) -> str:
    """How ``tl.dot`` multiplies: as torch's own matrix products do on the same input.

    TF32 keeps as many bits as float16, so that it loses nothing that such an input has.
    """
    matmul: Any = torch.backends.cuda.matmul
    if hasattr(matmul, "fp32_precision"):  # torch 2.9: reading the older switch may then raise
        fast = matmul.fp32_precision == "tf32"
    else:
        fast = matmul.allow_tf32
    return "tf32" if fast or x.dtype != torch.float32 else "ieee"
