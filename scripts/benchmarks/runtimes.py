"""Exported networks in their engines, beside eager and torch.compile: rows of results/runtimes.csv.

    python -m scripts.benchmarks.runtimes --models mgic_resnet50 resnet50 --threads 1 2

Names with options are written ``mgic_diffgcn:width=256``. Each engine of each model takes its turn
in every round, so that what else the machine does falls on all alike; the least time counts.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import importlib.util
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from mgic_geo.export import FORMATS, ExportReport, export, load_exported
from mgic_geo.models import WeightsInfo, create_model, dense_twin, list_models, model_task

ROOT = Path(__file__).resolve().parents[2]
FIELDS = [
    "model", "dense_twin", "engine", "precision", "threads", "milliseconds", "median", "bytes",
    "largest_difference", "largest_logit", "same_class", "outside_xnnpack", "shape", "command",
    "seed", "commit", "versions", "device",
]  # fmt: skip
_PACKAGES = {"onnx": "onnxruntime", "executorch": "executorch", "openvino": "openvino"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=list_models())
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--int8", action="store_true", help="int8 files, too")
    parser.add_argument("--compile", action="store_true", help="torch.compile, too")
    parser.add_argument("--out", default=str(ROOT / "results" / "runtimes.csv"))
    options = parser.parse_args()
    formats = [name for name in options.formats if _installed(name)]
    with tempfile.TemporaryDirectory() as folder:
        made = [
            row for name in options.models for row in _exports(name, formats, Path(folder), options)
        ]
        for threads in options.threads:
            torch.set_num_threads(threads)
            _append(Path(options.out), _measure(made, threads, options))


def _installed(name: str) -> bool:
    found = name not in _PACKAGES or importlib.util.find_spec(_PACKAGES[name]) is not None
    if not found:
        print(f"{name} is not installed: no rows", file=sys.stderr)
    return found


def _exports(name: str, formats: list[str], folder: Path, options: Any) -> list[dict[str, Any]]:
    """The files of a model, and what their checks found."""
    model_name, _, text = name.partition(":")
    model_args = {k: yaml.safe_load(v) for k, v in (w.split("=") for w in text.split(",") if w)}
    torch.manual_seed(0)
    model = create_model(model_name, **model_args).eval()
    classes = tuple(str(i) for i in range(int(getattr(model, "num_classes", 0))))
    info = WeightsInfo(model_name, model_args, classes, 1024, model_task(model_name))
    one: Any = None
    made: list[dict[str, Any]] = []
    for kind in formats:
        for precision in ["float32", "int8"] if options.int8 and kind != "torch" else ["float32"]:
            path = folder / f"{name}.{precision}{FORMATS[kind]}"
            more: dict[str, Any] = {}
            if precision == "int8":
                more = {"samples": one, "quantized": "int8", "force": True}
            try:
                report = export(model, path, kind, info=info, **more)
            except (ValueError, ImportError) as error:
                print(f"{name} {kind} {precision}: {error}", file=sys.stderr)
                continue
            if one is None:
                from mgic_geo.export.check import real_inputs

                one = real_inputs(report.info, 1, 1024)
            print(name, kind, precision, report.size, *report.differences, flush=True)
            made.append(
                {
                    "name": name,
                    "engine": kind,
                    "precision": precision,
                    "report": report,
                    "x": one,
                    "model": model,
                }
            )
    return made


def _measure(made: list[dict[str, Any]], threads: int, options: Any) -> list[dict[str, Any]]:
    runs: list[tuple[dict[str, Any], Callable[[], Any]]] = []
    seen = set()
    for row in made:
        if row["engine"] == "executorch":
            _executorch_threads(threads)
        exported = load_exported(row["report"].path, threads)
        runs.append((row, partial(exported, row["x"].numpy())))
        if row["name"] not in seen:
            seen.add(row["name"])
            eager = {**row, "engine": "eager", "precision": "float32", "report": None}
            runs.append((eager, partial(row["model"], row["x"])))
            if options.compile:
                compiled = torch.compile(row["model"])
                runs.append(({**eager, "engine": "torch.compile"}, partial(compiled, row["x"])))
    times: list[list[float]] = [[] for _ in runs]
    with torch.no_grad():
        for _, run in runs:
            run()
            run()
        for _ in range(options.rounds):
            for taken, (_, run) in zip(times, runs, strict=True):
                start = time.perf_counter()
                run()
                taken.append(1e3 * (time.perf_counter() - start))
    return [_row(row, taken, threads) for (row, _), taken in zip(runs, times, strict=True)]


def _executorch_threads(threads: int) -> None:
    library = importlib.import_module("executorch.extension.pybindings._portable_lib")
    if hasattr(library, "_unsafe_reset_threadpool"):
        library._unsafe_reset_threadpool(threads)


def _row(row: dict[str, Any], times: list[float], threads: int) -> dict[str, Any]:
    report: ExportReport | None = row["report"]
    worst = max(report.differences, key=lambda d: d.largest) if report else None
    versions = [f"torch {torch.__version__}"]
    if package := _PACKAGES.get(row["engine"]):
        versions.append(f"{package} {importlib.metadata.version(package)}")
    print(
        f"{row['name']:32s} {row['engine']:14s} {row['precision']} {threads} {min(times):9.2f} ms",
        flush=True,
    )
    return {
        "model": row["name"],
        "dense_twin": dense_twin(row["name"].partition(":")[0]) or "",
        "engine": row["engine"],
        "precision": row["precision"],
        "threads": threads,
        "milliseconds": f"{min(times):.3f}",
        "median": f"{statistics.median(times):.3f}",
        "bytes": report.size if report else "",
        "largest_difference": f"{worst.largest:.2e}" if worst else "",
        "largest_logit": f"{worst.scale:.3g}" if worst else "",
        "same_class": min(d.same_class for d in report.differences) if report else "",
        "outside_xnnpack": len(report.outside) if row["engine"] == "executorch" and report else "",
        "shape": "x".join(map(str, row["x"].shape)),
        "command": "python -m scripts.benchmarks.runtimes " + " ".join(sys.argv[1:]),
        "seed": 0,
        "commit": _git("rev-parse", "--short", "HEAD"),
        "versions": ", ".join(versions),
        "device": _processor(),
    }


def _append(path: Path, rows: list[dict[str, Any]]) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
