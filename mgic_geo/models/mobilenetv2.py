"""MobileNetV2."""

from __future__ import annotations

from mgic_geo.models._tables import Row, build_stages, make_divisible
from mgic_geo.models.image_classifier import ImageClassifier
from mgic_geo.models.mobilenetv3 import dense_row
from mgic_geo.models.registry import register_model
from mgic_geo.nn.vision import ConvNormAct

# expansion, out, blocks, stride of the first: Table 2 of "MobileNetV2"
_TABLE = (
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)


def _rows(channels: int, width_mult: float, act: str) -> list[Row]:
    """The blocks behind ``channels``; the wide channels are whole multiples of the narrow ones."""
    rows = []
    for expansion, out, blocks, first in _TABLE:
        out = make_divisible(out * width_mult)
        for stride in (first, *[1] * (blocks - 1)):
            rows.append(Row(3, expansion * channels, out, False, act, stride))
            channels = out
    return rows


@register_model(task="images")
def mobilenetv2(
    *,
    width_mult: float = 1.0,
    num_classes: int = 1000,
    in_chans: int = 3,
    drop_rate: float = 0.2,
    act: str = "relu6",
) -> ImageClassifier:
    """MobileNetV2.

    Narrow-wide-narrow blocks without squeeze-excite, from `"MobileNetV2: Inverted Residuals and
    Linear Bottlenecks" <https://arxiv.org/abs/1801.04381>`_.

    Args:
        width_mult: Factor of all channels; the 1,280 of the last convolution never shrink.
        num_classes: Number of classes.
        in_chans: Channels of the images.
        drop_rate: Dropout.
        act: Activation, as in :class:`~mgic_geo.nn.vision.ConvNormAct`.
    """
    channels = make_divisible(32 * width_mult)
    rows = _rows(channels, width_mult, act)
    stages, widths, reductions = build_stages(rows, dense_row, channels)
    tail = make_divisible(1280 * max(1.0, width_mult))
    return ImageClassifier(
        ConvNormAct(in_chans, channels, 3, 2, act=act),
        stages,
        widths,
        reductions,
        final=ConvNormAct(widths[-1], tail, 1, act=act),
        num_features=tail,
        num_classes=num_classes,
        in_chans=in_chans,
        drop_rate=drop_rate,
        input_size=224,
    )
