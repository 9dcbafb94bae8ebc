"""Weights that describe their model, and those that travel with the package."""

from __future__ import annotations

import functools
import json
import math
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from mgic_geo.errors import CheckpointError
from mgic_geo.io import atomic_write, parse_features
from mgic_geo.io.tensors import tensors_as_bytes
from mgic_geo.models._classifier import Classifier, last_layer
from mgic_geo.models._parts import follow_points
from mgic_geo.models.published_report import LoadReport, compare
from mgic_geo.models.registry import TASKS, build_model, model_task

_FORMAT = "mgic_geo-1"
DEFAULT_WEIGHTS = "modelnet10-mgic-diffgcn"


@dataclass(frozen=True)
class WeightsInfo:
    """What a weights file says of itself.

    Args:
        model: Name in the registry.
        model_args: Its options.
        classes: Names of the classes, in the order of the logits.
        num_points: Points a cloud that it was trained on; 0 for images.
        task: What the model does, see :func:`~mgic_geo.models.model_task`.
        image_size: Side of the square images that it was trained on; in segmentation the shorter
            side that images are resized to, None where they stay as they are; None for clouds.
        mean: Subtracted from the colours, which are in [0, 1].
        std: Divisor of the colours, after that.
        features: What the points have beside coordinates, in the order of their columns.
        temperature: What logits are divided by before their softmax gives probabilities, see
            :func:`~mgic_geo.training.fit_temperature`; 1 where nobody has calibrated them.

    Example:
        >>> from mgic_geo.models import load_model
        >>> _, info = load_model("modelnet10-mgic-diffgcn")
        >>> info.model, info.num_points, info.classes[:3], info.data
        ('mgic_diffgcn', 1024, ('bathtub', 'bed', 'chair'), 'clouds')
    """

    model: str
    model_args: dict[str, Any]
    classes: tuple[str, ...]
    num_points: int = 0
    task: str = "points"
    image_size: int | None = None
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    features: tuple[str, ...] = ()
    temperature: float = 1.0

    @property
    def data(self) -> str:
        """What the model takes, see :func:`~mgic_geo.models.model_data`."""
        return TASKS[self.task]


def list_weights() -> list[str]:
    """Names of the weights that travel with the package.

    Returns:
        The names, sorted, for :func:`load_model` and :func:`mgic_geo.predict`.

    Example:
        >>> from mgic_geo.models import list_weights
        >>> "modelnet10-mgic-diffgcn" in list_weights()
        True
    """
    folder = files("mgic_geo") / "weights"
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("_"))


def weights_path(name_or_path: str | os.PathLike[str]) -> Path:
    """The safetensors file of shipped weights, of a run folder (its ``best``), or the path itself.

    Raises:
        CheckpointError: There is nothing of that name.
    """
    path = Path(name_or_path)
    if str(name_or_path) in list_weights():
        return Path(str(files("mgic_geo") / "weights" / str(name_or_path) / "model.safetensors"))
    if path.is_dir():
        path = next(
            (p for p in (path / "best.safetensors", path / "last.safetensors") if p.is_file()), path
        )
    if not path.is_file():
        raise CheckpointError(
            f"no weights at {name_or_path}: give a .safetensors file, a run folder, or one of "
            f"{', '.join(list_weights()) or '(none shipped)'}"
        )
    return path


def save_weights(path: str | os.PathLike[str], model: nn.Module, info: WeightsInfo) -> None:
    """Writes a model's state and its description as safetensors, whole or not at all.

    Args:
        path: The file, by custom with the suffix ``.safetensors``.
        model: A registered model.
        info: What builds it again, and what its classes are.

    Raises:
        DataError: The disk is full.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.models import WeightsInfo, create_model, load_model, save_weights
        >>> options = {"width": 16, "k": 4}
        >>> info = WeightsInfo("mgic_diffgcn", options, classes=("chair", "sofa"), num_points=64)
        >>> model = create_model("mgic_diffgcn", num_classes=2, **options)
        >>> with TemporaryDirectory() as folder:
        ...     save_weights(f"{folder}/best.safetensors", model, info)
        ...     again, described = load_model(f"{folder}/best.safetensors")
        >>> described == info, bool((again.fc.weight == model.fc.weight).all())
        (True, True)
    """
    metadata = {
        "format": _FORMAT,
        "model": info.model,
        "model_args": json.dumps(info.model_args),
        "classes": json.dumps(info.classes),
        "num_points": str(info.num_points),
    }
    if info.task != "points":
        metadata["task"] = info.task
        for name in ("image_size", "mean", "std"):
            metadata[name] = json.dumps(getattr(info, name))
    if info.features:
        metadata["features"] = json.dumps(info.features)
    if info.temperature != 1.0:
        metadata["temperature"] = repr(info.temperature)
    state = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    with atomic_write(path, "wb") as file:
        file.write(tensors_as_bytes(state, metadata))


