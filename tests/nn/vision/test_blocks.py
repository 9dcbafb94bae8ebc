from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mgic_geo.nn import MGIC
from mgic_geo.nn.vision import (
    BasicBlock,
    Bottleneck,
    ConvNormAct,
    GhostBasicBlock,
    GhostBottleneck,
    GhostModule,
    InvertedResidual,
    PadShortcut,
    SeparableBlock,
    SqueezeExcite,
)
from mgic_geo.profiling import profile_model
from mgic_geo.testing import (
    assert_full_coupling,
    assert_linear_scaling,
    channel_jacobian,
    randomize_norms,
)

Relaxation = Callable[[int, int], nn.Module]

RELAXATIONS: dict[str, Relaxation] = {
    "basic": lambda c, g: BasicBlock(c, c, groups=g),
    "basic of one": lambda c, g: BasicBlock(c, c, groups=g, convs=1),
    "activated first": lambda c, g: BasicBlock(c, c, groups=g, convs=1, act_first=True),
    "bottleneck": lambda c, g: Bottleneck(c, c, groups=g),
    "separable": lambda c, g: SeparableBlock(c, g),
    "inverted": lambda c, g: InvertedResidual(c, c, 4 * c, groups=g, squeezed=c),
    "ghost basic": lambda c, g: GhostBasicBlock(c, c, groups=g),
    "ghost": lambda c, g: GhostBottleneck(c, c, 4 * c, groups=g, squeezed=c),
}
ALL = pytest.mark.parametrize("kind", RELAXATIONS)


def images(channels: int, batch: int = 2, side: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(seed))


def build(module: nn.Module) -> nn.Module:
    return randomize_norms(module).eval()


@ALL
def test_groups_cut_a_block_into_independent_ones(kind: str) -> None:
    torch.manual_seed(0)
    coupled = channel_jacobian(build(RELAXATIONS[kind](32, 4)), images(32), channel_axis=1) != 0.0
    inside = torch.block_diag(*[torch.ones(8, 8, dtype=torch.bool)] * 4)
    assert not (coupled & ~inside).any()
    assert (coupled & inside).sum() > 0.8 * inside.sum()  # a ReLU may hide a few


@ALL
def test_every_output_channel_sees_every_input_channel(kind: str) -> None:
    torch.manual_seed(0)
    layer = MGIC(RELAXATIONS[kind], 32, 8, 8, channel_axis=1)
    assert_full_coupling(build(layer), images(32, 4, 8), channel_axis=1)


def test_identity_blocks_make_an_identity() -> None:
    x = images(32)
    layer = MGIC(lambda c, g: nn.Identity(), 32, 8, 8, channel_axis=1)
    assert layer.hierarchy.num_coarsenings == 2
    assert torch.equal(layer(x), x)
    assert torch.equal(layer.eval()(x), x)


@ALL
def test_without_coarsening_it_is_the_dense_block(kind: str) -> None:
    torch.manual_seed(0)
    layer = build(MGIC(RELAXATIONS[kind], 16, 8, 16, channel_axis=1))
    dense = build(RELAXATIONS[kind](16, 1))
    dense.load_state_dict(layer.blocks[0].state_dict())
    assert torch.equal(layer(images(16)), dense(images(16)))


@ALL
def test_parameters_and_work_are_linear_in_the_width(kind: str) -> None:
    def layer(width: int) -> MGIC:
        with torch.device("meta"):
            # twice the size where the planes are a quarter of the width
            scale = 4 if kind == "bottleneck" else 1
            return MGIC(RELAXATIONS[kind], width, 8 * scale, 16 * scale, channel_axis=1)

    def macs(width: int) -> int:
        x = torch.empty(1, width, 4, 4, device="meta")
        return sum(line.macs for line in profile_model(layer(width).eval(), x))

    widths = [64, 128, 256, 1024, 4096]
    assert_linear_scaling(lambda c: sum(p.numel() for p in layer(c).parameters()), widths)
    assert_linear_scaling(macs, widths)


