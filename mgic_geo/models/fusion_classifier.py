"""Points and images together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from mgic_geo.models._classifier import Classifier, FeatureInfo
from mgic_geo.models.image_classifier import ImageClassifier
from mgic_geo.models.point_classifier import Geometry, PointClassifier
from mgic_geo.models.registry import build_model, register_model, registered
from mgic_geo.nn import MGIC, DenseBlock
from mgic_geo.transforms.depth_views import render_depth

_POOLS = ("max", "mean")


class FusionClassifier(Classifier):
    r"""Classifies a cloud together with images of it, by joined features.

    The pooled features :math:`p` of the cloud and those of its views, :math:`v_1, \ldots, v_V`,
    pooled once more over the views, are brought to one width and one scale each, joined, and mixed
    by an MGIC block:

    .. math::
        x = \operatorname{MGIC}\left( \left[ N_p(W_p \, p), \;
        N_v(W_v \operatorname{pool}_i v_i) \right] \right)

    The groups of the finest grid see channels of one kind, and the coarsest grid couples the kinds,
    so that every joined channel depends on the points and on the images. Pooling over views is that
    of `Multi-view CNN <https://arxiv.org/abs/1505.00880>`_.

    Args:
        point: A point network of the registry.
        image: An image network of the registry.
        num_classes: Number of classes; 0 leaves the last layer away.
        width: Channels of each kind; twice as many are joined.
        group_size: Group size :math:`s_g` of the hierarchy of joined channels.
        coarsest: Largest width :math:`s_c` of its coarsest grid.
        drop_rate: Dropout ahead of the last layer.
        view_pool: How views are pooled, ``"max"`` or ``"mean"``; their order never matters.
        num_views: Views that are rendered where none are given.
        view_size: Their height and width; by default what the image network is made for.
        point_options: Options of the point network.
        image_options: Options of the image network.
        correction_scale: Initial scale of the norms after prolongation, see
            :class:`~mgic_geo.nn.MGIC`; with 0 the kinds would be joined by training only.

    Shapes:
        - **pos:** :math:`(N, 3)` with **batch** :math:`(N)`, or :math:`(B, n, 3)`; in the unit
          sphere where the views are rendered
        - **views:** :math:`(B, V, C, H, W)`, any number of views
        - **output:** logits :math:`(B, K)`

    Raises:
        ValueError: A name or option that makes no network; the message says which.

    Example:
        >>> model = FusionClassifier("mgic_diffgcn", "resnet20", num_classes=4).eval()
        >>> model(torch.rand(2, 64, 3) - 0.5).shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        point: str = "mgic_diffgcn",
        image: str = "mgic_resnet56",
        num_classes: int = 10,
        width: int = 64,
        group_size: int = 8,
        coarsest: int = 16,
        drop_rate: float = 0.0,
        view_pool: str = "max",
        num_views: int = 3,
        view_size: int | None = None,
        point_options: Mapping[str, Any] | None = None,
        image_options: Mapping[str, Any] | None = None,
        correction_scale: float = 1.0,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("width", width, 1),
            ("num_views", num_views, 1),
            ("view_size", 1 if view_size is None else view_size, 1),
            ("num_classes", num_classes, 0),
        ):
            if value < least:
                raise ValueError(f"{name} = {value}: it must be at least {least}")
        if view_pool not in _POOLS:
            raise ValueError(f"view_pool = {view_pool!r}: use one of {_POOLS}")
        self.num_classes = num_classes
        self.num_features = self.head_hidden_size = 2 * width
        self.feature_info = FeatureInfo()
        self.view_pool = view_pool
        self.num_views = num_views
        self.point = cast(PointClassifier, _backbone("point", point, "points", point_options))
        self.image = cast(ImageClassifier, _backbone("image", image, "images", image_options))
        self.view_size = self.image.input_size if view_size is None else view_size
        self.point_norm = DenseBlock(self.point.head_hidden_size, width, act=None)
        self.image_norm = DenseBlock(self.image.head_hidden_size, width, act=None)
        self.join = MGIC(
            lambda channels, groups: DenseBlock(channels, channels, groups, residual=True),
            2 * width,
            group_size,
            coarsest,
            correction_scale=correction_scale,
        )
        self.drop = nn.Dropout(drop_rate)
        self.fc = nn.Linear(2 * width, num_classes) if num_classes else nn.Identity()

    @property
    def min_points(self) -> int:
        """Points that a cloud must have, see :attr:`PointClassifier.min_points`."""
        return self.point.min_points

    def prepare(self, pos: Tensor, batch: Tensor | None = None) -> Geometry:
        """What the point network needs of the geometry, see :meth:`PointClassifier.prepare`."""
        return self.point.prepare(pos, batch)

    def render(self, pos: Tensor, batch: Tensor | None = None) -> Tensor:
        """The depth images that stand in for views, ``[B, num_views, C, view_size, view_size]``."""
        with torch.no_grad():
            views = render_depth(pos, self.num_views, self.view_size, batch=batch)
        return views.expand(-1, -1, self.image.in_chans, -1, -1)

    def forward_features(
        self,
        pos: Tensor,
        batch: Tensor | None = None,
        views: Tensor | None = None,
        operators: Geometry | None = None,
    ) -> Tensor:
        """Joined features ``[B, 2 * width]``; arguments as of :meth:`forward`.

        Raises:
            ValueError: ``views`` is no ``[B, V, C, H, W]`` of as many clouds.
        """
        views = self.render(pos, batch) if views is None else views
        if views.dim() != 5 or views.size(1) == 0:
            raise ValueError(f"views must be [B, V, C, H, W], got {list(views.shape)}")
        points = self.point(pos, batch, operators=operators)
        if views.size(0) != points.size(0):
            raise ValueError(f"there are views of {views.size(0)} clouds, but {points.size(0)}")
        images = self.image(views.flatten(0, 1)).unflatten(0, views.shape[:2])
        images = images.amax(dim=1) if self.view_pool == "max" else images.mean(dim=1)
        joined = torch.cat([self.point_norm(points), self.image_norm(images)], dim=1)
        return cast(Tensor, self.join(joined))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Classifies joined features; ``pre_logits`` stops before the last layer."""
        x = self.drop(x)
        return x if pre_logits else cast(Tensor, self.fc(x))

    def forward(
        self,
        pos: Tensor,
        batch: Tensor | None = None,
        views: Tensor | None = None,
        operators: Geometry | None = None,
    ) -> Tensor:
        """Logits ``[B, num_classes]``.

        Args:
            pos: ``[N, 3]`` or ``[B, n, 3]``.
            batch: Cloud of each point, sorted, ``[N]``.
            views: Images of each cloud, ``[B, V, C, H, W]``; by default depth images of ``pos``,
                see :func:`~mgic_geo.transforms.render_depth`.
            operators: What :meth:`prepare` returned for this geometry.
        """
        return self.forward_head(self.forward_features(pos, batch, views, operators))


def _backbone(argument: str, name: str, task: str, options: Mapping[str, Any] | None) -> nn.Module:
    """A network of the registry without its last layer."""
    there = registered(task=task)
    if name not in there:
        raise ValueError(f"{argument} = {name!r} is no model of {task}; use {', '.join(there)}")
    options = {} if options is None else options
    if not isinstance(options, Mapping):
        raise ValueError(f"{argument}_options = {options!r}: give a value to each option by name")
    if "num_classes" in options:
        raise ValueError(f"{argument}_options has num_classes; the joined network classifies")
    return build_model(name, num_classes=0, **options)


@register_model(task="fusion")
def fusion_classifier(**kwargs: Any) -> FusionClassifier:
    """Point and image networks, joined in the channel hierarchy."""
    return FusionClassifier(**kwargs)
