"""Models by name."""

from __future__ import annotations

import fnmatch
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast, overload

from torch import nn

from mgic_geo.models._classifier import Classifier

_REGISTRY: dict[str, Callable[..., nn.Module]] = {}
_DENSE_TWINS: dict[str, str] = {}
_TASKS: dict[str, str] = {}
# What each task of models takes.
TASKS = {
    "points": "clouds",
    "point_segmentation": "point_labels",
    "images": "images",
    "segmentation": "masks",
    "fusion": "clouds",
}
# What is made of points, with a class for a cloud or for each point.
CLOUD_DATA = ("clouds", "point_labels")
# Tasks whose networks have the options of a :class:`~mgic_geo.models.PointClassifier`.
POINT_TASKS = ("points", "point_segmentation")
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
        task: ``"points"`` (classifies clouds), ``"point_segmentation"`` (classifies the points of
            clouds), ``"images"`` (classifies images), ``"segmentation"`` (classifies pixels) or
            ``"fusion"`` (classifies clouds by images of them, too, which it renders where none are
            given).

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


def registered(pattern: str = "*", task: str | None = None) -> list[str]:
    """Names of registered models that match a shell pattern, sorted; of one task, if given."""
    names = fnmatch.filter(_REGISTRY, pattern)
    return sorted(name for name in names if task in (None, _TASKS[name]))


def model_task(name: str) -> str:
    """What a registered model does, the ``task`` of :func:`register_model`.

    Args:
        name: One of :func:`list_models`.

    Returns:
        ``"points"``, ``"point_segmentation"``, ``"images"``, ``"segmentation"`` or ``"fusion"``.

    Raises:
        ValueError: There is no such model; the message lists what there is.

    Example:
        >>> from mgic_geo.models import model_task
        >>> model_task("mgic_diffgcn"), model_task("resnet20")
        ('points', 'images')
    """
    if name not in _REGISTRY:
        raise ValueError(f"no model named {name!r}; there are {', '.join(registered())}")
    return _TASKS[name]


def model_data(name: str) -> str:
    """What a registered model takes.

    Args:
        name: One of :func:`list_models`.

    Returns:
        ``"clouds"``, ``"point_labels"`` for clouds with a class for each point, ``"images"``, or
        ``"masks"`` for images with a class for each pixel.

    Raises:
        ValueError: There is no such model.

    Example:
        >>> from mgic_geo.models import model_data
        >>> model_data("mgic_diffgcn"), model_data("resnet20")
        ('clouds', 'images')
    """
    return TASKS[model_task(name)]


def build_model(name: str, **kwargs: Any) -> Classifier:
    """A registered model with weights at their start.

    Raises:
        ValueError: There is no such model, or no such option.
    """
    if name not in _REGISTRY:
        raise ValueError(f"no model named {name!r}; there are {', '.join(registered())}")
    try:
        return cast(Classifier, _REGISTRY[name](**kwargs))  # what others register may be less
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error


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
