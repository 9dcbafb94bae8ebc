"""The command line ``mgic-geo``."""

import os

# Before torch loads its thread pool: idle threads sleep instead of spinning. Torch and Numba keep a
# pool each, and a spinning one takes the processor from the other (4 times slower when busy).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from mgic_geo.cli.main import main

__all__ = ["main"]
