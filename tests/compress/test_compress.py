from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mgic_geo
from mgic_geo.compress import CompressReport
from mgic_geo.errors import DataError, MgicGeoError
from mgic_geo.nn import HierarchicalConv, HierarchicalLinear
from mgic_geo.profiling import profile_model


class Net(nn.Module):
    """Images to classes; one layer is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.wide = nn.Conv2d(16, 48, 3, stride=2, padding=1, padding_mode="reflect", bias=False)
        self.norm = nn.BatchNorm2d(48)
        self.again = nn.Conv2d(48, 48, 1)
        self.mix = nn.Linear(48, 64)
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.wide(self.stem(x).relu())).relu()
        x = self.again(self.again(x).relu()).relu()
        return self.fc(self.mix(x.mean(dim=(2, 3))).relu())


def _images(count: int = 16) -> Tensor:
    return torch.randn(count, 3, 8, 8)


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def _reasons(report: CompressReport) -> dict[str, str]:
    return {layer.name: layer.reason for layer in report.layers if not layer.replaced}


@pytest.mark.parametrize("start", ["fit", "layers", "random"])
def test_layers_are_replaced_and_counted(start: str) -> None:
    net, x = Net(), _images()
    slim, report = mgic_geo.compress(net, x, 8, 4, start=start)
    assert [layer.name for layer in report.replaced] == ["wide", "again", "mix"]
    assert isinstance(slim.get_submodule("wide"), HierarchicalConv)
    assert isinstance(slim.get_submodule("mix"), HierarchicalLinear)
    assert _reasons(report)["stem"].startswith("first layer")
    assert _reasons(report)["fc"].startswith("last layer")
    assert report.macs is not None
    assert report.macs[0] == sum(row.macs for row in profile_model(net.eval(), x))
    assert report.macs[1] == sum(row.macs for row in profile_model(slim.eval(), x))
    assert report.parameters == tuple(sum(p.numel() for p in m.parameters()) for m in (net, slim))
    changes = [a - b for a, b in (layer.parameters for layer in report.replaced)]
    assert sum(changes) == report.parameters[0] - report.parameters[1]
    assert slim(x).shape == net(x).shape
    slim(x).sum().backward()
    assert all(p.grad is not None for p in slim.parameters())


def test_the_given_model_is_untouched() -> None:
    net = Net().train()
    net.norm.eval()
    net.mix.weight.requires_grad_(False)
    handle = net.fc.register_forward_hook(lambda *_: None)
    before, modes = _state(net), [m.training for m in net.modules()]
    x, random = _images(), torch.get_rng_state()
    slim, report = mgic_geo.compress(net, x, 8, 4, target=0.5)
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert [m.training for m in net.modules()] == modes
    assert [p.requires_grad for p in net.parameters()].count(False) == 1
    assert {len(m._forward_hooks) for m in net.modules()} == {0, 1}
    assert [slim.training, slim.get_submodule("norm").training] == [True, False]
    assert all(p.grad is None for p in net.parameters())
    handle.remove()
    frozen = slim.get_submodule("mix")
    weights = [p.requires_grad for name, p in frozen.named_parameters() if name != "bias"]
    assert not any(weights)
    assert next(x for x in report.layers if x.name == "mix").reason.startswith("frozen")


def test_a_map_of_the_form_is_found_again() -> None:
    """A layer that is groups of chosen inputs and a few coarse channels loses nothing."""
    groups = [torch.randperm(32)[:8] for _ in range(8)]
    weight = torch.zeros(32, 32)
    for g, inputs in enumerate(groups):
        weight[4 * g : 4 * g + 4, inputs] = torch.randn(4, 8)
    layer = nn.Linear(32, 32)
    layer.weight.data = weight + 8.0 * torch.randn(32, 2) @ torch.randn(2, 32)
    x = torch.randn(512, 32)
    slim, report = mgic_geo.compress(layer, x, target=0.53, keep_ends=False)
    low, other = mgic_geo.compress(layer, x, target=0.53, keep_ends=False, form="low_rank")
    assert isinstance(slim, HierarchicalLinear)
    assert "groups" in report.replaced[0].form
    assert "groups" not in other.replaced[0].form
    errors = [
        float((m(x) - layer(x)).detach().norm() / layer(x).detach().norm()) for m in (slim, low)
    ]
    assert errors[0] < 0.01
    assert errors[0] < 0.5 * errors[1]


@torch.no_grad()
def test_a_kernel_in_blocks_is_found_again() -> None:
    """A convolution that is two groups of a coarse grid."""
    torch.manual_seed(0)
    layer = nn.Conv1d(16, 16, 9)
    parts = torch.randn(2, 16, 4), torch.randn(2, 4, 4, 9), torch.randn(2, 4, 16)
    layer.weight.copy_(torch.einsum("gma,gabk,gbn->mnk", *parts))
    x = torch.randn(64, 16, 20)
    errors = {}
    for form in ("hierarchy", "tucker", "low_rank"):
        slim, report = mgic_geo.compress(layer, x, target=0.27, keep_ends=False, form=form)
        errors[form] = float((slim(x) - layer(x)).norm() / layer(x).norm())
        assert ("in 2 groups" in report.replaced[0].form) == (form == "hierarchy")
        assert report.replaced[0].error == pytest.approx(errors[form], abs=0.02)
    assert errors["hierarchy"] < 0.3 * errors["tucker"]
    assert errors["tucker"] < errors["low_rank"]


@torch.no_grad()
def test_fitted_layers_beat_random_ones() -> None:
    net, x = Net().eval(), _images(64)
    errors = {}
    for start in ("fit", "layers", "random"):
        slim, _ = mgic_geo.compress(net, x, 8, 4, start=start)
        errors[start] = float((slim.eval()(x) - net(x)).square().mean())
    assert errors["fit"] < errors["layers"] < errors["random"]


@pytest.mark.parametrize(
    "target", [0.6, 0.3, {"macs": 0.4}, {"macs": 0.5, "parameters": 0.35}], ids=str
)
def test_targets_are_met(target: Any) -> None:
    _, report = mgic_geo.compress(Net(), _images(), target=target, start="layers")
    shares = target if isinstance(target, dict) else {"parameters": target}
    for name, share in shares.items():
        before, after = getattr(report, name)
        assert 0.75 * share < after / before <= share, name


def test_a_target_that_cannot_be_met_names_the_smallest() -> None:
    with pytest.raises(MgicGeoError, match=r"smallest possible is (0\.\d+)") as caught:
        mgic_geo.compress(Net(), _images(), target=0.01)
    least = float(str(caught.value).split("smallest possible is ")[1][:5])
    _, report = mgic_geo.compress(Net(), _images(), target=least)
    assert report.parameters[1] <= least * report.parameters[0]


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("m*", ["mix"]),
        (nn.Linear, ["mix", "fc"]),
        (lambda name, module: name == "again", ["again"]),
        (["wide", nn.Linear], ["wide", "mix", "fc"]),
    ],
    ids=["pattern", "type", "predicate", "several"],
)
def test_where(where: Any, names: list[str]) -> None:
    net = Net()
    net.fc = nn.Linear(64, 40)
    _, report = mgic_geo.compress(net, _images(), 4, 4, where=where, start="random")
    assert [layer.name for layer in report.replaced] == names


class Corners(nn.Module):
    """Layers that have to stay, each for its reason."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(40, 32)
        self.hooked = nn.Linear(32, 32)
        self.hooked.register_forward_hook(lambda *_: None)
        self.parametrised = nn.utils.parametrizations.orthogonal(nn.Linear(32, 32))
        self.attention = nn.MultiheadAttention(32, 2, batch_first=True)
        self.grouped = nn.Conv1d(32, 32, 1, groups=4)
        self.back = nn.ConvTranspose1d(32, 32, 1)
        self.unused = nn.Linear(32, 32)
        self.small = nn.Linear(32, 4)
        self.wide = nn.Linear(4, 32)
        self.plain = nn.Linear(32, 32)
        self.tied = nn.Linear(32, 40, bias=False)
        self.tied.weight = self.embedding.weight
        self.quantised = _Quantised(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        x = self.parametrised(self.hooked(self.embedding(x)))
        x = self.attention(x, x, x)[0]
        x = self.back(self.grouped(x.transpose(1, 2))).transpose(1, 2)
        return self.tied(self.plain(self.quantised(self.wide(self.small(x)))))


class _Quantised(nn.Linear):
    """Stands for kinds of Linear that compute otherwise."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.round())


def test_what_is_left_alone_and_why() -> None:
    net, x = Corners(), torch.randint(40, (4, 6))
    slim, report = mgic_geo.compress(net, x, 4, 4, keep_ends=False)
    assert [layer.name for layer in report.replaced] == ["plain"]
    reasons = _reasons(report)
    for name, reason in {
        "embedding": "embedding",
        "hooked": "hooks",
        "parametrised": "parametrised",
        "attention": "in_proj_weight",
        "attention.out_proj": "not called as a module",
        "grouped": "in 4 groups",
        "back": "transposed",
        "unused": "not called",
        "small": "small",
        "tied": "tied",
        "quantised": "way of its own",
    }.items():
        assert reason in reasons[name], name
    assert slim(x).shape == net(x).shape
    assert slim.tied.weight is slim.embedding.weight
    text = str(report)
    assert all(name in text for name in ("plain", "left as they are", "parameters:", "MACs:"))


def test_models_that_torch_cannot_copy() -> None:
    net = Net()
    with pytest.warns(FutureWarning, match="weight_norm"):
        net.mix = nn.utils.weight_norm(net.mix)
    with pytest.raises(MgicGeoError, match="Net cannot be copied"):
        mgic_geo.compress(net, _images())


def test_errors_say_what_to_do() -> None:
    net = Net()
    before = _state(net)
    cases: list[tuple[type[Exception], str, Any, dict[str, Any]]] = [
        (DataError, r"does not take the example inputs \(\[2, 5\]\)", torch.zeros(2, 5), {}),
        (MgicGeoError, "chooses no layer; the layers are stem", _images(), {"where": "nowhere"}),
        (MgicGeoError, "nothing to replace", _images(), {"where": "stem", "keep_ends": True}),
        (MgicGeoError, "target = 1.5", _images(), {"target": 1.5}),
        (MgicGeoError, "'speed'", _images(), {"target": {"speed": 0.5}}),
        (MgicGeoError, "group_size = 0", _images(), {"group_size": 0}),
        (MgicGeoError, "start = 'now'", _images(), {"start": "now"}),
    ]
    for kind, message, x, options in cases:
        with pytest.raises(kind, match=message):
            mgic_geo.compress(net, x, **options)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    with pytest.raises(MgicGeoError, match=r"nothing to replace.*keep_ends"):
        mgic_geo.compress(nn.Linear(8, 8), torch.zeros(2, 8))
    with pytest.raises(MgicGeoError, match="no layer couples channels"):
        mgic_geo.compress(nn.ReLU(), torch.zeros(2, 8))
    lazy = nn.Sequential(nn.LazyLinear(16), nn.LazyLinear(16))
    with pytest.raises(MgicGeoError, match="call the model once"):
        mgic_geo.compress(lazy, torch.zeros(2, 8))
    assert isinstance(lazy[0], nn.LazyLinear)


def test_modules_that_occur_twice_are_one() -> None:
    shared = nn.Linear(64, 64)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    x = torch.randn(8, 64)
    slim, report = mgic_geo.compress(net, x, 8, 4, keep_ends=False)
    assert slim[0] is slim[2]
    assert report.macs is not None
    assert report.macs[1] == sum(row.macs for row in profile_model(slim, x))


def test_half_precision_stays() -> None:
    net, x = Net().to(torch.bfloat16), _images().to(torch.bfloat16)
    slim, _ = mgic_geo.compress(net, x, 8, 4)
    assert {p.dtype for p in slim.parameters()} == {torch.bfloat16}
    assert slim(x).dtype == torch.bfloat16


def test_state_copy_and_inputs_by_name() -> None:
    net, x = Net(), _images()
    slim, _ = mgic_geo.compress(net, {"x": x}, 8, 4, loader=[{"x": x}], target=0.5)
    again, _ = mgic_geo.compress(net, (x,), 8, 4, loader=[(x,)], target=0.5)
    assert torch.equal(slim.eval()(x), again.eval()(x))
    other = copy.deepcopy(slim)
    for p in other.parameters():
        nn.init.zeros_(p)
    other.load_state_dict(slim.state_dict())
    assert torch.equal(other(x), slim(x))


def test_report_as_json_and_picture(tmp_path: Any) -> None:
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib")
    _, report = mgic_geo.compress(Net(), _images(), 8, 4)
    found = json.loads(report.to_json())
    assert found["parameters"] == list(report.parameters)
    assert {layer["name"] for layer in found["layers"]} >= {"stem", "wide", "fc"}
    assert report.plot(tmp_path / "report.png").stat().st_size > 1000
    with pytest.raises(DataError, match=r"\.png"):
        report.plot(tmp_path / "report.txt")
