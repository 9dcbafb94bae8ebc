from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from mgic_geo.attribution import (
    METHODS,
    Deletion,
    deletion_test,
    explain,
    gradient_input,
    occlusion,
)
from mgic_geo.datasets import sample_points
from mgic_geo.datasets.furniture import furniture_mesh
from mgic_geo.errors import DataError
from mgic_geo.kernels import without_compiler
from mgic_geo.models import create_model, load_model
from mgic_geo.testing import settle_norms
from mgic_geo.transforms import normalize_sphere


class Lamp(nn.Module):
    """Class 1 as far as there are points above z = 0.8; it looks at nothing else."""

    min_points = 4

    def forward(self, pos: Tensor) -> Tensor:
        above = (pos[..., 2] > 0.8).float().sum(dim=1)
        return torch.stack([torch.zeros_like(above), 0.2 * above - 1.0], dim=1)


@pytest.fixture(autouse=True)
def _at_once() -> Iterator[None]:
    with without_compiler():
        yield


@pytest.fixture
def cube() -> Tensor:
    return torch.rand(400, 3, generator=torch.Generator().manual_seed(1))


def small(name: str, **options: object) -> nn.Module:
    model = create_model(name, num_classes=3, width=16, k=6, **options)
    settle_norms(model, torch.rand(4, 128, 3) - 0.5)
    return model


def test_occlusion_finds_what_a_network_looks_at(cube: Tensor) -> None:
    found = occlusion(Lamp(), cube, label=1)
    above = cube[:, 2] > 0.8
    assert found[above].mean() > 3 * found[~above].mean()
    assert found[cube[:, 2] < 0.3].mean() < 0.1 * found[above].mean()
    sharp = occlusion(Lamp(), cube, label=1, parts=100, share=0.02, rounds=4)
    assert above[sharp.topk(40).indices].sum() >= 38
    assert torch.allclose(occlusion(Lamp(), cube, label=0), -found, atol=1e-5)


def test_occlusion_is_a_matter_of_its_seed(cube: Tensor) -> None:
    first = occlusion(Lamp(), cube, label=1, parts=4, rounds=1)
    assert torch.equal(first, occlusion(Lamp(), cube, label=1, parts=4, rounds=1))
    assert not torch.equal(first, occlusion(Lamp(), cube, label=1, parts=4, rounds=1, seed=1))


def test_points_that_no_part_had_follow_the_nearest_part(cube: Tensor) -> None:
    found = occlusion(Lamp(), cube, label=1, parts=8, share=0.01, rounds=1)
    assert 1 < len(found.unique()) <= 8


def test_deletion_tells_right_importances_from_wrong_ones(cube: Tensor) -> None:
    above = (cube[:, 2] > 0.8).float()
    right = deletion_test(Lamp(), cube, above, label=1)
    wrong = deletion_test(Lamp(), cube, -above, label=1)
    said = deletion_test(Lamp(), cube, torch.rand(400), label=1)
    assert right.gain > 0.3
    assert right.important[-1] == pytest.approx(1 / (1 + torch.e), abs=1e-3)  # nothing is left
    assert wrong.gain < 0.0
    assert abs(said.gain) < 0.1 * right.gain
    assert right == deletion_test(Lamp(), cube, above, label=1)
    assert right.whole > right.important[0]


@pytest.mark.parametrize("method", [occlusion, gradient_input])
@pytest.mark.parametrize("weights", ["modelnet10-mgic-diffgcn", "modelnet10-mgic-pyramid"])
def test_importances_of_shipped_weights_beat_random_ones(
    weights: str, method: Callable[..., Tensor]
) -> None:
    model, info = load_model(weights)
    gains = []
    for name in ("chair", "bathtub"):
        points = sample_points(furniture_mesh(name, seed=7), 256, seed=0)
        cloud = normalize_sphere(torch.from_numpy(points).float())
        options = {"parts": 16, "rounds": 1} if method is occlusion else {}
        label = info.classes.index(name)
        importance = method(model, cloud, label, **options)
        found = deletion_test(model, cloud, importance, label, fractions=(0.1, 0.3, 0.5), draws=3)
        gains.append(found.gain)
    assert sum(gains) > 0.2, gains


@pytest.mark.parametrize(
    ("name", "options"),
    [("mgic_diffgcn", {}), ("mgic_pyramid", {}), ("mgic_pyramid", {"part_size": 40})],
)
def test_gradients_find_the_way_back_to_their_points(name: str, options: dict[str, int]) -> None:
    model = small(name, **options)
    cloud, order = torch.rand(100, 3) - 0.5, torch.randperm(100)
    found = gradient_input(model, cloud, label=1)
    assert (found != 0).sum() > 5
    assert torch.allclose(gradient_input(model, cloud[order], label=1), found[order], atol=1e-4)


def test_gradients_know_the_parts_of_a_cloud() -> None:
    model = small("mgic_diffgcn", part_size=40)
    found = gradient_input(model, torch.rand(81, 3) - 0.5, label=0)
    assert found[80] == 0  # two parts of 40: the last point sits out
    assert (found[0:80:2] != 0).any()
    assert (found[1:80:2] != 0).any()


def test_of_a_coarse_node_the_nearest_points_share_its_value() -> None:
    from mgic_geo.attribution.gradient import _spread

    points = torch.tensor([[[0.0, 0, 0], [0.1, 0, 0], [1.0, 0, 0]]])
    shares = _spread(torch.tensor([[4.0, 3.0]]), points[:, [0, 2]], points)
    assert shares.tolist() == [[2.0, 2.0, 3.0]]


def test_explain_asks_about_any_class() -> None:
    points = torch.rand(64, 3)
    found = explain(points, method="gradient_input")
    other = explain(points, method="gradient_input", label="toilet")
    assert found.label == found.prediction.label
    assert other.label == "toilet"
    assert other.prediction.label == found.label
    assert not torch.equal(other.importance, found.importance)
    assert next(iter(METHODS)) == "occlusion"


def test_refusals(cube: Tensor) -> None:
    with pytest.raises(DataError, match="use one of occlusion, gradient_input"):
        explain(cube, method="guess")
    with pytest.raises(DataError, match="the weights know bathtub"):
        explain(cube[:64], label="car")
    with pytest.raises(DataError, match="3 of 6 points would be left, and the network needs 4"):
        occlusion(Lamp(), cube[:6], label=1, share=0.5)
    with pytest.raises(DataError, match="3 of 6 points would be left"):
        deletion_test(Lamp(), cube[:6], cube[:6, 2], label=1)
    with pytest.raises(ValueError, match="occlusion works with every network"):
        gradient_input(Lamp(), cube, label=1)
    for call, text in (
        (lambda: occlusion(Lamp(), cube[None], 1), r"must be \[n, >= 3\]"),
        (lambda: occlusion(Lamp(), cube, 1, share=1.0), r"share = 1.0 in \(0, 1\)"),
        (lambda: deletion_test(Lamp(), cube, cube[:3, 0], 1), r"importance must be \[400\]"),
        (lambda: deletion_test(Lamp(), cube, cube[:, 0], 1, fractions=[1.0]), "fractions"),
    ):
        with pytest.raises(ValueError, match=text):
            call()
    assert Deletion(1.0, (0.5,), (0.25,), (0.75,)).gain == 0.5
