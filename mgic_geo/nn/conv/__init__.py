"""Message-passing layers with grouped channels."""

from mgic_geo.nn.conv.diffgcn_conv import DiffGCNConv
from mgic_geo.nn.conv.dynamic_edge_conv import DynamicEdgeConv
from mgic_geo.nn.conv.edge_conv import EdgeConv

__all__ = ["DiffGCNConv", "DynamicEdgeConv", "EdgeConv"]
