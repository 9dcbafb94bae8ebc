"""Fused operators, registered with ``torch.library``, so that compile and export see through them.

Each takes a compiled CPU kernel where there is one and plain torch elsewhere (other devices, other
types, no Numba, ``MGIC_GEO_KERNELS=torch``).
"""

from mgic_geo.kernels._dispatch import kernel_backend
from mgic_geo.kernels.diff_conv import derive, diff_conv, diff_conv_reference
from mgic_geo.kernels.neighbor_max import neighbor_max

__all__ = ["derive", "diff_conv", "diff_conv_reference", "kernel_backend", "neighbor_max"]
