"""Models by name, with weights at their start or trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

from mgic_geo.models._classifier import Classifier, FeatureMaps
from mgic_geo.models.registry import build_model, registered
from mgic_geo.models.weights import load_pretrained, shipped_weights


def list_models(pattern: str = "*", task: str | None = None, pretrained: bool = False) -> list[str]:
    """Names of registered models, sorted.

    Args:
        pattern: Shell pattern that they match.
        task: Only those for this, see :func:`register_model`.
        pretrained: Only those that :func:`create_model` has weights for.

    Returns:
        The names.

    Example:
        >>> from mgic_geo.models import list_models
        >>> list_models("mgic_*conv", task="points")
        ['mgic_edgeconv']
    """
    names = registered(pattern, task)
    return [name for name in names if name in shipped_weights()] if pretrained else names


@overload
def create_model(
    name: str,
    pretrained: bool = False,
    *,
    features_only: Literal[False] = False,
    out_indices: None = None,
    **kwargs: Any,
) -> Classifier: ...
@overload
def create_model(
    name: str,
    pretrained: bool = False,
    *,
    features_only: Literal[True],
    out_indices: Sequence[int] | None = None,
    **kwargs: Any,
) -> FeatureMaps: ...
def create_model(
    name: str,
    pretrained: bool = False,
    *,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    **kwargs: Any,
) -> Classifier | FeatureMaps:
    """Builds a registered model.

    Args:
        name: One of :func:`list_models`.
        pretrained: With the weights that travel with the package for this model
            (``list_models(pretrained=True)``) and the options that these were trained with. Of
            another ``num_classes`` the last layer is made anew.
        features_only: Return the maps of the stages instead of logits, as a
            :class:`~mgic_geo.models.FeatureMaps`.
        out_indices: Which maps; all by default.
        **kwargs: Options of the model, such as ``width`` or ``num_classes``.

    Returns:
        The network, in training mode; with ``features_only`` a
        :class:`~mgic_geo.models.FeatureMaps`.

    Raises:
        ValueError: There is no such model (the message lists what there is), or no such option, or
            it has no maps.
        CheckpointError: There are no weights for the model, or not with these options.

    Example:
        >>> from mgic_geo.models import create_model
        >>> model = create_model("mgic_diffgcn", pretrained=True, num_classes=4)
        >>> model.get_classifier()
        Linear(in_features=64, out_features=4, bias=True)
        >>> create_model("resnet20", features_only=True).feature_info.channels()
        [16, 32, 64]
    """
    model = load_pretrained(name, **kwargs) if pretrained else build_model(name, **kwargs)
    return FeatureMaps(model, out_indices) if features_only else model
