"""timm's habits, on every network of the registry."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mgic_geo.errors import CheckpointError
from mgic_geo.models import (
    FeatureMaps,
    create_model,
    list_models,
    list_weights,
    load_model,
    model_task,
)
from mgic_geo.testing import random_clouds

SMALL: dict[str, Any] = {
    "points": {"width": 16, "k": 4},
    "fusion": {
        "width": 8,
        "image": "resnet20",
        "point_options": {"width": 16, "k": 4},
        "view_size": 16,
    },
}
# One of each class and kind of last layer; the others differ in their blocks alone.
NAMES = ["mgic_diffgcn", "dgcnn", "fusion_classifier", "mgic_resnet20", "mgic_mobilenetv3_small"]
NAMES += ["ghostnet", "lraspp_mgic_small", "mgic_pyramid"]


def build(name: str, **kwargs: Any) -> nn.Module:
    return create_model(name, **{**SMALL.get(model_task(name), {}), **kwargs}).eval()


def example(name: str) -> Tensor:
    if model_task(name) in ("points", "fusion"):
        return torch.rand(2, 24, 3) - 0.5
    return torch.rand(2, 3, 32, 32)


@pytest.mark.parametrize("name", NAMES)
def test_reset_classifier_changes_the_last_layer_alone(name: str) -> None:
    model = build(name, num_classes=5).double()
    x = example(name).double()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    body = model.forward_features(x)
    model.reset_classifier(7)
    assert model.num_classes == 7
    assert model(x).shape[1] == 7
    torch.testing.assert_close(model.forward_features(x), body, rtol=0, atol=0)
    last = {id(p) for p in model.get_classifier().parameters()}
    for key, parameter in model.named_parameters():
        changed = parameter.shape != before[key].shape
        assert changed == (id(parameter) in last), key
    assert all(p.dtype == torch.float64 for p in model.get_classifier().parameters())
    twin = build(name, num_classes=7).double()
    twin.load_state_dict(model.state_dict())  # as if it had been built so


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("lraspp")])
def test_without_a_classifier(name: str) -> None:
    model = build(name, num_classes=5)
    model.reset_classifier(0)
    x = example(name)
    pooled = model(x)
    assert isinstance(model.get_classifier(), nn.Identity)
    assert pooled.shape == (2, model.head_hidden_size)
    model.reset_classifier(3)
    assert model(x).shape == (2, 3)
    with pytest.raises(ValueError, match="num_classes = -1: it must be at least 0"):
        model.reset_classifier(-1)


def test_a_segmenter_needs_a_class() -> None:
    model = build("lraspp_mgic_small", num_classes=2)
    assert set(model.get_classifier()) == {"low_classifier", "high_classifier"}
    with pytest.raises(ValueError, match="num_classes = 0: it must be at least 1"):
        model.reset_classifier(0)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "fusion_classifier"])
def test_features_only(name: str) -> None:
    torch.manual_seed(0)
    whole = build(name)
    torch.manual_seed(0)
    maps_of = build(name, features_only=True)
    assert isinstance(maps_of, FeatureMaps)
    x = example(name)
    seen: dict[str, Tensor] = {}
    for path in maps_of.feature_info.module_name():
        module = whole.get_submodule(path)
        module.register_forward_hook(lambda _, __, out, path=path: seen.update({path: out}))
    whole(x)
    maps, info = maps_of(x), maps_of.feature_info
    assert len(maps) == len(info.channels()) == len(info.reduction())
    for path, found, channels, reduction in zip(
        info.module_name(), maps, info.channels(), info.reduction(), strict=True
    ):
        torch.testing.assert_close(found.reshape(seen[path].shape), seen[path])
        if x.dim() == 4:
            assert found.shape == (2, channels, *(-(-s // reduction) for s in x.shape[2:]))
        else:
            # a pyramid has nodes in rows, and no grid of less than 16
            nodes = (48,) if reduction == 1 else (32,)
            assert found.shape in ((2, 24, channels), (*nodes, channels))
    some = build(name, features_only=True, out_indices=[-1, 0])
    assert some.feature_info.channels() == [info.channels()[-1], info.channels()[0]]
    assert [m.shape for m in some(x)] == [maps[-1].shape, maps[0].shape]


def test_features_of_clouds_in_rows() -> None:
    model = build("mgic_diffgcn", features_only=True, out_indices=(1,))
    pos, batch = random_clouds(2, 24)
    (rows,) = model(pos, batch)
    (clouds,) = model(pos.view(2, 24, 3))
    assert torch.equal(rows.view(2, 24, -1), clouds)


def test_features_that_are_not_there() -> None:
    with pytest.raises(ValueError, match="FusionClassifier has no maps"):
        build("fusion_classifier", features_only=True)
    for indices in ([3], []):
        with pytest.raises(ValueError, match=r"there are maps 0 to 2"):
            create_model("resnet20", features_only=True, out_indices=indices)


def test_pretrained() -> None:
    names = list_models(pretrained=True)
    assert "mgic_diffgcn" in names
    assert set(names) <= set(list_models())
    assert list_models("mgic_*", "points", pretrained=True) == [
        name for name in names if name.startswith("mgic_") and model_task(name) == "points"
    ]
    trained, info = load_model()
    again = create_model(info.model, pretrained=True)
    assert all(torch.equal(t, again.state_dict()[name]) for name, t in trained.state_dict().items())
    other = create_model(info.model, pretrained=True, num_classes=3)
    new = {f"fc.{leaf}" for leaf in ("weight", "bias")}
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, trained.state_dict()[name]) if name not in new else True
    assert other.fc.out_features == 3


def test_pretrained_refusals() -> None:
    with pytest.raises(CheckpointError, match=r"dgcnn: no weights are shipped .* for mgic_diffgcn"):
        create_model("dgcnn", pretrained=True)
    with pytest.raises(CheckpointError, match="weights of another model"):
        create_model("mgic_diffgcn", pretrained=True, width=32)


@pytest.mark.parametrize("name", list_weights())
def test_load_model_for_other_classes(name: str) -> None:
    trained, info = load_model(name)
    model, changed = load_model(name, num_classes=4)
    assert changed.classes == ("0", "1", "2", "3")
    assert model.num_classes == 4
    last = {id(p) for p in model.get_classifier().parameters()}
    for key, parameter in model.named_parameters():
        if id(parameter) not in last:
            assert torch.equal(parameter, trained.get_parameter(key))
    same, kept = load_model(name, num_classes=len(info.classes))
    assert kept == info
    assert all(torch.equal(a, b) for a, b in zip(same.parameters(), trained.parameters()))
