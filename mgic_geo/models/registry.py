"""Models by name."""

from __future__ import annotations

import fnmatch
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, cast, overload

from torch import nn

from mgic_geo.models._classifier import Classifier, FeatureMaps

_REGISTRY: dict[str, Callable[..., nn.Module]] = {}
_DENSE_TWINS: dict[str, str] = {}
_TASKS: dict[str, str] = {}
# What each task of models takes.
TASKS = {"points": "clouds", "images": "images", "segmentation": "masks", "fusion": "clouds"}
F = TypeVar("F", bound=Callable[..., nn.Module])


@overload
def register_model(builder: F) -> F: ...
@overload
def register_model(
    builder: None = None, *, dense_twin: str | None = None, task: str = "points"
) -> Callable[[F], F]: ...
def register_model(
    builder: Any = None, *, dense_twin: str | None = None, task: str = "points"
) -> Any:
    """Registers ``builder(**kwargs)`` under its own name; usable as a decorator.

    Args:
        builder: Builds the model.
        dense_twin: Name of the model that differs in its dense channel coupling alone and takes the
            same options: what this one is measured against.
        task: ``"points"`` (classifies clouds), ``"images"`` (classifies images),
            ``"segmentation"`` (classifies pixels) or ``"fusion"`` (classifies clouds by images of
            them, too, which it renders where none are given).

    Returns:
        The builder, or a decorator where only options are given.

    Raises:
        ValueError: ``task`` is another name, or a model of this name is registered already.

    Example:
        A model stays registered for the rest of the process. ::

            from mgic_geo.models import PointClassifier, create_model, register_model
            from mgic_geo.nn import EdgeConv

            @register_model(dense_twin="dgcnn")
            def my_edgeconv(**kwargs):
                "EdgeConv with the mean over neighbours."
                conv = lambda c, d, groups: EdgeConv([2 * c, d], "mean", groups=groups)
                return PointClassifier(conv, mgic=True, **kwargs)

            create_model("my_edgeconv", num_classes=4)
    """
    if task not in TASKS:
        raise ValueError(f"task = {task!r}: use one of {tuple(TASKS)}")
    if builder is None:
        return functools.partial(register_model, dense_twin=dense_twin, task=task)
    name = builder.__name__
    if name in _REGISTRY:
        raise ValueError(f"a model named {name!r} is registered already")
    _REGISTRY[name] = builder
    _TASKS[name] = task
    if dense_twin is not None:
        _DENSE_TWINS[name] = dense_twin
    return builder


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
    names = fnmatch.filter(_REGISTRY, pattern)
    if pretrained:
        from mgic_geo.models.weights import shipped_weights

        names = [name for name in names if name in shipped_weights()]
    return sorted(name for name in names if task in (None, _TASKS[name]))


def model_task(name: str) -> str:
    """What a registered model does, the ``task`` of :func:`register_model`.

    Args:
        name: One of :func:`list_models`.

    Returns:
        ``"points"``, ``"images"``, ``"segmentation"`` or ``"fusion"``.

    Raises:
        ValueError: There is no such model; the message lists what there is.

    Example:
        >>> from mgic_geo.models import model_task
        >>> model_task("mgic_diffgcn"), model_task("resnet20")
        ('points', 'images')
    """
    if name not in _REGISTRY:
        raise ValueError(f"no model named {name!r}; there are {', '.join(list_models())}")
    return _TASKS[name]


def model_data(name: str) -> str:
    """What a registered model takes.

    Args:
        name: One of :func:`list_models`.

    Returns:
        ``"clouds"``, ``"images"``, or ``"masks"`` for images with a class for each pixel.

    Raises:
        ValueError: There is no such model.

    Example:
        >>> from mgic_geo.models import model_data
        >>> model_data("mgic_diffgcn"), model_data("resnet20")
        ('clouds', 'images')
    """
    return TASKS[model_task(name)]


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
    if name not in _REGISTRY:
        raise ValueError(f"no model named {name!r}; there are {', '.join(list_models())}")
    if pretrained:
        from mgic_geo.models.weights import load_pretrained

        model = load_pretrained(name, **kwargs)
    else:
        try:
            model = _REGISTRY[name](**kwargs)
        except TypeError as error:
            raise ValueError(f"{name}: {error}") from error
    if not features_only:
        return cast(Classifier, model)  # what others register may be less
    return FeatureMaps(model, out_indices)


def describe_model(name: str) -> str:
    """The first line of the model's documentation.

    Args:
        name: One of :func:`list_models`.

    Returns:
        A sentence; empty where the model has no documentation.

    Example:
        >>> from mgic_geo.models import describe_model
        >>> describe_model("resnet20")
        'ResNet-20 for small images.'
    """
    return (inspect.getdoc(_REGISTRY[name]) or "").partition("\n")[0]


def dense_twin(name: str) -> str | None:
    """The model that differs from this one in its dense channel coupling alone.

    Args:
        name: One of :func:`list_models`.

    Returns:
        Its name; None if there is no such model.

    Example:
        >>> from mgic_geo.models import dense_twin
        >>> dense_twin("mgic_diffgcn")
        'diffgcn'
    """
    return _DENSE_TWINS.get(name)
