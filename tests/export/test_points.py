from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mgic_geo.export import lower
from mgic_geo.export._maps import GroupedMap
from mgic_geo.export._operators import average_weights, least_squares_weights
from mgic_geo.export._points import nearest
from mgic_geo.export._torch import trace
from mgic_geo.graph import knn_graph
from mgic_geo.kernels.derivatives.least_squares import least_squares_derivatives
from mgic_geo.models import create_model
from mgic_geo.nn import GroupedPointwise
from mgic_geo.testing import randomize_norms

OPTIONS: list[dict[str, Any]] = [
    {},
    {"width": 128},
    {"dilation": 2, "pool": "max_mean", "aggregate": True, "embedding": 96, "embedding_groups": 3},
    {"fit": "least_squares", "part_size": 32, "residual": False},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", ["dgcnn", "diffgcn", "mgic_diffgcn", "mgic_edgeconv"])
@torch.no_grad()
def test_lowered_network_says_the_same(name: str, options: dict[str, Any], pos: Tensor) -> None:
    model = randomize_norms(create_model(name, **options)).eval().double()
    expected = model(pos.double())
    for engine in ("onnx", "executorch"):
        torch.testing.assert_close(lower(model, engine)(pos.double()), expected)


PYRAMIDS: list[dict[str, Any]] = [
    {},
    {"block": "edge", "aggr": "mean", "stray": 1.2},
    {"norm": "none", "stray": None, "part_size": 24, "num_grids": 2},
]


@pytest.mark.parametrize("options", PYRAMIDS, ids=str)
@torch.no_grad()
def test_lowered_pyramid_says_the_same(options: dict[str, Any], pos: Tensor) -> None:
    model = create_model("mgic_pyramid", width=16, k=6, **options)
    model, pos = randomize_norms(model).eval().double(), pos.double()
    torch.testing.assert_close(lower(model)(pos), model(pos))
    far = torch.cat([pos, 5.0 * torch.eye(3, dtype=pos.dtype)[None].expand(len(pos), 3, 3)], dim=1)
    torch.testing.assert_close(lower(model)(far), model(far))


@torch.no_grad()
def test_traced_pyramid_takes_clouds_of_any_size() -> None:
    model = create_model("mgic_pyramid", width=16, k=6, depth=1, num_grids=2, part_size=64)
    model = randomize_norms(model).eval()
    program = trace(lower(model), torch.rand(2, 150, 3), [0, 1]).module()
    for shape in ((1, 16, 3), (3, 64, 3), (2, 400, 3)):
        pos = torch.rand(*shape) - 0.5
        torch.testing.assert_close(program(pos), model(pos), rtol=1e-4, atol=1e-5)


def test_negative_scale_of_the_norm_turns_the_maximum(pos: Tensor) -> None:
    model = create_model("dgcnn").eval()
    with torch.no_grad():
        model.stem.norm.weight.mul_(-1.0)
        torch.testing.assert_close(lower(model)(pos), model(pos))


def test_lowering_leaves_the_model_alone(pos: Tensor) -> None:
    model = create_model("mgic_diffgcn").eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    lower(model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_nearest_are_those_of_the_graph(pos: Tensor) -> None:
    source, _ = knn_graph(pos, 5)
    first = torch.arange(3).view(-1, 1, 1) * 64
    assert torch.equal((nearest(pos, 5) + first).flatten(), source)


def test_nearest_of_coincident_points_leave_the_point_itself_out() -> None:
    found = nearest(torch.zeros(1, 6, 3), 5)
    assert not (found == torch.arange(6).view(1, 6, 1)).any()


def test_nearest_fails_for_too_few_points() -> None:
    with pytest.raises(RuntimeError, match="out of range"):
        nearest(torch.rand(1, 5, 3), 5)


def test_least_squares_weights_are_those_of_the_graph() -> None:
    generator = torch.Generator().manual_seed(0)
    offset = torch.randn(9, 6, 3, generator=generator, dtype=torch.float64)
    offset[0, 0] = 0.0  # a coincident neighbour
    target = torch.arange(9).repeat_interleave(6)
    expected = least_squares_derivatives(offset.view(-1, 3), target, 9)
    torch.testing.assert_close(least_squares_weights(offset).view(-1, 6), expected)


def test_average_weights_of_coincident_points_are_zero() -> None:
    assert not average_weights(torch.zeros(2, 4, 3)).any()


@pytest.mark.parametrize(
    ("size", "groups", "convolve", "blocks"),
    [
        (16, 2, False, 1),
        (16, 2, True, 1),
        (512, 64, False, 16),
        (512, 64, True, 32),
        (512, 8, True, 8),
        (480, 15, False, 15),
        (480, 15, True, 15),
    ],
)
def test_grouped_map_is_block_diagonal(size: int, groups: int, convolve: bool, blocks: int) -> None:
    layer = GroupedPointwise(size, size, groups).double()
    x = torch.randn(5, size, dtype=torch.float64)
    made = GroupedMap.of(layer, convolve=convolve)
    torch.testing.assert_close(made(x), layer(x))
    assert made.blocks == blocks


@pytest.mark.parametrize("convolve", [False, True])
def test_grouped_map_of_several_terms(convolve: bool) -> None:
    weight = torch.randn(32, 8, 3, 8, dtype=torch.float64)
    x = torch.randn(5, 3, 256, dtype=torch.float64)
    expected = torch.einsum("gotc,ntgc->ngo", weight, x.unflatten(2, (32, 8))).flatten(1)
    torch.testing.assert_close(GroupedMap(weight, None, convolve)(x), expected)
