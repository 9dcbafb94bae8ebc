"""``python -m mgic_geo``, which launchers of several processes can start."""

import sys

from mgic_geo.cli import main

if __name__ == "__main__":
    sys.exit(main())
