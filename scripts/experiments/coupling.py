"""Beyond the paper: which output channels see which input channels, as pictures of Jacobians.

    python -m scripts.experiments.coupling

Grouped operators alone leave blocks of channels apart, however wide the network; the hierarchy
couples all of them through its coarsest grid. Shown are the magnitudes of the derivatives of
layers at their initialisation, averaged over inputs, for a layer of points and one of images.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mgic_geo.graph import differential_operators, knn_graph
from mgic_geo.nn import MGIC, DiffGCNConv, GraphBlock
from mgic_geo.nn.vision import BasicBlock
from mgic_geo.testing import channel_jacobian, random_clouds, randomize_norms
from mgic_geo.viz._figure import new_figure, save_figure

from ._experiment import Context, Experiment
from ._program import program

CHANNELS, GROUP_SIZE, COARSEST = 64, 8, 16
PICTURE = "coupling.png"
Block = Callable[[int, int], nn.Module]


def layers(block: Block, channel_axis: int) -> dict[str, nn.Module]:
    """The dense layer, the grouped one, and the hierarchy of both."""
    return {
        "dense": block(CHANNELS, 1),
        "grouped": block(CHANNELS, CHANNELS // GROUP_SIZE),
        "MGIC": MGIC(block, CHANNELS, GROUP_SIZE, COARSEST, channel_axis=channel_axis),
    }


def kinds() -> dict[str, tuple[Block, int, Tensor, tuple[Any, ...]]]:
    """Block, axis of the channels, input, and what goes along with it."""
    pos, _ = random_clouds(1, 64)
    operators = differential_operators(pos, knn_graph(pos, 10))
    return {
        "DiffGCN": (
            lambda c, g: GraphBlock(DiffGCNConv(c, c, g, bias=False), c, residual=True),
            -1,
            torch.randn(64, CHANNELS),
            (operators,),
        ),
        "ResNet": (
            lambda c, g: BasicBlock(c, c, groups=g),
            1,
            torch.randn(2, CHANNELS, 6, 6),
            (),
        ),
    }


def run(context: Context) -> None:
    torch.manual_seed(0)
    found: dict[str, Tensor] = {}
    for kind, (block, axis, x, others) in kinds().items():
        for name, layer in layers(block, axis).items():
            randomize_norms(layer).eval()
            jacobian = channel_jacobian(layer, x, *others, channel_axis=axis)
            found[f"{kind}, {name}"] = jacobian
            context.record(
                f"{kind}, {name}",
                {"coupled": 100.0 * float((jacobian > 0).double().mean())},
                parameters=sum(p.numel() for p in layer.parameters()),
                seed=0,
                note=f"{CHANNELS} channels, s_g = {GROUP_SIZE}, s_c = {COARSEST}",
            )
    save_figure(draw(found), context.picture(PICTURE), dpi=110)


def draw(found: dict[str, Tensor]) -> Any:
    """The matrices, logarithms of the magnitudes relative to the largest."""
    figure = new_figure(8.4, 6.0)
    grid = figure.subplots(2, 3, sharex=True, sharey=True)
    image = None
    for axes, (title, matrix) in zip(grid.flat, found.items(), strict=True):
        shown = (matrix / matrix.max()).clamp_min(1e-6).log10()
        image = axes.imshow(shown.numpy(), cmap="magma", vmin=-4, vmax=0, interpolation="nearest")
        axes.set_title(f"{title}: {100 * float((matrix > 0).double().mean()):.0f} %", fontsize=9)
        axes.tick_params(labelsize=8)
    for axes in grid[1]:
        axes.set_xlabel("input channel", fontsize=8)
    for axes in grid[:, 0]:
        axes.set_ylabel("output channel", fontsize=8)
    figure.tight_layout(rect=(0, 0, 0.88, 1))
    bar = figure.colorbar(image, cax=figure.add_axes((0.89, 0.12, 0.015, 0.76)))
    bar.set_label("log10 of the derivative, relative", fontsize=8)
    return figure


EXPERIMENT = Experiment(
    name="coupling",
    title="Coupling: which channels see which",
    about="""
        Beyond the paper, which states full coupling: the share of (output, input) pairs with a
        derivative that is not zero, in one layer of 64 channels with norms of random scale.
    """,
    run=run,
    columns={"coupled": ("coupled pairs, %", ".1f")},
    pictures=(PICTURE,),
    paper="layer",
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
