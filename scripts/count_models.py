"""Counts every model of the registry: parameters, MACs, the closed formula, the paper's figures.

    python -m scripts.count_models

writes ``results/counts.csv``, and ``mgic_geo/costs.json``, which ``mgic-geo models`` reads.

The closed formula is that of :class:`~mgic_geo.hierarchy.ChannelHierarchy` for each MGIC block,
and what stands around the blocks as it is. The paper's figures are printed beside ours with the
relative difference; no definition was chosen to meet them.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mgic_geo.costs import count_cost
from mgic_geo.io import atomic_write
from mgic_geo.models import create_model, dense_twin, list_models, model_task
from mgic_geo.nn import MGIC
from mgic_geo.nn.vision import BasicBlock, Bottleneck, InvertedResidual, SeparableBlock
from mgic_geo.profiling import profile_model_by_name

COLUMNS = (
    "model",
    "options",
    "input",
    "dense_twin",
    "parameters",
    "predicted_parameters",
    "macs",
    "macs_without_transfers",
    "predicted_macs",
    "paper",
    "paper_parameters",
    "parameters_off",
    "paper_macs",
    "macs_off",
    "macs_without_transfers_off",
)


class Row(NamedTuple):
    """A model with options; what the paper prints of it, in millions."""

    model: str
    options: Mapping[str, Any] = MappingProxyType({})
    paper: str = ""
    parameters: float | None = None
    macs: float | None = None
    size: tuple[int, int] | None = None


CITY = (1024, 2048)
ROWS = (
    Row("resnet56", {}, "Table 3", 0.85, 125),
    Row("ghost_resnet56", {}, "Table 3", 0.43, 63),
    Row("mgic_resnet56", {}, "Table 3", 0.41, 60),
    *(
        Row("mgic_resnet56", {"group_size": g, "coarsest": c})
        for g, c in ((4, 16), (16, 16), (32, 16), (16, 32), (16, 64))
    ),
    Row("mgic_resnet56", {"extra_level": True}),
    Row("resnet50", {}, "Table 5", 25.6, 4100),
    Row("mgic_resnet50", {"group_size": 16}, "Table 5", 6.2, 1000),
    Row("mgic_resnet50", {"group_size": 32}, "Table 5", 9.4, 1600),
    Row("mgic_resnet50", {"group_size": 64}, "Table 5", 15.1, 2500),
    Row("mgic_resnet50", {"group_size": 16, "extra_level": True}),
    Row("mobilenetv3_large", {}, "Table 7", 5.4, 219),
    Row("ghostnet", {}, "Table 7", 5.2, 141),
    Row("mgic_mobilenetv3", {"width_mult": 0.6}, "Table 7", 2.3, 48),
    Row("mgic_mobilenetv3", {}, "Table 7", 5.2, 145),
    Row("mgic_mobilenetv3", {"width_mult": 1.2}, "Table 7", 7.1, 233),
    *(
        Row("mgic_mobilenetv3", {"act": "relu", "width_mult": w}, "Table 7", p, m)
        for w, p, m in ((0.6, 2.3, 45), (1.0, 5.2, 138), (1.2, 7.1, 217))
    ),
    *(
        Row("mgic_mobilenetv3", {"dense_se": True, "width_mult": w}, "Table 7", p, m)
        for w, p, m in ((0.6, 2.3, 48), (1.0, 5.2, 145), (1.2, 7.1, 233))
    ),
    Row("lraspp_mobilenetv3_large", {}, "Table 9", 1.51, 9740, CITY),
    Row("lraspp_mobilenetv3_small", {}, "Table 9", 0.47, 2900, CITY),
    Row("lraspp_mgic_large", {"group_size": 64}, "Table 9", 1.67, 9620, CITY),
    Row("lraspp_mgic_large", {"group_size": 32}, "Table 9", 1.32, 8870, CITY),
    Row("lraspp_mgic_small", {"group_size": 64}, "Table 9", 0.48, 2730, CITY),
)


def block_counts(block: nn.Module, width: int, groups: int) -> tuple[int, int, int]:
    """Parameters, MACs a position, and MACs an image of a relaxation, from its formula.

    Args:
        block: The relaxation, for its form.
        width: Channels.
        groups: Groups.
    """
    if isinstance(block, BasicBlock):
        convs = len(block.convs)
        weights = convs * 9 * width**2 // groups
        return weights + 2 * convs * width, weights, 0
    if isinstance(block, SeparableBlock):
        weights = 9 * width + width**2 // groups
        return weights + 2 * width, weights, 0
    if isinstance(block, Bottleneck):
        first: Any = block.convs[0]
        planes = width * first.conv.out_channels // first.conv.in_channels
        weights = (2 * width * planes + 9 * planes**2) // groups
        return weights + 2 * (2 * planes + width), weights, 0
    if isinstance(block, InvertedResidual):
        return _inverted(block)
    raise TypeError(f"no formula for {type(block).__name__}")


def _inverted(block: InvertedResidual) -> tuple[int, int, int]:
    """From the sizes of this very block: its groups follow from two widths that shrink apart."""
    last: Any = block.project.conv
    se: Any = block.se
    width, wide, groups = last.out_channels, last.in_channels, last.groups
    taps = block.depthwise.conv.kernel_size[0] ** 2
    maps = (2 if wide != width else 1) * width * wide // groups
    norms = 2 * ((2 if wide != width else 1) * wide + width)
    reduce = getattr(se, "reduce", None)
    squeeze = inner = 0
    if reduce is not None:
        inner = reduce.out_channels
        squeeze = 2 * wide * inner // reduce.groups
    biases = inner + wide if inner else 0
    return maps + taps * wide + norms + squeeze + biases, maps + taps * wide, squeeze


def predict(model: nn.Module, size: tuple[int, int], counted: Any) -> tuple[int, int]:
    """Parameters and MACs with every MGIC block replaced by its closed formula."""
    positions: dict[str, int] = {}
    layers = {name: m for name, m in model.named_modules() if isinstance(m, MGIC)}

    def record(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            positions[name] = output.shape[2:].numel()

        return hook

    handles = [layer.register_forward_hook(record(name)) for name, layer in layers.items()]
    with torch.no_grad():
        model(torch.empty(1, 3, *size, device="meta"))
    for handle in handles:
        handle.remove()
    parameters, macs = sum(c.parameters for c in counted), sum(c.macs for c in counted)
    for name, layer in layers.items():
        of_level = {}
        for level, block in zip(layer.hierarchy.levels, layer.blocks, strict=True):
            of_level[level.width, level.groups] = block_counts(block, level.width, level.groups)
        built = [
            c
            for c in counted
            if f"{c.name}.".startswith(f"{name}.") and not c.name.startswith(f"{name}.shortcut")
        ]

        def of(index: int, table: dict[tuple[int, int], Any] = of_level) -> Any:
            return lambda width, groups: table[width, groups][index]

        norm = 2 if any(True for _ in layer.norms.parameters()) else 0
        parameters += layer.hierarchy.parameters(of(0), norm) - sum(c.parameters for c in built)
        macs += layer.hierarchy.macs(of(1), positions[name]) - sum(c.macs for c in built)
        macs += sum(images for _, _, images in of_level.values())
    return parameters, macs


def count(row: Row) -> dict[str, Any]:
    """A row of the table."""
    with torch.device("meta"):
        model = create_model(row.model, **row.options).eval()
    side = getattr(model, "input_size", 32)
    size = row.size or (side, side)
    counted = profile_model_by_name(row.model, row.options, image_size=size)
    transfers = sum(c.macs for c in counted if c.kind in ("Restriction", "Prolongation"))
    parameters, macs = sum(c.parameters for c in counted), sum(c.macs for c in counted)
    predicted = predict(model, size, counted)
    found: dict[str, Any] = {
        "model": row.model,
        "options": json.dumps(dict(row.options)) if row.options else "",
        "input": f"{size[0]} x {size[1]}",
        "dense_twin": dense_twin(row.model) or "",
        "parameters": parameters,
        "predicted_parameters": predicted[0],
        "macs": macs,
        "macs_without_transfers": macs - transfers,
        "predicted_macs": predicted[1],
        "paper": row.paper,
        "paper_parameters": "" if row.parameters is None else round(row.parameters * 1e6),
        "paper_macs": "" if row.macs is None else round(row.macs * 1e6),
    }
    if row.parameters is not None and row.macs is not None:
        for name, mine, theirs in (
            ("parameters_off", parameters, row.parameters),
            ("macs_off", macs, row.macs),
            ("macs_without_transfers_off", macs - transfers, row.macs),
        ):
            found[name] = f"{mine / (theirs * 1e6) - 1:+.3f}"
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("results/counts.csv"))
    parser.add_argument("--costs", type=Path, default=Path("mgic_geo/costs.json"))
    options = parser.parse_args(arguments)
    rows = list(ROWS)
    named = {row.model for row in rows}
    others = [name for name in list_models() if model_task(name) in ("images", "segmentation")]
    rows += [Row(name) for name in others if name not in named]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        found = count(row)
        writer.writerow(found)
        millions = [found[name] / 1e6 for name in ("parameters", "macs", "macs_without_transfers")]
        print(
            f"{found['model']:26s} {found['options']:40s} {millions[0]:8.3f} M, "
            f"{millions[1]:8.1f} M MACs ({millions[2]:8.1f} M without R and P)   {found['paper']} "
            f"{found.get('parameters_off', '')} {found.get('macs_off', '')}"
        )
    with atomic_write(options.out, "w") as file:
        file.write(text.getvalue())
    costs = {name: count_cost(name) for name in list_models()}
    lines = ",\n".join(f'  "{name}": {json.dumps(cost)}' for name, cost in costs.items())
    with atomic_write(options.costs, "w") as file:
        file.write(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
