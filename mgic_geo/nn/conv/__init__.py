"""Message-passing layers with grouped channels."""

from typing import TYPE_CHECKING

from mgic_geo._lazy import at_first_use
from mgic_geo.nn.conv.diffgcn_conv import DiffGCNConv
from mgic_geo.nn.conv.linear_edge_conv import LinearEdgeConv

if TYPE_CHECKING:
    from mgic_geo.nn.conv.dynamic_edge_conv import DynamicEdgeConv
    from mgic_geo.nn.conv.edge_conv import EdgeConv

__all__ = ["DiffGCNConv", "DynamicEdgeConv", "EdgeConv", "LinearEdgeConv"]

# Those that are a MessagePassing import PyG, which takes longer than a prediction.
__getattr__ = at_first_use(
    __name__, {"dynamic_edge_conv": ("DynamicEdgeConv",), "edge_conv": ("EdgeConv",)}
)
