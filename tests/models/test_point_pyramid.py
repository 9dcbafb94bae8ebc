from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mgic_geo.errors import DataError
from mgic_geo.models import (
    PointPyramid,
    WeightsInfo,
    create_model,
    dense_twin,
    list_models,
    load_model,
    save_weights,
)
from mgic_geo.nn import MGIC, GridPool, Prolongation, Restriction
from mgic_geo.profiling import profile_point_model
from mgic_geo.testing import assert_permutation_equivariant, random_clouds, randomize_norms

SNAPSHOT = Path(__file__).with_name("snapshot_pyramids.json")
NAMES = list_models("*pyramid", "points")
FORMS = pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in NAMES),
        ("mgic_pyramid", {"block": "edge", "aggr": "mean"}),
        ("mgic_pyramid", {"norm": "none", "stray": None, "num_grids": 2, "part_size": 24}),
    ],
    ids=str,
)


def build(name: str, **options: Any) -> PointPyramid:
    model = create_model(name, **{"width": 16, "num_classes": 5, "k": 6, "hidden": 24, **options})
    assert isinstance(model, PointPyramid)
    return randomize_norms(model).eval()


def clouds(count: int = 3, size: int = 60, ragged: bool = False) -> tuple[Tensor, Tensor]:
    pos, batch = random_clouds(count, size, ragged=ragged)
    return pos - 0.5, batch


def test_the_pyramids_are_registered_and_light() -> None:
    assert NAMES == ["mgic_pyramid", "pyramid"]
    assert dense_twin("mgic_pyramid") == "pyramid"
    count = {n: sum(p.numel() for p in create_model(n).parameters()) for n in NAMES}
    assert count["mgic_pyramid"] <= 400_000
    assert count["mgic_pyramid"] < count["pyramid"] / 3


def test_twice_the_width_on_each_grid() -> None:
    model = build("mgic_pyramid")
    grids = model.prepare(*clouds())
    features = model.forward_features(*clouds(), grids)
    assert [tuple(x.shape) for x in features] == [(180, 16), (48, 32), (48, 64)]
    assert [grid.pos.size(0) for grid in model.prepare(torch.rand(2, 1024, 3))] == [2048, 512, 128]
    assert model.num_features == 2 * (16 + 32 + 64)


@FORMS
def test_forms_of_input_agree(name: str, options: dict[str, Any]) -> None:
    model = build(name, **options)
    pos, batch = clouds()
    expected = model(pos, batch)
    assert expected.shape == (3, 5)
    assert expected.std(0).min() > 1e-3  # or the comparisons would say nothing
    dealt = model.deal(pos, batch)
    for found in (
        model(pos.view(3, 60, 3)),
        model(pos, batch, operators=model.prepare(*dealt)),
        model(pos.view(3, 60, 3), operators=model.prepare(*model.deal(pos.view(3, 60, 3)))),
    ):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(model(pos[:60]), expected[:1])


@FORMS
def test_every_parameter_has_a_gradient(name: str, options: dict[str, Any]) -> None:
    pos, batch = clouds()
    model = build(name, **options).train()
    model(pos, batch).square().sum().backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []
    assert all(p.grad.isfinite().all() for p in model.parameters())


