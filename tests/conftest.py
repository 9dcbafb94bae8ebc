from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]
os.environ.setdefault("MPLBACKEND", "Agg")  # no test opens a window
# Open3D loads a TBB that is too old for Numba, which would warn when it tries that one first.
os.environ.setdefault("NUMBA_THREADING_LAYER_PRIORITY", "omp tbb workqueue")
torch.set_num_threads(min(2, torch.get_num_threads()))  # the same sums on a large machine

_broken: list[str] = []
try:
    import open3d  # noqa: F401
except ModuleNotFoundError:
    pass
except (ImportError, OSError) as error:
    # Installed, but a system library such as libusb is missing: as good as not installed, and what
    # needs it is skipped rather than failed.
    sys.modules["open3d"] = None  # type: ignore[assignment]
    _broken.append(f"open3d does not import, its tests are skipped: {error}")


def pytest_report_header() -> list[str]:
    return _broken


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Equal global generators for each test, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds pyproject.toml."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real research data, which lies beside the repository and is never part of it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder ../shared/data with the real data is not there")
    return folder
