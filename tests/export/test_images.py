from __future__ import annotations

import pytest
import torch
from torch import nn

from mgic_geo.export import lower
from mgic_geo.models import create_model
from mgic_geo.testing import randomize_norms


@pytest.mark.parametrize("engine", ["onnx", "executorch"])
@pytest.mark.parametrize(
    "name", ["mgic_resnet56", "mgic_mobilenetv3_small", "ghostnet", "lraspp_mgic_small"]
)
@torch.no_grad()
def test_lowered_network_says_the_same(name: str, engine: str) -> None:
    model = randomize_norms(create_model(name)).eval().double()
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    expected = model(x)
    torch.testing.assert_close(lower(model, engine)(x), expected, atol=1e-9, rtol=1e-9)


def test_only_convolutions_and_linear_layers_hold_weights() -> None:
    lowered = lower(create_model("mgic_mobilenetv3_small"))
    holders = [m for m in lowered.modules() if list(m.parameters(recurse=False))]
    assert {type(m).__bases__[0] for m in holders} <= {
        nn.Conv2d,
        nn.modules.conv._ConvNd,
        nn.Module,
    }
    assert all(p.is_contiguous() for p in lowered.parameters())


@torch.no_grad()
def test_depthwise_with_several_filters_sees_its_input_repeated() -> None:
    model = create_model("mgic_resnet50", width=16, num_classes=3).eval()
    convs = [m for m in lower(model).modules() if isinstance(m, nn.Conv2d)]
    assert not any(1 < c.groups == c.in_channels < c.out_channels for c in convs)
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(lower(model)(x), model(x), atol=1e-5, rtol=1e-5)
