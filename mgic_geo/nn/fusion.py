"""Turns a trained network into a faster one that computes the same."""

from __future__ import annotations

import copy
import functools

import torch
from torch import Tensor, nn

from mgic_geo.graph import DifferentialOperators
from mgic_geo.kernels import diff_conv
from mgic_geo.nn.conv import DiffGCNConv
from mgic_geo.nn.fused_conv import FusedConv
from mgic_geo.nn.graph_block import Graph, GraphBlock
from mgic_geo.nn.grid_pool import GridPool
from mgic_geo.nn.mgic import MGIC
from mgic_geo.nn.mlp import DenseBlock
from mgic_geo.nn.norm import BatchNorm
from mgic_geo.nn.pointwise import GroupedPointwise
from mgic_geo.nn.shortcut import DepthwiseShortcut
from mgic_geo.nn.vision.conv import ConvNormAct


def fuse(model: nn.Module) -> nn.Module:
    r"""A copy of ``model`` for inference, with each norm folded into the map before it.

    With :math:`s = \gamma / \sqrt{v + \epsilon}`, batch norm after a map :math:`W x + b` is the map
    :math:`(s W) x + s (b - \mu) + \beta`. In MGIC blocks that is done for the relaxations, for the
    shortcut and for :math:`N_j P_j`, whose sum with :math:`x_j` then costs no visit of its own.

    Point networks keep their compiled operators, which apply ReLU and residual while a result is in
    registers. Image networks become plain convolutions with constant weights, channels last, so
    that ``torch.compile`` and the engines of exported models find steps that they know.

    Args:
        model: Any module; parts that are not known here stay as they are.

    Returns:
        The copy, in eval mode, without gradients. Its outputs are those of ``model.eval()`` up to
        rounding.

    Example:
        >>> import torch
        >>> from mgic_geo import fuse
        >>> from mgic_geo.nn import MLP
        >>> model = MLP([16, 32, 8]).eval()
        >>> fast = fuse(model)  # the norms are gone: maps with their scale and shift are left
        >>> x = torch.randn(5, 16)
        >>> torch.allclose(fast(x), model(x), atol=1e-5)
        True
        >>> sum("BatchNorm" in type(m).__name__ for m in fast.modules())
        0
    """
    return _fused(copy.deepcopy(model).eval()).eval().requires_grad_(False)


@functools.singledispatch
def _fused(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        setattr(module, name, _fused(child))
    return module


@_fused.register
def _(module: DenseBlock) -> nn.Module:
    if isinstance(module.norm, BatchNorm):
        _fold(module.pointwise, module.norm)
        module.norm = nn.Identity()
    module.act = _in_place(module.act)
    return module


@_fused.register
def _(module: MGIC) -> nn.Module:
    for j, norm in enumerate(module.norms):
        if isinstance(norm, BatchNorm):
            _fold(module.prolongations[j], norm)
            module.norms[j] = nn.Identity()
        if module.channel_axis == 1:
            module.restrictions[j] = _image_map(module.restrictions[j])
            if isinstance(module.norms[j], nn.Identity):
                module.prolongations[j] = _image_map(module.prolongations[j])
    if module.shortcut is not None:
        module.shortcut = _fused(module.shortcut)
    for j, block in enumerate(module.blocks):
        module.blocks[j] = _fused(block)
    return module


@_fused.register
def _(module: DepthwiseShortcut) -> nn.Module:
    return _fused_conv(module.conv, module.norm, None) or module


@_fused.register
def _(module: ConvNormAct) -> nn.Module:
    return _fused_conv(module.conv, module.norm, module.act) or module


def _fused_conv(conv: nn.Module, norm: nn.Module, act: nn.Module | None) -> FusedConv | None:
    """Convolution, norm and activation as one; None for those that cannot be folded."""
    if not isinstance(conv, nn.Conv2d):  # in a hierarchy, whose dense weight is what it saves
        return None
    act = act if act is None else _in_place(act)
    if isinstance(norm, BatchNorm):
        return FusedConv.of(conv, *norm.scale_and_shift(conv.bias), act)
    if isinstance(norm, nn.Identity):
        form = conv.stride[0], conv.dilation[0], conv.groups
        return FusedConv(conv.weight, conv.bias, *form, act)
    return None


def _image_map(layer: nn.Module) -> FusedConv:
    """A pointwise map of images as a convolution."""
    assert isinstance(layer, GroupedPointwise)
    weight = layer.weight.flatten(0, 1).unflatten(1, (-1, 1, 1))
    return FusedConv(weight, layer.bias, groups=layer.groups)


def _in_place(act: nn.Module) -> nn.Module:
    """An activation that writes over its input, which is a result that nobody else holds."""
    if isinstance(act, (nn.ReLU, nn.ReLU6, nn.Hardswish)):
        act.inplace = True
    return act


@_fused.register
def _(module: GraphBlock) -> nn.Module:
    if isinstance(module.norm, BatchNorm):
        if type(module.conv) is DiffGCNConv:
            return _FusedDiffGCN(module.conv, module.norm, module.residual)
        return _FusedGraphBlock(module.conv, module.norm, module.residual)
    return module


@_fused.register
def _(module: GridPool) -> nn.Module:
    if isinstance(module.norm, BatchNorm):
        module.norm = _ScaleShift(module.norm)
    return module


@torch.no_grad()
def _fold(layer: nn.Module, norm: BatchNorm) -> None:
    assert isinstance(layer, GroupedPointwise)
    scale, shift = norm.scale_and_shift(layer.bias)
    layer.weight = nn.Parameter(layer.weight * scale.view(layer.groups, -1, 1))
    layer.bias = nn.Parameter(shift)


class _FusedDiffGCN(nn.Module):
    """Convolution, norm, ReLU and residual in one operator."""

    @torch.no_grad()
    def __init__(self, conv: DiffGCNConv, norm: BatchNorm, residual: bool) -> None:
        super().__init__()
        scale, shift = norm.scale_and_shift(conv.bias)
        self.mix = nn.Parameter(conv.mix() * scale.view(conv.groups, 1, 1, -1))
        self.bias = nn.Parameter(shift)
        self.residual = residual

    @torch.no_grad()
    def forward(self, x: Tensor, graph: DifferentialOperators) -> Tensor:
        x = x.to(self.mix.dtype)
        y: Tensor = diff_conv(
            x, self.mix, *graph, self.bias, True, x if self.residual else None
        )  # fmt: skip
        return y


class _ScaleShift(nn.Module):
    """A norm behind a maximum, as what it is in eval mode."""

    @torch.no_grad()
    def __init__(self, norm: BatchNorm) -> None:
        super().__init__()
        scale, shift = norm.scale_and_shift()
        self.scale, self.shift = nn.Parameter(scale), nn.Parameter(shift)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift, x, self.scale)


class _FusedGraphBlock(nn.Module):
    """The norm stays outside of what may be a maximum, for its scale may be negative."""

    @torch.no_grad()
    def __init__(self, conv: nn.Module, norm: BatchNorm, residual: bool) -> None:
        super().__init__()
        self.conv = conv
        self.norm = _ScaleShift(norm)
        self.residual = residual

    @torch.no_grad()
    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        y = self.norm(self.conv(x, graph)).relu_()
        return y.add_(x) if self.residual else y
