from __future__ import annotations

import torch
from torch import Tensor, nn

from mgic_geo.graph import DifferentialOperators, differential_operators, knn_graph
from mgic_geo.nn import DiffGCNConv, GraphBlock
from mgic_geo.testing import random_clouds, randomize_norms


class Same(nn.Module):
    """A convolution that returns its very input."""

    def forward(self, x: Tensor, graph: DifferentialOperators) -> Tensor:
        return x


def test_inference_spoils_nothing_that_others_see() -> None:
    pos, batch = random_clouds(1, 30)
    graph = differential_operators(pos, knn_graph(pos, 6, batch))
    x = torch.randn(30, 8)
    before, seen = x.clone(), []
    for conv in (DiffGCNConv(8, 8), Same()):
        block = randomize_norms(GraphBlock(conv, 8, residual=True)).eval()
        expected = block(x, graph).detach()
        handle = conv.register_forward_hook(lambda *found: seen.append(found[2]))
        with torch.no_grad():
            torch.testing.assert_close(block(x, graph), expected)
            torch.testing.assert_close(seen.pop(), conv(x, graph))
            handle.remove()
            torch.testing.assert_close(block(x, graph), expected)
        assert torch.equal(x, before)
