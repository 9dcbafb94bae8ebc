"""Models by name."""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

_REGISTRY: dict[str, Callable[..., nn.Module]] = {}
F = TypeVar("F", bound=Callable[..., nn.Module])


def register_model(builder: F) -> F:
    """Registers ``builder(**kwargs)`` under its own name; usable as a decorator."""
    name = builder.__name__
    if name in _REGISTRY:
        raise ValueError(f"a model named {name!r} is registered already")
    _REGISTRY[name] = builder
    return builder


def list_models(pattern: str = "*") -> list[str]:
    """Names of the registered models that match a shell pattern, sorted."""
    return sorted(fnmatch.filter(_REGISTRY, pattern))


def create_model(name: str, **kwargs: Any) -> nn.Module:
    """Builds a registered model.

    Args:
        name: One of :func:`list_models`.
        **kwargs: Options of the model, such as ``width`` or ``num_classes``.

    Raises:
        ValueError: There is no such model or option; the message lists what there is.
    """
    if name not in _REGISTRY:
        raise ValueError(f"no model named {name!r}; there are {', '.join(list_models())}")
    return _REGISTRY[name](**kwargs)


def describe_model(name: str) -> str:
    """The first line of the model's documentation."""
    return (inspect.getdoc(_REGISTRY[name]) or "").partition("\n")[0]
