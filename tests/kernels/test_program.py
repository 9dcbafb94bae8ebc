from __future__ import annotations

import random

import pytest
import torch

from mgic_geo.kernels._dispatch import fused_for, kernel_backend

if kernel_backend() != "numba":
    pytest.skip("no compiled kernels here", allow_module_level=True)

from mgic_geo.kernels._cpu.interpreter import FIELDS, Field
from mgic_geo.kernels._cpu.program import _ARENA, Plan, ProgramBuilder


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


def test_memory_is_used_again() -> None:
    plan, pairs = random_differences(0)
    assert plan.size < len(pairs) * 8 * 15 * 8 / 2
    places = {tuple(row[Field.Y : Field.Y + 2]) for row in plan.steps if row[Field.Y] == _ARENA}
    assert len(places) < len(pairs) / 2


def test_fields_do_not_overlap() -> None:
    pairs = {Field.X, Field.REST, Field.Y}
    taken = [f + i for f in Field for i in range(2 if f in pairs else 1)]
    assert sorted(taken) == list(range(FIELDS))


def test_the_builder_is_the_one_that_networks_get() -> None:
    assert fused_for(torch.empty(1)).ProgramBuilder is ProgramBuilder
