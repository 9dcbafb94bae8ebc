from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mgic_geo.errors import CheckpointError
from mgic_geo.graph import knn_graph
from mgic_geo.models import (
    PointClassifier,
    WeightsInfo,
    create_model,
    describe_model,
    list_models,
    load_model,
    load_state,
    read_weights_info,
    save_weights,
)
from mgic_geo.models.registry import register_model
from mgic_geo.nn import MGIC, Prolongation, Restriction
from mgic_geo.profiling import profile_model
from mgic_geo.testing import assert_permutation_equivariant, random_clouds, randomize_norms

SNAPSHOT = Path(__file__).with_name("snapshot.json")
PYRAMIDS = list_models("*pyramid", "points")  # in test_point_pyramid.py
POINTS = [name for name in list_models(task="points") if name not in PYRAMIDS]
ALL = pytest.mark.parametrize("name", POINTS)
WIDER = {"aggregate": True, "embedding": 48, "pool": "max_mean", "dilation": 2}
FORMS = pytest.mark.parametrize(
    ("name", "options"), [*((name, {}) for name in POINTS), ("mgic_diffgcn", WIDER)], ids=str
)


def build(name: str, **kwargs: Any) -> PointClassifier:
    """A small model in evaluation mode whose every branch has a say."""
    model = create_model(name, **{"width": 32, "num_classes": 5, "k": 6, **kwargs})
    assert isinstance(model, PointClassifier)
    return randomize_norms(model).eval()


def clouds(num_clouds: int = 3, ragged: bool = False) -> tuple[Tensor, Tensor]:
    pos, batch = random_clouds(num_clouds, 40, ragged=ragged)
    return pos - 0.5, batch


def test_the_four_backbones_are_registered() -> None:
    assert POINTS == ["dgcnn", "diffgcn", "mgic_diffgcn", "mgic_edgeconv"]
    assert PYRAMIDS == ["mgic_pyramid", "pyramid"]
    assert all(describe_model(name).endswith(".") for name in list_models())


@FORMS
def test_forms_of_input_agree(name: str, options: dict[str, Any]) -> None:
    model = build(name, **options)
    pos, batch = clouds()
    expected = model(pos, batch)
    assert expected.shape == (3, 5)
    edge_index = knn_graph(pos, 6, batch) if model.dilation == 1 else None
    for found in (
        model(pos.view(3, 40, 3)),
        model(pos, batch, edge_index),
        model(pos, batch, operators=model.prepare(pos, batch)),
        model(pos.view(3, 40, 3), operators=model.prepare(pos, batch, edge_index)),
        model.forward_head(model.forward_features(pos, batch), batch),
        model.fc(model.forward_head(model.forward_features(pos, batch), batch, pre_logits=True)),
    ):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(model(pos[:40]), expected[:1])
    assert model.forward_features(pos, batch).shape == (120, model.num_features)
    assert model.forward_features(pos.view(3, 40, 3)).shape == (3, 40, model.num_features)


@FORMS
def test_every_parameter_has_a_gradient(name: str, options: dict[str, Any]) -> None:
    pos, batch = clouds()
    fresh = create_model(name, width=32, num_classes=5, k=6, **options)
    for model in (fresh, build(name, **options)):
        model.train()(pos, batch).square().sum().backward()
        missing = [n for n, p in model.named_parameters() if p.grad is None]
        assert missing == []
    idle = [
        n for n, p in model.named_parameters() if not p.grad.isfinite().all() or (p.grad == 0).all()
    ]
    assert idle == []


@FORMS
def test_points_have_no_order(name: str, options: dict[str, Any]) -> None:
    model = build(name, **options)
    pos, batch = clouds(ragged=True)
    assert_permutation_equivariant(
        lambda pos: model(pos, batch), pos, batch=batch, invariant=True, rtol=1e-3, atol=1e-4
    )
    assert_permutation_equivariant(
        lambda pos: model.forward_features(pos, batch), pos, batch=batch, rtol=1e-3, atol=1e-4
    )


@FORMS
def test_a_cloud_does_not_depend_on_its_batch(name: str, options: dict[str, Any]) -> None:
    model = build(name, **options)
    pos, batch = clouds(4, ragged=True)
    together = model(pos, batch)
    for i in range(4):
        torch.testing.assert_close(model(pos[batch == i])[0], together[i], rtol=1e-3, atol=1e-4)


