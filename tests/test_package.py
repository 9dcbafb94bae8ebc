from __future__ import annotations

import importlib
import importlib.metadata
import importlib.resources
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mgic_geo

PACKAGE = Path(mgic_geo.__file__).parent
OPTIONAL = ("PIL", "matplotlib", "open3d", "trimesh")


def _modules() -> list[str]:
    parts = (
        file.relative_to(PACKAGE.parent).with_suffix("").parts for file in PACKAGE.rglob("*.py")
    )
    names = {".".join(part[:-1] if part[-1] == "__init__" else part) for part in parts}
    return sorted(name for name in names if not name.endswith("__main__"))


def _packages() -> list[str]:
    return [name for name in _modules() if (PACKAGE.parent / name.replace(".", "/")).is_dir()]


def test_every_module_imports_without_torchvision_and_extras(tmp_path: Path) -> None:
    # a torchvision built for another torch raises RuntimeError, a missing extra ImportError
    for name in ("torchvision", *OPTIONAL):
        (tmp_path / name).mkdir()
        error = "RuntimeError" if name == "torchvision" else "ImportError"
        (tmp_path / name / "__init__.py").write_text(f"raise {error}('poisoned: {name}')\n")
    program = "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)"
    done = subprocess.run(
        [sys.executable, "-c", program, *_modules()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(PACKAGE.parent)])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", ["mgic_geo", "scripts", "tests"])
def test_no_file_imports_torchvision(folder: str, repository: Path) -> None:
    statement = re.compile(r"^\s*(from|import)\s+torchvision\b", re.MULTILINE)
    files = (repository / folder).rglob("*.py")
    assert [file.name for file in files if statement.search(file.read_text("utf-8"))] == []


@pytest.mark.parametrize("name", _packages())
def test_public_list(name: str) -> None:
    module = importlib.import_module(name)
    public = module.__all__
    assert len(set(public)) == len(public)
    assert [entry for entry in public if not hasattr(module, entry)] == []
    assert [entry for entry in public if entry.startswith("_") and entry != "__version__"] == []


def test_version_is_the_same_everywhere(repository: Path) -> None:
    """It stands in ``__init__.py``; pyproject.toml reads it there, and CITATION.cff repeats it."""
    assert mgic_geo.__version__ == importlib.metadata.version("mgic_geo")
    assert f"\nversion: {mgic_geo.__version__}\n" in (repository / "CITATION.cff").read_text()


def test_package_is_typed() -> None:
    assert importlib.resources.files("mgic_geo").joinpath("py.typed").is_file()


def test_constraints_pin_every_requirement(repository: Path) -> None:
    pinned = re.findall(r"^([\w-]+)==", (repository / "constraints.txt").read_text(), re.M)
    required = [
        re.split(r"[^\w-]", line)[0] for line in importlib.metadata.requires("mgic_geo") or []
    ]
    # A CUDA build of torch requires a Triton of its own, which a pin would contradict.
    assert {name.lower() for name in required} - {"triton"} == {name.lower() for name in pinned}
