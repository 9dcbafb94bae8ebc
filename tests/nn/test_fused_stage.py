from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mgic_geo
from mgic_geo.kernels._dispatch import kernel_backend
from mgic_geo.models.resnet import mgic_blocks
from mgic_geo.nn.fused_stage import FusedStage
from mgic_geo.nn.vision import BasicBlock, Bottleneck, InvertedResidual
from mgic_geo.testing import randomize_norms

needs_kernels = pytest.mark.skipif(kernel_backend() != "numba", reason="no compiled kernels here")


def basic(width: int, groups: int) -> nn.Module:
    return BasicBlock(width, width, groups=groups)


def bottleneck(width: int, groups: int) -> nn.Module:
    return Bottleneck(width, width, groups=groups)


def inverted(width: int, groups: int) -> nn.Module:
    return InvertedResidual(width, width, 3 * width, 5, groups=groups, squeezed=width, dilation=2)


def stage(relaxation: Any, channels: int = 24, width: int = 40, stride: int = 2) -> nn.Sequential:
    """Two MGIC blocks of two grids, the first with a shortcut that changes all."""
    torch.manual_seed(0)
    block = mgic_blocks(relaxation, group_size=8, coarsest=20)
    return randomize_norms(nn.Sequential(block(channels, width, stride), block(width, width, 1)))