@ALL
def test_weights_travel(name: str, tmp_path: Path) -> None:
    model = build(name)
    info = WeightsInfo(name, {"width": 32, "k": 6}, ("a", "b", "c", "d", "e"), 40)
    file = tmp_path / "model.safetensors"
    save_weights(file, model, info)
    assert read_weights_info(file) == info
    loaded, found = load_model(file)
    assert found == info
    assert not loaded.training
    pos, batch = clouds()
    assert torch.equal(loaded(pos, batch), model(pos, batch))
    other = create_model(next(n for n in POINTS if n != name), width=32, num_classes=5)
    with pytest.raises(CheckpointError, match="weights of another model"):
        load_state(other, file)
    with pytest.raises(CheckpointError, match=r"'fc.\w+' is \[5.*expected \[7"):
        load_state(create_model(name, width=32, num_classes=7), file)


def test_unusable_weights_are_named(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    file = tmp_path / "model.safetensors"
    model = build("dgcnn")
    for info, message in [
        (WeightsInfo("resnet", {}, ("a",), 40), "cannot be built .*no model named 'resnet'"),
        (WeightsInfo("dgcnn", {"depth": 3}, ("a",), 40), "cannot be built .*'depth'"),
    ]:
        save_weights(file, model, info)
        with pytest.raises(CheckpointError, match=message):
            load_model(file)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_model(file)
    save_file({"x": torch.zeros(1)}, file)
    with pytest.raises(CheckpointError, match="not weights of this package"):
        load_model(file)
    save_file({"x": torch.zeros(1)}, file, metadata={"format": "mgic_geo-1", "model": "dgcnn"})
    with pytest.raises(CheckpointError, match="its header is damaged"):
        load_model(file)
    with pytest.raises(CheckpointError, match=r"no weights at .*nowhere: give a .safetensors file"):
        load_model(tmp_path / "nowhere")


@ALL
def test_compiles_without_graph_breaks(name: str) -> None:
    torch._dynamo.reset()
    model = build(name, width=16, coarsest=8)
    pos, batch = clouds()
    operators = model.prepare(pos, batch)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    arguments = {"pos": pos.view(3, 40, 3), "operators": operators}
    torch.testing.assert_close(compiled(**arguments), model(**arguments))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # from inside inductor
@ALL
def test_inductor_gives_the_same(name: str) -> None:
    torch._dynamo.reset()
    model = build(name)
    pos, batch = clouds()
    arguments = {"pos": pos.view(3, 40, 3), "operators": model.prepare(pos, batch)}
    compiled = torch.compile(model, fullgraph=True)
    torch.testing.assert_close(compiled(**arguments), model(**arguments), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in POINTS if name.startswith("mgic")])
def test_transfers_stay_positive_averages(name: str) -> None:
    model = create_model(name)
    transfers = [m for m in model.modules() if isinstance(m, Restriction | Prolongation)]
    assert len(transfers) == 2 * 2 * 5  # two coarsenings in five blocks
    for transfer in transfers:
        assert (transfer.weight > 0).all()
        rows = transfer.weight.sum(dim=-1)
        torch.testing.assert_close(rows, torch.ones_like(rows))


@ALL
@pytest.mark.parametrize(
    "options",
    [
        {"width": 24, "group_size": 3, "coarsest": 6},
        {"k": 12},
        {"residual": False},
        {"dropout": 0.5},
        {"aggregate": True},
        {"embedding": 48},
        {"embedding": 96, "embedding_groups": 2},
        {"pool": "max_mean"},
        {"dilation": 2},
    ],
    ids=str,
)
def test_options_are_free(name: str, options: dict[str, Any]) -> None:
    model = build(name, **options).train()
    pos, batch = clouds()
    assert model(pos, batch).isfinite().all()
    for block in model.modules():
        if isinstance(block, MGIC) and "group_size" in options:
            assert [level.groups for level in block.hierarchy.levels] == [8, 4, 1]


@FORMS
def test_without_classes_the_features_come_out(name: str, options: dict[str, Any]) -> None:
    model = build(name, num_classes=0, **options)
    pos, batch = clouds()
    assert isinstance(model.fc, nn.Identity)
    assert model(pos, batch).shape == (3, model.head_hidden_size)


@pytest.mark.parametrize("name", ["mgic_diffgcn", "dgcnn"])
def test_dilated_graphs_reach_farther(name: str) -> None:
    pos, batch = clouds(2)
    model = build(name, dilation=3)
    near, far = model.prepare(pos, batch)
    every = knn_graph(pos, 18, batch).view(2, len(pos), 18)
    plain = build(name)
    for found, part in ((near, every[..., :6]), (far, every[..., 2::3])):
        expected = plain.prepare(pos, batch, part.reshape(2, -1))
        for tensor, other in zip(found, expected, strict=True):
            torch.testing.assert_close(tensor, other)
    seen: list[Any] = []
    for part in (model.stem, model.stage1, model.stage2):
        first = part if part is model.stem else part[0]
        first.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    model(pos, batch, operators=model.prepare(pos, batch))
    assert [torch.equal(graph.col, near.col) for graph in seen] == [True, True, False]
    assert torch.equal(seen[2].col, far.col)
    with pytest.raises(ValueError, match="dilation = 3 takes two graphs"):
        model(pos, batch, knn_graph(pos, 6, batch))


