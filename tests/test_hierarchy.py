from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mgic_geo.hierarchy import ChannelHierarchy, common_group_size
from mgic_geo.nn import MGIC, DepthwiseShortcut, GroupedPointwise
from mgic_geo.testing import assert_linear_scaling

WIDTHS = [64, 128, 256, 512, 1024, 2048, 4096]


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with norms; the hidden width is a fourth of the outer one."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        hidden = width // 4
        self.layers = nn.Sequential(
            nn.Conv2d(width, hidden, 1, groups=groups, bias=False),
            nn.BatchNorm2d(hidden),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=groups, bias=False),
            nn.BatchNorm2d(hidden),
            nn.Conv2d(hidden, width, 1, groups=groups, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.layers(x))


@pytest.mark.parametrize(("group_size", "expected"), [(32, 3328), (16, 1792), (8, 896), (4, 448)])
def test_table_1_parameters(group_size: int, expected: int) -> None:
    hierarchy = ChannelHierarchy(64, group_size, coarsest=8)
    assert hierarchy.transfer_parameters() == hierarchy.parameters(block=0, norm=0) == expected
    built = MGIC(lambda c, g: nn.Identity(), 64, group_size, 8, norm="none")
    assert parameters(built) == expected


@pytest.mark.parametrize(
    ("channels", "coarsest", "text", "released"),
    [
        (64, 16, (64, 32, 16), (64, 32, 16, 8)),
        (64, 17, (64, 32, 16), (64, 32, 16)),
        (64, 64, (64,), (64, 32)),
        (16, 64, (16,), (16,)),
        (100, 30, (100, 50, 25), (100, 50, 25)),
        (4, 1, (4, 2, 1), (4, 2, 1)),
    ],
)
def test_level_rules(
    channels: int, coarsest: int, text: tuple[int, ...], released: tuple[int, ...]
) -> None:
    hierarchy = ChannelHierarchy(channels, 8, coarsest)
    assert hierarchy.widths == text
    assert hierarchy.num_coarsenings == len(text) - 1
    assert ChannelHierarchy(channels, 8, coarsest, extra_level=True).widths == released


def test_number_of_levels_is_the_formula_of_the_paper() -> None:
    for log_c in range(3, 11):
        for coarsest in range(1, 65):
            expected, width = 0, 2**log_c
            while width > coarsest:  # ceil(log2(c / s_c)) without rounding
                expected, width = expected + 1, width / 2
            assert ChannelHierarchy(2**log_c, 8, coarsest).num_coarsenings == expected