def images(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


@contextmanager
def threads(count: int) -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def has_program(fused: nn.Module, x: Tensor) -> bool:
    fused(x)
    assert isinstance(fused, FusedStage)
    programs = [p for key, p in fused._programs.items() if key[:2] == (x.shape, x.dtype)]
    return programs[-1] is not None


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(1, 24, 13, 9), (3, 24, 1, 2), (2, 24, 32, 31)], ids=str)
@pytest.mark.parametrize("relaxation", [basic, bottleneck, inverted])
def test_a_program_computes_what_the_blocks_do(
    relaxation: Any, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    blocks, x = stage(relaxation).to(dtype).eval(), images(*shape, dtype=dtype)
    fused, kept = mgic_geo.fuse(blocks), x.clone()
    assert has_program(fused, x)
    with torch.no_grad():
        expected = blocks(x)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {}
    for form in (x, x.contiguous(memory_format=torch.channels_last)):
        torch.testing.assert_close(fused(form), expected, **close)
    assert torch.equal(x, kept)
    assert fused(x).is_contiguous(memory_format=torch.channels_last)


@needs_kernels
def test_the_number_of_threads_changes_no_bit() -> None:
    fused, x = mgic_geo.fuse(stage(inverted)), images(2, 24, 40, 40)
    results = []
    for count in (1, 2, 5):
        with threads(count):
            assert has_program(fused, x)
            results.append(fused(x))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@needs_kernels
def test_calls_at_the_same_time_do_not_disturb_each_other() -> None:
    fused, other = mgic_geo.fuse(stage(bottleneck)), nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    inputs = [images(1, 24, 8 + i // 2, 9) * (i + 1) for i in range(24)]  # each shape for two
    expected = [mgic_geo.fuse(stage(bottleneck))(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        rest = pool.submit(lambda: [other(torch.ones(2, 4)) for _ in range(200)])
        found = list(pool.map(fused, inputs))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert len(rest.result()) == 200


def test_an_empty_batch_stays_empty() -> None:
    assert mgic_geo.fuse(stage(inverted))(images(0, 24, 8, 8)).shape == (0, 40, 4, 4)


def halve(fused: nn.Module) -> None:
    with torch.no_grad():
        for p in fused.parameters():
            p.mul_(0.5)


def halve_data(fused: nn.Module) -> None:
    for p in fused.parameters():
        p.data.mul_(0.5)


def exchange_data(fused: nn.Module) -> None:
    for p in fused.parameters():
        p.data = p.data * 0.5


def assign(fused: nn.Module) -> None:
    state = {name: 0.5 * value for name, value in fused.state_dict().items()}
    fused.load_state_dict(state, assign=True)


def bring_to_channels_last(fused: nn.Module) -> None:
    fused.to(memory_format=torch.channels_last)
    halve(fused)


@pytest.mark.parametrize(
    "change", [halve, halve_data, exchange_data, assign, bring_to_channels_last]
)
def test_weights_that_change_are_seen(change: Any) -> None:
    blocks, x = stage(basic, 24, 20, 1), images(1, 24, 8, 8)
    fused, half = mgic_geo.fuse(blocks), mgic_geo.fuse(blocks)
    before = fused(x)
    halve(half)
    expected = half(x)
    assert not torch.allclose(expected, before, rtol=0.1)
    change(fused)
    assert torch.equal(fused(x), expected)


def test_weights_can_be_given_with_the_call() -> None:
    fused, x = mgic_geo.fuse(stage(basic)), images(1, 24, 8, 8)
    fused(x)
    weights = {name: 0.5 * value for name, value in fused.state_dict().items()}
    found = torch.func.functional_call(fused, weights, (x,))
    halve(fused)
    assert torch.equal(found, fused(x))


@needs_kernels
def test_another_type_later_on() -> None:
    fused, x = mgic_geo.fuse(stage(inverted)), images(1, 24, 8, 8)
    expected = fused(x)
    found = fused.double()(x.double())
    torch.testing.assert_close(found.float(), expected, rtol=1e-4, atol=1e-4)
    assert has_program(fused.float(), x)


@needs_kernels
def test_programs_of_many_sizes_are_not_kept() -> None:
    fused = mgic_geo.fuse(stage(basic))
    for side in range(2, 30):
        fused(images(1, 24, side, 3))
    assert len(fused._programs) == 16
    assert has_program(fused, images(1, 24, 29, 3))


@pytest.mark.parametrize("relaxation", [basic, bottleneck, inverted])
@pytest.mark.parametrize("channels", [8, 20, 30, 40])
def test_images_of_another_network_are_refused(relaxation: Any, channels: int) -> None:
    fused = mgic_geo.fuse(stage(relaxation, 24, 24, 1))
    with pytest.raises((ValueError, RuntimeError), match="channels"):
        fused(images(1, channels, 8, 8))


def test_another_default_device_changes_nothing() -> None:
    fused, x = mgic_geo.fuse(stage(inverted)), images(1, 24, 8, 8)
    expected = mgic_geo.fuse(stage(inverted))(x)
    with torch.device("meta"):
        assert torch.equal(fused(x), expected)


def test_it_is_still_the_sequence() -> None:
    blocks = nn.Sequential(OrderedDict(first=basic(16, 2), second=basic(16, 2)))
    seen: list[int] = []
    blocks.register_forward_hook(lambda *_: seen.append(1))
    fused, x = mgic_geo.fuse(blocks), images(1, 16, 8, 8)
    assert isinstance(fused, FusedStage)
    assert [name for name, _ in fused.named_children()] == ["first", "second"]
    assert not any(part.training for part in fused.modules())
    both = fused(x)
    assert seen == [1]
    first = fused[:1](x)
    torch.testing.assert_close(fused[1:](first), both)
    del fused[1]
    torch.testing.assert_close(fused(x), first)


@needs_kernels
def test_copies_are_whole_and_apart() -> None:
    fused, x = mgic_geo.fuse(stage(basic)), images(1, 24, 8, 8)
    expected = fused(x)
    for copied in (copy.deepcopy(fused), pickle.loads(pickle.dumps(fused))):
        with torch.no_grad():
            next(copied.parameters()).zero_()
        assert has_program(copied, x)
        assert not torch.equal(copied(x), expected)
        assert torch.equal(fused(x), expected)


@pytest.mark.parametrize("way", ["compile", "export"])
def test_torch_sees_the_plain_sequence(way: str) -> None:
    fused, x = mgic_geo.fuse(stage(basic, 16, 16, 1)), images(1, 16, 8, 8)
    expected = fused(x)
    if way == "compile":
        found = torch.compile(fused, fullgraph=True, backend="eager")(x)
    else:
        found = torch.export.export(fused, (x,)).module()(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_hooks_inside_are_called() -> None:
    fused, x = mgic_geo.fuse(stage(basic)), images(1, 24, 8, 8)
    expected, seen = fused(x), []
    for block in fused:
        block.register_forward_hook(lambda *_: seen.append(1))
    torch.testing.assert_close(fused(x), expected, rtol=1e-4, atol=1e-4)
    assert len(seen) == 2


@needs_kernels
def test_large_dense_weights_are_left_to_torch() -> None:
    small = mgic_geo.fuse(nn.Sequential(basic(32, 1), basic(32, 1)))
    large = mgic_geo.fuse(nn.Sequential(basic(128, 1), basic(128, 1)))
    assert has_program(small, images(1, 32, 8, 8))
    assert not has_program(large, images(1, 128, 8, 8))


def test_other_sequences_stay_what_they_are() -> None:
    for blocks in (
        nn.Sequential(basic(16, 2), nn.MaxPool2d(2), basic(16, 2)),
        nn.Sequential(basic(16, 2), nn.Sigmoid()),
        nn.Sequential(nn.Linear(3, 3), nn.ReLU()),
        nn.Sequential(),
    ):
        assert type(mgic_geo.fuse(blocks)) is nn.Sequential
