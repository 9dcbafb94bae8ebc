"""Classes of the points of single shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mgic_geo import segment_points
from mgic_geo.datasets.furniture import furniture_mesh
from mgic_geo.errors import CheckpointError, DataError
from mgic_geo.models import WeightsInfo, load_model

INFO = WeightsInfo("mgic_diffgcn_seg", {}, ("low", "high"), 64, "point_segmentation")


class UpperHalf(nn.Module):
    """Class 1 above the middle of the cloud; keeps what it was given."""

    min_points = 8

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, pos: Tensor) -> Tensor:
        self.seen.append(pos)
        return torch.stack([-20.0 * pos[..., 2], 20.0 * pos[..., 2]], dim=-1)


@pytest.mark.parametrize("count", [8, 40, 64, 95, 96, 300, 5000])
def test_every_point_has_its_class(count: int) -> None:
    points = np.random.default_rng(0).random((count, 3)) * 7.0 + 1e5
    model = UpperHalf()
    found = segment_points(points, (model, INFO))
    assert np.array_equal(found.points, points)  # as they were given, in their order
    middle = points[:, 2].mean()
    clear = np.abs(points[:, 2] - middle) > 0.5  # the others may follow a neighbour
    assert np.array_equal(found.label[clear], (points[:, 2] > middle)[clear])
    (seen,) = model.seen
    assert seen.shape[0] == min(max(round(count / 64), 1), 16)
    assert seen.shape[1] <= 96
    assert found.judged == seen.shape[0] * seen.shape[1]
    assert found.judged >= min(count - 15, 16 * 64)
    # the size of the whole cloud, not of its parts
    assert seen.norm(dim=-1).max() <= 1.0 + 1e-5
    assert found.probability.min() >= 0.5
    assert sum(found.shares.values()) == pytest.approx(1.0)


def test_seed_and_axis() -> None:
    points = np.random.default_rng(0).random((500, 3))
    one, same, other = (
        segment_points(points, (UpperHalf(), INFO), seed=seed) for seed in (0, 0, 1)
    )
    assert np.array_equal(one.probability, same.probability)
    assert (one.label == other.label).mean() > 0.95
    turned = segment_points(points, (UpperHalf(), INFO), up="y")
    clear = np.abs(points[:, 1] - points[:, 1].mean()) > 0.1
    assert np.array_equal(turned.label[clear], (points[:, 1] > points[:, 1].mean())[clear])


def test_a_mesh_gives_points() -> None:
    found = segment_points(furniture_mesh("table", 1), (UpperHalf(), INFO), num_points=80)
    assert (found.kind, found.points.shape, found.judged) == ("mesh", (80, 3), 80)


def test_features_turn_with_the_points() -> None:
    from mgic_geo.io import PointCloud

    info = WeightsInfo(
        "x", {}, ("low", "high"), 64, "point_segmentation", features=("normals", "intensity")
    )
    rng = np.random.default_rng(0)
    cloud = PointCloud(rng.random((64, 3)), np.tile([0.0, 1.0, 0.0], (64, 1)), None,
                       rng.random((64, 1)))  # fmt: skip
    model = UpperHalf()
    segment_points(cloud, (model, info), up="y")
    assert model.seen[0].shape == (1, 64, 7)
    torch.testing.assert_close(
        model.seen[0][..., 3:6], torch.tensor([0.0, 0.0, 1.0]).expand(1, 64, 3)
    )


def test_refusals() -> None:
    few, many = np.random.default_rng(0).random((2, 100, 3))
    with pytest.raises(DataError, match="shape: 7 points; the network needs 8"):
        segment_points(few[:7], (UpperHalf(), INFO))
    with pytest.raises(DataError, match="4 points; the network needs 8"):
        segment_points(many, (UpperHalf(), INFO), num_points=4)
    with pytest.raises(DataError, match="num_points must be at least 1"):
        segment_points(many, (UpperHalf(), INFO), num_points=0)
    with pytest.raises(DataError, match="up = 'w': use one of x, y, z"):
        segment_points(many, (UpperHalf(), INFO), up="w")
    with pytest.raises(CheckpointError, match="weights of mgic_diffgcn are for clouds, not for po"):
        segment_points(many, load_model())
