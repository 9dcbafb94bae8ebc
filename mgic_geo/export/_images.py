"""Image networks in the form that engines run fast."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from mgic_geo.models import ImageClassifier
from mgic_geo.nn import fuse
from mgic_geo.nn.vision import SqueezeExcite


def lower_images(model: nn.Module, repeat: bool = True) -> nn.Module:
    """A copy of an image network of plain operators with constant weights in the standard layout.

    What :func:`~mgic_geo.nn.fuse` makes, with more changes that keep the values: the gates of
    squeeze-excite, which see one pixel, are dense, since the calls cost more than the products, and
    their hard sigmoid is a cut-off of a scaled map.

    Args:
        model: The network.
        repeat: Give depthwise convolutions of several filters an input channel their input
            repeated: ONNX Runtime and OpenVINO have fast loops for exactly one; XNNPACK has
            them for any number.
    """
    lowered = fuse(model)
    _replace(lowered, repeat)
    for parameter in lowered.parameters():
        parameter.data = parameter.data.contiguous()
    for module in lowered.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]  # a flag of activations
    return _Pooled(lowered) if isinstance(lowered, ImageClassifier) else lowered


class _Pooled(nn.Module):
    """An image classifier that pools as XNNPACK does, keeping the axes."""

    def __init__(self, model: ImageClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        y = self.model.forward_features(x).mean(dim=(2, 3), keepdim=True).flatten(1)
        return cast(Tensor, self.model.fc(self.model.head(y)))


def _replace(module: nn.Module, repeat: bool) -> None:
    for name, child in module.named_children():
        if isinstance(child, SqueezeExcite):
            setattr(module, name, _Gate(child))
        elif repeat and isinstance(child, nn.Conv2d) and _multiplies(child):
            setattr(module, name, _Multiplied(child))
        else:
            _replace(child, repeat)


class _Gate(nn.Module):
    """Squeeze-excite, ``hardsigmoid(W x + b)`` as ``clamp(W x / 6 + b / 6 + 1 / 2, 0, 1)``."""

    def __init__(self, module: SqueezeExcite) -> None:
        super().__init__()
        self.reduce, self.expand = _dense(module.reduce), copy.deepcopy(_dense(module.expand))
        assert self.expand.bias is not None
        self.expand.weight.data.div_(6.0)
        self.expand.bias.data.div_(6.0).add_(0.5)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3), keepdim=True)
        return x * self.expand(self.reduce(mean).relu()).clamp(0.0, 1.0)


def _multiplies(conv: nn.Conv2d) -> bool:
    return 1 < conv.groups == conv.in_channels < conv.out_channels


class _Multiplied(nn.Module):
    """A depthwise convolution with several filters an input channel."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        repeat = conv.out_channels // conv.in_channels
        self.register_buffer("source", torch.arange(conv.in_channels).repeat_interleave(repeat))
        self.conv = _like(conv, conv.out_channels, conv.out_channels)
        self.conv.weight.data = conv.weight.data
        self.act = getattr(conv, "act", nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.act(self.conv(x.index_select(1, cast(Tensor, self.source)))))


def _dense(conv: nn.Conv2d) -> nn.Conv2d:
    """The same map with one group."""
    if conv.groups == 1:
        return conv
    dense = _like(conv, conv.in_channels, 1)
    blocks = [block.flatten(1) for block in conv.weight.data.chunk(conv.groups)]
    dense.weight.data = torch.block_diag(*blocks)[:, :, None, None]
    return dense


def _like(conv: nn.Conv2d, in_channels: int, groups: int) -> nn.Conv2d:
    """A convolution without weights yet, and with the bias of another."""
    new = nn.Conv2d(
        in_channels,
        conv.out_channels,
        cast("tuple[int, int]", conv.kernel_size),
        cast("tuple[int, int]", conv.stride),
        cast("tuple[int, int]", conv.padding),
        cast("tuple[int, int]", conv.dilation),
        groups,
        bias=conv.bias is not None,
    ).requires_grad_(False)
    if conv.bias is not None:
        assert new.bias is not None
        new.bias.data = conv.bias.data
    return new
