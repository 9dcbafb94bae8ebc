from __future__ import annotations

import random
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from mgic_geo.kernels import pack_conv_weight
from mgic_geo.kernels._dispatch import fused_for, kernel_backend

if kernel_backend() != "numba":
    pytest.skip("no compiled kernels here", allow_module_level=True)

from mgic_geo.kernels._cpu.interpreter import FIELDS, Field
from mgic_geo.kernels._cpu.placement import ARENA
from mgic_geo.kernels._cpu.plan import Plan
from mgic_geo.kernels._cpu.program import ProgramBuilder


def random_differences(seed: int, steps: int = 30) -> tuple[Plan, list[tuple[int, int]]]:
    """A plan of differences of earlier values, and which ones each step takes."""
    draw = random.Random(seed)
    builder = ProgramBuilder((1, 8, 3, 5), torch.float64, 2)
    values, pairs = [builder.input], []
    for _ in range(steps):
        # mostly young ones, so that old ones die and their memory is used again
        a, b = (max(len(values) - 1 - int(draw.expovariate(0.4)), 0) for _ in range(2))
        pairs.append((a, b))
        values.append(builder.subtract(values[a], values[b]))
    return builder.build(values[-1]), pairs


@pytest.mark.parametrize("seed", range(20))
def test_no_value_is_written_over_while_it_lives(seed: int) -> None:
    plan, pairs = random_differences(seed)
    x = torch.randn(1, 8, 3, 5, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    values = [x]
    for a, b in pairs:
        values.append(values[a] - values[b])
    assert torch.equal(plan.run(plan.bind([]), x), values[-1])


def test_a_convolution_does_not_write_over_what_its_other_pixels_read() -> None:
    torch.manual_seed(0)
    weight = torch.randn(16, 8, 3, 3, dtype=torch.float64)
    builder = ProgramBuilder((2, 16, 9, 9), torch.float64, 1)
    packed = pack_conv_weight(weight, 2)
    values = [builder.subtract(builder.input, builder.input)]
    values.append(builder.subtract(builder.input, values[0]))
    conv = partial(builder.grouped_conv, weight=packed, bias=None, out=8, stride=1, dilation=1)
    values.append(conv(values[1], residual=values[1], act="relu"))  # reads and adds one value
    values.append(conv(values[2], residual=values[0], act="none"))  # adds another, its last use
    values.append(builder.subtract(values[3], builder.input))
    plan = builder.build(values[-1])
    x = torch.randn(2, 16, 9, 9, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    y = F.conv2d(x, weight, None, 1, 1, 1, 2).add(x).relu()
    expected = F.conv2d(y, weight, None, 1, 1, 1, 2) - x
    arguments = [argument.tensor for argument in builder.arguments]
    torch.testing.assert_close(plan.run(plan.bind(arguments), x), expected)
    assert plan.size == 3 * x.numel() * 8  # the last two results replace older ones


def test_memory_is_used_again() -> None:
    plan, pairs = random_differences(0)
    assert plan.size < len(pairs) * 8 * 15 * 8 / 2
    places = {tuple(row[Field.Y : Field.Y + 2]) for row in plan.steps if row[Field.Y] == ARENA}
    assert len(places) < len(pairs) / 2


def test_fields_do_not_overlap() -> None:
    pairs = {Field.X, Field.REST, Field.Y}
    taken = [f + i for f in Field for i in range(2 if f in pairs else 1)]
    assert sorted(taken) == list(range(FIELDS))


def test_the_builder_is_the_one_that_networks_get() -> None:
    assert fused_for(torch.empty(1)).ProgramBuilder is ProgramBuilder
