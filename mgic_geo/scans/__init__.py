"""Scans as they come: stray points, a floor left in, several objects, another axis up."""

from typing import TYPE_CHECKING

from mgic_geo._lazy import at_first_use

if TYPE_CHECKING:
    from mgic_geo.scans._ready import CLEAN
    from mgic_geo.scans.floor import find_floor
    from mgic_geo.scans.objects import find_objects
    from mgic_geo.scans.strays import find_strays
    from mgic_geo.scans.upright import UPRIGHT, turn_upright

__all__ = ["CLEAN", "UPRIGHT", "find_floor", "find_objects", "find_strays", "turn_upright"]

__getattr__ = at_first_use(
    __name__,
    {
        "_ready": ("CLEAN",),
        "floor": ("find_floor",),
        "objects": ("find_objects",),
        "strays": ("find_strays",),
        "upright": ("UPRIGHT", "turn_upright"),
    },
)
