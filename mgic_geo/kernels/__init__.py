"""Operators on nodes and graphs, registered with ``torch.library``; README.md is the way in.

Each takes fused loops where there are some (compiled by Numba on the CPU, by Triton on a GPU) and
plain torch elsewhere: other devices and types, neither installed, ``MGIC_GEO_KERNELS=torch``.
"""

from mgic_geo.kernels.correction import correction, correction_reference
from mgic_geo.kernels.derivatives import derivative_operators
from mgic_geo.kernels.diff_conv import derive, diff_conv, diff_conv_reference
from mgic_geo.kernels.diff_cycle import diff_cycle, diff_cycle_reference
from mgic_geo.kernels.dispatch import kernel_backend, plain_torch, without_compiler
from mgic_geo.kernels.group_edges import group_edges
from mgic_geo.kernels.neighbor_max import neighbor_max
from mgic_geo.kernels.neighbors import farthest_points, neighbor_table
from mgic_geo.kernels.norm_act import norm_act, norm_act_reference
from mgic_geo.kernels.pointwise import grouped_pointwise, grouped_pointwise_reference

__all__ = [
    "correction",
    "correction_reference",
    "derivative_operators",
    "derive",
    "diff_conv",
    "diff_conv_reference",
    "diff_cycle",
    "diff_cycle_reference",
    "farthest_points",
    "group_edges",
    "grouped_pointwise",
    "grouped_pointwise_reference",
    "kernel_backend",
    "neighbor_max",
    "neighbor_table",
    "norm_act",
    "norm_act_reference",
    "plain_torch",
    "without_compiler",
]
