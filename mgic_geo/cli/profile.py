"""Count parameters and multiply-accumulates of each layer of a model, against its dense twin.

Multiply-accumulates (MACs) are those of learned weights for one cloud; graph MACs, of the fixed
derivative operators, stand in a column of their own. The building of the graph is not counted.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from mgic_geo.cli._output import percent, print_json, print_table
from mgic_geo.models import dense_twin
from mgic_geo.profiling import LayerCount, profile_point_model

_FIGURES = ("parameters", "macs", "graph_macs")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", help="a name that mgic-geo models lists")
    parser.add_argument("--width", type=int, default=64, help="channels of all layers")
    parser.add_argument("--group_size", type=int, default=8, help="group size of the hierarchy")
    parser.add_argument("--coarsest", type=int, default=16, help="width of its coarsest grid")
    parser.add_argument("--k", type=int, default=10, help="neighbours a node in the graph")
    parser.add_argument("--num_classes", type=int, default=10)
    parser.add_argument("--num_points", type=int, default=1024, help="points of the cloud")
    parser.add_argument(
        "--depth", type=int, default=2, help="levels of names to show; 0 for every layer"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: Namespace) -> int:
    names = ("width", "group_size", "coarsest", "k", "num_classes", "num_points")
    settings: dict[str, Any] = {name: options[name] for name in names}
    if options.num_points <= options.k:
        raise ValueError(f"num_points = {options.num_points}: k = {options.k} needs more points")
    settings["depth"] = options.depth if options.depth > 0 else None
    layers = profile_point_model(options.model, **settings)
    twin = dense_twin(options.model)
    dense = profile_point_model(twin, **settings) if twin else []
    if options.json:
        report = {"model": options.model, **settings, "total": _total(layers)}
        report["layers"] = [asdict(layer) for layer in layers]
        if twin:
            report["dense_twin"] = {"model": twin, "total": _total(dense)}
        print_json(report)
    else:
        _print(options.model, layers, twin, dense)
    return 0


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