def test_what_is_aggregated_and_pooled() -> None:
    model = build("mgic_diffgcn", **WIDER)
    assert model.mix2.pointwise.in_channels == 6 * 32
    x = torch.randn(3, 7, 48)
    pooled: list[Tensor] = []
    model.head.register_forward_pre_hook(lambda module, args: pooled.append(args[0]))
    model.forward_head(x)
    torch.testing.assert_close(pooled[0], torch.cat([x.amax(dim=1), x.mean(dim=1)], dim=1))
    seen: list[Tensor] = []
    model.mix2.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        model.stem.norm.weight.zero_()
        model.stem.norm.bias.fill_(2.0)  # the layer then gives 2 everywhere
    model(clouds()[0])
    assert (seen[0][:, :32] == 2.0).all()
    assert not (seen[0][:, 32:] == 2.0).any()


def test_wider_embedding_in_groups_costs_the_nodes_nothing() -> None:
    plain = build("mgic_diffgcn", aggregate=True)
    wide = build("mgic_diffgcn", aggregate=True, embedding=96, embedding_groups=3)
    assert wide.num_features == 3 * plain.num_features
    assert wide.mix2.pointwise.weight.numel() == plain.mix2.pointwise.weight.numel()
    macs = []
    for model in (plain, wide):
        lines = profile_model(model.eval(), clouds(1)[0])
        macs.append(sum(line.macs for line in lines if line.name == "mix2.pointwise"))
    assert macs[0] == macs[1] > 0


def test_mgic_diffgcn_is_small_and_smaller_than_its_twin() -> None:
    count = {n: sum(p.numel() for p in create_model(n).parameters()) for n in POINTS}
    assert count["mgic_diffgcn"] <= 110_000
    assert count["mgic_diffgcn"] < count["diffgcn"] / 2


def describe(name: str) -> dict[str, Any]:
    model = create_model(name).eval()
    pos, _ = random_clouds(1, 1024)
    lines = profile_model(model, pos, operators=model.prepare(pos))
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "macs at 1024 points": sum(line.macs for line in lines),
        "graph macs at 1024 points": sum(line.graph_macs for line in lines),
        "state": {k: "x".join(map(str, v.shape)) for k, v in model.state_dict().items()},
    }


def test_snapshot() -> None:
    # names and shapes that stored weights rely on; MGIC_GEO_SNAPSHOT=write accepts new ones
    found = {name: describe(name) for name in POINTS}
    if os.environ.get("MGIC_GEO_SNAPSHOT") == "write":
        SNAPSHOT.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    assert found == json.loads(SNAPSHOT.read_text("utf-8"))


def test_wrong_names_and_options_are_named() -> None:
    for name, options, message in [
        ("pointnet", {}, "no model named 'pointnet'; there are dgcnn, diffgcn"),
        ("dgcnn", {"depth": 3}, "dgcnn: .*'depth'"),
        ("dgcnn", {"width": 0}, "width = 0: it must be at least 1"),
        ("diffgcn", {"embedding": 0}, "embedding = 0: it must be at least 1"),
        ("diffgcn", {"embedding_groups": 5}, "groups = 5"),
        ("diffgcn", {"pool": "sum"}, "pool = 'sum': use one of"),
        ("dgcnn", {"k": -1}, "k = -1"),
        ("dgcnn", {"num_classes": -1}, "num_classes = -1"),
        ("mgic_diffgcn", {"width": 33}, "channels = 33"),
    ]:
        with pytest.raises(ValueError, match=message):
            create_model(name, **options)

    def dgcnn() -> nn.Module:
        return nn.Identity()

    with pytest.raises(ValueError, match="'dgcnn' is registered already"):
        register_model(dgcnn)


def test_the_wrong_kind_of_graph_is_named() -> None:
    pos, batch = clouds()
    with pytest.raises(ValueError, match="prepared operators"):
        build("diffgcn")(pos, batch, operators=build("dgcnn").prepare(pos, batch))


