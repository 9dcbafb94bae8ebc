"""MobileNetV3 and GhostNet, and MobileNetV3 in the channel hierarchy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from mgic_geo.hierarchy import common_group_size
from mgic_geo.models._tables import (
    LARGE,
    SMALL,
    TABLE_6,
    Row,
    RowBuilder,
    build_stages,
    make_divisible,
    scaled,
)
from mgic_geo.models.image_classifier import ImageClassifier
from mgic_geo.models.registry import register_model
from mgic_geo.models.resnet import mgic_blocks
from mgic_geo.nn.vision import ConvNormAct, GhostBottleneck, InvertedResidual


def dense_row(channels: int, row: Row) -> nn.Module:
    """A row of a table as it stands there."""
    return InvertedResidual(
        channels,
        row.out,
        row.hidden,
        row.kernel_size,
        row.stride,
        squeezed=make_divisible(row.hidden / 4) if row.se else 0,
        act=row.act,
        dilation=row.dilation,
    )


def _ghost(channels: int, row: Row) -> nn.Module:
    return GhostBottleneck(
        channels,
        row.out,
        row.hidden,
        row.kernel_size,
        row.stride,
        squeezed=make_divisible(row.hidden / 4, 4) if row.se else 0,
    )


def mgic_rows(
    group_size: int = 64,
    coarsest: int = 64,
    act: str | None = None,
    dense_se: bool = False,
    **options: Any,
) -> RowBuilder:
    """MGIC bottlenecks: the wide channels shrink with the grid.

    Args:
        group_size: Group size, which also divides the wide channels (section 4.3.2).
        coarsest: Largest width of the coarsest grid.
        act: Activation of all blocks, if not the table's.
        dense_se: Let squeeze-excite couple all wide channels; then its cost is quadratic.
        **options: More options of :class:`~mgic_geo.nn.MGIC`.
    """

    def block(channels: int, row: Row) -> nn.Module:
        def hidden(width: int) -> int:
            return row.hidden * width // row.out

        def relaxation(width: int, groups: int) -> nn.Module:
            # Groups of the size that divides both widths may not split both evenly (80 and 184:
            # ten groups of 8); then as many as both allow.
            groups = common_group_size(groups, width, hidden(width))
            squeeze_groups = 1 if dense_se else groups
            squeezed = make_divisible(hidden(width) / 4 / squeeze_groups, 8 if dense_se else 1)
            return InvertedResidual(
                width,
                width,
                hidden(width),
                row.kernel_size,
                groups=groups,
                squeezed=squeezed * squeeze_groups if row.se else 0,
                act=act or row.act,
                dilation=row.dilation,
                squeeze_groups=squeeze_groups,
            )

        build = mgic_blocks(
            relaxation,
            group_size=group_size,
            coarsest=coarsest,
            hidden_widths=lambda width: [hidden(width)],
            **options,
        )
        return build(channels, row.out, row.stride)

    return block


def _mobilenet(
    rows: Sequence[Row],
    block: RowBuilder,
    last: int,
    *,
    width_mult: float = 1.0,
    num_classes: int = 1000,
    in_chans: int = 3,
    drop_rate: float = 0.2,
    act: str = "hardswish",
    stem_act: str | None = None,
    divisor: int = 8,
    tail: int | None = None,
) -> ImageClassifier:
    """A stem of 16 channels, the table's blocks, a 1x1 convolution and a wide linear layer.

    Args:
        rows: The table.
        block: Builds a block.
        last: Channels of the linear layer ahead of the classifier.
        width_mult: Factor of all channels up to the pooling.
        num_classes: Number of classes.
        in_chans: Channels of the images.
        drop_rate: Dropout.
        act: Activation of the layers around the blocks.
        stem_act: Of the stem, if another.
        divisor: All channels are multiples of it.
        tail: Channels of the 1x1 convolution; the last wide channels by default.
    """
    rows = scaled(rows, width_mult, divisor)
    channels = make_divisible(16 * width_mult, divisor)
    stem = ConvNormAct(in_chans, channels, 3, 2, act=stem_act or act)
    stages, widths, reductions = build_stages(rows, block, channels)
    tail = rows[-1].hidden if tail is None else tail
    head = nn.Sequential(nn.Linear(tail, last), nn.Hardswish() if act == "hardswish" else nn.ReLU())
    return ImageClassifier(
        stem,
        stages,
        widths,
        reductions,
        final=ConvNormAct(widths[-1], tail, 1, act=act),
        head=head,
        num_features=tail,
        head_features=last,
        num_classes=num_classes,
        in_chans=in_chans,
        drop_rate=drop_rate,
        input_size=224,
    )


@register_model(task="images")
def mobilenetv3_large(**kwargs: Any) -> ImageClassifier:
    """MobileNetV3-Large."""
    return _mobilenet(LARGE, dense_row, 1280, **kwargs)


@register_model(task="images")
def mobilenetv3_small(**kwargs: Any) -> ImageClassifier:
    """MobileNetV3-Small."""
    return _mobilenet(SMALL, dense_row, 1024, **kwargs)


@register_model(task="images")
def ghostnet(**kwargs: Any) -> ImageClassifier:
    """GhostNet."""
    return _mobilenet(TABLE_6, _ghost, 1280, act="relu", divisor=4, **kwargs)


def _mgic_mobilenet(
    rows: Sequence[Row],
    last: int,
    *,
    group_size: int = 64,
    coarsest: int = 64,
    extra_level: bool = False,
    correction_scale: float = 0.0,
    act: str | None = None,
    dense_se: bool = False,
    **kwargs: Any,
) -> ImageClassifier:
    block = mgic_rows(
        group_size,
        coarsest,
        act,
        dense_se,
        extra_level=extra_level,
        correction_scale=correction_scale,
    )
    return _mobilenet(rows, block, last, act=act or "hardswish", **kwargs)


@register_model(task="images", dense_twin="mobilenetv3_large")
def mgic_mobilenetv3(**kwargs: Any) -> ImageClassifier:
    """MGIC-MobileNetV3 (Table 6); ``act="relu"`` is the form without h-swish."""
    return _mgic_mobilenet(TABLE_6, 1280, **kwargs)


@register_model(task="images", dense_twin="mobilenetv3_large")
def mgic_mobilenetv3_large(**kwargs: Any) -> ImageClassifier:
    """MobileNetV3-Large with its bottlenecks in the channel hierarchy."""
    return _mgic_mobilenet(LARGE, 1280, **kwargs)


@register_model(task="images", dense_twin="mobilenetv3_small")
def mgic_mobilenetv3_small(**kwargs: Any) -> ImageClassifier:
    """MobileNetV3-Small with its bottlenecks in the channel hierarchy (MGIC-Small)."""
    return _mgic_mobilenet(SMALL, 1024, **kwargs)
