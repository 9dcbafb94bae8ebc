from __future__ import annotations

import copy
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mgic_geo
from mgic_geo.errors import CheckpointError
from mgic_geo.models import (
    LRASPP,
    ImageClassifier,
    create_model,
    dense_twin,
    list_models,
    load_state,
    save_weights,
)
from mgic_geo.models.weights import WeightsInfo, load_model
from mgic_geo.nn import MGIC, BatchNorm
from mgic_geo.profiling import profile_model
from mgic_geo.testing import assert_full_coupling, randomize_norms

SNAPSHOT = Path(__file__).with_name("snapshot_images.json")
CLASSIFIERS = list_models(task="images")
NAMES = CLASSIFIERS + list_models(task="segmentation")
ALL = pytest.mark.parametrize("name", NAMES)
CLASSES = 5


def small(name: str) -> dict[str, Any]:
    """Options that keep a model's form and make it quick."""
    options: dict[str, Any] = {"num_classes": CLASSES}
    if name.endswith("resnet50"):
        options["width"] = 16
        if "mgic" in name:
            options |= {"group_size": 8, "coarsest": 16}
    elif "mobilenet" in name or "lraspp" in name or name == "ghostnet":
        options["width_mult"] = 0.5
        if "mgic" in name:
            options |= {"group_size": 8, "coarsest": 24}
    return options


def build(name: str, **options: Any) -> nn.Module:
    """A small model in evaluation mode whose every branch has a say."""
    torch.manual_seed(0)
    model = create_model(name, **{**small(name), **options})
    return tame(randomize_norms(model)).eval()


def tame(model: nn.Module) -> nn.Module:
    """Scales norms down, so that random statistics do not blow up over many layers."""
    for norm in model.modules():
        if isinstance(norm, BatchNorm):
            norm.weight.data.mul_(0.5)
    return model


def images(batch: int = 2, height: int = 32, width: int = 32, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, channels, height, width, generator=generator)


def test_the_image_models_are_registered() -> None:
    assert {
        *("resnet20", "resnet32", "resnet56", "mgic_resnet56", "ghost_resnet56", "resnet50"),
        *("mgic_resnet50", "mobilenetv2", "mobilenetv3_large", "mobilenetv3_small", "ghostnet"),
        *("mgic_mobilenetv3", "mgic_mobilenetv3_small", "lraspp_mobilenetv3_large"),
        *("lraspp_mobilenetv3_small", "lraspp_mgic_large", "lraspp_mgic_small"),
    } <= set(NAMES)
    for name in NAMES:
        assert (dense_twin(name) in NAMES) == ("mgic" in name or name == "ghost_resnet56")


@ALL
def test_every_parameter_has_a_gradient(name: str) -> None:
    model = build(name).train()
    model(images(4, 64, 64)).square().mean().backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []
    assert all(p.grad.isfinite().all() for p in model.parameters())


@ALL
def test_odd_sizes_and_a_batch_of_one(name: str) -> None:
    model, x = build(name), images(1, 33, 47)
    expected = (1, CLASSES, 33, 47) if isinstance(model, LRASPP) else (1, CLASSES)
    with torch.no_grad():
        assert model(x).shape == expected
        # an image's result does not depend on its batch
        more = torch.cat([x, images(2, 33, 47).flip(0)])
        torch.testing.assert_close(model(more)[:1], model(x), rtol=1e-4, atol=1e-5)


