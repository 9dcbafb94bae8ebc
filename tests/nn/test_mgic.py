from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mgic_geo.graph import differential_operators, knn_graph
from mgic_geo.nn import (
    MGIC,
    BatchNorm,
    DenseBlock,
    DepthwiseShortcut,
    DiffGCNConv,
    EdgeConv,
    GroupedPointwise,
    PointwiseShortcut,
    Prolongation,
    Restriction,
)
from mgic_geo.testing import (
    assert_full_coupling,
    channel_jacobian,
    random_clouds,
    randomize_norms,
)


def dense_matrix(pointwise: GroupedPointwise) -> Tensor:
    """The block-diagonal matrix, entry by entry."""
    groups, out, size = pointwise.weight.shape
    rows = []
    for g in range(groups):
        for o in range(out):
            before = pointwise.weight.new_zeros(g * size)
            after = pointwise.weight.new_zeros((groups - 1 - g) * size)
            rows.append(torch.cat([before, pointwise.weight[g, o], after]))
    return torch.stack(rows)


def slow_norm(x: Tensor, norm: BatchNorm) -> Tensor:
    mean = x.mean(dim=0)
    variance = ((x - mean) ** 2).mean(dim=0)
    return (x - mean) / torch.sqrt(variance + norm.eps) * norm.weight + norm.bias


def slow_block(x: Tensor, block: DenseBlock) -> Tensor:
    z = slow_norm(x @ dense_matrix(block.pointwise).T, block.norm)
    return x + torch.where(z > 0, z, torch.zeros_like(z))


def algorithm_1(x: Tensor, layer: MGIC) -> Tensor:
    """The paper's Algorithm 1, line by line; the restrictions are applied anew on the way up."""
    n = len(layer.restrictions)
    grid: list[Any] = [x] + [None] * n
    for j in range(n):
        grid[j + 1] = grid[j] @ dense_matrix(layer.restrictions[j]).T
    grid[n] = slow_block(grid[n], layer.blocks[n])
    for j in reversed(range(n)):
        difference = grid[j + 1] - grid[j] @ dense_matrix(layer.restrictions[j]).T
        coarse = difference @ dense_matrix(layer.prolongations[j]).T
        grid[j] = grid[j] + slow_norm(coarse, layer.norms[j])
        grid[j] = slow_block(grid[j], layer.blocks[j])
    return grid[0]


def residual_block(width: int, groups: int) -> DenseBlock:
    return DenseBlock(width, width, groups, residual=True)


