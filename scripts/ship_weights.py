"""Puts the weights of a run into the package, with its config and a model card.

    python scripts/ship_weights.py runs/all modelnet10-mgic-diffgcn --validated runs/validated
    python -m scripts.calibrate_shipped modelnet10-mgic-diffgcn --data modelnet10_train.npz

The weights may come from a run on all training shapes; the figures on the card then come from the
run with a validation part that chose its length, or, with ``--unjudged``, nowhere yet.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

import mgic_geo
from mgic_geo.errors import DataError
from mgic_geo.io import atomic_write
from mgic_geo.models import list_weights, load_model
from mgic_geo.profiling import profile_point_model
from mgic_geo.transforms.corruptions import CORRUPTIONS

LIMIT = 2_000_000  # bytes
PACKAGE = Path(mgic_geo.__file__).parent
RESULTS = Path(__file__).parents[1] / "results" / "corruptions.csv"

CARD = Path(__file__).with_name("model_card.md")
POINTS_CARD = Path(__file__).with_name("model_card_points.md")
LICENCE = """The shapes are CAD models from the Internet whose copyright stays with their authors;
the collection is offered for the convenience of academic research (`datasets/modelnet10`).
None of them is part of this package. The weights come under the package's licence; ask your own
counsel before a commercial use."""


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        result = json.loads((folder / "result.json").read_text("utf-8"))
        config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"{folder}: not the folder of a finished run ({error})") from error
    return result, config


def _augment(options: dict[str, float]) -> str:
    spoils = any(options.get(name) for name in ("holes", "clusters", "outliers", "noise"))
    used = ", ".join(
        f"{name} {value:g}"
        for name, value in options.items()
        if value and (spoils or name != "spoilt")
    )
    return f"augmentation: {used}" if used else "no augmentation"


def _accuracy(result: dict[str, Any], config: dict[str, Any], own: bool) -> str:
    if "validation" not in result:
        raise DataError("neither run has a validation part; give one with --validated RUN_FOLDER")
    part = result["validation"]
    where = "not trained on" if own else "held out in the second run above"
    which = "Validation part", "the last of each class by name"
    if (fold := config.get("fold")) is not None:
        which = f"Fold {fold}", "without a near copy among those that were trained on"
    lines = [
        f"{which[0]} ({part['num_shapes']} shapes, {which[1]}, {where}), "
        f"epoch {result['chosen_epoch']}: "
        f"**{100 * part['mean_class_accuracy']:.2f} % mean class accuracy**, "
        f"{100 * part['accuracy']:.2f} % accuracy.",
        "",
        "| class | accuracy |",
        "|---|---|",
    ]
    for name, share in part["per_class_accuracy"].items():
        lines.append(f"| {name} | {'-' if share is None else f'{100 * share:.1f} %'} |")
    return "\n".join(lines)


def _overlap(result: dict[str, Any]) -> str:
    """Figures of a network that gives points a class, on the test split where it is at hand."""
    which = next((name for name in ("test", "validation") if name in result), None)
    if which is None:
        raise DataError("neither run was judged; give one with --validated RUN_FOLDER")
    part = result[which]
    lines = [
        f"{which.capitalize()} part ({part['num_shapes']} shapes, not trained on), epoch "
        f"{result['chosen_epoch']}: **{100 * part['mean_iou']:.2f} % mean IoU** over the classes, "
        f"{100 * part['shape_iou']:.2f} % mean IoU of shapes (over the classes of a shape first), "
        f"{100 * part['accuracy']:.2f} % of the points.",
        "",
        "| class | IoU |",
        "|---|---|",
    ]
    for name, iou in part["per_class_iou"].items():
        lines.append(f"| {name} | {'-' if iou is None else f'{100 * iou:.1f} %'} |")
    return "\n".join(lines)


_UNJUDGED = """No shape was held out from these weights, so this card has no figure of accuracy yet.
Measure them on shapes that they have not seen, with the second command above."""

UNCALIBRATED = """The temperature is 1: it is fitted on shapes that were not trained on, and was not
yet. Probabilities are those of the network as trained, which label smoothing makes too small."""


def _limits(augment: dict[str, float]) -> str:
    """What clouds the weights know, by what they were trained on."""
    heading = "any heading" if augment["rotate_degrees"] >= 180.0 else "headings as in the data"
    lines = [f"- It expects the up axis to be z (`predict --up y` turns a file) and {heading}."]
    if augment["view"]:
        lines.append(
            "- It was trained on spoilt clouds too: one side seen, holes, stray points, noise. "
            "Worse ones than those are beyond it."
        )
    else:
        lines.append(
            "- It was trained on clean points from whole surfaces. Scans with holes, one-sided "
            "views or much noise are harder."
        )
    return "\n".join(lines)


def _corruptions(row: str, results: Path) -> str:
    """Accuracy on spoilt clouds, from the rows of ``scripts.experiments.corruptions``."""
    with results.open(newline="", encoding="utf-8") as file:
        found = {r["metric"]: r["ours"] for r in csv.DictReader(file) if r["row"] == row}
    if "clean" not in found:
        raise DataError(f"{results}: no row {row!r}")
    lines = [
        "The same shapes, spoilt by `mgic_geo.transforms.corruptions` (as they are "
        f"{float(found['clean']):.1f} %): the mean over five severities, and some at the worst:",
        "",
        "| kind | accuracy | at its worst |",
        "|---|---|---|",
    ]
    for kind in CORRUPTIONS:
        worst = f"{float(found[f'{kind} 5']):.1f} %" if f"{kind} 5" in found else ""
        lines.append(f"| {kind} | {float(found[kind]):.1f} % | {worst} |")
    if "mce" in found:
        lines += ["", f"mCE, with `dgcnn` of the usual recipe as 1: **{float(found['mce']):.3f}**."]
    return "\n\n" + "\n".join(lines)


def _run_line(title: str, result: dict[str, Any]) -> str:
    return (
        f"- {title}: {result['train_shapes']:,} shapes, {result['epochs']} epochs, "
        f"seed {result['seed']}, commit `{result['commit'] or 'unknown'}`, {result['date']}, "
        f"{result['versions']}, {result['device']}\n\n      {result['command']}\n"
    )


def ship(
    run: Path,
    name: str,
    validated: Path | None,
    unjudged: bool = False,
    package: Path = PACKAGE,
    corruptions: str | None = None,
    results: Path = RESULTS,
) -> Path:
    """Writes ``weights/NAME`` into the package; nothing of it where something is wrong."""
    result, config = _read(run)
    source = run / "best.safetensors"
    model, info = load_model(source)
    content = source.read_bytes()
    if len(content) > LIMIT:
        raise DataError(
            f"{source}: {len(content):,} bytes; weights in the package have at most {LIMIT:,}"
        )
    runs, judged, judged_by = [_run_line("these weights", result)], result, config
    if validated is not None:
        judged, judged_by = _read(validated)
        if judged_by["model"] != config["model"]:
            raise DataError(f"{validated}: a run of {judged_by['model']}, not of {config['model']}")
        runs.append(_run_line("the run with a validation part", judged))
    layers = profile_point_model(
        info.model, info.num_points, num_classes=len(info.classes), **info.model_args
    )
    modelnet = "modelnet10" in config["data"].lower()
    data = "ModelNet-10" if modelnet else config["data"]
    points = info.data == "point_labels"
    if unjudged:
        accuracy = _UNJUDGED
    elif points:
        accuracy = _overlap(judged)
    else:
        accuracy = _accuracy(judged, judged_by, own=validated is None)
    if corruptions is not None:
        accuracy += _corruptions(corruptions, results)
    card = (
        (POINTS_CARD if points else CARD)
        .read_text("utf-8")
        .format(
            name=name,
            **{
                key: config[key]
                for key in ("lr", "weight_decay", "label_smoothing", "dropout", "batch_size")
            },
            model=info.model,
            parameters=sum(p.numel() for p in model.parameters()),
            macs=sum(layer.macs for layer in layers) / 1e6,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            num_points=info.num_points,
            epochs=result["epochs"],
            classes=", ".join(name.replace("_", " ") for name in info.classes),
            num_classes=len(info.classes),
            shapes=result["train_shapes"],
            data=data,
            licence=LICENCE if modelnet else "",
            augment=_augment(config["augment"]),
            runs="\n".join(runs),
            calibration=UNCALIBRATED,
            accuracy=accuracy,
            limits=_limits(config["augment"]),
        )
    )
    # a machine's paths say nothing to anybody else
    config |= {"data": Path(config["data"]).name, "root": "datasets", "out": None, "resume": False}
    if config["weights"] not in list_weights():
        config["weights"] = None  # a run that nobody else has; the command on the card names it
    folder = package / "weights" / name
    for file, text in (
        ("config.yaml", yaml.safe_dump(config, sort_keys=False)),
        ("README.md", card),
    ):
        with atomic_write(folder / file, "w", encoding="utf-8") as out:
            out.write(text)
    with atomic_write(folder / "model.safetensors") as out:
        out.write(content)
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, metavar="RUN_FOLDER")
    parser.add_argument("name", metavar="NAME", help="for example modelnet10-mgic-diffgcn")
    parser.add_argument("--validated", type=Path, metavar="RUN_FOLDER", help="run for the figures")
    parser.add_argument("--unjudged", action="store_true", help="no figures on the card for now")
    parser.add_argument("--corruptions", metavar="ROW", help="row of results/corruptions.csv")
    args = parser.parse_args(argv)
    try:
        judged = args.validated, args.unjudged
        print(f"shipped in {ship(args.run, args.name, *judged, corruptions=args.corruptions)}")
    except (ValueError, OSError) as error:
        print(f"ship_weights: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
