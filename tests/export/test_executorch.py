"""What stays outside of XNNPACK, and so in ExecuTorch's slow portable loops."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from mgic_geo.export import _executorch, lower
from mgic_geo.export._torch import trace
from mgic_geo.models import create_model
from mgic_geo.nn import MGIC
from mgic_geo.nn.vision import InvertedResidual

Needs = Callable[[str], None]


def outside(model: nn.Module, channels: int, size: int) -> tuple[list[str], int]:
    """Operators that XNNPACK does not run, and the number of parts that it does."""
    program = trace(model, torch.randn(1, channels, size, size))
    lowered = _executorch.partition(program, {}).exported_program()
    return _executorch.operators_outside(lowered), _executorch.delegates(lowered)


def block() -> nn.Module:
    def relaxation(width: int, groups: int) -> nn.Module:
        return InvertedResidual(width, width, 2 * width, groups=groups, squeezed=width)

    return MGIC(relaxation, 32, 8, 8, channel_axis=1).eval()


def test_a_block_is_one_delegate(needs: Needs) -> None:
    needs("executorch")
    assert outside(lower(block(), "executorch"), 32, 8) == ([], 1)


def test_transfers_that_are_not_lowered_are_counted(needs: Needs) -> None:
    """Their weights are reshaped at run time, so the partitioner leaves their maps out."""
    needs("executorch")
    names, parts = outside(block(), 32, 8)
    assert len(names) >= 4  # two restrictions, two prolongations
    assert parts > 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mgic_resnet50", "mgic_mobilenetv3"])
def test_whole_networks_are_one_delegate(name: str, needs: Needs) -> None:
    needs("executorch")
    model = create_model(name, num_classes=10).eval()
    assert outside(lower(model, "executorch"), 3, 64) == ([], 1)