@pytest.mark.parametrize(
    ("channels", "group_size", "coarsest"), [(64, 8, 16), (32, 4, 4), (48, 8, 6), (24, 3, 6)]
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-4)])
def test_equals_algorithm_1(
    channels: int, group_size: int, coarsest: int, dtype: torch.dtype, tolerance: float
) -> None:
    layer = randomize_norms(MGIC(residual_block, channels, group_size, coarsest)).to(dtype)
    x = torch.randn(40, channels, dtype=dtype, requires_grad=True)
    weight = torch.randn(40, channels, dtype=dtype)
    inputs = [x, *layer.parameters()]
    found, expected = layer(x), algorithm_1(x, layer)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    gradients = zip(
        torch.autograd.grad((found * weight).sum(), inputs),
        torch.autograd.grad((expected * weight).sum(), inputs),
    )
    for a, b in gradients:
        torch.testing.assert_close(a, b, rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("channel_axis", [-1, 1])
@pytest.mark.parametrize("training", [True, False])
def test_identity_blocks_give_the_identity_exactly(channel_axis: int, training: bool) -> None:
    layer = MGIC(lambda c, g: nn.Identity(), 32, 4, 8, channel_axis=channel_axis).train(training)
    x = torch.randn(4, 32, 6, 5) if channel_axis == 1 else torch.randn(7, 32)
    assert torch.equal(layer(x), x)


def test_without_coarsenings_it_is_the_dense_block() -> None:
    layer = MGIC(residual_block, 16, group_size=4, coarsest=16)
    x = torch.randn(9, 16)
    assert [block.pointwise.groups for block in layer.blocks] == [1]
    assert dict(layer.named_parameters()).keys() == {
        f"blocks.0.{name}" for name, _ in layer.blocks[0].named_parameters()
    }
    assert torch.equal(layer.eval()(x), layer.blocks[0](x))


def transfers(module: nn.Module) -> list[GroupedPointwise]:
    return [m for m in module.modules() if isinstance(m, Restriction | Prolongation)]


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("start", ["average", "pairs"])
def test_transfer_rows_are_positive_and_sum_to_one(start: str, reset: bool) -> None:
    layer = MGIC(residual_block, 64, 8, 8, transfers=start)
    if reset:
        for parameter in layer.parameters():
            nn.init.constant_(parameter, -3.0)
        layer.reset_parameters()
    assert len(transfers(layer)) == 6
    for transfer in transfers(layer):
        assert (transfer.weight > 0).all()
        rows = transfer.weight.sum(dim=-1)
        torch.testing.assert_close(rows, torch.ones_like(rows))


def test_transfers_can_start_as_pairs_of_neighbouring_channels() -> None:
    layer = MGIC(residual_block, 64, 8, 8, transfers="pairs")
    for down, up in zip(layer.restrictions, layer.prolongations):
        own = torch.eye(down.out_channels).repeat_interleave(2, dim=1)
        # a copy of what the two channels of a pair have in common comes back as it was
        assert ((dense_matrix(down) * own).sum(dim=1) > 0.9).all()
        assert ((dense_matrix(up) * own.T).sum(dim=1) > 0.9).all()
    with pytest.raises(ValueError, match="transfers = 'halves': use 'average' or 'pairs'"):
        MGIC(residual_block, 64, 8, 8, transfers="halves")


def test_prolongation_is_not_tied_to_restriction() -> None:
    layer = MGIC(residual_block, 64, 8, 8)
    for down, up in zip(layer.restrictions, layer.prolongations):
        assert down.weight.data_ptr() != up.weight.data_ptr()
        assert not torch.allclose(dense_matrix(down), dense_matrix(up).T)


def test_reset_draws_every_parameter_anew() -> None:
    layer = MGIC(residual_block, 32, 8, 8, in_channels=24, correction_scale=0.0)
    fresh = {name: p.clone() for name, p in layer.named_parameters()}
    for parameter in layer.parameters():
        nn.init.constant_(parameter, 7.0)
    layer.reset_parameters()
    for name, parameter in layer.named_parameters():
        assert not (parameter == 7.0).any(), name
        if "norm" in name:
            assert torch.equal(parameter, fresh[name]), name


def test_further_arguments_reach_every_grid() -> None:
    seen = []

    class Spy(nn.Module):
        def __init__(self, width: int, groups: int) -> None:
            super().__init__()
            self.width = width

        def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
            seen.append((self.width, x.size(-1), args, kwargs))
            return x

    MGIC(Spy, 32, 4, 8)(torch.randn(3, 32), "edge_index", pos="pos")
    assert seen == [(c, c, ("edge_index",), {"pos": "pos"}) for c in (8, 16, 32)]


def test_couples_all_channels_where_groups_alone_do_not() -> None:
    x = torch.randn(20, 32)
    grouped = residual_block(32, 8)
    connected = channel_jacobian(grouped, x) > 0
    assert torch.equal(connected, torch.block_diag(*[torch.ones(4, 4)] * 8).bool())
    assert_full_coupling(randomize_norms(MGIC(residual_block, 32, 4, 8)), x)
    with pytest.raises(AssertionError, match="896 pairs of channels are not coupled"):
        assert_full_coupling(grouped, x)


@pytest.mark.parametrize("conv", [DiffGCNConv, lambda c, d, g: EdgeConv([2 * c, d], groups=g)])
def test_couples_all_channels_of_graph_layers(conv: Any) -> None:
    pos, batch = random_clouds(1, 40)
    edge_index = knn_graph(pos, 6, batch)
    layer = MGIC(lambda c, g: conv(c, c, g), 32, 4, 8)
    graph = (pos, edge_index) if conv is DiffGCNConv else (edge_index,)
    assert_full_coupling(layer, torch.randn(40, 32), *graph)


def test_couples_all_channels_of_images() -> None:
    layer = MGIC(lambda c, g: nn.Conv2d(c, c, 3, padding=1, groups=g), 32, 4, 8, channel_axis=1)
    assert_full_coupling(layer, torch.randn(2, 32, 5, 5), channel_axis=1)


def test_correction_scale_zero_starts_as_the_finest_relaxation() -> None:
    layer = MGIC(residual_block, 32, 4, 8, correction_scale=0.0)
    x = torch.randn(20, 32)
    assert torch.equal(layer(x), layer.blocks[0](x))
    layer(x).square().sum().backward()
    assert all((norm.weight.grad != 0).any() for norm in layer.norms[:1])


def test_norms() -> None:
    assert isinstance(MGIC(residual_block, 32, 4, 16, norm="none").norms[0], nn.Identity)
    chosen = MGIC(residual_block, 32, 4, 16, norm=nn.LayerNorm, correction_scale=0.5).norms[0]
    assert isinstance(chosen, nn.LayerNorm)
    assert (chosen.weight == 0.5).all()
    with pytest.raises(ValueError, match="norm = 'layer'"):
        MGIC(residual_block, 32, 4, 16, norm="layer")


def test_new_channels_pass_a_light_shortcut() -> None:
    nodes = MGIC(residual_block, 32, 4, 8, in_channels=12)
    assert isinstance(nodes.shortcut, PointwiseShortcut)
    assert nodes(torch.randn(5, 12)).shape == (5, 32)

    def block(c: int, g: int) -> nn.Module:
        return nn.Conv2d(c, c, 3, padding=1, groups=g)

    images = MGIC(block, 32, 4, 8, in_channels=16, channel_axis=1)
    assert isinstance(images.shortcut, DepthwiseShortcut)
    assert images(torch.randn(2, 16, 6, 6)).shape == (2, 32, 6, 6)
    halved = MGIC(block, 32, 4, 8, shortcut=DepthwiseShortcut(16, 32, stride=2), channel_axis=1)
    assert halved(torch.randn(2, 16, 6, 6)).shape == (2, 32, 3, 3)
    assert MGIC(block, 32, 4, 8).shortcut is None


def test_graph_operators_and_positions_agree_inside() -> None:
    pos, batch = random_clouds(2, 30)
    edge_index = knn_graph(pos, 5, batch)
    layer = MGIC(lambda c, g: DiffGCNConv(c, c, g), 32, 4, 8).eval()
    x = torch.randn(60, 32)
    assert torch.equal(layer(x, pos, edge_index), layer(x, differential_operators(pos, edge_index)))


def test_odd_widths_are_named() -> None:
    with pytest.raises(ValueError, match=r"channels = 36 .* 32 and 48"):
        MGIC(residual_block, 36, 4, 4)
    for transfer in (Restriction, Prolongation):
        with pytest.raises(ValueError, match="channels = 7 cannot be halved; use 8"):
            transfer(7)


def test_repr_names_the_hierarchy() -> None:
    assert "64, 64, group_size=8, coarsest=16, hierarchy=" in repr(MGIC(residual_block, 64))
