"""Models by name."""

from __future__ import annotations

import fnmatch
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, overload

from torch import nn

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


def list_models(pattern: str = "*", task: str | None = None) -> list[str]:
    """Names of the registered models that match a shell pattern, sorted; of one task, if given."""
    names = fnmatch.filter(_REGISTRY, pattern)
    return sorted(name for name in names if task in (None, _TASKS[name]))


def model_task(name: str) -> str:
    """What a registered model does, the ``task`` of :func:`register_model`."""
    if name not in _REGISTRY:
        raise ValueError(f"no model named {name!r}; there are {', '.join(list_models())}")
    return _TASKS[name]


def model_data(name: str) -> str:
    """What a registered model takes: ``"clouds"``, ``"images"`` or, for pixels, ``"masks"``."""
    return TASKS[model_task(name)]


def create_model(name: str, **kwargs: Any) -> nn.Module:
    """Builds a registered model.

    Args:
        name: One of :func:`list_models`.
        **kwargs: Options of the model, such as ``width`` or ``num_classes``.

    Raises:
        ValueError: There is no such model (the message lists what there is), or no such option.
    """
    if name not in _REGISTRY:
        raise ValueError(f"no model named {name!r}; there are {', '.join(list_models())}")
    try:
        return _REGISTRY[name](**kwargs)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error


def describe_model(name: str) -> str:
    """The first line of the model's documentation."""
    return (inspect.getdoc(_REGISTRY[name]) or "").partition("\n")[0]


def dense_twin(name: str) -> str | None:
    """The model that differs from this one in its dense channels alone, None if it has none."""
    return _DENSE_TWINS.get(name)
