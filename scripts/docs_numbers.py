"""Fills the tables of README and site from the rows in ``results/``.

    python -m scripts.docs_numbers            # writes them
    python -m scripts.docs_numbers --check    # only says whether they are true

A table stands between ``<!-- numbers: NAME -->`` and ``<!-- end -->``; the functions below make
them, one a name.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, stdev

from mgic_geo.hierarchy import ChannelHierarchy
from mgic_geo.io import atomic_write

ROOT = Path(__file__).parents[1]
_TABLE = re.compile(r"(<!-- numbers: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_WIDTHS = (64, 128, 256, 512, 1024)
Rows = list[dict[str, str]]


def _read(name: str) -> Rows:
    with open(ROOT / "results" / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def weights() -> str:
    """Weights of a DiffGCN layer, dense and in the hierarchy."""
    built = [ChannelHierarchy(width, group_size=8, coarsest=16) for width in _WIDTHS]
    return _table(
        ["width", *map(str, _WIDTHS)],
        [
            ["weights of a dense DiffGCN layer", *(f"{7 * w * w:,}" for w in _WIDTHS)],
            ["with `MGIC` (group size 8, coarsest 16)", *(f"{h.parameters(7):,}" for h in built)],
        ],
    )


def points() -> str:
    """ModelNet-10, Table 11."""
    header = ["model", "parameters", "MACs", "validation accuracy", "mean class accuracy", "seeds"]
    lines = []
    for name in ("DGCNN", "diffGCN", "MGIC-diffGCN"):
        rows = [r for r in _read("table_11") if r["row"] == name and r["ours"] and r["seed"]]
        figures = []
        for metric in ("accuracy", "class_accuracy"):
            found = [float(r["ours"]) for r in rows if r["metric"] == metric]
            figures.append(f"{fmean(found):.2f} ± {stdev(found):.2f} %")
        lines.append(
            [
                f"`{name.lower().replace('-', '_')}`",
                f"{int(rows[0]['parameters']):,}",
                f"{int(rows[0]['macs']) / 1e6:.1f}M",
                *figures,
                len({r["seed"] for r in rows}),
            ]
        )
    return _table(header, lines)


def images() -> str:
    """Image networks and their dense twins, counted."""
    rows = {(r["model"], r["options"]): r for r in _read("counts")}
    wanted = (
        ("mgic_resnet56", "(8, 16), 32 x 32"),
        ("mgic_resnet50", "(16, 64)"),
        ("mgic_mobilenetv3", "(64, 64)"),
        ("lraspp_mgic_large", "(64, 64), 1,024 x 2,048"),
        ("lraspp_mgic_small", "(64, 64), 1,024 x 2,048"),
    )
    lines = []
    for name, form in wanted:
        size = re.search(r"\((\d+)", form)
        assert size is not None
        row = rows.get((name, "")) or rows[name, f'{{"group_size": {size[1]}}}']
        twin = rows[row["dense_twin"], ""]
        counts = [
            f"{int(r[key]) / 1e6:.{digits}f}M"
            for r in (row, twin)
            for key, digits in (("parameters", 2), ("macs", 0))
        ]
        lines.append([f"`{name}` {form}", *counts[:2], f"`{row['dense_twin']}`", *counts[2:]])
    header = ["image model", "parameters", "MACs", "dense twin", "parameters", "MACs"]
    return _table(header, lines)


def _find(column: str, **wanted: str) -> str:
    """The newest figure of a benchmark: milliseconds, or the exponent."""
    rows = [r for r in _read("benchmarks") if wanted.items() <= r.items() and r[column]]
    if not rows:
        return ""
    value = float(rows[-1][column])
    if column == "exponent":
        return f"{value:.2f}"
    return f"{1e3 * value:.1f}" if value < 0.1 else f"{1e3 * value:.0f}"


def blocks() -> str:
    """Milliseconds of a DiffGCN block, forward and backward, by width."""
    lines = []
    for peer in ("dense, materialised", "dense", "MGIC (16, 64)", "MGIC (8, 16)"):
        case = {"case": "block, forward + backward", "peer": peer}
        cells = [_find("seconds", **case, width=str(width)) for width in _WIDTHS]
        lines.append([peer, *cells, _find("exponent", **case)])
    return _table(["block", *map(str, _WIDTHS), "exponent"], lines)


def classifiers() -> str:
    """Milliseconds of Table 10's classifier."""
    lines = []
    peers = ("PyG EdgeConv(MLP)", "PyG dgcnn", "dgcnn", "diffgcn", "mgic_edgeconv", "mgic_diffgcn")
    for peer in peers:
        case = {"family": "classifier", "peer": peer}
        cells = [_find("seconds", **case, case=c) for c in ("training step", "inference")]
        fused = _find(
            "seconds", family="classifier", case="inference, fused", peer=f"{peer}, fused"
        )
        lines.append([peer, *cells, fused])
    return _table(["model", "training step", "inference", "fused"], lines)


