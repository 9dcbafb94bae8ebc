"""From a model of this package to plain operators on one input."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from mgic_geo.export._images import lower_images
from mgic_geo.export._points import RegularPointClassifier, RegularPointSegmenter, replaced
from mgic_geo.export._pyramid import RegularPyramid
from mgic_geo.export._views import DepthViews
from mgic_geo.models import (
    LRASPP,
    FusionClassifier,
    ImageClassifier,
    PointClassifier,
    PointPyramid,
    PointSegmenter,
)

# Engines whose grouped convolutions beat batched products.
_CONVOLVE = ("onnx", "openvino")


def lower(model: nn.Module, engine: str = "onnx") -> nn.Module:
    """A copy of ``model`` for inference as plain operators, with the values of eager.

    :func:`export` calls it. It is for those who write an exporter of their own.

    Args:
        model: Any module; of networks that are not known here the known parts are exchanged.
        engine: The format that it is for, a key of :data:`mgic_geo.export.FORMATS`.

    Returns:
        The copy, in eval mode. A point network takes ``pos [B, n, 3]`` alone, and finds the
        neighbours itself.

    Example:
        >>> import torch
        >>> from mgic_geo.export import lower
        >>> from mgic_geo.models import create_model
        >>> model = create_model("mgic_diffgcn", num_classes=4, width=16, k=4).eval()
        >>> pos = torch.rand(2, 32, 3)
        >>> with torch.no_grad():
        ...     torch.allclose(lower(model)(pos), model(pos), atol=1e-3)
        True
    """
    if isinstance(model, PointSegmenter):
        return RegularPointSegmenter(model, engine in _CONVOLVE).eval()
    if isinstance(model, PointClassifier):
        return RegularPointClassifier(model, engine in _CONVOLVE).eval()
    if isinstance(model, PointPyramid):
        return RegularPyramid(model).eval()
    if isinstance(model, FusionClassifier):
        return _RegularFusion(model, engine).eval()
    if isinstance(model, ImageClassifier | LRASPP):
        return lower_images(model, repeat=engine != "executorch").eval()
    return lower_images(model, repeat=False).eval()


class _RegularFusion(nn.Module):
    """A :class:`~mgic_geo.models.FusionClassifier` from ``pos [B, n, 3]``, the views rendered."""

    def __init__(self, model: FusionClassifier, engine: str) -> None:
        super().__init__()
        own = copy.copy(model)
        own._modules = dict(model._modules)
        own.point, own.image = nn.Identity(), nn.Identity()  # type: ignore[assignment]
        rest = replaced(own, engine in _CONVOLVE)
        self.point = lower(model.point, engine)
        self.image = lower(model.image, engine)
        self.views = DepthViews(
            model.num_views, model.view_size, model.image.in_chans, scatter=engine != "executorch"
        )
        self.view_pool = model.view_pool
        self.num_views = model.num_views
        self.point_norm, self.image_norm = rest.point_norm, rest.image_norm
        self.join, self.fc = rest.join, rest.fc

    def forward(self, pos: Tensor) -> Tensor:
        images = self.image(self.views(pos)).unflatten(0, (-1, self.num_views))
        images = images.amax(dim=1) if self.view_pool == "max" else images.mean(dim=1)
        joined = torch.cat([self.point_norm(self.point(pos)), self.image_norm(images)], dim=1)
        return cast(Tensor, self.fc(self.join(joined)))
