"""Shows in under 8 minutes whether the package is right on this GPU, and how fast.

python -m scripts.gpu_check                  # all: results/gpu.csv
python -m scripts.gpu_check --only parity    # one family, in this process
python -m scripts.gpu_check --quick          # tiny sizes, to see that it runs

Exit code 1 if a result is wrong. Without a GPU Triton's interpreter runs the kernels on small
inputs, and no rows are written.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from mgic_geo.errors import DataError
from scripts.benchmarks._run_child import ROOT

from . import images, parity, points, whole, width
from ._check import Check

_MODULES = (parity, whole, points, images, width)
FAMILIES = {module.__name__.rpartition(".")[2]: module.run for module in _MODULES}
JUDGED = ("parity", "whole")
# Rough seconds of each with nothing compiled yet: how what is left of the time is shared out.
SHARES = {"parity": 130, "whole": 40, "points": 70, "images": 30, "width": 180}
SECONDS = 440.0
_GRACE = 25.0  # between the end of a family's time and its end by force


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.gpu_check",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument("--only", action="append", choices=FAMILIES, metavar="FAMILY")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, for tests")
    parser.add_argument("--out", type=Path, help="CSV file; results/gpu.csv by default")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="nothing new begins after")
    args = parser.parse_args(argv)
    words = list(sys.argv[1:] if argv is None else argv)
    if importlib.util.find_spec("triton") is None:
        print("Triton is not installed, so there is no GPU kernel to check: install mgic_geo[gpu]")
        return int(torch.cuda.is_available())
    if not torch.cuda.is_available():
        print("no GPU here: Triton's interpreter runs the kernels on small inputs, no rows written")
        return interpreted(args.quick)
    trial = Path("runs/gpu_check/quick.csv")  # what a quick run measures is no result
    out: Path = args.out or (trial if args.quick else Path("results/gpu.csv"))
    try:
        if args.only:
            command = shlex.join(["python", "-m", "scripts.gpu_check", *words])
            check = Check(out, args.only, "cuda", args.quick, command, args.seconds)
            return run(check, args.only)
        return run_apart(out, words, args.seconds)
    except DataError as error:
        parser.error(str(error))


def run(check: Check, families: Sequence[str]) -> int:
    """Takes the measurements; 1 if a result is wrong."""
    for name in families:
        guard = check.judged if name in JUDGED else check.guarded
        with guard(family=name, case="the whole family"):
            FAMILIES[name](check)
    print(f"\n{len(check.rows)} rows are in {check.path}, {check.wrong} of them wrong")
    return int(check.wrong > 0)


def run_apart(out: Path, words: Sequence[str], seconds: float) -> int:
    """Each family in a process of its own: after a fault on a GPU its process can do no more."""
    end = time.monotonic() + seconds
    failed = []
    for name in FAMILIES:
        waiting = list(FAMILIES)[list(FAMILIES).index(name) :]
        left = max(end - time.monotonic(), 0.0)
        mine = left * SHARES[name] / sum(SHARES[other] for other in waiting)
        command = [sys.executable, "-m", "scripts.gpu_check", *words, "--only", name]
        note = ""
        try:
            code = subprocess.run(
                [*command, "--seconds", f"{mine:.0f}"], cwd=ROOT, timeout=mine + _GRACE
            ).returncode
        except subprocess.TimeoutExpired:
            code, note = -1, f"cut after {mine + _GRACE:.0f} seconds"
        if code not in (0, 1):
            note = note or f"failed: exit status {code}"
            Check(out, ()).record(family=name, case="the whole family", note=note)
        if code == 1 or (note and name in JUDGED):
            failed.append(name)
    print(f"{seconds - (end - time.monotonic()):.0f} seconds, rows in {out}")
    print(f"WRONG: {', '.join(failed)}" if failed else "all results are right")
    return int(bool(failed))


def interpreted(quick: bool) -> int:
    """The kernels in a process whose Triton interprets them: it decides when it is imported."""
    command = [sys.executable, "-m", "scripts.gpu_check.parity", *["--quick"] * quick]
    env = {**os.environ, "TRITON_INTERPRET": "1"}
    return subprocess.run(command, cwd=ROOT, env=env).returncode


if __name__ == "__main__":
    sys.exit(main())
