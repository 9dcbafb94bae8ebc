"""Fused operators, registered with ``torch.library``, so that compile and export see through them.

Each takes a compiled kernel where there is one (Numba on the CPU, Triton on a GPU) and plain torch
elsewhere: other devices and types, neither installed, ``MGIC_GEO_KERNELS=torch``.
"""

from mgic_geo.kernels._dispatch import kernel_backend
from mgic_geo.kernels.correction import correction, correction_reference
from mgic_geo.kernels.diff_conv import derive, diff_conv, diff_conv_reference
from mgic_geo.kernels.diff_cycle import diff_cycle, diff_cycle_reference
from mgic_geo.kernels.neighbor_max import neighbor_max
from mgic_geo.kernels.norm_act import norm_act, norm_act_reference
from mgic_geo.kernels.pointwise import grouped_pointwise, grouped_pointwise_reference

__all__ = [
    "correction",
    "correction_reference",
    "derive",
    "diff_conv",
    "diff_conv_reference",
    "diff_cycle",
    "diff_cycle_reference",
    "grouped_pointwise",
    "grouped_pointwise_reference",
    "kernel_backend",
    "neighbor_max",
    "norm_act",
    "norm_act_reference",
]
