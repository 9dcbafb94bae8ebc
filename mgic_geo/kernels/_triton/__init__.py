"""Kernels for NVIDIA GPUs, written in Triton; each has a plain torch twin, its oracle in the tests.

Inputs lie on one GPU (or anywhere, under ``TRITON_INTERPRET=1``); :func:`use_triton` says whether
a tensor is one of theirs.
"""

from mgic_geo.kernels._triton._language import use_triton
from mgic_geo.kernels._triton.derive import derive, mixes_in_place
from mgic_geo.kernels._triton.diff_conv import (
    diff_conv_backward,
    diff_conv_forward,
    diff_conv_grad_mix,
)
from mgic_geo.kernels._triton.neighbor_max import neighbor_max_backward, neighbor_max_forward
from mgic_geo.kernels._triton.pointwise import (
    grouped_pointwise_backward,
    grouped_pointwise_forward,
    grouped_pointwise_weight_grad,
)

__all__ = [
    "derive",
    "diff_conv_backward",
    "diff_conv_forward",
    "diff_conv_grad_mix",
    "grouped_pointwise_backward",
    "grouped_pointwise_forward",
    "grouped_pointwise_weight_grad",
    "mixes_in_place",
    "neighbor_max_backward",
    "neighbor_max_forward",
    "use_triton",
]
