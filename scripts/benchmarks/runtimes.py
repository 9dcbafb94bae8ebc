"""Exported networks in their engines, beside eager and torch.compile: rows of results/runtimes.csv.

    python -m scripts.benchmarks.runtimes
    python -m scripts.benchmarks.runtimes --models mgic_resnet50 mgic_diffgcn:width=256 --compile

Every network of the registry by default, each together with its dense twin; a name with options is
written ``mgic_diffgcn:width=256``. Networks, twins and engines take their turns in every round, so
that what else the machine does falls on all alike; the least time counts. Rows are written network
by network, and those that are there already are not measured again. Weights are random, and norms
know their inputs as those of trained networks do.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import importlib.util
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from torch import Tensor, nn

from mgic_geo.export import FORMATS, ExportReport, export, load_exported
from mgic_geo.export.check import random_inputs, real_inputs
from mgic_geo.models import WeightsInfo, create_model, dense_twin, list_models, model_task
from mgic_geo.testing import settle_norms
from mgic_geo.training import provenance

from ._bench import failure
from ._timing import Timing, interleave

ROOT = Path(__file__).resolve().parents[2]
FIELDS = [
    "model", "dense_twin", "engine", "precision", "threads", "milliseconds", "median", "bytes",
    "largest_difference", "largest_logit", "same_class", "outside_xnnpack", "shape", "note",
    "command", "seed", "commit", "versions", "device", "load",
]  # fmt: skip
KEY = ("model", "engine", "precision", "threads")
Row = dict[str, Any]
HEADLINES = ["mgic_resnet50", "mgic_mobilenetv3", "mgic_diffgcn:width=256"]
_PACKAGES = {"onnx": "onnxruntime", "executorch": "executorch", "openvino": "openvino"}
_POINTS, _STREET = 1024, 256


class Network(NamedTuple):
    """A network of the registry with random weights, in eval mode, and one input of it."""

    name: str
    model: nn.Module
    info: WeightsInfo
    x: Tensor


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=[*HEADLINES, *list_models()])
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=10.0, help="of a network and its twin")
    parser.add_argument("--int8", action="store_true", help="int8 files, too")
    parser.add_argument("--compile", action="store_true", help="torch.compile, too, on 1 thread")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "runtimes.csv")
    options = parser.parse_args(argv)
    options.formats = [name for name in options.formats if _installed(name)]
    facts = provenance()
    for names in groups(options.models):
        rows = read_rows(options.out)
        with tempfile.TemporaryDirectory() as folder:
            new = list(measure(names, set(rows), Path(folder), options))
        write_rows(
            options.out, {**rows, **{key(row): {**row, **_origin(row, facts)} for row in new}}
        )


def groups(names: Sequence[str]) -> list[list[str]]:
    """Networks with their dense twins; those of one twin are measured beside it, together."""
    made: dict[str, list[str]] = {}
    for name in names:
        base, colon, text = name.partition(":")
        twin = dense_twin(base)
        first = f"{twin}{colon}{text}" if twin else name
        made.setdefault(first, [first])
        if name != first:
            made[first].append(name)
    return list(made.values())


def build(name: str) -> Network:
    """The network, its description, and one cloud or image."""
    base, _, text = name.partition(":")
    model_args = {k: yaml.safe_load(v) for k, v in (w.split("=") for w in text.split(",") if w)}
    torch.manual_seed(0)
    model = create_model(base, **model_args)
    classes = tuple(str(i) for i in range(int(getattr(model, "num_classes", 0))))
    info = WeightsInfo(base, model_args, classes, _POINTS, model_task(base))
    if info.data == "masks":
        info = WeightsInfo(**{**info.__dict__, "image_size": _STREET})
    from mgic_geo.export.api import _describe

    about = _describe(model, "executorch", info)
    both = [random_inputs(about, 4, _POINTS), real_inputs(about, 4, _POINTS)]
    settle_norms(model, torch.cat(both))
    return Network(name, model, info, real_inputs(about, 1, _POINTS))


def measure(names: Sequence[str], done: set[Any], folder: Path, options: Any) -> Iterator[Row]:
    """The rows of a group that are not there yet."""
    wanted = [
        {"model": name, "engine": engine, "precision": precision, "threads": str(threads)}
        for name in names
        for engine, precision in _forms(options)
        for threads in (options.threads if engine != "torch.compile" else options.threads[:1])
    ]
    wanted = [row for row in wanted if key(row) not in done]
    if not wanted:
        return
    networks = {name: build(name) for name in {row["model"]: 0 for row in wanted}}
    reports: dict[tuple[str, str, str], ExportReport | str] = {}
    for row in wanted:
        which = row["model"], row["engine"], row["precision"]
        if row["engine"] in FORMATS and which not in reports:
            reports[which] = _export(networks[row["model"]], row, folder)
    for threads in options.threads:
        torch.set_num_threads(threads)
        runs: dict[str, Callable[[], Any]] = {}
        here = [row for row in wanted if row["threads"] == str(threads)]
        for row in here:
            network = networks[row["model"]]
            report = reports.get((row["model"], row["engine"], row["precision"]))
            if isinstance(report, str):
                continue
            if report is not None:
                run: Any = partial(load_exported(report.path, threads), network.x.numpy())
            elif row["engine"] == "torch.compile":
                torch.compiler.reset()
                run = partial(torch.compile(network.model, dynamic=False), network.x)
            else:
                run = partial(network.model, network.x)
            runs[" ".join(key(row))] = run
        with torch.no_grad():
            times = interleave(runs, (3, options.rounds), options.seconds)
        for row in here:
            report = reports.get((row["model"], row["engine"], row["precision"]))
            result = report if isinstance(report, str) else times[" ".join(key(row))]
            yield _row(row, networks[row["model"]], report, result)


def _forms(options: Any) -> list[tuple[str, str]]:
    forms = [("eager", "float32")]
    if options.compile:
        forms.append(("torch.compile", "float32"))
    for name in options.formats:
        forms.append((name, "float32"))
        if options.int8 and name != "torch":
            forms.append((name, "int8"))
    return forms


def _installed(name: str) -> bool:
    found = name not in _PACKAGES or importlib.util.find_spec(_PACKAGES[name]) is not None
    if not found:
        print(f"{name} is not installed: no rows", file=sys.stderr)
    return found


def _export(network: Network, row: Row, folder: Path) -> ExportReport | str:
    """The file and what its check found, or why there is none."""
    path = folder / f"{network.name}.{row['precision']}{FORMATS[row['engine']]}"
    more: dict[str, Any] = {}
    if row["precision"] == "int8":
        more = {"samples": network.x, "quantized": "int8", "force": True}
    try:
        return export(network.model, path, row["engine"], info=network.info, **more)
    except Exception as error:  # a row says why there is no number
        return failure(error).replace(f"{folder}/", "")


def _row(
    row: Row, network: Network, report: ExportReport | str | None, result: Timing | Exception | str
) -> Row:
    made: Row = {**row, "dense_twin": dense_twin(row["model"].partition(":")[0]) or ""}
    made["shape"] = "x".join(map(str, network.x.shape))
    if isinstance(result, Timing):
        made["milliseconds"] = f"{1e3 * min(result.times):.3f}"
        made["median"] = f"{1e3 * statistics.median(result.times):.3f}"
        made["note"] = f"{len(result.times)} rounds"
    else:
        made["note"] = result if isinstance(result, str) else failure(result)
    if isinstance(report, ExportReport):
        worst = max(report.differences, key=lambda difference: difference.largest)
        made["bytes"] = report.size
        made["largest_difference"] = f"{worst.largest:.2e}"
        made["largest_logit"] = f"{worst.scale:.3g}"
        made["same_class"] = min(difference.same_class for difference in report.differences)
        made["outside_xnnpack"] = len(report.outside) if row["engine"] == "executorch" else ""
    print(*key(row), made.get("milliseconds", ""), made["note"], flush=True)
    return made


def _origin(row: Row, facts: dict[str, str]) -> Row:
    versions = [f"torch {torch.__version__}"]
    if package := _PACKAGES.get(row["engine"]):
        versions.append(f"{package} {importlib.metadata.version(package)}")
    return {
        "command": facts["command"],
        "seed": 0,
        "commit": facts["commit"],
        "versions": ", ".join(versions),
        "device": f"{os.cpu_count()} x {_processor()}",
        "load": f"{os.getloadavg()[0]:.2f}",
    }


def key(row: Row) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in KEY)


def read_rows(path: Path) -> dict[tuple[str, ...], Row]:
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {key(row): row for row in csv.DictReader(file)}


def write_rows(path: Path, rows: dict[tuple[str, ...], Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows.values())


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown processor"


if __name__ == "__main__":
    main()
