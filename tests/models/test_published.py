from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from mgic_geo.errors import CheckpointError
from mgic_geo.models import (
    LRASPP,
    LoadReport,
    WeightsInfo,
    create_model,
    load_model,
    load_published,
    save_weights,
)
from mgic_geo.models._tables import make_divisible
from mgic_geo.nn import BatchNorm
from mgic_geo.testing import randomize_norms


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """The layers are so small that threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# Plain networks after the papers' tables, whose modules are named as the libraries name theirs.


def conv(channels: int, out: int, size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, out, size, stride, size // 2, groups=groups, bias=False)


class PlainResidual(nn.Module):
    def __init__(self, layers: list[nn.Conv2d], shortcut: nn.Module | None) -> None:
        super().__init__()
        self.depth = len(layers)
        for i, layer in enumerate(layers, 1):
            self.add_module(f"conv{i}", layer)
            self.add_module(f"bn{i}", nn.BatchNorm2d(layer.out_channels))
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i in range(1, self.depth + 1):
            y = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(y))
            if i < self.depth:
                y = y.relu()
        if self.downsample is not None:
            x = self.downsample(x)
        elif x.shape != y.shape:
            pad = (y.size(1) - x.size(1)) // 2
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, pad, pad))
        return (x + y).relu()


class PlainResNet(nn.Module):
    """ResNet-50, or one for CIFAR with ``depths`` of three numbers."""

    def __init__(self, width: int, depths: list[int], last: str = "fc", classes: int = 5) -> None:
        super().__init__()
        self.large = len(depths) == 4
        self.last = last
        self.stages = len(depths)
        self.conv1 = conv(3, width, 7, 2) if self.large else conv(3, width, 3)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        for i, depth in enumerate(depths):
            blocks = []
            for j in range(depth):
                planes, stride = width * 2**i, 2 if i and not j else 1
                out, shortcut = planes * 4 if self.large else planes, None
                layers = [conv(channels, planes, 3, stride), conv(planes, planes, 3)]
                if self.large:
                    layers = [conv(channels, planes, 1), conv(planes, planes, 3, stride)]
                    layers.append(conv(planes, out, 1))
                    if not j:
                        shortcut = conv(channels, out, 1, stride)
                        shortcut = nn.Sequential(shortcut, nn.BatchNorm2d(out))
                blocks.append(PlainResidual(layers, shortcut))
                channels = out
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.add_module(last, nn.Linear(channels, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        x = F.max_pool2d(x, 3, 2, 1) if self.large else x
        for i in range(self.stages):
            x = self.get_submodule(f"layer{i + 1}")(x)
        return self.get_submodule(self.last)(x.mean(dim=(2, 3)))


# kernel, wide, out, squeeze-excite, h-swish, stride
SMALL = [
    *[(3, 16, 16, 1, 0, 2), (3, 72, 24, 0, 0, 2), (3, 88, 24, 0, 0, 1), (5, 96, 40, 1, 1, 2)],
    *[(5, 240, 40, 1, 1, 1), (5, 240, 40, 1, 1, 1), (5, 120, 48, 1, 1, 1), (5, 144, 48, 1, 1, 1)],
    *[(5, 288, 96, 1, 1, 2), (5, 576, 96, 1, 1, 1), (5, 576, 96, 1, 1, 1)],
]
LARGE = [
    *[(3, 16, 16, 0, 0, 1), (3, 64, 24, 0, 0, 2), (3, 72, 24, 0, 0, 1), (5, 72, 40, 1, 0, 2)],
    *[(5, 120, 40, 1, 0, 1), (5, 120, 40, 1, 0, 1), (3, 240, 80, 0, 1, 2), (3, 200, 80, 0, 1, 1)],
    *[(3, 184, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1), (3, 480, 112, 1, 1, 1)],
    *[(3, 672, 112, 1, 1, 1), (5, 672, 160, 1, 1, 2), (5, 960, 160, 1, 1, 1)],
    (5, 960, 160, 1, 1, 1),
]
# blocks in each of timm's stages
SMALL_STAGES = (1, 2, 3, 2, 3)
LARGE_STAGES = (1, 2, 3, 4, 2, 3)
GHOST = [
    *[(3, 16, 16, 0, 1), (3, 48, 24, 0, 2), (3, 72, 24, 0, 1), (5, 72, 40, 1, 2)],
    *[(5, 120, 40, 1, 1), (3, 240, 80, 0, 2), (3, 200, 80, 0, 1), (3, 184, 80, 0, 1)],
    *[(3, 184, 80, 0, 1), (3, 480, 112, 1, 1), (3, 672, 112, 1, 1), (5, 672, 160, 1, 2)],
    *[(5, 960, 160, 0, 1), (5, 960, 160, 1, 1), (5, 960, 160, 0, 1), (5, 960, 160, 1, 1)],
]
GHOST_STAGES = (1, 1, 1, 1, 1, 1, 5, 1, 4)
HALF = 0.5


class PlainSqueeze(nn.Module):
    def __init__(self, channels: int, names: tuple[str, str], divisor: int = 8) -> None:
        super().__init__()
        squeezed = make_divisible(channels / 4, divisor)
        self.names = names
        self.add_module(names[0], nn.Conv2d(channels, squeezed, 1))
        self.add_module(names[1], nn.Conv2d(squeezed, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        first, second = (self.get_submodule(name) for name in self.names)
        return x * F.hardsigmoid(second(first(x.mean(dim=(2, 3), keepdim=True)).relu()))


class TorchvisionBlock(nn.Module):
    def __init__(self, channels: int, row: tuple[int, ...]) -> None:
        super().__init__()
        size, wide, out, squeeze, swish, stride = row

        def layer(act: nn.Module, *args: int) -> nn.Module:
            kernel = conv(*args)
            return nn.Sequential(kernel, nn.BatchNorm2d(kernel.out_channels, 1e-3), act)

        act = nn.Hardswish() if swish else nn.ReLU()
        layers = [layer(act, channels, wide, 1)] if wide != channels else []
        layers.append(layer(act, wide, wide, size, stride, wide))
        if squeeze:
            layers.append(PlainSqueeze(wide, ("fc1", "fc2")))
        layers.append(layer(nn.Identity(), wide, out, 1))
        self.block = nn.Sequential(*layers)
        self.skip = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + x if self.skip else self.block(x)


class TimmBlock(nn.Module):
    def __init__(self, channels: int, row: tuple[int, ...]) -> None:
        super().__init__()
        size, wide, out, squeeze, swish, stride = row
        self.act = nn.Hardswish() if swish else nn.ReLU()
        self.expands = wide != channels
        self.skip = stride == 1 and channels == out
        if self.expands:
            self.conv_pw, self.bn1 = conv(channels, wide, 1), nn.BatchNorm2d(wide)
            self.conv_dw = conv(wide, wide, size, stride, wide)
            self.bn2, self.bn3 = nn.BatchNorm2d(wide), nn.BatchNorm2d(out)
            self.conv_pwl = conv(wide, out, 1)
        else:
            self.conv_dw = conv(wide, wide, size, stride, wide)
            self.bn1, self.bn2 = nn.BatchNorm2d(wide), nn.BatchNorm2d(out)
            self.conv_pw = conv(wide, out, 1)
        self.se = nn.Identity()
        if squeeze:
            self.se = PlainSqueeze(wide, ("conv_reduce", "conv_expand"))

    def forward(self, x: Tensor) -> Tensor:
        if self.expands:
            y = self.act(self.bn1(self.conv_pw(x)))
            y = self.bn3(self.conv_pwl(self.se(self.act(self.bn2(self.conv_dw(y))))))
        else:
            y = self.bn2(self.conv_pw(self.se(self.act(self.bn1(self.conv_dw(x))))))
        return y + x if self.skip else y


class PlainGhost(nn.Module):
    def __init__(self, channels: int, out: int, act: nn.Module) -> None:
        super().__init__()
        half = out // 2
        self.primary_conv = nn.Sequential(conv(channels, half, 1), nn.BatchNorm2d(half), act)
        cheap = conv(half, half, 3, groups=half)
        self.cheap_operation = nn.Sequential(cheap, nn.BatchNorm2d(half), act)

    def forward(self, x: Tensor) -> Tensor:
        x = self.primary_conv(x)
        return torch.cat([x, self.cheap_operation(x)], dim=1)


class GhostBlock(nn.Module):
    def __init__(self, channels: int, row: tuple[int, ...]) -> None:
        super().__init__()
        size, wide, out, squeeze, stride = row
        self.ghost1 = PlainGhost(channels, wide, nn.ReLU())
        self.ghost2 = PlainGhost(wide, out, nn.Identity())
        self.strided = stride == 2
        if self.strided:
            self.conv_dw, self.bn_dw = conv(wide, wide, size, 2, wide), nn.BatchNorm2d(wide)
        self.se = nn.Identity()
        if squeeze:
            self.se = PlainSqueeze(wide, ("conv_reduce", "conv_expand"), 4)
        self.shortcut = nn.Sequential()
        if self.strided or channels != out:
            self.shortcut = nn.Sequential(
                conv(channels, channels, size, stride, channels),
                nn.BatchNorm2d(channels),
                conv(channels, out, 1),
                nn.BatchNorm2d(out),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.ghost1(x)
        y = self.bn_dw(self.conv_dw(y)) if self.strided else y
        return self.ghost2(self.se(y)) + self.shortcut(x)


def widths(rows: list[tuple[int, ...]], divisor: int = 8) -> list[tuple[int, ...]]:
    """The table at half the width."""
    return [
        (k, make_divisible(wide * HALF, divisor), make_divisible(out * HALF, divisor), *rest)
        for k, wide, out, *rest in rows
    ]


class TorchvisionMobileNet(nn.Module):
    def __init__(self, rows: list[tuple[int, ...]], last: int, classes: int = 5) -> None:
        super().__init__()
        rows, channels = widths(rows), 8
        layers = [self.layer(3, channels, 3, 2)]
        for row in rows:
            layers.append(TorchvisionBlock(channels, row))
            channels = row[2]
        layers.append(self.layer(channels, rows[-1][1], 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(rows[-1][1], last), nn.Hardswish(), nn.Dropout(), nn.Linear(last, classes)
        )

    def layer(self, channels: int, out: int, *args: int) -> nn.Module:
        norm = nn.BatchNorm2d(out, 1e-3)
        return nn.Sequential(conv(channels, out, *args), norm, nn.Hardswish())

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean(dim=(2, 3)))


class TimmNet(nn.Module):
    """MobileNetV3 or GhostNet."""

    def __init__(
        self,
        block: Callable[[int, tuple[int, ...]], nn.Module],
        rows: list[tuple[int, ...]],
        stages: tuple[int, ...],
        act: nn.Module,
        last: int,
    ) -> None:
        super().__init__()
        self.conv_stem, self.bn1, self.act = conv(3, 8, 3, 2), nn.BatchNorm2d(8), act
        channels, left, made = 8, iter(rows), []
        for depth in stages:
            blocks = []
            for _ in range(depth):
                row = next(left)
                blocks.append(block(channels, row))
                channels = row[2]
            made.append(nn.Sequential(*blocks))
        wide = rows[-1][1]
        tail = OrderedDict(conv=conv(channels, wide, 1), bn1=nn.BatchNorm2d(wide), act=act)
        self.blocks = nn.Sequential(*made, nn.Sequential(nn.Sequential(tail)))
        self.conv_head = nn.Conv2d(wide, last, 1)
        self.classifier = nn.Linear(last, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.act(self.bn1(self.conv_stem(x))))
        x = self.act(self.conv_head(x.mean(dim=(2, 3), keepdim=True)))
        return self.classifier(x.flatten(1))


SWISH = nn.Hardswish()
# our model, its options, the plain network
CASES: dict[str, tuple[str, dict[str, Any], Callable[[], nn.Module]]] = {
    "cifar": ("resnet20", {"width": 8}, lambda: PlainResNet(8, [3, 3, 3], "linear")),
    "deeper": ("resnet32", {"width": 4}, lambda: PlainResNet(4, [5, 5, 5])),
    "resnet50": ("resnet50", {"width": 8}, lambda: PlainResNet(8, [3, 4, 6, 3])),
    "small": ("mobilenetv3_small", {}, lambda: TorchvisionMobileNet(SMALL, 1024)),
    "large": ("mobilenetv3_large", {}, lambda: TorchvisionMobileNet(LARGE, 1280)),
    "timm_small": (
        *("mobilenetv3_small", {}),
        lambda: TimmNet(TimmBlock, widths(SMALL), SMALL_STAGES, SWISH, 1024),
    ),
    "timm_large": (
        *("mobilenetv3_large", {}),
        lambda: TimmNet(TimmBlock, widths(LARGE), LARGE_STAGES, SWISH, 1280),
    ),
    "ghost": (
        *("ghostnet", {}),
        lambda: TimmNet(GhostBlock, widths(GHOST, 4), GHOST_STAGES, nn.ReLU(), 1280),
    ),
}


def plain(case: str) -> nn.Module:
    """In double precision, so that nothing hides behind rounding; every branch has a say."""
    model = randomize_norms(CASES[case][2]())
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return model.double().eval()


def options(case: str) -> dict[str, Any]:
    name, given, _ = CASES[case]
    return given if name.startswith("resnet") else {"width_mult": HALF}


def ours(case: str, **more: Any) -> nn.Module:
    model = create_model(CASES[case][0], **{"num_classes": 5, **options(case), **more})
    return model.double().eval()


def images() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, 40, 33, generator=generator, dtype=torch.float64)


def copy_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def unchanged(model: nn.Module, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def norms(model: nn.Module) -> list[BatchNorm]:
    return [module for module in model.modules() if isinstance(module, BatchNorm)]


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_twins_compute_the_same(case: str) -> None:
    source, model = plain(case), ours(case)
    report = load_published(model, source.state_dict(), strict=True)
    expected = source(images())
    assert expected.std(dim=0).max() > 1e-3 * expected.abs().max()  # the images make a difference
    torch.testing.assert_close(model(images()), expected, rtol=1e-9, atol=0)
    assert report.complete
    assert sorted(report.loaded) == sorted(model.state_dict())


@pytest.mark.parametrize(("case", "eps"), [("small", 1e-3), ("timm_small", 1e-5), ("ghost", 1e-5)])
def test_norms_take_over_what_they_add_to_variances(case: str, eps: float) -> None:
    model = ours(case)
    assert load_published(model, plain(case).state_dict()).eps == eps
    assert {norm.eps for norm in norms(model)} == {eps}


@torch.no_grad()
def test_folded_into_the_variances_it_travels(tmp_path: Path) -> None:
    source, model = plain("small"), ours("small")
    load_published(model, source.state_dict(), fold_eps=True)
    torch.testing.assert_close(model(images()), source(images()), rtol=1e-9, atol=0)
    assert {norm.eps for norm in norms(model)} == {1e-5}
    info = WeightsInfo(CASES["small"][0], options("small"), tuple("abcde"), task="images")
    save_weights(tmp_path / "w.safetensors", model.float(), info)
    again, _ = load_model(tmp_path / "w.safetensors")
    assert torch.equal(again(images().float()), model(images().float()))


@pytest.mark.parametrize("case", ["cifar", "small", "timm_small"])
def test_a_classifier_of_other_classes_stays(case: str) -> None:
    source, model = plain(case), ours(case, num_classes=7)
    before = copy_of(model.fc)
    wide = model.fc.in_features
    report = load_published(model, source.state_dict())
    assert set(report.mismatched) == {("fc.weight", (5, wide), (7, wide)), ("fc.bias", (5,), (7,))}
    assert not report.missing
    assert not report.unexpected
    assert unchanged(model.fc, before)
    assert len(report.loaded) == len(model.state_dict()) - 2
    whole = ours(case)
    load_published(whole, source.state_dict())
    with torch.no_grad():
        features = [m.forward_head(m.forward_features(images()), True) for m in (model, whole)]
    assert torch.equal(*features)


def test_strict_names_the_first_few_and_changes_nothing() -> None:
    model, state = ours("cifar", num_classes=7), plain("cifar").state_dict()
    del state["layer1.0.bn1.weight"], state["bn1.running_mean"], state["bn1.running_var"]
    del state["bn1.bias"]
    state["extra.weight"] = torch.zeros(1)
    before = copy_of(model)
    message = (
        r"not everything fits; .* 4 missing \(stem.norm.bias, stem.norm.running_mean, "
        r"stem.norm.running_var, ...\); 1 unexpected \(extra.weight\); "
        r"2 mismatched \(fc.weight \[5, 32\] for \[7, 32\], fc.bias \[5\] for \[7\]\)"
    )
    with pytest.raises(CheckpointError, match=message):
        load_published(model, state, strict=True)
    assert unchanged(model, before)
    report = load_published(model, state)
    assert "stages.0.0.convs.0.norm.weight" in report.missing
    assert report.unexpected == ("extra.weight",)
    assert not report.complete


def test_counters_are_not_missed() -> None:
    state = {k: v for k, v in plain("cifar").state_dict().items() if "num_batches" not in k}
    model = ours("cifar")
    assert load_published(model, state, strict=True).complete


def test_layers_are_loaded_whole_or_not_at_all() -> None:
    model, state = ours("cifar"), plain("cifar").state_dict()
    before = copy_of(model.stem.norm)
    report = load_published(model, {**state, "bn1.weight": torch.ones(9)})
    assert report.mismatched[0] == ("stem.norm.weight", (9,), (8,))
    assert {m.name.rpartition(".")[0] for m in report.mismatched} == {"stem.norm"}
    assert unchanged(model.stem.norm, before)
    assert torch.equal(model.stem.conv.weight, state["conv1.weight"])


def test_other_colours_leave_the_first_convolution() -> None:
    model = ours("resnet50", in_chans=1)
    report = load_published(model, plain("resnet50").state_dict())
    assert report.mismatched == (("stem.0.conv.weight", (8, 3, 7, 7), (8, 1, 7, 7)),)


def test_projected_shortcuts_are_told() -> None:
    state = plain("cifar").state_dict()
    state["layer2.0.downsample.0.weight"] = torch.zeros(16, 8, 1, 1)
    report = load_published(ours("cifar"), state)
    assert report.unexpected == ("layer2.0.downsample.0.weight",)


def test_other_depths_are_told() -> None:
    deep, shallow = (create_model(f"resnet{n}", width=4, num_classes=5) for n in (32, 20))
    states = {name: PlainResNet(4, [n] * 3).state_dict() for name, n in (("deep", 5), ("low", 3))}
    report = load_published(shallow, states["deep"])
    assert {name.rpartition(".bn")[0] for name in report.unexpected if ".bn" in name} == {
        f"layer3.{i}" for i in (0, 1, 2, 3, 4)
    } | {"layer2.4"}
    assert load_published(deep, states["low"]).missing


def lraspp_state(classes: int) -> dict[str, Tensor]:
    """Torchvision's at half the width: its last block is not halved, its details at stride 8."""
    features = TorchvisionMobileNet(LARGE, 8).features.state_dict()
    head = nn.ModuleDict(
        {
            "cbr": nn.Sequential(conv(480, 128, 1), nn.BatchNorm2d(128)),
            "scale": nn.Sequential(nn.Identity(), conv(480, 128, 1)),
            "low_classifier": nn.Conv2d(24, classes, 1),
            "high_classifier": nn.Conv2d(128, classes, 1),
        }
    ).state_dict()
    return {
        **{f"backbone.{name}": value for name, value in features.items()},
        **{f"classifier.{name}": value for name, value in head.items()},
    }


