"""Table 1 and Figure 3: what restriction and prolongation alone keep of 64 channels.

    python -m scripts.experiments.table_01
    python -m scripts.experiments.table_01 --source weights=resnet50.pth --source images=FOLDER

The maps are what the first convolution of a ResNet-50 gives, by published weights if they are
given, else after a short training on CIFAR-10 at 64 x 64 pixels. Restriction and prolongation are
linear, so the mean squared error depends on the maps through their second moments alone: the error
of all positions of all images is minimised at once, in float64.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import torch
from torch import Tensor, nn

from mgic_geo.datasets import open_dataset
from mgic_geo.hierarchy import ChannelHierarchy
from mgic_geo.models import create_model, load_model, load_published
from mgic_geo.nn import Prolongation, Restriction
from mgic_geo.training import Preprocess, TrainConfig, train
from mgic_geo.training.image_config import ImageConfig
from mgic_geo.viz._figure import new_figure, save_figure

from ._experiment import Context, Experiment
from ._program import program

CHANNELS, COARSEST = 64, 8
PAPER = {32: (11.0, 3.3e3), 16: (13.0, 1.8e3), 8: (17.0, 0.9e3), 4: (24.0, 0.4e3)}
PICTURE = "table_01.png"


class Transfer(nn.Module):
    """All restrictions and then all prolongations of a hierarchy, on rows ``[N, 64]``.

    Args:
        group_size: Group size.
    """

    def __init__(self, group_size: int) -> None:
        super().__init__()
        hierarchy = ChannelHierarchy(CHANNELS, group_size, COARSEST)
        sizes = [(level.width, level.transfer_groups) for level in hierarchy.levels[:-1]]
        self.down = nn.Sequential(*(Restriction(*size) for size in sizes))
        self.up = nn.Sequential(*(Prolongation(*size) for size in reversed(sizes)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.up(self.down(x))
        return out


def fit(model: Transfer, moment: Tensor, steps: int = 1500, rounds: int = 12) -> None:
    r"""Minimises the mean squared error of the reconstruction, by Adam and then by L-BFGS.

    With :math:`W` the matrix of ``model`` and :math:`S = \frac{1}{N} \sum_i x_i x_i^T`,

    .. math:: \frac{1}{N c} \sum_i \lVert x_i - W x_i \rVert^2
        = \frac{1}{c} \operatorname{tr}\left( (I - W) S (I - W)^T \right).

    It starts from normal weights. From those of a layer, positive rows of sum 1, all channels of a
    group begin as almost the same average, a saddle that the fit of large groups does not leave.

    Args:
        model: Restrictions and prolongations.
        moment: Second moments :math:`S` of the features.
        steps: Steps of Adam.
        rounds: Rounds of 25 steps of L-BFGS.
    """
    weights = list(model.parameters())
    for weight in weights:
        nn.init.normal_(weight, std=weight.size(-1) ** -0.5)
    adam = torch.optim.Adam(weights, lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    newton = torch.optim.LBFGS(
        weights,
        max_iter=25,
        history_size=25,
        tolerance_grad=1e-12,
        tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        newton.zero_grad()
        loss = error(model, moment) / moment.trace()
        loss.backward()
        return loss

    for _ in range(steps):
        adam.step(closure)
        schedule.step()
    for _ in range(rounds):
        newton.step(closure)


def error(model: Transfer, moment: Tensor) -> Tensor:
    """The mean squared error on features with these second moments."""
    eye = torch.eye(CHANNELS, dtype=moment.dtype)
    rest = eye - model(eye)  # row i is what stays of channel i, so this is (I - W)^T
    return torch.einsum("ij,ik,kj->", rest, moment, rest) / CHANNELS


def principal(moment: Tensor, held_out: Tensor) -> tuple[float, float]:
    """The error of the best linear map through 8 channels, the floor of all hierarchies."""
    _, vectors = torch.linalg.eigh(moment)
    rest = vectors[:, :-COARSEST]
    return tuple(float((rest.T @ m @ rest).trace()) / CHANNELS for m in (moment, held_out))  # type: ignore[return-value]


@torch.no_grad()
def second_moment(convolution: nn.Module, images: Tensor) -> Tensor:
    """Mean of x x^T over all positions of all images."""
    total, count = torch.zeros(CHANNELS, CHANNELS, dtype=torch.float64), 0
    for batch in images.split(64):
        rows = convolution(batch).movedim(1, -1).reshape(-1, CHANNELS).double()
        total += rows.T @ rows
        count += len(rows)
    return total / count


def first_convolution(context: Context) -> tuple[nn.Module, Preprocess, str]:
    """The convolution, what it takes, and where it is from."""
    weights = context.sources.get("weights")
    if weights is not None:
        model = create_model("resnet50", num_classes=1000)
        load_published(model, weights)
        preprocess = Preprocess(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        return _stem(model), preprocess, "published weights"
    folder = context.runs / "table_01" / f"resnet50-{context.budget}"
    config = TrainConfig(
        data="cifar10",
        source=context.sources.get("cifar10"),
        model="resnet50",
        model_options={"width": 64},
        val_fraction=0.0,
        epochs=1,
        steps_per_epoch=2 if context.quick else 150,
        batch_size=4 if context.quick else 64,
        lr=1e-3,
        image=ImageConfig(image_size=64, scale=(0.3, 1.0)),
        memory_format="channels_last",
        out=str(folder),
    )
    if not (folder / "result.json").exists():
        train(dataclasses.replace(config, resume=(folder / "state.pt").exists()))
    model, info = load_model(folder / "best.safetensors")
    return _stem(model), Preprocess.of(info), f"{config.steps_per_epoch} steps on CIFAR-10"


def _stem(model: Any) -> nn.Module:
    stem: nn.Module = model.stem[0].conv
    return stem.eval().requires_grad_(False)


def read_images(context: Context, preprocess: Preprocess) -> tuple[Tensor, Tensor]:
    """Images for the fit, and as many that it does not see."""
    count = 16 if context.quick else 1024
    where = context.sources.get("images")
    settings: dict[str, Any] = {}
    if "cifar10" in context.sources:
        settings["source"] = context.sources["cifar10"]
    dataset = open_dataset("cifar10", **settings) if where is None else open_dataset(where)
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))
    chosen = [preprocess.crop(dataset[int(i)][0]) for i in order[: 2 * count]]
    images = preprocess.normalize(torch.stack(chosen))
    return images[:count], images[count:]


def run(context: Context) -> None:
    convolution, preprocess, origin = first_convolution(context)
    images, others = read_images(context, preprocess)
    moment, held_out = (second_moment(convolution, part) for part in (images, others))
    power = float(moment.trace()) / CHANNELS
    models: dict[int, Transfer] = {}
    for group_size, (paper, paper_parameters) in PAPER.items():
        row = f"s_g = {group_size}"
        for seed in context.seeds_of(3):
            torch.manual_seed(seed)
            model = Transfer(group_size).double()
            fit(model, moment, *((10, 2) if context.quick else ()))
            found, unseen = error(model, moment).item(), error(model, held_out).item()
            count = sum(p.numel() for p in model.parameters())
            context.record(
                row,
                {
                    "mse": 1e3 * found,
                    "share": 100.0 * found / power,
                    "unseen": 100.0 * unseen / float(held_out.trace()) * CHANNELS,
                    "count": float(count),
                },
                {"mse": paper, "count": paper_parameters},
                seed=seed,
                macs=count,
                note=f"features of {origin}; MACs a position",
            )
            models.setdefault(group_size, model)
    found, unseen = principal(moment, held_out)
    context.record(
        "principal components",
        {
            "mse": 1e3 * found,
            "share": 100.0 * found / power,
            "unseen": 100.0 * unseen / float(held_out.trace()) * CHANNELS,
            "count": 2.0 * CHANNELS * COARSEST,
        },
        note=f"features of {origin}; the best linear map through 8 channels",
    )
    save_figure(draw(convolution, images, models), context.picture(PICTURE), dpi=110)


@torch.no_grad()
def draw(convolution: nn.Module, images: Tensor, models: dict[int, Transfer]) -> Any:
    """Figure 3: an image, one of its maps and its reconstructions; the coarsest maps below."""
    image = images[1]
    maps = convolution(image[None])[0]
    rows = maps.movedim(0, -1).reshape(-1, CHANNELS).double()

    def as_maps(features: Tensor) -> Tensor:
        return features.T.view(-1, *maps.shape[1:])

    channel = int(maps.flatten(1).var(dim=1).argmax())
    rebuilt = {g: as_maps(model(rows)) for g, model in models.items()}
    coarse = as_maps(models[8].down(rows))
    top: list[tuple[str, Tensor]] = [("image", image), (f"map {channel}", maps[channel])]
    top += [(f"$s_g$ = {g}", found[channel]) for g, found in rebuilt.items()]
    figure = new_figure(9.0, 4.2)
    grid = figure.subplots(3, 8)
    limits = (float(maps[channel].min()), float(maps[channel].max()))
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (title, part) in zip(grid[0], top, strict=False):
        if part.dim() == 3:
            low, high = part.amin(), part.amax()
            axes.imshow(((part - low) / (high - low)).movedim(0, -1).numpy())
        else:
            axes.imshow(part.numpy(), cmap="gray", vmin=limits[0], vmax=limits[1])
        axes.set_title(title, fontsize=8)
    for i in range(COARSEST):
        for axes, part, title in (
            (grid[1, i], maps[8 * i], f"map {8 * i}"),
            (grid[2, i], coarse[i], f"coarsest {i}"),
        ):
            axes.imshow(part.numpy(), cmap="gray")
            axes.set_title(title, fontsize=8)
    figure.tight_layout(pad=0.4)
    return figure


EXPERIMENT = Experiment(
    name="table_01",
    title="Table 1, Figure 3: feature maps through restriction and prolongation alone",
    about="""
        64 maps of the first convolution of a ResNet-50, of 1,024 images, through the grids 64, 32,
        16, 8 and back. The paper takes ImageNet and pretrained weights; ours are CIFAR-10 images at
        64 x 64 and a ResNet-50 after a short training on them, unless weights and images are given,
        so the scale of the maps, and with it the squared error, is another: the share of the maps'
        power that is lost compares. The error is minimised over all positions at once, from random
        weights: from the positive ones that layers start with, large groups end at a saddle, where
        all channels of a group are nearly one average. *Principal components* is the floor that no
        map through 8 channels can pass, at more weights than s_g = 8 has.
    """,
    run=run,
    columns={
        "count": ("weights", ",.0f"),
        "mse": ("squared error, 10^-3", ".3g"),
        "share": ("lost power, %", ".2f"),
        "unseen": ("on unseen images, %", ".2f"),
    },
    pictures=(PICTURE,),
    paper="group size",
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
