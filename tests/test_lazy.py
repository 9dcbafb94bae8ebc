from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

HEAVY = ("torch_geometric", "accelerate", "matplotlib", "pandas", "sklearn", "torch._dynamo")


PACKAGES = ("mgic_geo", "mgic_geo.datasets", "mgic_geo.training", "mgic_geo.transforms")


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_is_found(name: str) -> None:
    package = import_module(name)
    for member in package.__all__:
        assert getattr(package, member) is getattr(package, member)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # noqa: B018


@pytest.mark.parametrize("module", ["mgic_geo.cli.predict", "mgic_geo.cli.models"])
def test_commands_import_what_they_use(module: str) -> None:
    program = f"import sys, {module}; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_prediction_needs_no_torch_geometric() -> None:
    program = (
        "import sys, torch, mgic_geo; mgic_geo.predict(torch.rand(300, 3)); "
        f"print([n for n in {HEAVY[:2]!r} if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