@pytest.mark.parametrize(
    ("count", "parts"), [(7, 1), (23, 1), (24, 2), (39, 2), (40, 3), (50, 3), (72, 4), (97, 4)]
)
def test_parts_of_a_cloud_are_judged_apart(count: int, parts: int) -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"width": 16, "k": 5, "num_classes": 4}
    dealt = create_model("mgic_diffgcn", part_size=16, max_parts=4, **options)
    model = randomize_norms(dealt).eval()
    whole = create_model("mgic_diffgcn", **options).eval()
    whole.load_state_dict(model.state_dict())
    pos = torch.randn(2, count, 3)
    used = count // parts * parts  # the others sit out
    with torch.no_grad():
        expected = torch.stack([whole(pos[:, i:used:parts]) for i in range(parts)]).mean(dim=0)
        torch.testing.assert_close(model(pos), expected)
        batch = torch.arange(2).repeat_interleave(count)
        torch.testing.assert_close(model(pos.flatten(0, 1), batch), expected)
        torch.testing.assert_close(model(pos[0]), expected[:1])
        prepared = model.prepare(*model.deal(pos))
        torch.testing.assert_close(model(pos, operators=prepared), expected)
        assert torch.allclose(whole(pos), expected, rtol=1e-2) == (parts == 1)
        assert torch.equal(model.train()(pos), whole.train()(pos))


def test_clouds_of_any_size_in_one_batch() -> None:
    torch.manual_seed(0)
    model = create_model("mgic_diffgcn", width=16, k=5, num_classes=4, part_size=16)
    model = randomize_norms(model).eval()
    sizes = torch.tensor([97, 7, 24, 300, 16])
    pos, batch = torch.randn(int(sizes.sum()), 3), torch.arange(5).repeat_interleave(sizes)
    with torch.no_grad():
        apart = torch.cat([model(part) for part in pos.split(sizes.tolist())])
        torch.testing.assert_close(model(pos, batch), apart)
        _, part = model.deal(pos, batch)
    # 97 / 16 rounds to 6 parts of 16, 300 / 16 is more than 16 parts
    expected = [16] * 6 + [7] + [12] * 2 + [18] * 16 + [16]
    assert torch.bincount(part).tolist() == expected


def test_parts_follow_a_number_of_points_that_is_a_symbol() -> None:
    def deal(pos: Tensor) -> Tensor:
        return model.deal(pos)[0]

    class Deal(nn.Module):
        def forward(self, pos: Tensor) -> Tensor:
            return deal(pos)

    model = create_model("mgic_diffgcn", width=16, k=5, part_size=16).eval()
    shapes = {"pos": {1: torch.export.Dim.DYNAMIC}}
    program = torch.export.export(Deal(), (torch.randn(2, 100, 3),), dynamic_shapes=shapes)
    for count in (32, 40, 99, 1024, 3000):
        pos = torch.randn(2, count, 3)
        assert torch.equal(program.module()(pos), deal(pos))


def test_parts_need_graphs_of_their_own() -> None:
    model = create_model("mgic_diffgcn", width=16, k=5, part_size=20).eval()
    pos = torch.randn(1, 40, 3)
    with pytest.raises(ValueError, match="part_size = 20 builds a graph for each part"):
        model(pos, edge_index=knn_graph(pos, 5))
    with pytest.raises(ValueError, match="part_size = 0: it must be at least 1"):
        create_model("mgic_diffgcn", part_size=0)
    with pytest.raises(ValueError, match="max_parts = 0: it must be at least 1"):
        create_model("mgic_diffgcn", part_size=32, max_parts=0)
    with pytest.raises(ValueError, match=r"parts of 12 points may come of it.*use 28 or more"):
        create_model("mgic_diffgcn", part_size=16, k=20)
    create_model("mgic_diffgcn", width=16, part_size=28, k=20)


def test_weights_with_a_fixed_number_of_parts(tmp_path: Path) -> None:
    model = create_model("mgic_diffgcn", width=16, k=5)
    args = {"width": 16, "k": 5, "parts": 4}
    file = tmp_path / "model.safetensors"
    for name, info, expected in (
        ("mgic_diffgcn", args, {"width": 16, "k": 5, "part_size": 30}),
        ("mgic_diffgcn", {**args, "parts": 1}, {"width": 16, "k": 5}),
        (
            "fusion_classifier",
            {"point_options": {"parts": 2}},
            {"point_options": {"part_size": 60}},
        ),
    ):
        save_weights(file, model, WeightsInfo(name, info, tuple("abcdefghij"), 120))
        assert read_weights_info(file).model_args == expected
    save_weights(file, model, WeightsInfo("mgic_diffgcn", args, tuple("abcdefghij"), 120))
    assert load_model(file)[0].part_size == 30
