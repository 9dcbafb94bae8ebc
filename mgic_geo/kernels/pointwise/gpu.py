"""Grouped pointwise maps on a GPU, forward and backward."""

from __future__ import annotations

from torch import Tensor

from mgic_geo.kernels.gpu.launch import backward, forward, weight_gradient


def grouped_pointwise_forward(x: Tensor, weight: Tensor) -> Tensor:
    r""":math:`y_{n, g o} = \sum_c W_{g, o, c} \, x_{n, g c}` without a copy of ``x`` or ``y``.

    Args:
        x: ``[N, groups * size]``, float32, float16 or bfloat16; sums are taken in float32.
        weight: ``[groups, out, size]``, any strides.

    Returns:
        ``[N, groups * out]`` of the type of ``x``.
    """
    return forward(x, _as_mix(weight), None)


def grouped_pointwise_backward(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of ``x`` and ``weight``, ``grad`` and ``x`` read once for both."""
    grad_x, grad_mix = backward(grad, x, _as_mix(weight), None)
    return grad_x, grad_mix.squeeze(1).transpose(1, 2)


def grouped_pointwise_weight_grad(grad: Tensor, x: Tensor, groups: int) -> Tensor:
    """The gradient of ``weight`` alone; that of ``x`` alone is a forward pass."""
    like = x.new_empty(groups, 1, x.size(1) // groups, grad.size(1) // groups)
    return weight_gradient(grad, x, like, None).squeeze(1).transpose(1, 2).contiguous()


def _as_mix(weight: Tensor) -> Tensor:
    return weight.transpose(1, 2).unsqueeze(1)
