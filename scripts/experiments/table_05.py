"""Table 5: ResNet-50 and its compressed forms.

    python -m scripts.experiments.table_05
    python -m scripts.experiments.table_05 --full --source imagenet=FOLDER

The counts need nothing. ImageNet takes many GPUs, see ``configs/imagenet.yaml``; what runs
here is a short study of the same networks on CIFAR-10 at 64 x 64 pixels, equal steps for all.
"""

from __future__ import annotations

import sys

from ._experiment import Context, Experiment
from ._imagenet import COLUMNS, STEPS, Line, run_lines
from ._program import program

LINES = (
    Line("ResNet-50", 25.6, 4100, 75.3, 92.2, "resnet50"),
    Line("Thinet-ResNet-50", 16.9, 2600, 72.1, 90.3),
    Line("NISP-ResNet-50-B", 14.4, 2300, None, 90.8),
    Line("Versatile-ResNet-50", 11.0, 3000, 74.5, 91.8),
    Line("SSS-ResNet-50", None, 2800, 74.2, 91.9),
    Line("Ghost-ResNet-50", 13.0, 2200, 75.0, 92.3),
    Line("MGIC-ResNet-50 (32, 64)", 9.4, 1600, 75.8, 92.9, "mgic_resnet50", {"group_size": 32}),
    Line("MGIC-ResNet-50 (64, 64)", 15.1, 2500, 77.9, 93.7, "mgic_resnet50", {"group_size": 64}),
    Line("Shift-ResNet-50", 6.0, None, 70.6, 90.1),
    Line("Taylor-FO-BN-ResNet-50", 7.9, 1300, 71.7),
    Line("Slimmable-ResNet-50 0.5x", 6.9, 1100, 72.1),
    Line("MetaPruning-ResNet-50", None, 1000, 73.4),
    Line("Ghost-ResNet-50 (s = 4)", 6.5, 1200, 74.1, 91.9),
    Line("MGIC-ResNet-50 (16, 64)", 6.2, 1000, 74.3, 92.0, "mgic_resnet50", {"group_size": 16}),
)


def run(context: Context) -> None:
    run_lines(context, LINES)


EXPERIMENT = Experiment(
    name="table_05",
    title="Table 5: ResNet-50 on ImageNet",
    about=f"""
        Group size and coarsest width in brackets. Our counts are of the text's definition; the
        paper's MACs of the MGIC rows leave out those of R and P, so both stand here. Networks
        without a column of ours are other authors' and not in the registry. ImageNet was not
        trained; its schedule is in `configs/imagenet.yaml`. *CIFAR-10, short*, where it was run, is
        {STEPS} steps of AdamW on 64 images of 64 x 64 pixels: how fast each starts to learn, no
        more.
    """,
    run=run,
    columns=COLUMNS,
    paper="model",
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
