"""Draws the picture at the top of the README: the ten classes, and what width costs."""

from __future__ import annotations

import sys

import numpy as np
from matplotlib.figure import Figure

from mgic_geo.datasets import Furniture10
from mgic_geo.hierarchy import ChannelHierarchy
from mgic_geo.viz import draw_cloud

WIDTHS = [64, 128, 256, 512, 1024]
TERMS = 7  # a DiffGCN layer mixes a feature and six derivatives


def main(path: str = "docs/assets/hero.png") -> None:
    figure = Figure(figsize=(11.0, 3.7), facecolor="white")
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(2.1, 1.0)))

    shapes = Furniture10(split="test", num_points=2048)
    first = [int((shapes.labels == c).nonzero()[2]) for c in range(shapes.num_classes)]
    grid = np.asarray(left.subplots(2, 5)).flat
    for axes, index in zip(grid, first, strict=True):
        name = shapes.classes[int(shapes.labels[index])].replace("_", " ")
        draw_cloud(axes, shapes.points[index].double().numpy(), name)
    left.subplots_adjust(0.01, 0.08, 0.98, 0.99, wspace=0.02, hspace=0.18)

    axes = right.subplots()
    dense = [TERMS * width**2 for width in WIDTHS]
    mgic = [ChannelHierarchy(width, 8, 16).parameters(TERMS) for width in WIDTHS]
    axes.loglog(WIDTHS, dense, "o-", color="#e0722a", lw=1.6, ms=4)
    axes.loglog(WIDTHS, mgic, "o-", color="#1f6fb4", lw=1.6, ms=4)
    slopes = [np.polyfit(np.log(WIDTHS), np.log(counts), 1)[0] for counts in (dense, mgic)]
    axes.annotate(f"dense, width$^{{{slopes[0]:.2f}}}$", (WIDTHS[2], dense[2]), (70, dense[3]))
    axes.annotate(f"MGIC, width$^{{{slopes[1]:.2f}}}$", (WIDTHS[3], mgic[3]), (230, mgic[1] / 2.2))
    axes.set_xticks(WIDTHS, [str(width) for width in WIDTHS])
    axes.minorticks_off()
    axes.set_xlabel("width of the layer")
    axes.set_title("weights of a DiffGCN layer", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    right.subplots_adjust(0.16, 0.17, 0.97, 0.9)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main(*sys.argv[1:])