def _engines() -> dict[str, dict[tuple[str, str], float]]:
    """Milliseconds of networks by engine and threads, float32."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    for row in _read("runtimes"):
        if row["precision"] == "float32" and row["milliseconds"]:
            key = row["engine"], row["threads"]
            found.setdefault(row["model"], {})[key] = float(row["milliseconds"])
    return found


def _share(times: dict[str, dict[tuple[str, str], float]], model: str, threads: str) -> float:
    """The time of a network beside that of its dense twin, each in its fastest engine."""

    def best(name: str) -> float:
        return min(t for (engine, n), t in times[name].items() if n == threads)

    return best(model) / best(_twin(model))


_ENGINES = {
    "eager": "eager", "torch.compile": "compiled", "torch": "`.pt2`", "onnx": "ONNX Runtime",
    "executorch": "ExecuTorch", "openvino": "OpenVINO",
}  # fmt: skip
_TWINS = {row["model"]: row["dense_twin"] for row in _read("runtimes") if row["dense_twin"]}


def engines() -> str:
    """All networks in their engines, with 1 and 2 threads, MGIC's after their dense twins."""
    times = _engines()
    lines = []
    for model in sorted(times, key=lambda name: (_twin(name), name in _TWINS, name)):
        cells = [
            " / ".join(
                f"{times[model][engine, n]:.1f}" for n in "12" if (engine, n) in times[model]
            )
            for engine in _ENGINES
        ]
        share = " / ".join(f"{_share(times, model, n):.2f}" for n in "12" if model in _TWINS)
        lines.append([f"`{model}`", *cells, share])
    return _table(["network", *_ENGINES.values(), "share"], lines)


def _twin(model: str) -> str:
    """The dense twin of a network of the same options, itself for a dense one."""
    twin = _TWINS.get(model)
    return model if twin is None else twin + model[len(model.partition(":")[0]) :]


def shares() -> str:
    """What MGIC is worth in the engines, as a sentence."""
    times = _engines()
    resnet, mobile = (_share(times, model, "1") for model in ("mgic_resnet50", "mgic_mobilenetv3"))
    return (
        "One image of 224 x 224, one thread, each network in its fastest engine: "
        f"`mgic_resnet50` takes {resnet:.2f} times\nas long as `resnet50`, `mgic_mobilenetv3` "
        f"{mobile:.2f} times as long as `mobilenetv3_large`: it does less work, but is slower.\n"
    )


_WORST = {
    "clean": "as they are", "heading 5": "any heading", "view 5": "one side seen",
    "add_global 5": "5 % stray points", "drop_global 5": "256 points", "jitter 5": "noise 0.05",
}  # fmt: skip


def corruptions() -> str:
    """Accuracy on spoilt clouds, and mCE."""
    lines: dict[str, dict[str, float]] = {}
    for row in _read("corruptions"):
        if row["budget"] == "short":
            lines.setdefault(row["row"], {})[row["metric"]] = float(row["ours"])
    return _table(
        ["network, recipe", *_WORST.values(), "mCE"],
        [
            [name, *(f"{found[metric]:.1f}" for metric in _WORST), f"{found['mce']:.2f}"]
            for name, found in lines.items()
            if "mce" in found
        ],
    )


TABLES: dict[str, Callable[[], str]] = {
    "weights": weights,
    "points": points,
    "images": images,
    "blocks": blocks,
    "classifiers": classifiers,
    "engines": engines,
    "shares": shares,
    "corruptions": corruptions,
}


def filled(text: str) -> str:
    """A text with its tables made anew."""
    return _TABLE.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[3]}", text)


def pages() -> list[Path]:
    """The texts that may hold tables."""
    texts = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    return [path for path in texts if "_build" not in path.parts]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(argv).check
    wrong = 0
    for path in pages():
        old = path.read_text("utf-8")
        new = filled(old)
        if new != old:
            wrong += 1
            print(f"{path.relative_to(ROOT)}: {'is not' if check else 'now'} what results/ says")
            if not check:
                with atomic_write(path, "w") as file:
                    file.write(new)
    return wrong if check else 0


if __name__ == "__main__":
    sys.exit(main())
