"""Table 2 and Figure 4: networks of three kinds of blocks learn cos(x) sin(20 y).

    python -m scripts.experiments.table_02
    python -m scripts.experiments.table_02 --full "MGIC*"

The seeds of a network run side by side, as groups of one wider network: on a batch of points the
time of these small maps goes to calling them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mgic_geo.io import atomic_write
from mgic_geo.kernels import without_compiler
from mgic_geo.viz._figure import COLOURS, new_figure, save_figure, tidy

from ._experiment import Context, Experiment
from ._function import BLOCKS, count, join, network
from ._program import program
from ._rows import Row, read_rows

ALPHAS = (0.6, 0.8, 1.2)
POINTS, SIDE = 50_000, 200
PICTURE = "table_02.png"
SURFACE = 0.8  # the width whose surfaces are drawn


def target(points: Tensor) -> Tensor:
    """:math:`\\cos(x) \\sin(20 y)` of points ``[N, 2]``."""
    return points[:, 0].cos() * (20.0 * points[:, 1]).sin()


def grid() -> Tensor:
    """Points between those that a network has seen, ``[200 * 200, 2]``."""
    axis = (torch.arange(SIDE) + 0.5) / SIDE
    return torch.cartesian_prod(axis, axis)


class Run:
    """Networks of all seeds, trained side by side, which go on where they were cut.

    Args:
        block: The block.
        alpha: Factor of the width.
        seeds: The seeds.
        epochs: Length of the schedule.
        full: The paper's batches of 128 points, SGD with a constant rate of 1e-4; else batches of
            512, Adam, and a rate that rises to 5e-3 and falls.
        points: Number of points.
        path: Where the state lies.
    """

    def __init__(
        self, block: str, alpha: float, seeds: int, epochs: int, full: bool, points: int, path: Path
    ) -> None:
        self.epochs, self.path = epochs, path
        self.batch = 128 if full else 512
        singles = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            singles.append(network(block, alpha))
        self.size = count(singles[0])
        self.model = network(block, alpha, seeds)
        join(self.model, singles)
        self.points = torch.rand(points, 2, generator=torch.Generator().manual_seed(0))
        self.value = target(self.points)
        weights = self.model.parameters()
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.SGD(weights, lr=1e-4, momentum=0.9)
            if full
            else torch.optim.Adam(weights, lr=5e-3)
        )
        steps = epochs * (points // self.batch)
        self.schedule: Any = (
            torch.optim.lr_scheduler.ConstantLR(self.optimizer, 1.0)
            if full
            else torch.optim.lr_scheduler.OneCycleLR(self.optimizer, 5e-3, steps)
        )
        self.parts: dict[str, Any] = {
            "model": self.model,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
        }
        self.epoch, self.loss = 0, torch.zeros(seeds)
        if path.exists():
            state = torch.load(path, weights_only=True)
            self.epoch, self.loss = state["epoch"], state["loss"]
            for name, part in self.parts.items():
                part.load_state_dict(state[name])

    def run(self, until: int | None = None, every: int = 20) -> None:
        """Trains, and writes the state after every so many epochs."""
        self.model.train()
        while self.epoch < (self.epochs if until is None else until):
            generator = torch.Generator().manual_seed(self.epoch)
            order = torch.randperm(len(self.points), generator=generator)
            losses = []
            for rows in order[: len(order) // self.batch * self.batch].split(self.batch):
                x, y = self.points[rows].repeat(1, len(self.loss)), self.value[rows, None]
                loss = (self.model(x) - y).square().mean(dim=0)
                self.optimizer.zero_grad()
                loss.sum().backward()
                self.optimizer.step()
                self.schedule.step()
                losses.append(loss.detach())
            self.loss = torch.stack(losses).mean(dim=0)
            self.epoch += 1
            if self.epoch % every == 0 or self.epoch in (until, self.epochs):
                states = {name: part.state_dict() for name, part in self.parts.items()}
                with atomic_write(self.path) as file:
                    torch.save({"epoch": self.epoch, "loss": self.loss, **states}, file)

    @torch.no_grad()
    def surface(self) -> Tensor:
        """Values on :func:`grid`, ``[N, seeds]``."""
        self.model.eval()
        out: Tensor = self.model(grid().repeat(1, len(self.loss)))
        return out


def run(context: Context) -> None:
    epochs, points = (1, 2048) if context.quick else (1000 if context.full else 20, POINTS)
    seeds = context.seeds_of(3)
    surfaces: dict[str, Tensor] = {}
    with without_compiler():  # on 128 points a fused operator takes longer to call than to run
        for block in BLOCKS:
            for alpha in ALPHAS:
                row = f"{block}, alpha = {alpha}"
                if not context.wants(row):
                    continue
                path = context.runs / "table_02" / f"{block}-{alpha}-{context.budget}.pt"
                part = Run(block, alpha, len(seeds), epochs, context.full, points, path)
                part.run()
                found = part.surface()
                error = (found - target(grid())[:, None]).square().mean(dim=0)
                if alpha == SURFACE:
                    surfaces[block] = found[:, 0]
                for seed in seeds:
                    context.record(
                        row,
                        {"mse": 1e3 * error[seed].item(), "train": 1e3 * part.loss[seed].item()},
                        parameters=part.size[0],
                        macs=part.size[1],
                        epochs=epochs,
                        seed=seed,
                        note="MACs a point; " + ("SGD, 1e-4" if context.full else "Adam, to 5e-3"),
                    )
    figure = draw(read_rows(context.path), surfaces, context.budget)
    save_figure(figure, context.picture(PICTURE), dpi=110)


def draw(rows: list[Row], surfaces: dict[str, Tensor], budget: str) -> Any:
    """Error against parameters, and the surfaces."""
    figure = new_figure(9.6, 6.0)
    layout = figure.add_gridspec(2, 4, height_ratios=(1.4, 1))
    axes = figure.add_subplot(layout[0, :])
    for block, color in zip(BLOCKS, COLOURS, strict=True):
        own = [
            row
            for row in rows
            if row["row"].startswith(block) and (row["metric"], row["budget"]) == ("mse", budget)
        ]
        found: dict[int, list[float]] = {}
        for row in own:
            found.setdefault(int(row["parameters"]), []).append(1e-3 * float(row["ours"]))
        sizes = sorted(found)
        middle = [sorted(found[size])[len(found[size]) // 2] for size in sizes]
        axes.plot(sizes, middle, marker="o", ms=4, color=color, label=block)
        low, high = ([pick(found[size]) for size in sizes] for pick in (min, max))
        axes.fill_between(sizes, low, high, color=color, alpha=0.15, lw=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("parameters", fontsize=9)
    axes.set_ylabel("mean squared error", fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    tidy(axes)
    shown = {"f": target(grid()), **surfaces}
    for k, (name, values) in enumerate(shown.items()):
        axes = figure.add_subplot(layout[1, k])
        image = values.view(SIDE, SIDE).numpy()
        axes.imshow(image, vmin=-1, vmax=1, cmap="coolwarm", origin="lower")
        axes.set_title(name if name == "f" else f"{name}, alpha = {SURFACE}", fontsize=9)
        axes.set_axis_off()
    figure.tight_layout()
    return figure


EXPERIMENT = Experiment(
    name="table_02",
    title="Table 2, Figure 4: learning a function",
    about="""
        f(x, y) = cos(x) sin(20 y) from 50,000 points; the error is on 40,000 others. The paper
        trains 1,000 epochs of SGD at 1e-4 (`--full`) and prints no numbers; ours are 20 epochs of
        Adam, the same for all. The last layer is a plain linear one: the printed one, with norm and
        ReLU, cannot become negative. On a single point a depthwise convolution is one factor a
        channel. MGIC has s_g = s_c = 8. *In training* is the mean over the last epoch, by the
        statistics of its batches: 25 times as large, so what is left after 20 epochs is the noise
        of these statistics, the same for all, and not what a network can represent.
    """,
    run=run,
    columns={
        "mse": ("squared error, 10^-3", ".3g"),
        "train": ("in training, 10^-3", ".3g"),
    },
    pictures=(PICTURE,),
    paper="network",
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
