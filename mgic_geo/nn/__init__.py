"""Layers: the multigrid-in-channels block, its parts, and blocks to put inside.

Searches for neighbours are here, too, for those who look for them where PyG has them.
"""

from typing import TYPE_CHECKING

from mgic_geo._lazy import at_first_use
from mgic_geo.graph import fps, knn, knn_graph, radius, radius_graph
from mgic_geo.nn.conv import DiffGCNConv, LinearEdgeConv
from mgic_geo.nn.fusion import fuse
from mgic_geo.nn.graph_block import GraphBlock
from mgic_geo.nn.grid_pool import GridPool
from mgic_geo.nn.hierarchical_conv import HierarchicalConv
from mgic_geo.nn.hierarchical_linear import HierarchicalLinear
from mgic_geo.nn.linear_grids import LinearGrid, LinearGrids, nested_grids, two_grids
from mgic_geo.nn.mgic import MGIC
from mgic_geo.nn.mlp import MLP, DenseBlock
from mgic_geo.nn.norm import BatchNorm
from mgic_geo.nn.pointwise import GroupedPointwise
from mgic_geo.nn.shortcut import DepthwiseShortcut, PointwiseShortcut
from mgic_geo.nn.transfer import Prolongation, Restriction

if TYPE_CHECKING:
    from mgic_geo.nn.conv import DynamicEdgeConv, EdgeConv

__all__ = [
    "MGIC",
    "MLP",
    "BatchNorm",
    "DenseBlock",
    "DepthwiseShortcut",
    "DiffGCNConv",
    "DynamicEdgeConv",
    "EdgeConv",
    "GraphBlock",
    "GridPool",
    "GroupedPointwise",
    "HierarchicalConv",
    "HierarchicalLinear",
    "LinearEdgeConv",
    "LinearGrid",
    "LinearGrids",
    "PointwiseShortcut",
    "Prolongation",
    "Restriction",
    "fps",
    "fuse",
    "knn",
    "knn_graph",
    "nested_grids",
    "radius",
    "radius_graph",
    "two_grids",
]

__getattr__ = at_first_use(__name__, {"conv": ("DynamicEdgeConv", "EdgeConv")})
