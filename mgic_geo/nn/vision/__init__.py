"""Blocks of image networks; with ``groups`` each is a relaxation for an MGIC block."""

from mgic_geo.nn.vision.conv import ConvNormAct
from mgic_geo.nn.vision.ghost import GhostBasicBlock, GhostBottleneck, GhostModule
from mgic_geo.nn.vision.hierarchical import HierarchicalBlock, HierarchicalConv2d
from mgic_geo.nn.vision.inverted_residual import InvertedResidual
from mgic_geo.nn.vision.resnet import BasicBlock, Bottleneck, PadShortcut
from mgic_geo.nn.vision.separable import SeparableBlock
from mgic_geo.nn.vision.squeeze_excite import SqueezeExcite

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "ConvNormAct",
    "GhostBasicBlock",
    "GhostBottleneck",
    "GhostModule",
    "HierarchicalBlock",
    "HierarchicalConv2d",
    "InvertedResidual",
    "PadShortcut",
    "SeparableBlock",
    "SqueezeExcite",
]
