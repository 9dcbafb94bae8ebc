from __future__ import annotations

from pathlib import Path

import pytest
import torch

import mgic_geo
from mgic_geo.errors import CheckpointError
from mgic_geo.models import WeightsInfo, create_model, load_model, save_weights
from mgic_geo.testing import random_clouds

SMALL = {"width": 16, "k": 4}


@pytest.mark.parametrize("name", ["diffgcn", "mgic_diffgcn", "dgcnn", "mgic_edgeconv"])
def test_features_go_in_beside_the_coordinates(name: str) -> None:
    model = create_model(name, num_classes=3, in_channels=4, **SMALL).eval()
    plain = create_model(name, num_classes=3, **SMALL)
    more = {
        key: tensor.numel() - plain.state_dict()[key].numel()
        for key, tensor in model.state_dict().items()
    }
    assert {key for key, count in more.items() if count} == {
        key for key in more if key.startswith("stem.conv.") and key.endswith("weight")
    }
    pos, x = torch.randn(3, 20, 3), torch.randn(3, 20, 4)
    expected = model(pos, x=x)
    batch = torch.arange(3).repeat_interleave(20)
    for found in (
        model(torch.cat([pos, x], dim=2)),
        model(pos.flatten(0, 1), batch, x=x.flatten(0, 1)),
        model(pos, operators=model.prepare(pos), x=x),
        mgic_geo.fuse(model)(pos, x=x),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model(pos, x=x.flip(1)), expected)
    model.train()(pos, x=x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("batched", [True, False])
def test_parts_take_the_features_of_their_points(batched: bool) -> None:
    model = create_model("mgic_diffgcn", in_channels=2, part_size=16, **SMALL).eval()
    pos, x = torch.randn(1, 48, 3), torch.randn(1, 48, 2)
    whole = create_model("mgic_diffgcn", in_channels=2, **SMALL).eval()
    whole.load_state_dict(model.state_dict())
    parts = torch.cat([whole(pos[:, i::3], x=x[:, i::3]) for i in range(3)])
    batch = torch.zeros(48, dtype=torch.long)
    found = model(pos[0], batch, x=x[0]) if batched else model(pos, x=x)
    torch.testing.assert_close(found, parts.mean(dim=0, keepdim=True), rtol=1e-4, atol=1e-5)


def test_wrong_features_are_named() -> None:
    model, plain = create_model("mgic_diffgcn", in_channels=2, **SMALL), create_model("diffgcn")
    pos, _ = random_clouds(1, 20)
    for call, message in [
        (lambda: model(pos), "points have 0 features .* takes in_channels = 2"),
        (lambda: model(pos, x=pos), "points have 3 features .* takes in_channels = 2"),
        (lambda: plain(pos, x=pos), "points have 3 features .* takes in_channels = 0"),
        (lambda: model(pos, x=pos[:5, :2]), r"got \[5, 2\] and \[20, 3\]"),
        (lambda: create_model("diffgcn", in_channels=-1), "in_channels = -1: it must not be"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_weights_say_what_their_points_have(tmp_path: Path) -> None:
    model = create_model("mgic_diffgcn", num_classes=2, in_channels=3, **SMALL)
    info = WeightsInfo(
        "mgic_diffgcn", {**SMALL, "in_channels": 3}, ("a", "b"), 64, features=("normals",)
    )
    save_weights(tmp_path / "w.safetensors", model, info)
    assert load_model(tmp_path / "w.safetensors")[1] == info
    save_weights(
        tmp_path / "v.safetensors", model, WeightsInfo("x", {}, ("a",), features=("smell",))
    )
    with pytest.raises(CheckpointError, match="no feature 'smell'"):
        load_model(tmp_path / "v.safetensors")