def test_what_differs_in_lraspp_is_told() -> None:
    model = create_model("lraspp_mobilenetv3_large", width_mult=HALF, num_classes=21)
    assert isinstance(model, LRASPP)
    state = lraspp_state(21)
    report = load_published(model, state)
    assert not report.missing
    assert not report.unexpected
    convs = [m for m in report.mismatched if len(m.theirs) == 4]
    assert ("low_classifier.weight", (21, 24, 1, 1), (21, 16, 1, 1)) in convs
    assert ("project.conv.weight", (128, 480, 1, 1), (128, 240, 1, 1)) in convs
    assert ("gate.0.weight", (128, 480, 1, 1), (128, 240, 1, 1)) in convs
    elsewhere = {m.name.rpartition(".")[0] for m in report.mismatched}
    elsewhere -= {"low_classifier", "project.conv", "gate.0"}
    # stages.3 ends with the last block, which is halved
    assert all(name.startswith(("backbone.stages.3.", "backbone.final")) for name in elsewhere)
    first = "backbone.stages.1.0.expand.conv.weight"
    assert torch.equal(model.state_dict()[first], state["backbone.2.block.0.0.weight"])
    assert "high_classifier.weight" in report.loaded
    assert model.backbone.stem.norm.eps == 1e-3
    assert model.project.norm.eps == 1e-5  # the head has the usual norm


