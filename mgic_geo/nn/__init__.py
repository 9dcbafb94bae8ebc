"""Layers: the multigrid-in-channels block, its parts, and blocks to put inside."""

from mgic_geo.nn.conv import DiffGCNConv, DynamicEdgeConv, EdgeConv
from mgic_geo.nn.fusion import fuse
from mgic_geo.nn.graph_block import GraphBlock
from mgic_geo.nn.grid_pool import GridPool
from mgic_geo.nn.mgic import MGIC
from mgic_geo.nn.mlp import MLP, DenseBlock
from mgic_geo.nn.norm import BatchNorm
from mgic_geo.nn.pointwise import GroupedPointwise
from mgic_geo.nn.shortcut import DepthwiseShortcut, PointwiseShortcut
from mgic_geo.nn.transfer import Prolongation, Restriction

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
    "PointwiseShortcut",
    "Prolongation",
    "Restriction",
    "fuse",
]
