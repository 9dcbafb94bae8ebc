"""The fused operators on the CPU, compiled by Numba at their first use and cached."""

from mgic_geo.kernels._cpu.correction import correction_backward, correction_forward
from mgic_geo.kernels._cpu.diff_conv import (
    LARGEST_GROUP,
    diff_conv_backward,
    diff_conv_forward,
    diff_conv_plan,
)
from mgic_geo.kernels._cpu.diff_cycle import diff_cycle_backward, diff_cycle_forward
from mgic_geo.kernels._cpu.norm import norm_act_backward, norm_act_forward
from mgic_geo.kernels._cpu.pointwise import (
    pointwise_backward,
    pointwise_forward,
    pointwise_plan,
)
from mgic_geo.kernels._cpu.vector import machine

__all__ = [
    "LARGEST_GROUP",
    "correction_backward",
    "correction_forward",
    "diff_conv_backward",
    "diff_conv_forward",
    "diff_conv_plan",
    "diff_cycle_backward",
    "diff_cycle_forward",
    "machine",
    "norm_act_backward",
    "norm_act_forward",
    "pointwise_backward",
    "pointwise_forward",
    "pointwise_plan",
]
