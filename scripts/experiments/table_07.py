"""Table 7 and Figure 5: light networks on ImageNet.

    python -m scripts.experiments.table_07
    python -m scripts.experiments.table_07 --full --source imagenet=FOLDER

As Table 5: counts of all rows that the registry has, ImageNet by ``configs/imagenet.yaml`` or
``--full``, and a short study on CIFAR-10 at 64 x 64 pixels that runs here.
"""

from __future__ import annotations

import sys
from typing import Any

from mgic_geo.viz._figure import COLOURS, INK, new_figure, save_figure, tidy

from ._experiment import Context, Experiment
from ._imagenet import COLUMNS, STEPS, Line, run_lines
from ._program import program
from ._rows import Row, read_rows

PICTURE = "table_07.png"
_MGIC = "mgic_mobilenetv3"
LINES = (
    Line("ShuffleNetV1 0.5x (g = 8)", 1.0, 40, 58.8, 81.0),
    Line("MobileNetV2 0.35x", 1.7, 59, 60.3, 82.9, "mobilenetv2", {"width_mult": 0.35}),
    Line("ShuffleNetV2 0.5x", 1.4, 41, 61.1, 82.6),
    Line("MobileNeXt 0.35x", 1.8, 80, 64.7),
    Line("MobileNetV3-Small 0.75x", 2.4, 44, 65.4, None, "mobilenetv3_small", {"width_mult": 0.75}),
    Line("GhostNet 0.5x", 2.6, 42, 66.2, 86.6, "ghostnet", {"width_mult": 0.5}),
    Line("MGIC-MobileNetV3 0.6x", 2.3, 48, 67.0, 87.3, _MGIC, {"width_mult": 0.6}),
    Line(
        "MGIC-MobileNetV3 0.6x, no h-swish",
        *(2.3, 45, 66.8, 86.9, _MGIC, {"width_mult": 0.6, "act": "relu"}),
    ),
    Line("MobileNetV1 0.5x", 1.3, 150, 63.3, 84.9),
    Line("MobileNetV2 0.6x", 2.2, 141, 66.7, None, "mobilenetv2", {"width_mult": 0.6}),
    Line("ShuffleNetV1 1.0x (g = 3)", 1.9, 138, 67.8, 87.7),
    Line("ShuffleNetV2 1.0x", 2.3, 146, 69.4, 88.9),
    Line("MobileNeXt 0.75x", 2.5, 210, 72.0),
    Line(
        "MobileNetV3-Large 0.75x",
        *(4.0, 155, 73.3, None, "mobilenetv3_large", {"width_mult": 0.75}),
    ),
    Line("GhostNet 1.0x", 5.2, 141, 73.9, 91.4, "ghostnet"),
    Line("MGIC-MobileNetV3 1.0x", 5.2, 145, 74.8, 92.0, _MGIC),
    Line("MGIC-MobileNetV3 1.0x, no h-swish", 5.2, 138, 74.3, 91.6, _MGIC, {"act": "relu"}),
    Line("MobileNetV2 1.0x", 3.5, 300, 71.8, 91.0, "mobilenetv2"),
    Line("ShuffleNetV2 1.5x", 3.5, 299, 72.6, 90.6),
    Line("FE-Net 1.0x", 3.7, 301, 72.9),
    Line("FBNet-B", 4.5, 295, 74.1),
    Line("ProxylessNAS", 4.1, 320, 74.6, 92.2),
    Line("MnasNet-A1", 3.9, 312, 75.2, 92.5),
    Line("MobileNeXt 1.0x", 3.4, 300, 74.0),
    Line("MobileNetV3-Large 1.0x", 5.4, 219, 75.2, None, "mobilenetv3_large"),
    Line("GhostNet 1.3x", 7.3, 226, 75.7, 92.7, "ghostnet", {"width_mult": 1.3}),
    Line("MGIC-MobileNetV3 1.2x", 7.1, 233, 76.1, 93.2, _MGIC, {"width_mult": 1.2}),
    Line(
        "MGIC-MobileNetV3 1.2x, no h-swish",
        *(7.1, 217, 76.2, 93.4, _MGIC, {"width_mult": 1.2, "act": "relu"}),
    ),
)


def run(context: Context) -> None:
    run_lines(context, LINES)
    save_figure(draw(read_rows(context.path)), context.picture(PICTURE), dpi=110)


def draw(rows: list[Row]) -> Any:
    """Figure 5 as the paper prints it, and the MACs that we count beside its own."""
    table = {(row["row"], row["metric"]): row for row in rows}
    figure = new_figure(7.0, 4.4)
    axes = figure.subplots()
    for family, color in zip(("MobileNet", "GhostNet", "MGIC"), COLOURS, strict=True):
        chosen = [line for line in LINES if line.name.startswith(family)]
        axes.scatter(
            [line.macs for line in chosen],
            [line.top1 for line in chosen],
            color=color,
            s=28,
            label=f"{family}, as printed",
        )
        for line in chosen:
            cell = table.get((line.name, "macs"), {}).get("ours")
            if cell:
                axes.scatter(
                    float(cell) / 1e6, line.top1, facecolors="none", edgecolors=color, s=42
                )
    axes.scatter([], [], facecolors="none", edgecolors=INK, s=42, label="our count of its MACs")
    axes.set_xlabel("MACs, millions")
    axes.set_ylabel("top-1 on ImageNet as printed, %")
    axes.legend(frameon=False, fontsize=8)
    tidy(axes)
    figure.tight_layout()
    return figure


EXPERIMENT = Experiment(
    name="table_07",
    title="Table 7, Figure 5: light networks on ImageNet",
    about=f"""
        The paper does not define its MGIC-MobileNetV3 far enough to reach its counts; ours follow
        the text's group rule with s_g = s_c = 64 and Table 6. Networks without a column of ours are
        not in the registry. ImageNet was not trained; its schedule is in `configs/imagenet.yaml`.
        *CIFAR-10, short*, where it was run, is {STEPS} steps of AdamW on 64 images of 64 x 64
        pixels: how fast each starts to learn, no more. The picture has the paper's accuracies over
        its MACs and over ours.
    """,
    run=run,
    columns=COLUMNS,
    pictures=(PICTURE,),
    paper="model",
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
