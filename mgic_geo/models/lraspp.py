"""Segmentation of images: the LR-ASPP head on a MobileNetV3 backbone, dense or MGIC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from mgic_geo.models._classifier import Classifier, FeatureInfo
from mgic_geo.models._tables import (
    LARGE,
    SMALL,
    Row,
    RowBuilder,
    build_stages,
    limit_stride,
    make_divisible,
    scaled,
)
from mgic_geo.models.image_classifier import ImageClassifier
from mgic_geo.models.mobilenetv3 import dense_row, mgic_rows
from mgic_geo.models.registry import register_model
from mgic_geo.nn.vision import ConvNormAct


class LRASPP(Classifier):
    r"""Segments images with a light head on two feature maps of a backbone.

    The last map goes through a 1x1 convolution and is scaled by gates, which follow from its mean.
    It is enlarged to the resolution of the other map; 1x1 convolutions classify both, and the
    logits are summed. From `"Searching for MobileNetV3" <https://arxiv.org/abs/1905.02244>`_,
    section 6.4; section 4.4 of `MGIC <https://arxiv.org/abs/2011.09128>`_ uses it.

    Args:
        backbone: A classifier of the registry without its classifier.
        low: Stage whose map gives the details.
        num_classes: Number of classes.
        filters: Channels of the head.

    Shapes:
        - **x:** images :math:`(B, C, H, W)` of any size from the backbone's reduction on
        - **output:** logits :math:`(B, K, H, W)`

    Raises:
        ValueError: ``num_classes`` is below 1.

    Example:
        >>> import torch
        >>> from mgic_geo.models import LRASPP, create_model
        >>> backbone = create_model("resnet20", num_classes=0)
        >>> model = LRASPP(backbone, low=0, num_classes=5, filters=16)
        >>> model.eval()(torch.rand(1, 3, 32, 48)).shape
        torch.Size([1, 5, 32, 48])
    """

    _classifiers = ("low_classifier", "high_classifier")

    def __init__(
        self, backbone: ImageClassifier, low: int, num_classes: int = 19, filters: int = 128
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes = {num_classes}: it must be at least 1")
        self.num_classes = num_classes
        self.in_chans = backbone.in_chans
        self.feature_info = FeatureInfo(
            {**info, "module": f"backbone.{info['module']}"} for info in backbone.feature_info
        )
        self.input_size = 512
        self.low = low
        self.backbone = backbone
        high, low_channels = backbone.num_features, backbone.feature_info[low]["num_chs"]
        self.project = ConvNormAct(high, filters, 1)
        self.gate = nn.Sequential(nn.Conv2d(high, filters, 1, bias=False), nn.Sigmoid())
        self.low_classifier = nn.Conv2d(cast(int, low_channels), num_classes, 1)
        self.high_classifier = nn.Conv2d(filters, num_classes, 1)

    def forward_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The map with the details, and the last one."""
        low, high = self.backbone.forward_intermediates(x, [self.low, -1])
        return low, self.backbone.final(high)

    def forward_intermediates(
        self, x: Tensor, indices: Sequence[int] | None = None
    ) -> list[Tensor]:
        """Feature maps of the backbone, see :meth:`ImageClassifier.forward_intermediates`."""
        return self.backbone.forward_intermediates(x, indices)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[B, num_classes, H, W]`` of images ``[B, in_chans, H, W]``."""
        low, high = self.forward_features(x)
        y = self.project(high) * self.gate(high.mean(dim=(2, 3), keepdim=True))
        y = F.interpolate(y, low.shape[2:], mode="bilinear", align_corners=False)
        y = self.low_classifier(low) + self.high_classifier(y)
        return F.interpolate(y, x.shape[2:], mode="bilinear", align_corners=False)


def _lraspp(
    rows: Sequence[Row],
    block: RowBuilder,
    *,
    num_classes: int = 19,
    in_chans: int = 3,
    filters: int = 128,
    output_stride: int = 16,
    width_mult: float = 1.0,
    act: str = "hardswish",
) -> LRASPP:
    """The backbone's last block halved, dilation beyond ``output_stride``, details at stride 4."""
    rows = scaled(rows, width_mult)
    last = next(i for i in range(len(rows) - 1, -1, -1) if rows[i].stride != 1)
    rows = (
        *rows[:last],
        *(replace(row, hidden=row.hidden // 2, out=row.out // 2) for row in rows[last:]),
    )
    rows = limit_stride(rows, output_stride)
    channels = make_divisible(16 * width_mult)
    stages, widths, reductions = build_stages(rows, block, channels)
    tail = rows[-1].hidden
    backbone = ImageClassifier(
        ConvNormAct(in_chans, channels, 3, 2, act=act),
        stages,
        widths,
        reductions,
        final=ConvNormAct(widths[-1], tail, 1, act=act),
        num_features=tail,
        num_classes=0,
        in_chans=in_chans,
    )
    return LRASPP(backbone, reductions.index(4), num_classes, filters)


@register_model(task="segmentation")
def lraspp_mobilenetv3_large(**kwargs: Any) -> LRASPP:
    """LR-ASPP on MobileNetV3-Large."""
    return _lraspp(LARGE, dense_row, **kwargs)


@register_model(task="segmentation")
def lraspp_mobilenetv3_small(**kwargs: Any) -> LRASPP:
    """LR-ASPP on MobileNetV3-Small."""
    return _lraspp(SMALL, dense_row, **kwargs)


def _mgic(rows: Sequence[Row], group_size: int, coarsest: int, **kwargs: Any) -> LRASPP:
    names = ("extra_level", "correction_scale", "dense_se")
    options = {name: kwargs.pop(name) for name in names if name in kwargs}
    block = mgic_rows(group_size, coarsest, kwargs.get("act"), **options)
    return _lraspp(rows, block, **kwargs)


@register_model(task="segmentation", dense_twin="lraspp_mobilenetv3_large")
def lraspp_mgic_large(group_size: int = 64, coarsest: int = 64, **kwargs: Any) -> LRASPP:
    """LR-ASPP on MobileNetV3-Large in the channel hierarchy (MGIC-Large, Table 9)."""
    return _mgic(LARGE, group_size, coarsest, **kwargs)


@register_model(task="segmentation", dense_twin="lraspp_mobilenetv3_small")
def lraspp_mgic_small(group_size: int = 64, coarsest: int = 64, **kwargs: Any) -> LRASPP:
    """LR-ASPP on MobileNetV3-Small in the channel hierarchy (MGIC-Small, Table 9)."""
    return _mgic(SMALL, group_size, coarsest, **kwargs)