@FORMS
def test_neither_the_order_of_points_nor_the_batch_matters(
    name: str, options: dict[str, Any]
) -> None:
    model = build(name, **options)
    pos, batch = clouds(4, ragged=True)
    assert_permutation_equivariant(
        lambda pos: model(pos, batch), pos, batch=batch, invariant=True, rtol=1e-3, atol=1e-4
    )
    together = model(pos, batch)
    for i in range(4):
        torch.testing.assert_close(model(pos[batch == i])[0], together[i], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_clouds_of_any_size(name: str) -> None:
    model = build(name)
    sizes = [16, 17, 300, 40]
    pos = torch.rand(sum(sizes), 3, generator=torch.Generator().manual_seed(0))
    batch = torch.arange(4).repeat_interleave(torch.tensor(sizes))
    together = model(pos, batch)
    for i, part in enumerate(pos.split(sizes)):
        torch.testing.assert_close(model(part)[0], together[i], rtol=1e-3, atol=1e-4)
    assert model.train()(pos, batch).isfinite().all()
    assert model.min_points == 16
    with pytest.raises(DataError, match="cloud 0 has 15 points"):
        model(torch.rand(15, 3))


def test_stray_points_change_nothing_far_away() -> None:
    """A cloud, and the same with a few points far from it and from each other."""
    generator = torch.Generator().manual_seed(0)
    pos = torch.randn(200, 3, generator=generator)
    pos = pos / pos.norm(dim=1, keepdim=True)
    stray = 8.0 * torch.eye(3)[:2]  # beyond the reach of all neighbourhoods
    both = torch.cat([pos, stray])
    for limit, kept in ((3.0, True), (None, False)):
        model = build("mgic_pyramid", stray=limit)
        grids = model.prepare(both)
        chosen = {tuple(p) for grid in grids[1:] for p in grid.pos.tolist()}
        assert not kept or not chosen & {tuple(p) for p in stray.tolist()}
        features = model.forward_features(both, operators=grids)
        spoilt = [x.clone() for x in features]
        spoilt[0][-2:] = 1e3  # whatever the network says of them
        same = model.forward_head(spoilt, grids).allclose(model.forward_head(features, grids))
        assert same == kept


def test_a_pool_takes_the_largest_of_offsets_and_features() -> None:
    model = build("mgic_pyramid")
    fine, coarse = model.prepare(*clouds())[:2]
    x = torch.randn(len(fine.pos), 4)
    stray = torch.rand(len(x)) < 0.2
    rows = coarse.finer.col.long().view(-1, 16)
    for aggr in ("max", "mean"):
        layer = GridPool(4, 8, aggr=aggr).eval()
        offset = fine.pos[rows] - coarse.pos[:, None]
        message = layer.features(x)[rows] + layer.offset(offset.reshape(-1, 3)).view(*rows.shape, 8)
        for out in (None, stray):
            seen = torch.ones_like(rows, dtype=torch.bool) if out is None else ~out[rows]
            if aggr == "max":
                expected = message.masked_fill(~seen[..., None], -torch.inf).amax(dim=1)
            else:
                weight = seen.float() / seen.sum(dim=1, keepdim=True)
                expected = (message * weight[..., None]).sum(dim=1)
            found = layer(x, fine.pos, coarse.pos, coarse.finer, out)
            torch.testing.assert_close(found, layer.norm(expected).relu(), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="aggr = 'sum'"):
        GridPool(4, 8, aggr="sum")


def test_parts_do_not_follow_the_order_of_the_file() -> None:
    model, whole = build("mgic_pyramid", part_size=24), build("mgic_pyramid")
    whole.load_state_dict(model.state_dict())
    pos = torch.rand(2, 96, 3)
    parts, batch = model.deal(pos)
    assert parts.shape == (8, 24, 3)
    assert batch is None
    expected = whole(parts).view(2, 4, -1).mean(dim=1)
    torch.testing.assert_close(model(pos), expected)
    torch.testing.assert_close(model(pos[:, torch.randperm(96)]), expected)
    assert torch.equal(model.train().deal(pos)[0], pos)


def test_blocks_and_correction() -> None:
    model = build("mgic_pyramid", norm="none", block="edge", depth=1, correction_scale=1.0)
    layers = [m for m in model.modules() if isinstance(m, MGIC)]
    assert [layer.channels for layer in layers] == [16, 32, 64]
    assert all(isinstance(norm, nn.Identity) for layer in layers for norm in layer.norms)
    assert not any(isinstance(m, MGIC) for m in build("pyramid").modules())
    for transfer in create_model("mgic_pyramid").modules():
        if isinstance(transfer, Restriction | Prolongation):
            rows = transfer.weight.sum(dim=-1)
            torch.testing.assert_close(rows, torch.ones_like(rows))


def test_weights_travel(tmp_path: Path) -> None:
    options = {"width": 16, "k": 6, "hidden": 24, "stray": None, "part_size": 32}
    model, file = build("mgic_pyramid", **options), tmp_path / "model.safetensors"
    info = WeightsInfo("mgic_pyramid", options, tuple("abcde"), 40)
    save_weights(file, model, info)
    loaded, found = load_model(file)
    assert found == info
    pos, batch = clouds()
    assert torch.equal(loaded(pos, batch), model(pos, batch))


def test_compiles_without_graph_breaks() -> None:
    torch._dynamo.reset()
    model = build("mgic_pyramid", depth=1, num_grids=2)
    pos = clouds()[0].view(3, 60, 3)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    arguments = {"pos": pos, "operators": model.prepare(pos)}
    torch.testing.assert_close(compiled(**arguments), model(**arguments))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width = 0: it must be at least 1"),
        ({"hidden": 0}, "hidden = 0"),
        ({"k": 16}, "k = 16: a grid may have 16 points; use 15 or fewer"),
        ({"thinning": 1}, "thinning = 1: it must be at least 2"),
        ({"stray": 0.5}, "stray = 0.5: it must be at least 1"),
        ({"block": "gcn"}, "block = 'gcn': use one of"),
        ({"aggr": "sum"}, "aggr = 'sum': use one of"),
        ({"part_size": 20}, "parts of 15 points may come of it.*use 22 or more"),
        ({"num_classes": -1}, "num_classes = -1"),
        ({"fit": "exact"}, "fit = 'exact'"),
        ({"depths": 3}, "mgic_pyramid: .*'depths'"),
    ],
    ids=str,
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_model("mgic_pyramid", **options)


def describe(name: str) -> dict[str, Any]:
    lines = profile_point_model(name, 1024)
    state = create_model(name).state_dict()
    return {
        "parameters": sum(line.parameters for line in lines),
        "macs at 1024 points": sum(line.macs for line in lines),
        "graph macs at 1024 points": sum(line.graph_macs for line in lines),
        "state": {key: "x".join(map(str, value.shape)) for key, value in state.items()},
    }


def test_snapshot() -> None:
    # names and shapes that stored weights rely on; MGIC_GEO_SNAPSHOT=write accepts new ones
    found = {name: describe(name) for name in NAMES}
    if os.environ.get("MGIC_GEO_SNAPSHOT") == "write":
        SNAPSHOT.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    assert found == json.loads(SNAPSHOT.read_text("utf-8"))


def test_features_beside_the_coordinates() -> None:
    model = build("mgic_pyramid", in_channels=2, part_size=32)
    pos, batch = clouds()
    x = torch.randn(len(pos), 2)
    together = torch.cat([pos, x], dim=1)
    expected = model(pos, batch, x=x)
    torch.testing.assert_close(model(together, batch), expected)
    torch.testing.assert_close(model(together.view(3, 60, 5)), expected)
    assert not model(pos, batch, x=x + 1.0).allclose(expected)
    with pytest.raises(ValueError, match="the model takes in_channels = 2"):
        model(pos, batch)
