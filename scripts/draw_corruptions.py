"""Draws one shape under every corruption: docs/assets/corruptions.png.

python -m scripts.draw_corruptions
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from mgic_geo.datasets import Furniture10
from mgic_geo.transforms import normalize_sphere
from mgic_geo.transforms.corruptions import CORRUPTIONS, corrupt

OUT = Path(__file__).parents[1] / "docs" / "assets" / "corruptions.png"
SEVERITIES = (1, 3, 5)
SHAPE = 2 * 4 + 1  # a chair


def main(out: Path = OUT) -> None:
    pos = normalize_sphere(
        Furniture10(split="test", shapes_per_class=4, num_points=1024)[SHAPE].pos
    )
    pairs = [CORRUPTIONS[i : i + 4] for i in range(0, len(CORRUPTIONS), 4)]
    figure = plt.figure(figsize=(12, 4.4))
    columns = 4 * len(SEVERITIES)
    for i, kinds in enumerate(pairs):
        for j, kind in enumerate(kinds):
            for k, severity in enumerate(SEVERITIES):
                place = i * columns + j * len(SEVERITIES) + k + 1
                axes: Any = figure.add_subplot(len(pairs), columns, place, projection="3d")
                x, y, z = corrupt(pos, kind, severity).T.numpy()
                axes.scatter(x, y, z, s=1.2, c=y, cmap="viridis")
                axes.set(xlim=(-0.75, 0.75), ylim=(-0.75, 0.75), zlim=(-0.75, 0.75))
                axes.view_init(elev=18, azim=-60)
                axes.set_axis_off()
                axes.set_box_aspect(None, zoom=1.35)
                if k == 1:
                    axes.set_title(kind, fontsize=11, pad=2)
                axes.text2D(0.5, 0.0, str(severity), transform=axes.transAxes, fontsize=8)
    figure.subplots_adjust(0.0, 0.02, 1.0, 0.96, wspace=0.0, hspace=0.12)
    figure.savefig(out, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
