from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mgic_geo
from mgic_geo.errors import DataError
from mgic_geo.models import (
    FusionClassifier,
    WeightsInfo,
    create_model,
    describe_model,
    list_models,
    load_model,
    model_task,
    save_weights,
)
from mgic_geo.nn import BatchNorm
from mgic_geo.profiling import profile_model, profile_point_model
from mgic_geo.testing import assert_permutation_equivariant, random_clouds, randomize_norms
from mgic_geo.transforms import render_depth

SNAPSHOT = Path(__file__).with_name("snapshot_fusion.json")
SMALL: dict[str, Any] = {
    "point": "mgic_diffgcn",
    "image": "resnet20",
    "width": 32,
    "point_options": {"width": 16, "k": 6, "coarsest": 8},
    "image_options": {"width": 8},
}


def build(**options: Any) -> FusionClassifier:
    """A small model in evaluation mode whose every branch has a say."""
    model = create_model("fusion_classifier", **{"num_classes": 5, **SMALL, **options})
    assert isinstance(model, FusionClassifier)
    return randomize_norms(model).eval()


def clouds(num_clouds: int = 3, ragged: bool = False) -> tuple[Tensor, Tensor]:
    pos, batch = random_clouds(num_clouds, 40, ragged=ragged)
    return 2 * pos - 1, batch


def photos(num_clouds: int = 3, views: int = 2) -> Tensor:
    return torch.rand(num_clouds, views, 3, 16, 20, generator=torch.Generator().manual_seed(1))


def test_it_is_registered_as_neither_points_nor_images() -> None:
    assert list_models(task="fusion") == ["fusion_classifier"]
    assert model_task("fusion_classifier") == "fusion"
    assert describe_model("fusion_classifier").endswith(".")
    assert isinstance(create_model("fusion_classifier"), FusionClassifier)


def test_forms_of_input_agree() -> None:
    model = build()
    pos, batch = clouds()
    dense, views = pos.view(3, 40, 3), render_depth(pos, 3, 32, batch=batch)
    operators = model.prepare(pos, batch)
    with torch.no_grad():
        expected = model(pos, batch)
        assert expected.shape == (3, 5)
        for found in (
            model(dense),
            model(dense, operators=operators),
            model(pos, batch, views.expand(-1, -1, 3, -1, -1)),
            model(pos, batch, views.repeat(1, 1, 3, 1, 1), operators),
            model.forward_head(model.forward_features(pos, batch)),
            model.fc(model.forward_head(model.forward_features(pos, batch), pre_logits=True)),
        ):
            torch.testing.assert_close(found, expected)
        torch.testing.assert_close(model(pos[:40]), expected[:1])
        assert model.forward_features(dense).shape == (3, model.num_features)
        # photographs of another size and number than the rendered views
        assert not torch.allclose(model(dense, views=photos()), expected, rtol=0.01)


def test_rendering_follows_the_options() -> None:
    pos, batch = clouds(ragged=True)
    for options, shape in (
        ({}, (3, 3, 3, 32, 32)),
        ({"num_views": 5, "view_size": 16}, (3, 5, 3, 16, 16)),
        ({"image_options": {"width": 8, "in_chans": 1}}, (3, 3, 1, 32, 32)),
    ):
        model = build(**options)
        views = model.render(pos, batch)
        assert views.shape == shape
        assert torch.equal(views[:, :, :1], render_depth(pos, shape[1], shape[3], batch=batch))
        with torch.no_grad():
            assert torch.equal(model(pos, batch, views), model(pos, batch))