@pytest.mark.parametrize("case", ["large", "timm_large"])
def test_a_classifier_serves_as_backbone_of_lraspp(case: str) -> None:
    model = create_model("lraspp_mobilenetv3_large", width_mult=HALF)
    report = load_published(model, plain(case).state_dict())
    assert "backbone.stages.2.2.project.norm.running_var" in report.loaded
    assert not [name for name in report.missing if name.startswith("backbone.")]
    heads = ("classifier.0", "classifier.3") if case == "large" else ("conv_head", "classifier")
    assert {name.rpartition(".")[0] for name in report.unexpected} == set(heads)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.module."])
@pytest.mark.parametrize("wrapper", ["", "state_dict", "model"])
def test_prefixes_and_wrappers(prefix: str, wrapper: str) -> None:
    state: dict[str, Any] = {prefix + k: v for k, v in plain("cifar").state_dict().items()}
    state = {"epoch": 3, wrapper: state} if wrapper else state
    assert load_published(ours("cifar"), state, strict=True).complete


def test_values_that_are_no_tensors_are_unexpected() -> None:
    state = {**plain("cifar").state_dict(), "epoch": 3}
    assert load_published(ours("cifar"), state).unexpected == ("epoch",)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pth.tar"])
def test_files(name: str, tmp_path: Path) -> None:
    source, file = plain("cifar"), tmp_path / name
    if file.suffix == ".safetensors":
        save_file(source.state_dict(), file)
    else:
        torch.save({"state_dict": source.state_dict(), "best_prec1": 91.5}, file)
    for path in (file, str(file)):
        model = ours("cifar")
        load_published(model, path, strict=True)
        with torch.no_grad():
            torch.testing.assert_close(model(images()), source(images()), rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("w.safetensors", b"what"),
        ("w.pth", b""),
        ("w.pth", b"what is this"),
        ("w.pth", b"PK\x03\x04 and no more"),
        ("w.pth", pickle.dumps(Path, protocol=2)),
    ],
    ids=["safetensors", "empty", "text", "cut", "class"],
)
def test_damaged_files(name: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{name}: damaged, or it holds more than tensors"):
        load_published(ours("cifar"), file)


def test_files_of_whole_models_are_not_run(tmp_path: Path) -> None:
    torch.save(ours("cifar"), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        load_published(ours("cifar"), tmp_path / "w.pth")


def test_unusable_files(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"w\.pth: no such file"):
        load_published(ours("cifar"), tmp_path / "w.pth")
    torch.save([torch.zeros(1)], tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"w\.pth: holds a list, not a state dict"):
        load_published(ours("cifar"), tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("model", "case", "message"),
    [
        ("mobilenetv3_small", "cifar", "need blocks of kind BasicBlock or Bottleneck, but stages"),
        ("resnet20", "timm_small", "kind InvertedResidual, but stages.0.0 is BasicBlock$"),
        ("mgic_resnet50", "resnet50", "stages.0.0 is MGIC; load them into its dense twin"),
        ("ghostnet", "timm_small", "kind InvertedResidual, but stages.0.0 is GhostBottleneck"),
        ("resnet20", "resnet50", "nothing fits"),
        ("pointnet", "resnet50", "use an image model of the registry"),
    ],
)
def test_other_models(model: str, case: str, message: str) -> None:
    made = create_model(model) if model != "pointnet" else nn.Linear(3, 5)
    before = copy_of(made)
    with pytest.raises(CheckpointError, match=message):
        load_published(made, plain(case).state_dict())
    assert unchanged(made, before)


def test_unknown_names() -> None:
    model = ours("cifar")
    with pytest.raises(CheckpointError, match=r"names of no known source \(a.weight\)"):
        load_published(model, {"a.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"names of no known source \(no tensors\)"):
        load_published(model, {})
    with pytest.raises(CheckpointError, match="this package's own; use load_model"):
        load_published(model, model.state_dict())


def test_reports_are_readable() -> None:
    report = LoadReport("a ResNet", ("a", "b"), (), ("c.weight",), (), 1e-5)
    assert str(report) == "a ResNet: 2 loaded; 1 unexpected (c.weight)"
    assert not report.complete
    assert str(LoadReport("a ResNet", ("a",), (), (), (), 1e-5)) == "a ResNet: 1 loaded"
