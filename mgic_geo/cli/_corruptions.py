"""Weights on spoilt clouds: ``mgic-geo evaluate --corruptions``."""

from __future__ import annotations

import sys
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from torch import nn

from mgic_geo.cli._output import percent, print_json, print_table
from mgic_geo.errors import DataError
from mgic_geo.models import load_model
from mgic_geo.training import Clouds, CorruptionScores, evaluate_corruptions
from mgic_geo.transforms.corruptions import CORRUPTIONS, SEVERITIES


def add_corruption_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--corruptions",
        nargs="?",
        const="all",
        metavar="KINDS",
        help=f"of clouds: accuracy under corruptions in five severities; all, or some of "
        f"{','.join(CORRUPTIONS)}",
    )
    parser.add_argument(
        "--reference",
        metavar="WEIGHTS",
        help="with --corruptions: other weights, a DGCNN for mCE as in ModelNet-C, whose errors "
        "are the unit",
    )


def corruptions(model: nn.Module, classes: tuple[str, ...], clouds: Clouds, options: Any) -> int:
    """Measures, prints, and returns the exit status."""
    if options.corruptions == "all":
        kinds = list(CORRUPTIONS)
    else:
        kinds = [kind.strip() for kind in options.corruptions.split(",")]
        unknown = [kind for kind in kinds if kind not in CORRUPTIONS]
        if unknown:
            raise DataError(f"--corruptions {unknown[0]}: use some of {', '.join(CORRUPTIONS)}")
    reference = None
    if options.reference:
        other, info = load_model(options.reference, device=options.device)
        if info.classes != classes:
            raise DataError(f"{options.reference}: other classes than {options.weights}")
        reference = _measure(other, clouds, kinds, options, options.reference)
    scores = _measure(model, clouds, kinds, options, options.weights)
    summary = _summary(scores, reference, kinds) | {
        "weights": options.weights, "reference": options.reference, "data": options.data,
        "num_shapes": len(clouds.label), "seed": options.seed,
    }  # fmt: skip
    if options.json:
        print_json(summary)
    else:
        _print(summary, reference is not None)
    return 0


def _measure(
    model: nn.Module, clouds: Clouds, kinds: list[str], options: Namespace, name: str
) -> CorruptionScores:
    def tell(kind: str) -> None:
        print(f"{name}: {kind}", file=sys.stderr, flush=True)

    tells = None if options.json or not sys.stderr.isatty() else tell
    return evaluate_corruptions(model, clouds, kinds, options.seed, options.device, tells)


def _summary(
    scores: CorruptionScores, reference: CorruptionScores | None, kinds: list[str]
) -> dict[str, Any]:
    made: dict[str, Any] = scores.as_dict()
    made["overall"] = {kind: scores.overall(kind) for kind in kinds}
    if reference is not None:
        made["corruption_error"] = {k: scores.corruption_error(k, reference) for k in kinds}
        try:
            made["mean_corruption_error"] = scores.mean_corruption_error(reference)
        except DataError:  # some kinds alone
            made["mean_corruption_error"] = None
    return made


def _print(summary: dict[str, Any], compared: bool) -> None:
    rows = []
    for kind, shares in summary["accuracy"].items():
        row = [kind, *(percent(share) for share in shares), percent(summary["overall"][kind])]
        rows.append(row + ([f"{summary['corruption_error'][kind]:.3f}"] if compared else []))
    header = ["kind", *(f"severity {s}" for s in range(1, SEVERITIES + 1)), "mean"]
    print_table(header + (["error"] if compared else []), rows)
    text = f"\nas they are {percent(summary['clean'])} ({summary['num_shapes']} shapes)"
    if summary.get("mean_corruption_error") is not None:
        text += f", mean corruption error {summary['mean_corruption_error']:.3f}"
    print(text)