@pytest.mark.parametrize(("group_size", "coarsest"), [(8, 8), (4, 4), (8, 32)])
def test_every_joined_channel_depends_on_points_and_on_images(
    group_size: int, coarsest: int
) -> None:
    # from the start, and in training mode, where norms see to it that no ReLU is off for all clouds
    model = FusionClassifier(
        **{**SMALL, "width": 16, "group_size": group_size, "coarsest": coarsest}
    )
    pos, views = clouds(12)[0].view(12, 40, 3).requires_grad_(), photos(12).requires_grad_()
    pooled: dict[str, Tensor] = {}
    for kind in ("point", "image"):
        model.get_submodule(kind).register_forward_hook(
            lambda _, __, y, kind=kind: pooled.update({kind: y})
        )
    joined = model.forward_features(pos, views=views, operators=model.prepare(pos.detach()))
    assert joined.shape == (12, model.num_features)
    points, images = pooled["point"], pooled["image"]
    for channel in joined.unbind(1):
        # squares, as the sum over a normalised batch is constant
        grads = torch.autograd.grad(channel.square().sum(), (points, images), retain_graph=True)
        assert all(grad.any() for grad in grads)
    # and what was pooled, on each cloud and on each of its images
    seen = torch.autograd.grad(points.square().sum() + images.square().sum(), (pos, views))
    assert all(grad.flatten(1).any(dim=1).all() for grad in seen)


@pytest.mark.parametrize("pool", ["max", "mean"])
def test_points_and_views_have_no_order(pool: str) -> None:
    model = build(view_pool=pool)
    pos, batch = clouds(ragged=True)
    views = photos(views=4)
    with torch.no_grad():
        expected = model(pos, batch, views)
        torch.testing.assert_close(model(pos, batch, views.flip(1)), expected)
        twice = torch.cat([views, views], dim=1)
        torch.testing.assert_close(model(pos, batch, twice), expected)
        assert_permutation_equivariant(
            lambda pos: model(pos, batch), pos, batch=batch, invariant=True, rtol=1e-3, atol=1e-4
        )
        other = build(view_pool="mean" if pool == "max" else "max")(pos, batch, views)
        assert not torch.allclose(other, expected, rtol=1e-3)


def test_a_cloud_does_not_depend_on_its_batch() -> None:
    model = build()
    pos, batch = clouds(4, ragged=True)
    views = photos(4)
    with torch.no_grad():
        for given in (None, views):
            together = model(pos, batch, given)
            for i in range(4):
                own = None if given is None else given[i : i + 1]
                alone = model(pos[batch == i], views=own)[0]
                torch.testing.assert_close(alone, together[i], rtol=1e-3, atol=1e-4)


# each backbone of the registry once
PAIRS = [
    ("dgcnn", "mobilenetv3_small"),
    ("diffgcn", "mgic_resnet56"),
    ("mgic_edgeconv", "mgic_mobilenetv3_small"),
    ("mgic_diffgcn", "ghost_resnet56"),
]


@pytest.mark.parametrize(("point", "image"), PAIRS)
def test_any_backbones_can_be_joined(point: str, image: str) -> None:
    options = {"width_mult": 0.5} if "mobilenet" in image else {"width": 8}
    model = build(point=point, image=image, image_options=options, view_size=32)
    pos, batch = clouds()
    with torch.no_grad():
        assert model(pos, batch).isfinite().all()
        assert model(pos, batch).std(0).min() > 0.0
    model.train()(pos, batch).square().sum().backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


@pytest.mark.parametrize("point", list_models(task="points"))
def test_fused_models_are_the_same(point: str) -> None:
    model = build(point=point)
    pos, batch = clouds()
    fused = mgic_geo.fuse(model)
    assert not any(isinstance(m, BatchNorm) for m in fused.modules())
    with torch.no_grad():
        for views in (None, photos()):
            expected = model(pos, batch, views)
            torch.testing.assert_close(fused(pos, batch, views), expected, rtol=1e-5, atol=1e-5)
            assert expected.std(0).min() > 1e-3  # or the comparison would say nothing


def test_weights_travel(tmp_path: Path) -> None:
    model, file = build(), tmp_path / "model.safetensors"
    info = WeightsInfo("fusion_classifier", SMALL, tuple("abcde"), 40, "fusion", 32)
    save_weights(file, model, info)
    loaded, found = load_model(file)
    assert found == info
    pos, batch = clouds()
    with torch.no_grad():
        assert torch.equal(loaded(pos, batch), model(pos, batch))


def test_compiles_without_graph_breaks() -> None:
    torch._dynamo.reset()
    model = build()
    pos, batch = clouds()
    arguments = {"operators": model.prepare(pos, batch)}
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    pos = pos.view(3, 40, 3)
    with torch.no_grad():  # the rendering is part of it
        torch.testing.assert_close(compiled(pos, **arguments), model(pos, **arguments))


