from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from mgic_geo.cli import doctor
from mgic_geo.kernels import dispatch

Cli = Callable[..., Any]


def test_it_says_what_is_there(cli: Cli) -> None:
    found = cli("doctor", "--json").json
    assert found["Versions"]["torch"] == {"is": torch.__version__, "mend": ""}
    loops = found["Loops"]["operators on the CPU"]["is"]
    assert loops.startswith("compiled" if dispatch.COMPILED else "plain torch")
    text = cli("doctor").out
    for heading in found:
        assert heading in text
    assert "modelnet10-mgic-diffgcn" in text


@pytest.mark.parametrize(
    ("module", "name", "mend"),
    [
        ("h5py", "mesh: h5py", 'pip install "mgic_geo[mesh]"'),
        ("matplotlib", "viz: matplotlib", 'pip install "mgic_geo[viz]"'),
    ],
)
def test_what_is_missing_names_what_mends_it(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str, mend: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    row = doctor._extras()[name]
    assert row["mend"] == mend
    assert row["is"]


def test_a_broken_package_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise OSError(f"{name}: libusb-1.0.so.0: cannot open shared object file")

    monkeypatch.setattr(doctor, "import_module", broken)
    row = doctor._extras()["mesh: open3d"]
    assert "libusb" in row["is"]
    assert row["mend"] == "apt-get install libusb-1.0-0"


def test_loops_that_are_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "COMPILED", False)
    monkeypatch.setattr(dispatch, "MODE", "torch")
    assert doctor._loops()["operators on the CPU"]["mend"] == "unset MGIC_GEO_KERNELS"
