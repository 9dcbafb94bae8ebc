"""What a result must say of its origin."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from mgic_geo import __version__
from mgic_geo.kernels import kernel_backend


def provenance() -> dict[str, str]:
    """Command, commit, versions, device and date, as plain text.

    Returns:
        Texts by the names ``command``, ``commit``, ``versions``, ``device`` and ``date``.
        ``commit`` is empty where the package was installed, and ends in ``-dirty`` where files were
        changed.

    Example:
        >>> from mgic_geo.training import provenance
        >>> print(*provenance(), sep=", ")
        command, commit, versions, device, date
    """
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return {
        "command": f"{_program()} {shlex.join(sys.argv[1:])}".rstrip(),
        "commit": _commit(),
        "versions": f"mgic_geo {__version__}, torch {torch.__version__}, "
        f"torch_geometric {version('torch_geometric')}, python {platform.python_version()}",
        "device": f"{device}, {torch.get_num_threads()} threads, {kernel_backend()} kernels",
        "date": datetime.date.today().isoformat(),
    }


def _program() -> str:
    """The script, or the module that was run by ``python -m``."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None:
        return Path(sys.argv[0]).name
    return f"python -m {spec.name.removesuffix('.__main__')}"


def _processor() -> str:
    return f"{os.cpu_count()} x {platform.machine()} CPU"


def _commit() -> str:
    """The commit of the package's checkout, marked where files differ; empty if installed."""
    folder = Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return ""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