def test_the_hierarchy_predicts_a_bottleneck_block() -> None:
    layer = MGIC(RELAXATIONS["bottleneck"], 512, 64, 256, channel_axis=1)

    def count(width: int, groups: int) -> int:
        planes = width // 4
        return (2 * width * planes + 9 * planes * planes) // groups + 2 * (2 * planes + width)

    predicted = layer.hierarchy.parameters(count)
    assert predicted == sum(p.numel() for p in layer.parameters())


@pytest.mark.parametrize(
    ("block", "channels", "shape"),
    [
        (Bottleneck(8, 16, 2, shortcut=ConvNormAct(8, 16, 1, 2, act="none")), 8, (16, 4, 4)),
        (BasicBlock(8, 16, 2, shortcut=PadShortcut(8, 16, 2)), 8, (16, 4, 4)),
        (InvertedResidual(8, 24, 16, 5, 2), 8, (24, 4, 4)),
        (InvertedResidual(8, 8, 16, dilation=2), 8, (8, 7, 7)),
        (GhostBottleneck(8, 12, 10, stride=2), 8, (12, 4, 4)),
        (GhostModule(6, 9, ratio=3), 6, (9, 7, 7)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_shapes(block: nn.Module, channels: int, shape: tuple[int, ...]) -> None:
    assert build(block)(images(channels, side=7)).shape == (2, *shape)


def test_the_bottleneck_is_equation_2_2() -> None:
    torch.manual_seed(0)
    block = build(Bottleneck(16, 16))
    x = images(16)

    def step(y: Tensor, i: int) -> Tensor:
        layer: Any = block.convs[i]
        y = torch.nn.functional.conv2d(y, layer.conv.weight, padding=layer.conv.padding)
        norm = layer.norm
        y = (y - norm.running_mean.view(-1, 1, 1)) / (norm.running_var + norm.eps).sqrt().view(
            -1, 1, 1
        )
        return y * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)

    expected = (x + step(step(step(x, 0).relu(), 1).relu(), 2)).relu()
    torch.testing.assert_close(block(x), expected)


def test_squeeze_excite_scales_channels_by_what_their_means_say() -> None:
    torch.manual_seed(0)
    layer, x = SqueezeExcite(8, 4, groups=2), images(8)
    gate = layer(torch.ones_like(x) * x.mean((2, 3), keepdim=True)) / x.mean((2, 3), keepdim=True)
    torch.testing.assert_close(layer(x), x * gate, rtol=1e-4, atol=1e-5)
    assert ((gate >= 0) & (gate <= 1)).all()


def test_the_pad_shortcut_keeps_pixels_and_adds_zeros() -> None:
    x = images(4, side=5)
    y = PadShortcut(4, 8, 2)(x)
    assert y.shape == (2, 8, 3, 3)
    assert torch.equal(y[:, 2:6], x[:, :, ::2, ::2])
    assert y[:, :2].abs().sum() + y[:, 6:].abs().sum() == 0.0


def test_unusable_numbers_are_named() -> None:
    for make, message in [
        (lambda: Bottleneck(16, 18), "out_channels = 18"),
        (lambda: Bottleneck(16, 32), "needs a shortcut"),
        (lambda: BasicBlock(16, 16, 2), "needs a shortcut"),
        (lambda: ConvNormAct(8, 8, act="gelu"), "act = 'gelu'"),
        (lambda: ConvNormAct(8, 12, groups=8), "out_channels = 12"),
        (lambda: GhostModule(8, 8, ratio=1), "ratio = 1"),
        (lambda: PadShortcut(8, 4), "cannot pad 8 channels to 4"),
        (lambda: SqueezeExcite(8, 3, groups=2), "squeezed = 3"),
    ]:
        with pytest.raises(ValueError, match=message):
            make()
