"""Comparing an exported file, run in its engine, with eager."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mgic_geo.export._torch import ExportError
from mgic_geo.export.metadata import ExportInfo
from mgic_geo.export.runtime import ExportedModel

TOLERANCE = 1e-4
"""Largest absolute difference of logits from eager."""
_RELATIVE = 4e-6


def allowed(tolerance: float, scale: float) -> float:
    """The largest difference from eager that a file may have: ``tolerance`` for logits up to 25.

    Larger logits, which networks with random weights have, may differ by 4e-6 of the largest:
    float32 resolves 1.2e-7 of a number, and engines add the products of a layer in other orders
    than eager, fifty layers and more one after the other.

    Args:
        tolerance: Absolute, by default 1e-4.
        scale: Largest magnitude of eager's logits.
    """
    return max(tolerance, _RELATIVE * scale)


@dataclass(frozen=True)
class Difference:
    """How far a file is from eager on some inputs.

    Args:
        what: The inputs, in words.
        largest: Largest absolute difference of logits.
        scale: Largest magnitude of eager's logits.
        same_class: Share of inputs (or pixels) with the same most likely class.
        limit: What ``largest`` may be.

    Example:
        Exporting a network and checking the file takes seconds. ::

            import mgic_geo

            report = mgic_geo.export(model, "model.onnx")
            for difference in report.differences:  # random inputs, and real ones
                print(difference.what, difference.largest, difference.same_class)
    """

    what: str
    largest: float
    scale: float
    same_class: float
    limit: float

    def __str__(self) -> str:
        return (
            f"{self.what}: logits differ by {self.largest:.1e} at most (limit {self.limit:.1e}, "
            f"largest logit {self.scale:.3g}), the same class in {100.0 * self.same_class:.2f} %"
        )


@torch.no_grad()
def compare(
    what: str,
    model: nn.Module,
    exported: ExportedModel,
    x: Tensor,
    tolerance: float = TOLERANCE,
) -> Difference:
    """The difference on a batch ``x``.

    Args:
        what: The inputs, in words.
        model: Eager, in eval mode.
        exported: The file.
        x: A batch.
        tolerance: As in :func:`allowed`.
    """
    axis = -1 if exported.info.data == "point_labels" else 1  # of the classes
    expected = np.moveaxis(model(x).float().numpy(), axis, 1)
    found = np.moveaxis(exported(x.numpy()), axis, 1)
    if found.shape != expected.shape:
        raise ExportError(f"logits of {what} are {found.shape}, eager's {expected.shape}")
    largest = float(np.abs(found - expected).max()) if np.isfinite(found).all() else float("inf")
    scale = float(np.abs(expected).max())
    limit = allowed(tolerance, scale)
    same = found.argmax(axis=1) == expected.argmax(axis=1)
    # Where eager's two best are as near to each other as the limit allows, either may win.
    best = np.sort(expected, axis=1)[:, -2:]
    if best.shape[1] == 2:
        same |= best[:, 1] - best[:, 0] <= 2.0 * limit
    return Difference(what, largest, scale, float(same.mean()), limit)


def require_equal(differences: list[Difference], path: object) -> None:
    """Raises where a difference is too large.

    Args:
        differences: What :func:`compare` returned.
        path: The file, for the message.

    Raises:
        ExportError: The file does not say the same as eager.
    """
    for difference in differences:
        if not difference.largest <= difference.limit:
            raise ExportError(f"{path} was not kept, it differs from eager: {difference}")
        if difference.same_class < 1.0:
            raise ExportError(f"{path} was not kept, it chooses other classes: {difference}")


def random_inputs(info: ExportInfo, count: int, size: int, seed: int = 0) -> Tensor:
    """Inputs without sense: points in the unit sphere, or pixels of a normal distribution."""
    generator = torch.Generator().manual_seed(seed)
    if info.input == "pos":
        pos = torch.randn(count, size, 3, generator=generator)
        return pos / pos.norm(dim=-1, keepdim=True).clamp_min(1.0)
    return torch.randn(count, *_image_shape(info), generator=generator)


def real_inputs(info: ExportInfo, count: int, size: int) -> Tensor:
    """Shapes of Furniture-10: their points, or depth pictures of them."""
    from mgic_geo.datasets import sample_points
    from mgic_geo.datasets.furniture import furniture_mesh
    from mgic_geo.transforms import normalize_sphere, render_depth

    kinds = ("chair", "table", "bed", "sofa")
    points = [
        sample_points(furniture_mesh(kinds[i % len(kinds)], seed=i), max(size, 1024), seed=i)
        for i in range(count)
    ]
    pos = normalize_sphere(torch.from_numpy(np.stack(points)).float())
    if info.input == "pos":
        return pos[:, :size].contiguous()
    channels, height, width = _image_shape(info)
    images = render_depth(pos, 1, max(height, width))[:, 0].expand(-1, channels, -1, -1)
    mean, std = (torch.tensor(v)[:channels].view(-1, 1, 1) for v in (info.mean, info.std))
    return ((images[:, :, :height, :width] - mean) / std).contiguous()


def _image_shape(info: ExportInfo) -> tuple[int, int, int]:
    channels = info.shape[1]
    side = info.image_size or 64
    height, width = (side if n is None else n for n in info.shape[2:])
    assert channels is not None
    return channels, height, width
