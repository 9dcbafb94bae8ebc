"""Count parameters and multiply-accumulates of each layer of a model, against its dense twin.

Multiply-accumulates (MACs) are those of learned weights for one cloud or image; graph MACs, of the
fixed derivative operators, stand in a column of their own. The building of the graph is not
counted. What a model has besides the options below is set by --option.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser, Namespace

from mgic_geo.cli._nested import nested
from mgic_geo.cli._output import percent, print_json, print_table
from mgic_geo.models import create_model, dense_twin, model_data, model_task
from mgic_geo.models.registry import CLOUD_DATA, POINT_TASKS
from mgic_geo.profiling import LayerCount, profile_model_by_name

_FIGURES = ("parameters", "macs", "graph_macs")
_POINT_DEFAULTS = {"width": 64, "group_size": 8, "coarsest": 16, "k": 10, "num_classes": 10}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", help="a name that mgic-geo models lists")
    texts = {
        "width": "channels of all layers (points: 64)",
        "group_size": "group size of the hierarchy (points: 8)",
        "coarsest": "width of its coarsest grid (points: 16)",
        "k": "neighbours a node in the graph (points: 10)",
        "num_classes": "(points: 10)",
    }
    for name, text in texts.items():
        parser.add_argument(f"--{name}", type=int, help=text)
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another option of the model, or outer.name=value; may be repeated",
    )
    parser.add_argument("--num_points", type=int, default=1024, help="points of the cloud")
    parser.add_argument(
        "--image_size",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="side of the image, or its height and width (default: the model's own)",
    )
    parser.add_argument(
        "--depth", type=int, default=2, help="levels of names to show; 0 for every layer"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: Namespace) -> int:
    points = model_task(options.model) in POINT_TASKS
    given = {name: options[name] for name in _POINT_DEFAULTS if options[name] is not None}
    model_args: dict[str, Any] = {**(_POINT_DEFAULTS if points else {}), **given}
    model_args = nested(model_args | dict(_option(text) for text in options.option))
    settings: dict[str, Any] = {}
    if model_data(options.model) in CLOUD_DATA:
        settings["num_points"] = options.num_points
    elif options.image_size is not None:
        settings["image_size"] = _image_size(options.image_size)
    settings["depth"] = options.depth if options.depth > 0 else None
    layers = profile_model_by_name(options.model, model_args, **settings)
    twin = dense_twin(options.model)
    dense = profile_model_by_name(twin, _shared(twin, model_args), **settings) if twin else []
    if options.json:
        report = {"model": options.model, **model_args, **settings, "total": _total(layers)}
        report["layers"] = [asdict(layer) for layer in layers]
        if twin:
            report["dense_twin"] = {"model": twin, "total": _total(dense)}
        print_json(report)
    else:
        _print(options.model, layers, twin, dense)
    return 0


def _option(text: str) -> tuple[str, Any]:
    """A name and a number, truth value or text."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(f"--option {text}: write it as name=value")
    return name, yaml.safe_load(value)


def _shared(twin: str, model_args: dict[str, Any]) -> dict[str, Any]:
    """The options that a dense twin has, too; one of images has none of the hierarchy."""
    shared = {}
    for name, value in model_args.items():
        try:
            with torch.device("meta"):
                create_model(twin, **{name: value})
        except ValueError:
            continue
        shared[name] = value
    return shared


def _image_size(sides: list[int]) -> int | tuple[int, int]:
    if len(sides) > 2 or min(sides) < 1:
        raise ValueError(f"image_size = {sides}: give a side, or height and width, at least 1")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def _print(name: str, layers: list[LayerCount], twin: str | None, dense: list[LayerCount]) -> None:
    total = _total(layers)
    rows = [_row(layer.name or "(itself)", asdict(layer), total, layer.kind) for layer in layers]
    rows.append(_row("total", total, total))
    if twin:
        there = _total(dense)
        rows.append(
            [f"dense: {twin}", "", there["parameters"], "", there["macs"], "", there["graph_macs"]]
        )
        share = {key: percent(total[key] / there[key]) if there[key] else "-" for key in _FIGURES}
        rows.append(
            [f"{name} / dense", "", share["parameters"], "", share["macs"], "", share["graph_macs"]]
        )
    print_table(["layer", "kind", "parameters", "share", "MACs", "share", "graph MACs"], rows)


def _row(name: str, count: dict[str, Any], total: dict[str, int], kind: str = "") -> list[Any]:
    share = [percent(count[key] / total[key]) if total[key] else "-" for key in _FIGURES]
    return [
        name, kind, count["parameters"], share[0], count["macs"], share[1], count["graph_macs"]
    ]  # fmt: skip


def _total(layers: list[LayerCount]) -> dict[str, int]:
    return {key: sum(getattr(layer, key) for layer in layers) for key in _FIGURES}
