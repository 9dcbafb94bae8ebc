"""Residual networks for images: dense, in the channel hierarchy, and with Ghost modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import nn

from mgic_geo.hierarchy import common_group_size
from mgic_geo.models.image_classifier import ImageClassifier
from mgic_geo.models.registry import register_model
from mgic_geo.nn import MGIC, DepthwiseShortcut
from mgic_geo.nn.norm import Norm
from mgic_geo.nn.vision import (
    BasicBlock,
    Bottleneck,
    ConvNormAct,
    GhostBasicBlock,
    HierarchicalBlock,
    PadShortcut,
    SeparableBlock,
)

BlockBuilder = Callable[[int, int, int], nn.Module]
"""``block(in_channels, out_channels, stride)``"""


def mgic_blocks(
    relaxation: Callable[[int, int], nn.Module], transition: str = "depthwise", **options: Any
) -> BlockBuilder:
    """MGIC blocks of images, with a light map first where channels or resolution change.

    Args:
        relaxation: ``relaxation(width, groups)``.
        transition: That map: ``"depthwise"``, the paper's, or ``"grouped"``, a 3x3 convolution in
            groups of the hierarchy's size with norm and ReLU.
        **options: More options of :class:`~mgic_geo.nn.MGIC`.
    """
    if transition not in ("depthwise", "grouped"):
        raise ValueError(f"transition = {transition!r}: use 'depthwise' or 'grouped'")

    def block(in_channels: int, out_channels: int, stride: int) -> nn.Module:
        shortcut: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            if transition == "grouped":
                size = common_group_size(options["group_size"], in_channels, out_channels)
                groups = in_channels // size
                shortcut = ConvNormAct(in_channels, out_channels, 3, stride, groups)
            else:
                shortcut = DepthwiseShortcut(in_channels, out_channels, stride)
        return MGIC(
            relaxation,
            out_channels,
            in_channels=in_channels,
            shortcut=shortcut,
            channel_axis=1,
            **options,
        )

    return block


def _resnet(
    stem: nn.Module,
    block: BlockBuilder,
    channels: int,
    widths: Sequence[int],
    depths: Sequence[int],
    reduction: int,
    **options: Any,
) -> ImageClassifier:
    """Stages of blocks; all but the first begin with a stride of 2.

    Args:
        stem: From images to ``channels``.
        block: Builds a block.
        channels: Channels behind the stem.
        widths: Channels of each stage.
        depths: Blocks of each stage.
        reduction: Of the first stage's map.
        **options: More options of :class:`ImageClassifier`.
    """
    stages, reductions = [], []
    for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        blocks = []
        for j in range(depth):
            blocks.append(block(channels, width, 2 if i and not j else 1))
            channels = width
        stages.append(nn.Sequential(*blocks))
        reductions.append(reduction * 2**i)
    return ImageClassifier(stem, stages, widths, reductions, **options)


def _cifar_resnet(
    depth: int,
    block: BlockBuilder,
    width: int = 16,
    in_chans: int = 3,
    widening: int = 2,
    **options: Any,
) -> ImageClassifier:
    """``6 n + 2`` layers for 32 x 32 images: a 3x3 convolution and three stages of ``n`` blocks.

    The first stage has ``width`` channels, each other one ``widening`` times those of the one
    before. A hierarchy, whose work is linear in the width, can widen by 4 at constant work.
    """
    widths = [width * widening**i for i in range(3)]
    stem = ConvNormAct(in_chans, width, 3)
    depths = [(depth - 2) // 6] * 3
    return _resnet(
        stem, block, width, widths, depths, 1, in_chans=in_chans, input_size=32, **options
    )


def _padded(kind: Callable[..., nn.Module]) -> BlockBuilder:
    def block(in_channels: int, out_channels: int, stride: int) -> nn.Module:
        changes = stride != 1 or in_channels != out_channels
        shortcut = PadShortcut(in_channels, out_channels, stride) if changes else None
        return kind(in_channels, out_channels, stride, shortcut=shortcut)

    return block


@register_model(task="images")
def resnet20(**kwargs: Any) -> ImageClassifier:
    """ResNet-20 for small images."""
    return _cifar_resnet(20, _padded(BasicBlock), **kwargs)


@register_model(task="images")
def resnet32(**kwargs: Any) -> ImageClassifier:
    """ResNet-32 for small images."""
    return _cifar_resnet(32, _padded(BasicBlock), **kwargs)


@register_model(task="images")
def resnet44(**kwargs: Any) -> ImageClassifier:
    """ResNet-44 for small images."""
    return _cifar_resnet(44, _padded(BasicBlock), **kwargs)


@register_model(task="images")
def resnet56(**kwargs: Any) -> ImageClassifier:
    """ResNet-56 for small images."""
    return _cifar_resnet(56, _padded(BasicBlock), **kwargs)


@register_model(task="images", dense_twin="resnet56")
def ghost_resnet56(ratio: int = 2, **kwargs: Any) -> ImageClassifier:
    """ResNet-56 with Ghost modules instead of convolutions."""

    return _cifar_resnet(56, _padded(partial(GhostBasicBlock, ratio=ratio)), **kwargs)


def _mgic_cifar_resnet(
    depth: int,
    group_size: int = 8,
    coarsest: int = 16,
    extra_level: bool = False,
    correction_scale: float = 0.0,
    norm: Norm = "batch",
    convs: int = 2,
    act_first: bool = False,
    fine: str = "basic",
    transfers: str = "average",
    transition: str = "depthwise",
    cycle: str = "multiplicative",
    **options: Any,
) -> ImageClassifier:
    """A ResNet for 32 x 32 images with its blocks in the channel hierarchy.

    Args:
        depth: Layers of the dense twin, ``6 n + 2`` for ``n`` blocks a stage.
        group_size: Group size of the hierarchy.
        coarsest: Largest width of the coarsest grid.
        extra_level: See :class:`~mgic_geo.hierarchy.ChannelHierarchy`.
        correction_scale: Initial scale of the norm on the correction.
        norm: That norm.
        convs: 3x3 convolutions of a relaxation; two are the paper's.
        act_first: Whether a relaxation adds its input behind the last activation.
        fine: Relaxations of all grids but the coarsest: ``"basic"``, those in groups, or
            ``"separable"``, :class:`~mgic_geo.nn.vision.SeparableBlock`.
        transfers: How restriction and prolongation start, see :class:`~mgic_geo.nn.MGIC`.
        transition: See :func:`mgic_blocks`.
        cycle: ``"multiplicative"``, the paper's, takes the grids in turn; ``"additive"`` lets them
            work side by side inside each convolution, :class:`HierarchicalBlock`, to which the
            options of norms, relaxations and transfers mean nothing.
        **options: ``width`` and ``widening`` of the stages, and those of :class:`ImageClassifier`.
    """
    if fine not in ("basic", "separable"):
        raise ValueError(f"fine = {fine!r}: use 'basic' or 'separable'")

    if cycle not in ("multiplicative", "additive"):
        raise ValueError(f"cycle = {cycle!r}: use 'multiplicative' or 'additive'")
    if cycle == "additive":

        def additive(in_channels: int, out_channels: int, stride: int) -> nn.Module:
            changes = stride != 1 or in_channels != out_channels
            shortcut = DepthwiseShortcut(in_channels, out_channels, stride) if changes else None
            return HierarchicalBlock(out_channels, group_size, coarsest, shortcut)

        return _cifar_resnet(depth, additive, **options)

    def relaxation(width: int, groups: int) -> nn.Module:
        if groups > 1 and fine == "separable":
            return SeparableBlock(width, groups)
        return BasicBlock(width, width, groups=groups, convs=convs, act_first=act_first)

    block = mgic_blocks(
        relaxation,
        transition,
        group_size=group_size,
        coarsest=coarsest,
        extra_level=extra_level,
        correction_scale=correction_scale,
        norm=norm,
        transfers=transfers,
    )
    return _cifar_resnet(depth, block, **options)


@register_model(task="images", dense_twin="resnet20")
def mgic_resnet20(**kwargs: Any) -> ImageClassifier:
    """ResNet-20 with its blocks in the channel hierarchy."""
    return _mgic_cifar_resnet(20, **kwargs)


@register_model(task="images", dense_twin="resnet44")
def mgic_resnet44(**kwargs: Any) -> ImageClassifier:
    """ResNet-44 with its blocks in the channel hierarchy."""
    return _mgic_cifar_resnet(44, **kwargs)


@register_model(task="images", dense_twin="resnet56")
def mgic_resnet56(**kwargs: Any) -> ImageClassifier:
    """ResNet-56 with its blocks in the channel hierarchy (Table 3)."""
    return _mgic_cifar_resnet(56, **kwargs)


_EXPANSION = 4


def _imagenet_resnet(
    depths: Sequence[int],
    block: BlockBuilder,
    width: int = 64,
    num_classes: int = 1000,
    in_chans: int = 3,
    **options: Any,
) -> ImageClassifier:
    """Four stages of bottlenecks for large images, ``width`` planes in the first."""
    stem = nn.Sequential(ConvNormAct(in_chans, width, 7, 2), nn.MaxPool2d(3, 2, 1))
    widths = [_EXPANSION * width * 2**i for i in range(4)]
    options = {"num_classes": num_classes, "in_chans": in_chans, "input_size": 224, **options}
    return _resnet(stem, block, width, widths, depths, 4, **options)


def _projected(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    shortcut = None
    if stride != 1 or in_channels != out_channels:
        shortcut = ConvNormAct(in_channels, out_channels, 1, stride, act="none")
    return Bottleneck(in_channels, out_channels, stride, shortcut=shortcut)


@register_model(task="images")
def resnet50(**kwargs: Any) -> ImageClassifier:
    """ResNet-50."""
    return _imagenet_resnet([3, 4, 6, 3], _projected, **kwargs)


@register_model(task="images", dense_twin="resnet50")
def mgic_resnet50(
    group_size: int = 16,
    coarsest: int = 64,
    extra_level: bool = False,
    correction_scale: float = 0.0,
    **kwargs: Any,
) -> ImageClassifier:
    """ResNet-50 with its bottlenecks in the channel hierarchy (Table 4).

    Group size and coarsest width count the planes of a bottleneck, the channels of its 3x3
    convolution; the channels around it are four times as many, in as many groups.
    """
    block = mgic_blocks(
        lambda width, groups: Bottleneck(width, width, groups=groups),
        group_size=_EXPANSION * group_size,
        coarsest=_EXPANSION * coarsest,
        extra_level=extra_level,
        correction_scale=correction_scale,
    )
    return _imagenet_resnet([3, 4, 6, 3], block, **kwargs)
