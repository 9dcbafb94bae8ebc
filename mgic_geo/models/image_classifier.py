"""What the image networks of the registry have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from mgic_geo.models._classifier import Classifier, FeatureInfo


class ImageClassifier(Classifier):
    """A stem, stages of blocks, pooling and a classifier, with feature maps by stage.

    Args:
        stem: From images to the first feature map.
        stages: One after the other; each gives a feature map.
        widths: Channels of each stage's map.
        reductions: By which factor each stage's map is smaller than the image along a side.
        final: Applied to the last map before pooling.
        head: Applied to the pooled features before the classifier.
        num_features: Channels of :meth:`forward_features`.
        head_features: Channels that the classifier sees.
        num_classes: Number of classes; 0 leaves the classifier away.
        in_chans: Channels of the images.
        drop_rate: Dropout ahead of the classifier.
        input_size: Side of the images that the network is made for.

    Shapes:
        - **x:** images :math:`(B, C, H, W)`, any size from the last reduction on; batches of one
          are fine in eval mode
        - **output:** logits :math:`(B, K)`

    Raises:
        ValueError: A number is out of range; in a call, the images have other channels or are too
            small.

    Example:
        >>> import torch
        >>> from mgic_geo.models import ImageClassifier
        >>> from mgic_geo.nn import MGIC, DepthwiseShortcut
        >>> from mgic_geo.nn.vision import BasicBlock, ConvNormAct
        >>> stage = MGIC(
        ...     lambda c, g: BasicBlock(c, c, groups=g), 64, channel_axis=1,
        ...     in_channels=32, shortcut=DepthwiseShortcut(32, 64, stride=2),
        ... )
        >>> model = ImageClassifier(ConvNormAct(3, 32), [stage], widths=[64], reductions=[2]).eval()
        >>> model(torch.rand(1, 3, 8, 8)).shape, model.feature_info.channels()
        (torch.Size([1, 10]), [64])
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: Sequence[nn.Module],
        widths: Sequence[int],
        reductions: Sequence[int],
        *,
        final: nn.Module | None = None,
        head: nn.Module | None = None,
        num_features: int | None = None,
        head_features: int | None = None,
        num_classes: int = 10,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        input_size: int = 32,
    ) -> None:
        super().__init__()
        for name, value, least in (("num_classes", num_classes, 0), ("in_chans", in_chans, 1)):
            if value < least:
                raise ValueError(f"{name} = {value}: it must be at least {least}")
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.input_size = input_size
        self.num_features = widths[-1] if num_features is None else num_features
        self.head_hidden_size = self.num_features if head_features is None else head_features
        self.feature_info = FeatureInfo(
            {"num_chs": width, "reduction": reduction, "module": f"stages.{i}"}
            for i, (width, reduction) in enumerate(zip(widths, reductions, strict=True))
        )
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.final = nn.Identity() if final is None else final
        self.head = nn.Identity() if head is None else head
        self.drop = nn.Dropout(drop_rate)
        self.fc = nn.Linear(self.head_hidden_size, num_classes) if num_classes else nn.Identity()

    @property
    def reduction(self) -> int:
        """By which factor the last map is smaller than the image along a side."""
        return cast(int, self.feature_info[-1]["reduction"])

    def forward_intermediates(
        self, x: Tensor, indices: Sequence[int] | None = None
    ) -> list[Tensor]:
        """Feature maps of the stages ``indices``, of all by default.

        Raises:
            ValueError: ``x`` is no batch of images with ``in_chans`` channels, or smaller than one
                pixel of the last map.
        """
        self._check(x)
        wanted = range(len(self.stages)) if indices is None else indices
        wanted = [i % len(self.stages) for i in wanted]
        maps: dict[int, Tensor] = {}
        x = self.stem(x)
        for i, stage in enumerate(self.stages[: max(wanted) + 1]):
            x = stage(x)
            if i in wanted:
                maps[i] = x
        return [maps[i] for i in wanted]

    def forward_features(self, x: Tensor) -> Tensor:
        """The last feature map ``[B, num_features, H / reduction, W / reduction]``."""
        return cast(Tensor, self.final(self.forward_intermediates(x, [-1])[0]))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pools a feature map and classifies it; ``pre_logits`` stops before the last layer."""
        x = self.drop(self.head(x.mean(dim=(2, 3))))
        return x if pre_logits else cast(Tensor, self.fc(x))

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[B, num_classes]`` of images ``[B, in_chans, H, W]``."""
        return self.forward_head(self.forward_features(x))

    def _check(self, x: Tensor) -> None:
        if x.dim() != 4 or x.size(1) != self.in_chans:
            raise ValueError(f"x must be [B, {self.in_chans}, H, W], got {list(x.shape)}")
        if min(x.shape[2:]) < self.reduction and not torch.compiler.is_compiling():
            raise ValueError(
                f"images of {x.size(2)} x {x.size(3)} are smaller than one pixel of the last "
                f"feature map; they need {self.reduction} x {self.reduction} at least"
            )
