"""Grouped convolutions of images with an epilogue, for inference."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mgic_geo.kernels._dispatch import fused_for, lanes

ACTIVATIONS = ("none", "relu", "relu6", "hardswish")


def pack_conv_weight(weight: Tensor, groups: int) -> Tensor:
    """Weights ``[C_out, C_in / groups, k, k]`` as :func:`grouped_conv` takes them.

    ``[groups, k * k, C_in / groups, C_out / groups]``, on the CPU with the last axis filled up to
    whole vector registers.
    """
    out, size = weight.size(0) // groups, weight.size(1)
    packed = weight.reshape(groups, out, size, -1).permute(0, 3, 2, 1)
    return fill_registers(packed).contiguous()


def pack_conv_bias(bias: Tensor, groups: int) -> Tensor:
    """A bias ``[C_out]`` as :func:`grouped_conv` takes it, ``[groups, C_out / groups]``."""
    return fill_registers(bias.reshape(groups, -1)).contiguous()


def fill_registers(x: Tensor) -> Tensor:
    """``x`` with zeros behind its last axis, up to whole vector registers of the CPU."""
    width = max(lanes(x), 1)
    return F.pad(x, (0, -x.size(-1) % width))


def grouped_conv_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    out: int,
    stride: int = 1,
    dilation: int = 1,
    act: str = "none",
) -> Tensor:
    """What :func:`grouped_conv` computes, in plain torch."""
    groups, taps, size, _ = weight.shape
    side = int(taps**0.5)
    kernel = weight[..., :out].permute(0, 3, 2, 1).reshape(groups * out, size, side, side)
    shift = None if bias is None else bias[:, :out].reshape(-1)
    y = F.conv2d(x, kernel, shift, stride, dilation * (side // 2), dilation, groups)
    if residual is not None:
        y = y + residual
    return activate_(y, act)


def activate_(y: Tensor, act: str) -> Tensor:
    """Applies an activation in place."""
    if act == "relu":
        return y.relu_()
    if act == "relu6":
        return F.hardtanh_(y, 0.0, 6.0)
    return F.hardswish(y, inplace=True) if act == "hardswish" else y


def run_grouped_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    out: int,
    stride: int = 1,
    dilation: int = 1,
    act: str = "none",
) -> Tensor:
    """:func:`grouped_conv` without torch's dispatcher, which takes longer than a small map."""
    fused, width = fused_for(x), max(lanes(x), 1)
    # packed for another type, another machine or a GPU
    strange = x.dtype != weight.dtype or weight.size(-1) != -(-out // width) * width
    if fused is None or strange:
        return grouped_conv_reference(x, weight, bias, residual, out, stride, dilation, act)
    y: Tensor = fused.grouped_conv_forward(x, weight, bias, residual, out, stride, dilation, act)
    return y


@torch.library.custom_op("mgic_geo::grouped_conv", mutates_args=())
def grouped_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    out: int,
    stride: int = 1,
    dilation: int = 1,
    act: str = "none",
) -> Tensor:
    r"""A grouped convolution that keeps the size up to the stride; for inference, without gradient.

    .. math::
        y = \sigma(K x + b + r)

    Args:
        x: Images ``[B, C, H, W]``, channels last on the CPU.
        weight: From :func:`pack_conv_weight`.
        bias: From :func:`pack_conv_bias`.
        residual: :math:`r`, shaped as the result.
        out: Output channels of a group.
        stride: Stride in both directions.
        dilation: Distance of the filter's taps.
        act: ``"none"``, ``"relu"``, ``"relu6"`` or ``"hardswish"``.

    Returns:
        ``[B, groups * out, ceil(H / stride), ceil(W / stride)]``, channels last
    """
    y = run_grouped_conv(x, weight, bias, residual, out, stride, dilation, act)
    return y.contiguous(memory_format=torch.channels_last)


@grouped_conv.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    out: int,
    stride: int = 1,
    *_: Any,
) -> Tensor:
    shape = (x.size(0), weight.size(0) * out, -(-x.size(2) // stride), -(-x.size(3) // stride))
    return x.new_empty(shape).contiguous(memory_format=torch.channels_last)
