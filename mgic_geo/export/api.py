"""Exporting a model: lower it, write it, and check the file in its engine."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mgic_geo import __version__
from mgic_geo.export import _executorch, _onnx, _openvino, _torch, quantize
from mgic_geo.export._lower import lower
from mgic_geo.export._torch import ExportError, trace
from mgic_geo.export.check import (
    TOLERANCE,
    Difference,
    compare,
    random_inputs,
    real_inputs,
    require_equal,
)
from mgic_geo.export.metadata import ExportInfo
from mgic_geo.export.runtime import SUFFIXES, ExportedModel, load_exported
from mgic_geo.io import atomic_write, full_disk_as_data_error
from mgic_geo.models import PointClassifier, PointPyramid, PointSegmenter, WeightsInfo
from mgic_geo.models.registry import CLOUD_DATA

FORMATS = {name: suffix for suffix, name in SUFFIXES.items()}
"""The formats, and how their files end."""
_POINTS = 1024


@dataclass(frozen=True)
class Quantized:
    """What int8 costs and gives on labelled inputs.

    Args:
        accuracy: Before and after, shares.
        seconds: Of one input, before and after.
        size: Bytes, before and after.
        inputs: How many.

    Example:
        Exporting a network and checking the file takes seconds. ::

            import mgic_geo

            report = mgic_geo.export(model, "small.onnx", quantized="int8", samples=clouds)
            before, after = report.quantized.accuracy
            print(report.quantized)  # sizes, times and accuracies in a line
    """

    accuracy: tuple[float, float]
    seconds: tuple[float, float]
    size: tuple[int, int]
    inputs: int

    def __str__(self) -> str:
        (a, b), (s, t), (m, n) = self.accuracy, self.seconds, self.size
        return (
            f"int8: {m / 1e6:.2f} -> {n / 1e6:.2f} MB, {1e3 * s:.2f} -> {1e3 * t:.2f} ms, accuracy "
            f"{100.0 * a:.2f} -> {100.0 * b:.2f} % of {self.inputs} inputs"
        )


@dataclass(frozen=True)
class ExportReport:
    """What an export made and found.

    Args:
        path: The file.
        format: A key of :data:`FORMATS`.
        size: Bytes.
        info: What the file says of itself.
        differences: From eager, by inputs.
        outside: ExecuTorch: operators that XNNPACK does not run, one entry a call.
        quantized: What int8 changed, if asked for.

    Example:
        Exporting a network and checking the file takes seconds. ::

            import mgic_geo

            report = mgic_geo.export(model, "model.onnx")
            report.path, report.format, report.size  # the file, "onnx", its bytes
            max(difference.largest for difference in report.differences)  # of logits, from eager
    """

    path: Path
    format: str
    size: int
    info: ExportInfo
    differences: list[Difference]
    outside: list[str] = field(default_factory=list)
    quantized: Quantized | None = None


def export(
    model: nn.Module,
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    info: WeightsInfo | None = None,
    samples: Tensor | None = None,
    tolerance: float = TOLERANCE,
    quantized: str | None = None,
    validation: tuple[Tensor, Tensor] | None = None,
    limit: float = 0.5,
    force: bool = False,
) -> ExportReport:
    r"""Writes ``model`` as a file that runs without Python's model code, checked in its engine.

    Point networks hold the search for neighbours and the derivative operators: clouds
    ``pos [B, n, 3]``, centred and scaled to the unit sphere, go in, logits ``[B, K]`` come out,
    with any B and n (ExecuTorch: one cloud of ``info.num_points``). Image networks take
    ``image [B, C, H, W]``, normalised, of one size (segmentation: of any, but for ExecuTorch).

    Args:
        model: A network of the registry, or a module that torch.export can trace.
        path: The file; a JSON of the same name and ``.json`` is written beside it.
        format: ``"torch"`` (``.pt2``), ``"onnx"`` (``.onnx``, opset 18), ``"executorch"``
            (``.pte``, XNNPACK) or ``"openvino"`` (``.xml`` and ``.bin``); by default what the
            path's end says.
        info: Classes, preprocessing and sizes, as a weights file has them.
        samples: Real inputs for the check, and to see the ranges for int8, ``[M, *]``; by default
            shapes of Furniture-10, or depth pictures of them.
        tolerance: Largest absolute difference of logits from eager, as
            :func:`mgic_geo.export.check.allowed` takes it.
        quantized: ``"int8"`` for static quantisation, calibrated on ``samples``.
        validation: Inputs ``[M, *]`` and labels ``[M]`` that say what int8 costs.
        limit: Points of accuracy that int8 may cost.
        force: Keep an int8 file that costs more.

    Returns:
        What was written, with the differences from eager.

    Raises:
        ExportError: The model cannot be exported, or the file does not say the same as eager; then
            nothing is left behind.
        ImportError: The format is not installed; the message names the extra.
        DataError: The disk is full.

    Example:
        Exporting a network and checking the file takes seconds. ::

            import mgic_geo
            from mgic_geo.models import load_model

            model, info = load_model("modelnet10-mgic-diffgcn")
            report = mgic_geo.export(model, "modelnet10.onnx", info=info)
            print(report.size, report.differences[-1])  # bytes; from eager on furniture
    """
    path = Path(path)
    name = _format(path, format)
    if quantized not in (None, "int8"):
        raise ExportError(f"quantized = {quantized!r}: use 'int8'")
    if quantized and name not in quantize.FORMATS:
        raise ExportError(f"int8 is for {', '.join(quantize.FORMATS)}, not for {name}")
    if quantized and samples is None:
        raise ExportError("int8 is calibrated on samples: give some that are like the real inputs")
    if isinstance(model, PointClassifier | PointPyramid) and model.in_channels:
        raise ExportError(
            f"in_channels = {model.in_channels}: point networks with features beside the "
            "coordinates are not exported; use them in torch, or train one without"
        )
    if isinstance(model, PointSegmenter):
        if model.categories:
            raise ExportError(
                f"categories = {model.categories}: a network that is told the category of a cloud "
                "is not exported; use it in torch, or train one without"
            )
        if quantized:
            raise ExportError("int8 is for networks with one class a cloud or image; leave it away")
    model.eval()
    about = _describe(model, name, info)
    size = about.shape[1] if about.input == "pos" and about.shape[1] else about.num_points
    size = size or _POINTS
    lowered = lower(model, name)
    example = random_inputs(about, about.shape[0] or 2, size)
    program = trace(lowered, example, [i for i, n in enumerate(about.shape) if n is None])
    with full_disk_as_data_error(path), _Folder(path) as folder:
        file = folder / path.name
        outside = _write(name, program, file, about)
        exported = load_exported(file)
        differences = _compare(model, exported, samples, size, tolerance)
        require_equal(differences, path)
        cost = None
        if quantized:
            assert samples is not None
            about = replace(about, quantized=quantized)
            whole = folder / "int8" / path.name
            whole.parent.mkdir()
            outside = _write_int8(name, lowered, example, samples, file, whole, about)
            small = load_exported(whole)
            differences = _compare(model, small, samples, size, tolerance)
            cost = _cost(exported, small, validation or _labelled(model, samples))
            _require_accuracy(cost, limit, force, path)
            file = whole
        written = _bytes(file)
        _keep(file, path, about)
    return ExportReport(path, name, written, about, differences, outside, cost)


def _format(path: Path, name: str | None) -> str:
    if name is not None and name not in FORMATS:
        raise ExportError(f"format = {name!r}: use one of {', '.join(FORMATS)}")
    name = SUFFIXES.get(path.suffix) if name is None else name
    if name is None or path.suffix != FORMATS[name]:
        ends = f"*{FORMATS[name]}" if name else ", ".join(f"*{end}" for end in SUFFIXES)
        raise ExportError(f"{path}: name the file {ends}")
    return name


def _describe(model: nn.Module, engine: str, info: WeightsInfo | None) -> ExportInfo:
    """The description, and by it the shape of the input."""
    one = 1 if engine == "executorch" else None
    num_classes = getattr(model, "num_classes", 0)
    classes = info.classes if info else tuple(str(i) for i in range(num_classes))
    if info is None:
        info = WeightsInfo(type(model).__name__, {}, classes, task=_task(model))
    common = {
        "model": info.model,
        "task": info.task,
        "classes": classes,
        "version": __version__,
    }
    if info.data in CLOUD_DATA:
        points = info.num_points or _POINTS
        shape = (one, points if one else None, 3)
        least = int(getattr(model, "min_points", 1))
        nodes = (shape[1],) if info.data == "point_labels" else ()
        return ExportInfo(
            **common,  # type: ignore[arg-type]
            shape=shape,
            output=(one, *nodes, len(classes)),
            input="pos",
            num_points=points,
            min_points=least,
        )
    side: Any = info.image_size or getattr(model, "input_size", 64)
    height, width = (side, side) if isinstance(side, int) else side
    free = info.data == "masks" and engine != "executorch"
    sizes: tuple[int | None, ...] = (None, None) if free else (height, width)
    return ExportInfo(
        **common,  # type: ignore[arg-type]
        shape=(one, getattr(model, "in_chans", 3), *sizes),
        output=(one, len(classes), *(sizes if info.data == "masks" else ())),
        input="image",
        image_size=height if info.image_size is None and info.data == "images" else info.image_size,
        mean=info.mean,
        std=info.std,
    )


def _task(model: nn.Module) -> str:
    from mgic_geo.models import LRASPP, FusionClassifier

    kinds = {
        PointSegmenter: "point_segmentation",  # a classifier by its layers, so ahead of it
        PointClassifier: "points",
        PointPyramid: "points",
        FusionClassifier: "fusion",
        LRASPP: "segmentation",
    }
    return next((task for kind, task in kinds.items() if isinstance(model, kind)), "images")


class _Folder:
    """A folder beside the target, of its file system, that goes whatever happens."""

    def __init__(self, path: Path) -> None:
        self.parent, self.name = path.absolute().parent, path.name

    def __enter__(self) -> Path:
        self.parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f".{self.name}.", dir=self.parent))
        return self.folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _write(
    name: str, program: torch.export.ExportedProgram, file: Path, info: ExportInfo
) -> list[str]:
    if name == "executorch":
        return _executorch.save(program, file, info)
    {"torch": _torch.save, "onnx": _onnx.save, "openvino": _openvino.save}[name](
        program, file, info
    )
    return []


def _write_int8(
    name: str,
    lowered: nn.Module,
    example: Tensor,
    samples: Tensor,
    source: Path,
    target: Path,
    info: ExportInfo,
) -> list[str]:
    if name == "executorch":
        program = quantize.quantize_program(lowered, example, samples, info.data != "clouds")
        return _executorch.save(program, target, info)
    dynamic = [i for i, n in enumerate(info.shape) if n is None]
    full, small = target.with_suffix(".float.onnx"), target.with_suffix(".int8.onnx")
    _onnx.save(trace(lowered, example, dynamic), full, info)
    quantize.quantize_onnx(full, small, samples)
    if name == "onnx":
        os.replace(small, target)
    else:
        _openvino.convert(small, target, info)
    return []


def _compare(
    model: nn.Module, exported: ExportedModel, samples: Tensor | None, size: int, tolerance: float
) -> list[Difference]:
    about = exported.info
    inputs = {"random inputs": random_inputs(about, 2, size, seed=1)}
    if about.input == "pos" and about.shape[1] is None:
        other = max(about.min_points, size // 2)
        inputs[f"random clouds of {other} points"] = random_inputs(about, 3, other, seed=2)
    if samples is None:
        inputs["Furniture-10"] = real_inputs(about, 4, size)
    else:
        inputs["real inputs"] = samples[:16]
    return [compare(what, model, exported, x, tolerance) for what, x in inputs.items()]


def _labelled(model: nn.Module, samples: Tensor) -> tuple[Tensor, Tensor]:
    """Without labels, eager's own classes."""
    with torch.no_grad():
        return samples, torch.cat([model(x).argmax(dim=1) for x in samples.split(16)])


