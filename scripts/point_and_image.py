"""Classifies furniture by its points, by depth views of them, and by both, at equal budgets.

python scripts/point_and_image.py            # Furniture-10, made on the spot; a few minutes
python scripts/point_and_image.py --quick    # seconds, only to see that it runs
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import Tensor, nn

from mgic_geo.datasets import Furniture10, train_val_split
from mgic_geo.models import ImageClassifier, create_model, register_model
from mgic_geo.training import AugmentConfig, Clouds, Splits, TrainConfig, to_clouds, train
from mgic_geo.transforms import render_depth
from mgic_geo.viz import draw_cloud

KINDS = ("points", "views", "both")


class MultiView(nn.Module):
    """Views alone: an image network, pooling over the views of a cloud, and a classifier."""

    def __init__(self, image: str, num_classes: int, num_views: int, view_size: int) -> None:
        super().__init__()
        self.image = create_model(image, num_classes=0, in_chans=1)
        assert isinstance(self.image, ImageClassifier)
        self.fc = nn.Linear(self.image.head_hidden_size, num_classes)
        self.num_views, self.view_size = num_views, view_size

    def forward(self, pos: Tensor) -> Tensor:
        views = render_depth(pos, self.num_views, self.view_size)
        pooled = self.image(views.flatten(0, 1)).unflatten(0, views.shape[:2]).amax(dim=1)
        return self.fc(pooled)


@register_model(task="fusion")
def multi_view(**kwargs: Any) -> MultiView:
    """Depth views of clouds."""
    return MultiView(**kwargs)


def configure(kind: str, options: argparse.Namespace, out: str) -> TrainConfig:
    """The same number of steps, recipe, order and augmentation for every kind."""
    views = {"image": options.image, "num_views": options.views, "view_size": options.size}
    both = {"point": options.point, **views, "image_options": {"in_chans": 1}}
    model, model_options = {
        "points": (options.point, {}),
        "views": ("multi_view", views),
        "both": ("fusion_classifier", both),
    }[kind]
    return TrainConfig(
        model=model,
        model_options=model_options,
        num_points=options.num_points,
        epochs=options.epochs,
        batch_size=options.batch_size,
        lr=options.lr,
        augment=AugmentConfig(rotate_degrees=30.0, drop=0.0),
        seed=options.seed,
        out=str(Path(out) / kind),
    )


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


def main(argv: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--point", default="mgic_diffgcn", help="point network of the registry")
    parser.add_argument("--image", default="resnet20", help="image network of the registry")
    parser.add_argument("--shapes", type=int, default=80, help="a class; half of them are held out")
    parser.add_argument("--num_points", type=int, default=256)
    parser.add_argument("--views", type=int, default=3, help="depth images of each shape")
    parser.add_argument("--size", type=int, default=32, help="their height and width in pixels")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", default="runs/point_and_image.png", help="needs Matplotlib")
    parser.add_argument("--quick", action="store_true", help="hardly any shapes, points or steps")
    options = parser.parse_args(argv)
    if options.quick:
        options.shapes, options.num_points, options.epochs = 4, 64, 1

    shapes = Furniture10(None, "train", options.shapes, options.num_points, options.seed)
    clouds = to_clouds(shapes)
    parts = train_val_split(clouds.label, shapes.names, 1 / 2)
    part, held_out = (Clouds(clouds.pos[index], clouds.label[index]) for index in parts)
    # not for validation: no epoch is chosen by what is compared
    splits = Splits(part, None, held_out, shapes.classes)
    try:
        draw(Path(options.picture), shapes, clouds.pos, options.views, options.size)
    except ImportError as error:
        print(f"no picture: {error}; it needs the extra viz")

    print(f"{len(part)} shapes, {options.epochs} epochs; {len(held_out)} are held out")
    with TemporaryDirectory() as out:  # the weights are not kept
        results = [train(configure(kind, options, out), splits).summary for kind in KINDS]
    print(f"{'model':8} {'parameters':>10} {'seconds an epoch':>17} {'held out':>10}")
    for kind, result in zip(KINDS, results):
        accuracy = f"{100 * result['test']['accuracy']:.2f} %"
        seconds = result["epoch_seconds"]
        print(f"{kind:8} {result['parameters']:10,} {seconds:17.1f} {accuracy:>10}")
    return dict(zip(KINDS, results))


if __name__ == "__main__":
    main()
