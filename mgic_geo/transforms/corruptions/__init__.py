"""What goes wrong with clouds on their way from a scanner, in five severities, to be measured.

:func:`corrupt` does one of them to one cloud: the seven kinds of `ModelNet-C
<https://arxiv.org/abs/2202.03377>`_ (Ren et al. 2022) and five of scans. The same seed gives the
same cloud. ``mgic-geo evaluate --corruptions`` measures weights on all of them.
"""

from typing import TYPE_CHECKING

from mgic_geo._lazy import at_first_use

if TYPE_CHECKING:
    from .api import CORRUPTIONS, MODELNET_C, SEVERITIES, corrupt
    from .hidden import hide_points

__all__ = ["CORRUPTIONS", "MODELNET_C", "SEVERITIES", "corrupt", "hide_points"]

__getattr__ = at_first_use(
    __name__,
    {
        "api": ("CORRUPTIONS", "MODELNET_C", "SEVERITIES", "corrupt"),
        "hidden": ("hide_points",),
    },
)
