from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import mgic_geo
from mgic_geo.export import lower
from mgic_geo.graph import knn_graph
from mgic_geo.models import (
    PointSegmenter,
    WeightsInfo,
    create_model,
    dense_twin,
    list_models,
    model_data,
    read_weights_info,
    save_weights,
)
from mgic_geo.testing import assert_permutation_equivariant, random_clouds, randomize_norms

NAMES = list_models(task="point_segmentation")
ALL = pytest.mark.parametrize("name", NAMES)
WIDER = {"embedding": 48, "pool": "max_mean", "dilation": 2}
FORMS = pytest.mark.parametrize(
    ("name", "options"), [*((name, {}) for name in NAMES), ("mgic_diffgcn_seg", WIDER)], ids=str
)


def build(name: str, **kwargs: Any) -> PointSegmenter:
    """A small model in evaluation mode whose every branch has a say."""
    model = create_model(name, **{"width": 32, "num_classes": 5, "k": 6, **kwargs})
    assert isinstance(model, PointSegmenter)
    return randomize_norms(model).eval()


def clouds(num_clouds: int = 3, ragged: bool = False) -> tuple[Tensor, Tensor]:
    pos, batch = random_clouds(num_clouds, 40, ragged=ragged)
    return pos - 0.5, batch


def test_registered_with_a_dense_twin() -> None:
    assert NAMES == ["diffgcn_seg", "mgic_diffgcn_seg"]
    assert dense_twin("mgic_diffgcn_seg") == "diffgcn_seg"
    assert model_data("mgic_diffgcn_seg") == "point_labels"
    sizes = [sum(p.numel() for p in create_model(name).parameters()) for name in NAMES]
    assert sizes[1] < sizes[0] / 2


@FORMS
def test_forms_of_input_agree(name: str, options: dict[str, Any]) -> None:
    model = build(name, **options)
    pos, batch = clouds()
    expected = model(pos, batch)
    assert expected.shape == (120, 5)
    dense = pos.view(3, 40, 3)
    edge_index = knn_graph(pos, 6, batch) if model.dilation == 1 else None
    features = model.forward_features(pos, batch)
    for found in (
        model(dense).view(120, 5),
        model(pos, batch, edge_index),
        model(pos, batch, operators=model.prepare(pos, batch)),
        model.forward_head(features, batch),
        model.fc(model.forward_head(features, batch, pre_logits=True)),
        lower(model)(dense).view(120, 5),
        mgic_geo.fuse(model)(dense).view(120, 5),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(model(pos[:40]), expected[:40], rtol=1e-4, atol=1e-5)


@FORMS
def test_every_parameter_has_a_gradient(name: str, options: dict[str, Any]) -> None:
    pos, batch = clouds()
    model = build(name, **options)
    model.train()(pos, batch).square().sum().backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


@FORMS
def test_points_have_no_order(name: str, options: dict[str, Any]) -> None:
    model = build(name, **options)
    pos, batch = clouds(ragged=True)
    assert_permutation_equivariant(
        lambda pos: model(pos, batch), pos, batch=batch, rtol=1e-3, atol=1e-4
    )


@FORMS
def test_a_cloud_does_not_depend_on_its_batch(name: str, options: dict[str, Any]) -> None:
    model = build(name, **options)
    pos, batch = clouds(4, ragged=True)
    together = model(pos, batch)
    for i in range(4):
        alone = model(pos[batch == i])
        torch.testing.assert_close(alone, together[batch == i], rtol=1e-3, atol=1e-4)


def test_a_node_knows_the_whole_cloud() -> None:
    """A point of one of two clusters far apart is judged by the other one, too."""
    model = build("mgic_diffgcn_seg", k=4)
    near, far = torch.rand(20, 3) - 5.0, torch.rand(20, 3) + 5.0
    first, second = (model(torch.cat([near, cluster]))[:20] for cluster in (far, 1.3 * far))
    assert (first - second).abs().max() > 1e-3


def test_categories() -> None:
    model = build("mgic_diffgcn_seg", categories=3)
    pos, batch = clouds()
    category = torch.tensor([0, 2, 2])
    found = model(pos, batch, category=category)
    torch.testing.assert_close(model(pos.view(3, 40, 3), category=category).view(120, 5), found)
    other = model(pos, batch, category=torch.tensor([1, 2, 2]))
    assert (found - other)[:40].abs().max() > 1e-3
    torch.testing.assert_close(found[40:], other[40:])
    with pytest.raises(ValueError, match="categories = 3: give category"):
        model(pos, batch)
    with pytest.raises(ValueError, match="categories = 0: this network takes no category"):
        build("mgic_diffgcn_seg")(pos, batch, category=category)
    with pytest.raises(ValueError, match="categories = -1"):
        create_model("diffgcn_seg", categories=-1)


def test_features_beside_coordinates() -> None:
    model = build("mgic_diffgcn_seg", in_channels=2)
    pos, batch = clouds()
    x = torch.rand(120, 2)
    torch.testing.assert_close(model(pos, batch, x=x), model(torch.cat([pos, x], dim=1), batch))


@ALL
def test_weights_travel(name: str, tmp_path: Any) -> None:
    options = {"width": 32, "k": 6}
    info = WeightsInfo(name, options, tuple("abcde"), 40, "point_segmentation")
    path = tmp_path / "model.safetensors"
    save_weights(path, build(name), info)
    assert read_weights_info(path) == info


@pytest.mark.parametrize("format", [".pt2", ".onnx"])
def test_export(format: str, tmp_path: Any) -> None:
    if format == ".onnx":
        pytest.importorskip("onnxruntime")
    model = build("mgic_diffgcn_seg", width=8, coarsest=4, group_size=2)
    info = WeightsInfo("mgic_diffgcn_seg", {}, tuple("abcde"), 48, "point_segmentation")
    report = mgic_geo.export(model, tmp_path / f"model{format}", info=info)
    assert report.info.output == (None, None, 5)
    exported = mgic_geo.export.load_exported(report.path)
    pos = clouds()[0].view(3, 40, 3)
    with torch.no_grad():
        expected = model(pos)
    torch.testing.assert_close(torch.from_numpy(exported(pos.numpy())), expected, rtol=0, atol=1e-4)


def test_what_is_not_exported(tmp_path: Any) -> None:
    with pytest.raises(mgic_geo.export.ExportError, match="categories = 3"):
        mgic_geo.export(build("diffgcn_seg", categories=3), tmp_path / "model.onnx")
    with pytest.raises(mgic_geo.export.ExportError, match="int8 is for networks with one class"):
        mgic_geo.export(
            build("diffgcn_seg"),
            tmp_path / "m.onnx",
            quantized="int8",
            samples=torch.rand(2, 40, 3),
        )
