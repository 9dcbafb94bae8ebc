"""What allocators and waiting threads cost: a training step under several environments."""

from __future__ import annotations

import ctypes.util
import os
import re
from pathlib import Path

from ._bench import Bench
from ._run_child import ROOT, run_child
from ._timing import Timing

DEFAULT, TUNED = "glibc, default", "glibc, as in the Makefile"
# What an earlier setting could leave in the environment of this process.
_OURS = ("GLIBC_TUNABLES", "LD_PRELOAD", "OMP_WAIT_POLICY")


def run(bench: Bench) -> None:
    clouds, points, width = (2, 64, 16) if bench.quick else (16, 1024, 64)
    rounds, steps = (1, 2) if bench.quick else (3, 8)
    settings = environments()
    if bench.quick:
        settings = {DEFAULT: {}}
    fields = {"family": "allocation", "case": "training step of mgic_diffgcn"}
    fields.update(width=str(width), nodes=str(clouds * points))
    times: dict[str, list[float]] = {}
    for _ in range(rounds):  # in turn, as everywhere
        for name, extra in settings.items():
            if extra is None:
                continue
            with bench.guarded(**fields, peer=name):
                task = {"task": "steps", "clouds": clouds, "points": points, "width": width}
                clean = {key: value for key, value in os.environ.items() if key not in _OURS}
                found = run_child({**task, "steps": steps}, {**clean, **extra})
                times.setdefault(name, []).extend(found["times"])
    for name, environment in settings.items():
        if environment is None:
            bench.record(**fields, peer=name, note="not installed")
        elif name in times:
            timing = Timing(tuple(times[name]))
            q1, q3 = timing.quartiles
            values = {"seconds": timing.median, "q1": q1, "q3": q3, "repeats": len(timing.times)}
            if DEFAULT in times:
                values["ratio"] = Timing(tuple(times[DEFAULT])).median / timing.median
            note = " ".join(f"{key}={value}" for key, value in environment.items())
            bench.record(**fields, **values, peer=name, reference=DEFAULT, note=note)


def environments() -> dict[str, dict[str, str] | None]:
    """Variables of each setting; None for one that this machine does not have."""
    tuned = {"GLIBC_TUNABLES": makefile_tunables()}
    jemalloc = ctypes.util.find_library("jemalloc")
    return {
        DEFAULT: {},
        TUNED: tuned,
        "jemalloc": {"LD_PRELOAD": jemalloc} if jemalloc else None,
        f"{TUNED}, passive": {**tuned, "OMP_WAIT_POLICY": "passive"},
        f"{TUNED}, active": {**tuned, "OMP_WAIT_POLICY": "active"},
    }


def makefile_tunables(path: Path = ROOT / "Makefile") -> str:
    found = re.search(r"^MALLOC\s*\?=\s*(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError(f"{path} sets no MALLOC")
    return found[1]
