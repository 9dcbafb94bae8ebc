"""Classifies furniture by its points, by depth views of them, and by both, at equal budgets.

python scripts/point_and_image.py            # Furniture-10, made on the spot; a few minutes
python scripts/point_and_image.py --quick    # seconds, only to see that it runs
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from mgic_geo.datasets import Furniture10, train_val_split
from mgic_geo.models import ImageClassifier, create_model
from mgic_geo.transforms import augment_clouds, normalize_sphere, render_depth
from mgic_geo.viz import draw_cloud


class MultiView(nn.Module):
    """Views alone: an image network, pooling over the views of a cloud, and a classifier."""

    def __init__(self, image: str, num_classes: int, views: int, size: int) -> None:
        super().__init__()
        self.image = create_model(image, num_classes=0, in_chans=1)
        assert isinstance(self.image, ImageClassifier)
        self.fc = nn.Linear(self.image.head_hidden_size, num_classes)
        self.views, self.size = views, size

    def forward(self, pos: Tensor) -> Tensor:
        views = render_depth(pos, self.views, self.size)
        pooled = self.image(views.flatten(0, 1)).unflatten(0, views.shape[:2]).amax(dim=1)
        return self.fc(pooled)


def build(kind: str, options: argparse.Namespace, num_classes: int) -> nn.Module:
    if kind == "points":
        return create_model(options.point, num_classes=num_classes)
    if kind == "views":
        return MultiView(options.image, num_classes, options.views, options.size)
    return create_model(
        "fusion_classifier",
        point=options.point,
        image=options.image,
        num_classes=num_classes,
        num_views=options.views,
        view_size=options.size,
        image_options={"in_chans": 1},
    )


def train(model: nn.Module, pos: Tensor, label: Tensor, options: argparse.Namespace) -> None:
    """The same number of steps, recipe, order and augmentation for every model."""
    generator = torch.Generator().manual_seed(options.seed)
    optimizer = AdamW(model.parameters(), lr=options.lr, weight_decay=0.05)
    steps = len(label) // options.batch_size
    scheduler = OneCycleLR(optimizer, options.lr, total_steps=options.epochs * steps)
    model.train()
    for _ in range(options.epochs):
        order = torch.randperm(len(label), generator=generator)
        for chosen in order[: steps * options.batch_size].view(steps, -1):
            clouds = augment_clouds(
                pos[chosen], generator, scale=(0.8, 1.0), rotate_degrees=30.0, flip=0.5, jitter=0.01
            )
            logits = model(clouds.to(options.device))
            loss = F.cross_entropy(logits, label[chosen].to(options.device), label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()


@torch.no_grad()
def accuracy(model: nn.Module, pos: Tensor, label: Tensor, device: str) -> float:
    model.eval()
    found = [model(part.to(device)).argmax(dim=1).cpu() for part in pos.split(50)]
    return float((torch.cat(found) == label).double().mean())


def draw(path: Path, shapes: Furniture10, pos: Tensor, views: int, size: int) -> None:
    """One shape of every second class, and what the image network sees of it."""
    from matplotlib.figure import Figure

    rows = [int((shapes.labels == c).nonzero()[0]) for c in range(0, shapes.num_classes, 2)]
    images = render_depth(pos[rows], views, size)[:, :, 0].numpy()
    figure = Figure(figsize=(1.6 * (1 + views), 1.65 * len(rows)), facecolor="white")
    grid = np.asarray(figure.subplots(len(rows), 1 + views, squeeze=False))
    for i, axes in enumerate(grid[0, 1:]):
        axes.set_title(f"{360 * i / views:g}°", fontsize=9)
    for line, row, seen in zip(grid, rows, images):
        name = shapes.classes[int(shapes.labels[row])].replace("_", " ")
        draw_cloud(line[0], pos[row].double().numpy(), name)
        for axes, image in zip(line[1:], seen):
            axes.imshow(image, cmap="magma", vmin=0.0, vmax=1.0)
            axes.set_axis_off()
    figure.subplots_adjust(0.01, 0.03, 0.99, 0.96, wspace=0.05, hspace=0.15)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    print(f"picture: {path}")


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--point", default="mgic_diffgcn", help="point network of the registry")
    parser.add_argument("--image", default="resnet20", help="image network of the registry")
    parser.add_argument("--shapes", type=int, default=80, help="a class; half of them validate")
    parser.add_argument("--num_points", type=int, default=256)
    parser.add_argument("--views", type=int, default=3, help="depth images of each shape")
    parser.add_argument("--size", type=int, default=32, help="their height and width in pixels")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--picture", default="runs/point_and_image.png", help="needs Matplotlib")
    parser.add_argument("--quick", action="store_true", help="hardly any shapes, points or steps")
    options = parser.parse_args(argv)
    if options.quick:
        options.shapes, options.num_points, options.epochs = 4, 64, 1

    shapes = Furniture10(None, "train", options.shapes, options.num_points, options.seed)
    pos, label = normalize_sphere(shapes.points), shapes.labels
    for_training, for_validation = train_val_split(label, shapes.names, 1 / 2)
    try:
        draw(Path(options.picture), shapes, pos, options.views, options.size)
    except ImportError as error:
        print(f"no picture: {error}; it needs the extra viz")

    print(f"{len(for_training)} shapes, {options.epochs} epochs; {len(for_validation)} validate")
    print(f"{'model':8} {'parameters':>10} {'seconds':>8} {'validation':>11}", flush=True)
    results = {}
    for kind in ("points", "views", "both"):
        torch.manual_seed(options.seed)
        model = build(kind, options, shapes.num_classes).to(options.device)
        model.eval()(pos[:2].to(options.device))  # compiles kernels, outside of the time
        start = time.perf_counter()
        train(model, pos[for_training], label[for_training], options)
        seconds = time.perf_counter() - start
        results[kind] = accuracy(model, pos[for_validation], label[for_validation], options.device)
        parameters = sum(p.numel() for p in model.parameters())
        print(f"{kind:8} {parameters:10,} {seconds:8.1f} {100 * results[kind]:9.2f} %", flush=True)
    return results


if __name__ == "__main__":
    main()