def _cost(
    before: ExportedModel, after: ExportedModel, validation: tuple[Tensor, Tensor]
) -> Quantized:
    x, label = validation
    accuracy, seconds = [], []
    for exported in (before, after):
        right = [
            torch.from_numpy(exported(part.numpy())).argmax(dim=1) == y
            for part, y in zip(x.split(16), label.split(16))
        ]
        accuracy.append(float(torch.cat(right).float().mean()))
        one, times = x[:1].numpy(), []
        for _ in range(10):
            start = time.perf_counter()
            exported(one)
            times.append(time.perf_counter() - start)
        seconds.append(min(times))
    sizes = (_bytes(before.path), _bytes(after.path))
    return Quantized((accuracy[0], accuracy[1]), (seconds[0], seconds[1]), sizes, len(x))


def _require_accuracy(cost: Quantized, limit: float, force: bool, path: Path) -> None:
    lost = 100.0 * (cost.accuracy[0] - cost.accuracy[1])
    if lost > limit and not force:
        raise ExportError(
            f"{path} was not kept: int8 costs {lost:.2f} points of accuracy, more than {limit:g} "
            f"({cost}); give more samples that are like the real inputs, or force it"
        )


def _bytes(file: Path) -> int:
    both = (file, file.with_suffix(".bin")) if file.suffix == ".xml" else (file,)
    return sum(part.stat().st_size for part in both)


def _keep(file: Path, path: Path, info: ExportInfo) -> None:
    """Moves the file to its place, what it refers to first, and writes the JSON beside it."""
    if file.suffix == ".xml":
        os.replace(file.with_suffix(".bin"), path.with_suffix(".bin"))
    os.replace(file, path)
    with atomic_write(path.with_name(path.name + ".json"), "w", encoding="utf-8") as beside:
        beside.write(info.to_json() + "\n")