def test_counts_are_the_sum_of_the_parts() -> None:
    model = build()
    pos, views = clouds()[0].view(3, 40, 3), photos()
    operators = model.prepare(pos)
    whole = profile_model(model, pos, views=views, operators=operators)
    parts = [
        *profile_model(model.point, pos, operators=operators),
        *profile_model(model.image, views.flatten(0, 1)),
    ]
    own = [layer for layer in whole if layer.name.split(".")[0] not in ("point", "image")]
    for key in ("parameters", "macs", "graph_macs"):
        total = sum(getattr(layer, key) for layer in whole)
        assert total == sum(getattr(layer, key) for layer in parts + own)
    # the point features are 16 wide, the image features 32, and each joins 32 channels of 3 clouds
    named = {layer.name: layer.macs for layer in whole}
    assert named["point_norm.pointwise"] == 3 * 16 * 32
    assert named["image_norm.pointwise"] == 3 * 32 * 32
    found = profile_point_model("fusion_classifier", 40, num_classes=5, **SMALL)
    assert sum(layer.parameters for layer in found) == sum(p.numel() for p in model.parameters())


def test_without_classes_the_features_come_out() -> None:
    model = build(num_classes=0)
    assert isinstance(model.fc, nn.Identity)
    with torch.no_grad():
        assert model(*clouds()).shape == (3, model.num_features)
        assert torch.equal(model(*clouds()), model.forward_features(*clouds()))


def test_wrong_names_and_options_are_named() -> None:
    for options, message in [
        ({"point": "resnet20"}, "point = 'resnet20' is no model of points; use dgcnn, diffgcn"),
        ({"image": "dgcnn"}, "image = 'dgcnn' is no model of images; use .*resnet20"),
        ({"point": "pointnet"}, "point = 'pointnet' is no model of points"),
        ({"point_options": 3}, "point_options = 3: give a value to each option by name"),
        ({"point_options": {"depth": 3}}, "mgic_diffgcn: .*'depth'"),
        ({"image_options": {"num_classes": 3}}, "image_options has num_classes"),
        ({"num_classes": -1}, "num_classes = -1: it must be at least 0"),
        ({"width": 0}, "width = 0: it must be at least 1"),
        ({"num_views": 0}, "num_views = 0: it must be at least 1"),
        ({"view_size": 0}, "view_size = 0: it must be at least 1"),
        ({"view_pool": "sum"}, "view_pool = 'sum': use one of"),
        ({"group_size": 0}, "group_size = 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            build(**options)


def test_wrong_inputs_are_named() -> None:
    model = build()
    pos, batch = clouds()
    for views, message in [
        (photos()[:, 0], r"views must be \[B, V, C, H, W\], got \[3, 3, 16, 20\]"),
        (photos()[:, :0], r"views must be \[B, V, C, H, W\], got \[3, 0"),
        (photos(2), "there are views of 2 clouds, but 3"),
        (photos()[:, :, :2], r"x must be \[B, 3, H, W\], got \[6, 2"),
        (photos()[..., :2], "images of 16 x 2 are smaller"),
    ]:
        with pytest.raises(ValueError, match=message):
            model(pos, batch, views)
    with pytest.raises(DataError, match=r"pos must be \[B, n, 3\].*got \[3, 40, 2\]"):
        model(pos.view(3, 40, 3)[..., :2])


def test_snapshot() -> None:
    # what stored weights rely on, in digests; MGIC_GEO_SNAPSHOT=write accepts new ones
    with torch.device("meta"):
        model = create_model("fusion_classifier")
    parts: dict[str, Any] = {}
    for key, value in model.state_dict().items():
        part = parts.setdefault(key.partition(".")[0], hashlib.sha256())
        part.update(f"{key} {list(value.shape)}".encode())
    found: dict[str, Any] = {part: digest.hexdigest()[:12] for part, digest in parts.items()}
    found["parameters"] = sum(p.numel() for p in model.parameters())
    if os.environ.get("MGIC_GEO_SNAPSHOT") == "write":
        SNAPSHOT.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    assert found == json.loads(SNAPSHOT.read_text("utf-8"))