@ALL
def test_feature_maps_are_as_announced(name: str) -> None:
    model = build(name)
    backbone = model.backbone if isinstance(model, LRASPP) else model
    assert isinstance(backbone, ImageClassifier)
    with torch.no_grad():
        maps = backbone.forward_intermediates(images(1, 65, 96))
        for found, info in zip(maps, backbone.feature_info, strict=True):
            size = [-(-side // info["reduction"]) for side in (65, 96)]
            assert list(found.shape) == [1, info["num_chs"], *size]
            assert backbone.get_submodule(info["module"]) in list(backbone.stages)
        chosen = backbone.forward_intermediates(images(1, 65, 96), [-1, 0])
        assert torch.equal(chosen[0], maps[-1])
        assert torch.equal(chosen[1], maps[0])
        features = backbone.forward_features(images(1, 65, 96))
        assert features.shape[:2] == (1, backbone.num_features)
        if not isinstance(model, LRASPP):
            x = images()
            hidden = model.forward_head(model.forward_features(x), pre_logits=True)
            assert hidden.shape == (2, model.head_hidden_size)
            assert torch.equal(model.fc(hidden), model(x))


@ALL
def test_channels_last_gives_the_same(name: str) -> None:
    model, x = build(name), images(2, 40, 40)
    with torch.no_grad():
        expected = model(x)
        last = model.to(memory_format=torch.channels_last)
        found = last(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@ALL
def test_fused_models_are_the_same(name: str) -> None:
    model, x = build(name), images(2, 40, 40)
    before = copy.deepcopy(model.state_dict())
    fused = mgic_geo.fuse(model)
    assert not any(isinstance(m, BatchNorm) for m in fused.modules())
    with torch.no_grad():
        expected = model(x)
        for form in (x, x.contiguous(memory_format=torch.channels_last)):
            torch.testing.assert_close(fused(form), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 1e-3  # or the comparison would say nothing
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@ALL
def test_weights_travel(name: str, tmp_path: Path) -> None:
    model, file = build(name), tmp_path / "model.safetensors"
    options = {key: value for key, value in small(name).items() if key != "num_classes"}
    save_weights(file, model, WeightsInfo(name, options, tuple("abcde"), 0))
    loaded, info = load_model(file)
    assert info.model == name
    with torch.no_grad():
        assert torch.equal(loaded(images()), model(images()))
    with pytest.raises(CheckpointError, match="weights of another model"):
        load_state(create_model("dgcnn"), file)


# the deep ones take torch half a minute each
QUICK = {"resnet20", "mgic_mobilenetv3_small"}


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]
)
def test_compiles_without_graph_breaks(name: str) -> None:
    torch._dynamo.reset()
    model, x = build(name), images(2, 40, 40)
    for module in (model, mgic_geo.fuse(model)):
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        with torch.no_grad():
            torch.testing.assert_close(compiled(x), module(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_without_classes_the_features_come_out(name: str) -> None:
    model = build(name, num_classes=0)
    assert isinstance(model.fc, nn.Identity)
    with torch.no_grad():
        assert model(images()).shape == (2, model.head_hidden_size)


@ALL
def test_other_inputs(name: str) -> None:
    with torch.no_grad():
        assert build(name, in_chans=1)(images(channels=1)).isfinite().all()
    backbone = getattr(build(name), "backbone", build(name))
    least = backbone.reduction
    for x, message in [
        (images(channels=4), r"x must be \[B, 3, H, W\], got \[2, 4, 32, 32\]"),
        (images()[0], r"x must be \[B, 3, H, W\]"),
        (images(2, least - 1, 64), f"images of {least - 1} x 64 .* need {least} x {least}"),
    ]:
        with pytest.raises(ValueError, match=message):
            build(name)(x)
    with pytest.raises(ValueError, match="num_classes = -1"):
        build(name, num_classes=-1)


def count(name: str, side: tuple[int, int], **options: Any) -> tuple[int, int, int]:
    """Parameters, MACs, and MACs without R and P."""
    with torch.device("meta"):
        model = create_model(name, **options).eval()
        lines = profile_model(model, torch.empty(1, 3, *side))
    transfers = sum(ln.macs for ln in lines if ln.kind in ("Restriction", "Prolongation"))
    macs = sum(ln.macs for ln in lines)
    return sum(ln.parameters for ln in lines), macs, macs - transfers


@pytest.mark.parametrize(
    ("name", "side", "options", "millions"),
    [
        ("resnet56", (32, 32), {}, (0.853, 125.5, 125.5)),
        ("resnet50", (224, 224), {}, (25.56, 4089, 4089)),
        ("mobilenetv2", (224, 224), {}, (3.505, 300.8, 300.8)),
        ("mobilenetv2", (224, 224), {"width_mult": 1.4}, (6.109, 582.2, 582.2)),
        ("mobilenetv3_large", (224, 224), {}, (5.48, 216.6, 216.6)),
        ("ghostnet", (224, 224), {}, (5.18, 141.2, 141.2)),
        ("lraspp_mobilenetv3_large", (1024, 2048), {}, (1.505, 9592, 9592)),
        ("lraspp_mobilenetv3_small", (1024, 2048), {}, (0.467, 2953, 2953)),
        ("mgic_resnet56", (32, 32), {}, (0.310, 75.9, 74.9)),
        ("mgic_resnet56", (32, 32), {"group_size": 16, "coarsest": 64}, (0.877, 128.0, 128.0)),
        (
            "mgic_resnet44",
            (32, 32),
            {"norm": "none", "convs": 1, "widening": 4},
            (0.386, 53.38, 50.29),
        ),
        ("mgic_resnet20", (32, 32), {"cycle": "additive"}, (0.1064, 26.01, 25.35)),
        ("mgic_resnet50", (224, 224), {}, (6.24, 1619, 1367)),
        ("mgic_resnet50", (224, 224), {"group_size": 32}, (9.15, 2139, 1635)),
        ("mgic_resnet50", (224, 224), {"group_size": 64}, (14.96, 3179, 2171)),
    ],
    ids=str,
)
def test_counts_are_the_known_ones(
    name: str, side: tuple[int, int], options: dict[str, Any], millions: tuple[float, ...]
) -> None:
    for found, expected in zip(count(name, side, **options), millions, strict=True):
        assert found / 1e6 == pytest.approx(expected, rel=2e-3)


FORMS: dict[str, dict[str, Any]] = {
    "no norm": {"norm": "none"},
    "one convolution, wider": {"norm": "none", "convs": 1, "widening": 4},
    "ReLU first": {"convs": 1, "act_first": True},
    "separable": {"fine": "separable", "group_size": 16, "width": 32},
    "grouped, pairs": {"transition": "grouped", "transfers": "pairs"},
    "additive": {"cycle": "additive"},
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_the_block_learn_everywhere_and_couple_all_channels(form: str) -> None:
    torch.manual_seed(0)
    model = create_model("mgic_resnet20", num_classes=CLASSES, **FORMS[form])
    model = randomize_norms(model).train()
    model(images(4)).square().mean().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    block = model.stages[2][1].eval()
    width = model.num_features
    assert_full_coupling(block, images(2, 8, 8, width), channel_axis=1)
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(
            mgic_geo.fuse(model)(images()), model(images()), rtol=1e-3, atol=1e-4
        )


def test_unknown_forms_are_named() -> None:
    for name in ("fine", "cycle", "transition", "transfers"):
        with pytest.raises(ValueError, match=f"{name} = 'other': use '"):
            create_model("mgic_resnet20", **{name: "other"})


def test_the_released_rule_has_one_level_more() -> None:
    text, released = (create_model("mgic_resnet56", extra_level=extra) for extra in (False, True))
    for model, levels in ((text, {16: 1, 32: 2, 64: 3}), (released, {16: 2, 32: 3, 64: 4})):
        for block in model.modules():
            if isinstance(block, MGIC):
                assert len(block.blocks) == levels[block.channels]


def describe(name: str) -> dict[str, Any]:
    with torch.device("meta"):
        model = create_model(name)
    parts: dict[str, Any] = {}
    for key, value in model.state_dict().items():
        part = ".".join(key.split(".")[:2])
        parts.setdefault(part, hashlib.sha256()).update(f"{key} {list(value.shape)}".encode())
    state = {part: digest.hexdigest()[:12] for part, digest in parts.items()}
    return {"parameters": sum(p.numel() for p in model.parameters()), "state": state}


def test_snapshot() -> None:
    # digests of names and shapes that weights rely on; MGIC_GEO_SNAPSHOT=write accepts new ones
    found = {name: describe(name) for name in NAMES}
    if os.environ.get("MGIC_GEO_SNAPSHOT") == "write":
        SNAPSHOT.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    assert found == json.loads(SNAPSHOT.read_text("utf-8"))
