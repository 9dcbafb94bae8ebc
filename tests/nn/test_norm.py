from __future__ import annotations

import pytest
import torch
from torch import nn

from mgic_geo.nn import BatchNorm


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("channel_axis", "shape", "twin"),
    [
        (-1, (20, 6), nn.BatchNorm1d),
        (-1, (4, 5, 6), nn.BatchNorm1d),
        (1, (4, 6), nn.BatchNorm1d),
        (1, (4, 6, 5), nn.BatchNorm1d),
        (1, (4, 6, 5, 3), nn.BatchNorm2d),
    ],
)
def test_equals_torch(
    channel_axis: int, shape: tuple[int, ...], twin: type[nn.Module], training: bool
) -> None:
    ours, theirs = BatchNorm(6, channel_axis).train(training), twin(6).train(training)
    x = torch.randn(shape)
    a = x.clone().requires_grad_()
    b = x.clone().requires_grad_()
    found = ours(a)
    expected = theirs(b.reshape(-1, 6) if channel_axis == -1 else b).reshape(shape)
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(a.grad, b.grad)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[name])


def test_scale_survives_a_reset() -> None:
    norm = BatchNorm(4, scale=0.0)
    assert (norm.weight == 0).all()
    nn.init.ones_(norm.weight)
    norm.reset_parameters()
    assert (norm.weight == 0).all()


def test_one_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 dimensions, got 1"):
        BatchNorm(4)(torch.zeros(4))


@pytest.mark.parametrize(
    ("channel_axis", "shape"), [(-1, (20, 6)), (-1, (4, 5, 6)), (1, (4, 6)), (1, (4, 6, 5, 3))]
)
def test_inference_writes_over_what_nobody_else_holds(
    channel_axis: int, shape: tuple[int, ...]
) -> None:
    norm = BatchNorm(6, channel_axis).eval()
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(tensor)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    x, residual = torch.randn(shape), torch.randn(shape)
    before = x.clone()
    with torch.no_grad():
        expected = norm(x, True, residual)
        assert torch.equal(x, before)
        found = norm(x, True, residual, own=True)
    assert found.data_ptr() == x.data_ptr()
    torch.testing.assert_close(found, expected)
    x = before.clone()
    norm(x, True, residual, own=True)  # a gradient may want it
    assert torch.equal(x, before)
    with torch.no_grad():
        norm.train()(x, True, residual, own=True)
    assert torch.equal(x, before)
