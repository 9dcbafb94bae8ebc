"""What every network of the registry has: a last layer that can be changed, maps to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn


class FeatureInfo(list[dict[str, Any]]):
    """Describes the maps of :meth:`Classifier.forward_intermediates`, in timm's words.

    Each entry has ``num_chs``, the channels of a map; ``reduction``, by which factor the map is
    smaller than the image along a side (1 for points, which all stay); and ``module``, the name of
    the module whose output it is.

    Args:
        iterable: A dictionary for each map.

    Example:
        >>> from mgic_geo.models import create_model
        >>> info = create_model("resnet20").feature_info
        >>> info.channels(), info.reduction([-1]), info.module_name([0])
        ([16, 32, 64], [4], ['stages.0'])
    """

    def channels(self, indices: Sequence[int] | None = None) -> list[int]:
        """Channels of the maps, or of some of them."""
        return self._get("num_chs", indices)

    def reduction(self, indices: Sequence[int] | None = None) -> list[int]:
        """Reductions of the maps, or of some of them."""
        return self._get("reduction", indices)

    def module_name(self, indices: Sequence[int] | None = None) -> list[str]:
        """Modules whose outputs the maps are."""
        return self._get("module", indices)

    def _get(self, key: str, indices: Sequence[int] | None) -> list[Any]:
        return [self[i][key] for i in (range(len(self)) if indices is None else indices)]


class Classifier(nn.Module):
    """A network with a linear last layer, and timm's methods to read and change it.

    Attributes:
        num_classes: Number of classes; 0 where there is no last layer.
        head_hidden_size: Channels that a linear last layer sees.
        feature_info: What :meth:`forward_intermediates` returns; empty where there is no such
            method.

    Example:
        >>> import torch
        >>> from mgic_geo.models import create_model
        >>> model = create_model("resnet20", num_classes=10).eval()
        >>> model.reset_classifier(3)
        >>> model(torch.rand(1, 3, 32, 32)).shape, model.get_classifier().out_features
        (torch.Size([1, 3]), 3)
    """

    _classifiers: ClassVar[tuple[str, ...]] = ("fc",)
    num_classes: int
    head_hidden_size: int
    feature_info: FeatureInfo

    def get_classifier(self) -> nn.Module:
        """The last layer: linear, or the identity if ``num_classes`` is 0.

        Of a network with two of them, which are summed, a ``ModuleDict``.
        """
        layers = {name: self.get_submodule(name) for name in self._classifiers}
        return next(iter(layers.values())) if len(layers) == 1 else nn.ModuleDict(layers)

    def reset_classifier(self, num_classes: int) -> None:
        """Makes the last layer anew, for other classes.

        Args:
            num_classes: Number of classes; 0 leaves the layer away, where a network can do without.

        Raises:
            ValueError: It is negative, or the network segments and needs a class at least.
        """
        least = 0 if self._classifiers == ("fc",) else 1
        if num_classes < least:
            raise ValueError(f"num_classes = {num_classes}: it must be at least {least}")
        for name in self._classifiers:
            setattr(self, name, self._new_classifier(self.get_submodule(name), num_classes))
        self.num_classes = num_classes

    def _new_classifier(self, old: nn.Module, num_classes: int) -> nn.Module:
        if num_classes == 0:
            return nn.Identity()
        made = (
            nn.Conv2d(old.in_channels, num_classes, 1)
            if isinstance(old, nn.Conv2d)
            else nn.Linear(self.head_hidden_size, num_classes)
        )
        like = next(self.parameters())
        return made.to(like.device, like.dtype)


def last_layer(model: nn.Module) -> nn.Module:
    """``model.get_classifier()``.

    Raises:
        ValueError: It has no such method, as a network that somebody else registered may not.
    """
    if not hasattr(model, "get_classifier"):
        raise ValueError(
            f"a {type(model).__name__} does not say which its last layer is: give it the methods "
            "get_classifier() and reset_classifier(num_classes), or make it a Classifier"
        )
    layer: nn.Module = model.get_classifier()  # type: ignore[operator]
    return layer


class FeatureMaps(nn.Module):
    """A network that returns feature maps instead of logits.

    :func:`~mgic_geo.models.create_model` makes it with ``features_only=True``.

    Args:
        model: A network with ``forward_intermediates``; what comes after the last map is not run.
        out_indices: Which of its maps; negative numbers count from the end; all by default.

    Attributes:
        feature_info: What the returned maps are.

    Shapes:
        - **input:** what the network takes
        - **output:** a list of maps: :math:`(B, C_i, H_i, W_i)` of images, :math:`(N, C_i)` or
          :math:`(B, n, C_i)` of points

    Raises:
        ValueError: The network has no maps, or not so many.

    Example:
        >>> import torch
        >>> from mgic_geo.models import FeatureMaps, create_model
        >>> maps = FeatureMaps(create_model("resnet20"), out_indices=[0, -1]).eval()
        >>> [tuple(map.shape) for map in maps(torch.rand(1, 3, 32, 32))]
        [(1, 16, 32, 32), (1, 64, 8, 8)]
    """

    def __init__(self, model: nn.Module, out_indices: Sequence[int] | None = None) -> None:
        super().__init__()
        info = getattr(model, "feature_info", None)
        if not info:
            raise ValueError(f"features_only: a {type(model).__name__} has no maps by stage")
        count = len(info)
        indices = list(range(count) if out_indices is None else out_indices)
        if not indices or not all(-count <= i < count for i in indices):
            raise ValueError(f"out_indices = {indices}: there are maps 0 to {count - 1}")
        self.out_indices = [i % count for i in indices]
        self.feature_info = FeatureInfo(info[i] for i in self.out_indices)
        self.model = model

    def forward(self, *args: Any, **kwargs: Any) -> list[Tensor]:
        """The maps, in the order of ``out_indices``."""
        maps: list[Tensor] = self.model.forward_intermediates(  # type: ignore[operator]
            *args, indices=self.out_indices, **kwargs
        )
        return maps