def test_group_rule() -> None:
    assert common_group_size(64, 120, 40) == 40
    hierarchy = ChannelHierarchy(120, 64, 60, hidden_widths=lambda c: [c // 3])
    assert [(level.group_size, level.groups) for level in hierarchy.levels] == [(40, 3), (60, 1)]
    assert [level.groups for level in ChannelHierarchy(96, 32, 24).levels] == [3, 2, 1]


def test_transfer_groups_divide_both_grids() -> None:
    for channels in range(8, 129, 4):
        for group_size in range(1, 20):
            hierarchy = ChannelHierarchy(channels, group_size, channels // 4)
            for level in hierarchy.levels[:-1]:
                assert (level.width // 2) % level.transfer_groups == 0
                assert level.width % level.groups == 0
                assert level.group_size <= group_size


@pytest.mark.parametrize(("group_size", "coarsest"), [(8, 16), (4, 32), (16, 16), (64, 64), (1, 4)])
@pytest.mark.parametrize("extra_level", [False, True])
@pytest.mark.parametrize("hidden", [None, lambda c: [c // 4]])
def test_counts_are_linear_in_the_width(
    group_size: int, coarsest: int, extra_level: bool, hidden: Callable[[int], list[int]] | None
) -> None:
    def hierarchy(width: int) -> ChannelHierarchy:
        return ChannelHierarchy(width, group_size, coarsest, extra_level, hidden)

    widths = [width for width in WIDTHS if width // 4 >= group_size or hidden is None]
    slope, _ = assert_linear_scaling(lambda c: hierarchy(c).parameters(9), widths)
    # equation (3.5) and a norm; R takes two channels at least
    assert 0 < slope <= 2 * (9 * group_size + max(group_size, 2) + 2)
    assert_linear_scaling(lambda c: hierarchy(c).macs(9, positions=49), widths)
    assert_linear_scaling(lambda c: hierarchy(c).macs(9, transfer=False), widths)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("group_size", "coarsest", "extra_level"), [(8, 16, False), (4, 32, True), (64, 64, False)]
)
@pytest.mark.parametrize("hidden", [None, lambda c: [c // 4]])
def test_formula_counts_what_is_built(
    width: int,
    group_size: int,
    coarsest: int,
    extra_level: bool,
    hidden: Callable[[int], list[int]] | None,
) -> None:
    with torch.device("meta"):
        block = MGIC(
            lambda c, g: GroupedPointwise(c, c, g, bias=False),
            width,
            group_size,
            coarsest,
            extra_level=extra_level,
            hidden_widths=hidden,
        )
    assert parameters(block) == block.hierarchy.parameters(1)


@pytest.mark.parametrize("width", [64, 96, 256])
def test_formula_counts_the_work_that_is_done(width: int) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    block = MGIC(
        lambda c, g: nn.Conv2d(c, c, 3, padding=1, groups=g, bias=False),
        width,
        norm="none",
        coarsest=24,
        channel_axis=1,
    )
    with FlopCounterMode(display=False) as counter:
        block(torch.zeros(2, width, 5, 5))
    assert counter.get_total_flops() == 2 * block.hierarchy.macs(9, positions=2 * 25)


@pytest.mark.parametrize(("group_size", "millions"), [(16, 6.24), (32, 9.15), (64, 14.96)])
def test_resnet50_parameters_of_table_5(group_size: int, millions: float) -> None:
    # s_g and s_c = 64 count on the hidden planes, the hierarchy's widths are four times as wide
    def bottleneck(width: int, groups: int) -> int:
        hidden = width // 4
        return (2 * width * hidden + 9 * hidden * hidden) // groups + 2 * (2 * hidden + width)

    predicted = built = 3 * 64 * 49 + 2 * 64 + 2048 * 1000 + 1000  # stem, its norm, classifier
    before = 64
    for width, blocks in ((256, 3), (512, 4), (1024, 6), (2048, 3)):
        hierarchy = ChannelHierarchy(width, 4 * group_size, coarsest=4 * 64)
        shortcut = 9 * width + 2 * width
        predicted += blocks * hierarchy.parameters(bottleneck) + shortcut
        with torch.device("meta"):
            block = MGIC(Bottleneck, width, 4 * group_size, 4 * 64, channel_axis=1)
            built += blocks * parameters(block) + parameters(DepthwiseShortcut(before, width))
        before = width
    assert round(predicted / 1e6, 2) == millions
    assert built == predicted


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 8, 16), ["channels = 0"]),
        ((64, 0, 16), ["group_size = 0"]),
        ((64, 8, -1), ["coarsest = -1"]),
        ((33, 8, 16), ["channels = 33", "odd width 33", "32 and 36", "at least 33"]),
        ((36, 8, 4), ["odd width 9", "32 and 48", "at least 9"]),
        ((18, 8, 9, True), ["odd width 9", "16 and 20", "at least 10"]),
    ],
)
def test_what_cannot_be_built_is_named(arguments: tuple[int, int, int], words: list[str]) -> None:
    with pytest.raises(ValueError, match=words[0]) as error:
        ChannelHierarchy(*arguments)
    assert [word for word in words if word not in str(error.value)] == []


def test_suggested_channels_work() -> None:
    for channels in range(17, 200):
        try:
            ChannelHierarchy(channels, 8, 5)
        except ValueError as error:
            words = str(error).split("that work are ")[1].replace(",", "").split()
            for suggestion in (words[0], words[2]):
                ChannelHierarchy(int(suggestion), 8, 5)


def test_repr_shows_widths_and_groups() -> None:
    assert repr(ChannelHierarchy(64, 8, 16)) == "ChannelHierarchy(64/8 -> 32/4 -> 16/1)"