def read_weights_info(path: str | os.PathLike[str]) -> WeightsInfo:
    """Reads the description in a weights file, without the weights.

    Args:
        path: A file of :func:`save_weights`.

    Returns:
        The description.

    Raises:
        CheckpointError: The file is damaged or was not written by :func:`save_weights`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.models import WeightsInfo, create_model, read_weights_info, save_weights
        >>> options = {"width": 16, "k": 4}
        >>> info = WeightsInfo("mgic_diffgcn", options, classes=("chair", "sofa"), num_points=64)
        >>> model = create_model("mgic_diffgcn", num_classes=2, **options)
        >>> with TemporaryDirectory() as folder:
        ...     save_weights(f"{folder}/best.safetensors", model, info)
        ...     read_weights_info(f"{folder}/best.safetensors").classes
        ('chair', 'sofa')
    """
    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error
    if meta.get("format") != _FORMAT:
        raise CheckpointError(f"{path}: not weights of this package (no {_FORMAT} header)")
    try:
        size, task = json.loads(meta.get("image_size", "null")), meta.get("task", WeightsInfo.task)
        if task not in TASKS:
            raise ValueError(f"task = {task!r}")
        num_points = int(meta["num_points"])
        return WeightsInfo(
            meta["model"],
            follow_points(json.loads(meta["model_args"]), num_points),
            tuple(json.loads(meta["classes"])),
            num_points,
            task,
            None if size is None else int(size),
            _colours(meta, "mean", WeightsInfo.mean),
            _colours(meta, "std", WeightsInfo.std),
            parse_features(json.loads(meta.get("features", "[]"))),
            checked_temperature(meta.get("temperature", 1.0)),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: its header is damaged ({error!r})") from error


def checked_temperature(value: Any) -> float:
    """A temperature from a file as a number.

    Raises:
        ValueError: It is none.
    """
    temperature = float(value)
    if not 0.0 < temperature < math.inf:
        raise ValueError(f"temperature = {value}")
    return temperature


def _colours(meta: dict[str, str], name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    values = tuple(float(value) for value in json.loads(meta.get(name, json.dumps(default))))
    if len(values) != 3:
        raise ValueError(f"{name} has {len(values)} values, not 3")
    return values


def load_state(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Loads weights into a model that must fit exactly.

    Args:
        model: Changed in place.
        path: A file of :func:`save_weights`.

    Raises:
        CheckpointError: They belong to another model; the message names the first misfit.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.models import WeightsInfo, create_model, load_state, save_weights
        >>> options = {"width": 16, "k": 4}
        >>> info = WeightsInfo("mgic_diffgcn", options, classes=("chair", "sofa"), num_points=64)
        >>> model = create_model("mgic_diffgcn", num_classes=2, **options)
        >>> other = create_model("mgic_diffgcn", num_classes=2, **options)
        >>> with TemporaryDirectory() as folder:
        ...     save_weights(f"{folder}/best.safetensors", model, info)
        ...     load_state(other, f"{folder}/best.safetensors")
        >>> bool((other.fc.weight == model.fc.weight).all())
        True
    """
    read_weights_info(path)
    own, state = model.state_dict(), _read_state(path)
    for name in sorted(state.keys() ^ own.keys()):
        where = "lack" if name in own else "have an unknown"
        raise CheckpointError(f"{path}: weights of another model (they {where} {name!r})")
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            raise CheckpointError(
                f"{path}: weights of another model ({name!r} is {list(tensor.shape)}, "
                f"expected {list(own[name].shape)})"
            )
    model.load_state_dict(state)


def _read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def load_matching(
    model: nn.Module, name_or_path: str | os.PathLike[str], classes: Sequence[str] | None = None
) -> LoadReport:
    """Loads those layers of some weights that fit a model, as a start for fine-tuning.

    A layer is loaded whole or not at all.

    Args:
        model: A network of the registry, changed in place.
        name_or_path: As in :func:`load_model`.
        classes: What the classes of ``model`` are. Unless they are those of the weights, by name
            and order, the last layer stays at its start, though it may have the same shape.

    Returns:
        Which tensors were taken, and which are as they were.

    Raises:
        CheckpointError: The weights are missing or damaged, or nothing fits.

    Example:
        >>> from mgic_geo.models import create_model, load_matching
        >>> model = create_model("mgic_diffgcn", num_classes=2, k=16)
        >>> report = load_matching(model, "modelnet10-mgic-diffgcn", classes=("bolt", "nut"))
        >>> "stem.conv.weight" in report.loaded, report.missing
        (True, ('fc.weight', 'fc.bias'))
    """
    path = weights_path(name_or_path)
    info, theirs, own = read_weights_info(path), _read_state(path), model.state_dict()
    new = classes is not None and tuple(classes) != info.classes
    last = _last_layers(model) if new else ()
    layers: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in theirs.items():
        if name in own and not name.startswith(last):
            layers[name.rpartition(".")[0]][name] = tensor
    fitting, mismatched = compare(layers.values(), own)
    if not fitting:
        raise CheckpointError(f"{path}: nothing of these weights of {info.model} fits")
    model.load_state_dict(fitting, strict=False)
    seen = {name for layer in layers.values() for name in layer}
    return LoadReport(
        str(name_or_path),
        tuple(name for name in own if name in fitting),
        tuple(name for name in own if name not in seen),
        tuple(sorted(theirs.keys() - seen)),
        tuple(mismatched),
    )


def _last_layers(model: nn.Module) -> tuple[str, ...]:
    """How the names of a network's last layers begin."""
    last = {id(m) for m in last_layer(model).modules()}
    return tuple(f"{name}." for name, m in model.named_modules() if id(m) in last)


@functools.cache
def shipped_weights() -> dict[str, str]:
    """The weights that ``pretrained=True`` loads, by model; of several the first by name.

    :data:`DEFAULT_WEIGHTS` come before all others of their model.
    """
    names = sorted(list_weights(), key=lambda name: (name != DEFAULT_WEIGHTS, name))
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(read_weights_info(weights_path(name)).model, name)
    return found


def load_pretrained(model: str, num_classes: int | None = None, **kwargs: Any) -> Classifier:
    """A registered model with shipped weights, see :func:`~mgic_geo.models.create_model`."""
    model_task(model)  # an unknown name is said to be one
    if model not in shipped_weights():
        there = ", ".join(shipped_weights()) or "none"
        raise CheckpointError(f"{model}: no weights are shipped for it; there are some for {there}")
    path = weights_path(shipped_weights()[model])
    info = read_weights_info(path)
    args = {**info.model_args, **kwargs}
    built = build_model(model, num_classes=len(info.classes), **args)
    load_state(built, path)
    if num_classes is not None and num_classes != len(info.classes):
        built.reset_classifier(num_classes)
    return built


def load_model(
    name_or_path: str | os.PathLike[str] = DEFAULT_WEIGHTS,
    device: str | torch.device = "cpu",
    num_classes: int | None = None,
) -> tuple[Classifier, WeightsInfo]:
    """Builds a model from weights, in evaluation mode.

    Args:
        name_or_path: Shipped weights by name, a ``.safetensors`` file, or a run folder.
        device: Where to put it.
        num_classes: With a new last layer for so many classes, to be trained; their names are then
            ``"0"``, ``"1"`` and so on. As many as the weights have leave it as it was trained.

    Returns:
        The model and what its weights say of themselves.

    Raises:
        CheckpointError: The weights are missing, damaged or of another model.

    Example:
        >>> import torch
        >>> from mgic_geo.models import load_model
        >>> model, info = load_model("modelnet10-mgic-diffgcn")
        >>> logits = model(torch.rand(1, 64, 3))  # of classes info.classes
        >>> logits.shape, len(info.classes)
        (torch.Size([1, 10]), 10)
    """
    path = weights_path(name_or_path)
    info = read_weights_info(path)
    try:
        model = build_model(info.model, num_classes=len(info.classes), **info.model_args)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: its model cannot be built ({error})") from error
    load_state(model, path)
    if num_classes is not None and num_classes != len(info.classes):
        last_layer(model)
        model.reset_classifier(num_classes)
        info = replace(info, classes=tuple(map(str, range(num_classes))), temperature=1.0)
    return model.to(device).eval(), info
