"""Measures everything, or one family, and says which targets are reached.

python -m scripts.benchmarks                 # all: results/benchmarks.csv, docs/assets/bench_*.png
python -m scripts.benchmarks --only width
python -m scripts.benchmarks --quick         # tiny sizes, to see that it runs
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from mgic_geo.errors import DataError

from . import allocation, classifier, epoch, images, knn, memory, parts, points, roofline, width
from ._bench import Bench, read_rows
from ._plots import draw
from ._targets import summary

# In this order, so that a run that is cut short leaves what most targets hang on.
_MODULES = (width, roofline, classifier, images, points, knn, memory, parts, allocation, epoch)
FAMILIES = {module.__name__.rpartition(".")[2]: module.run for module in _MODULES}
ON_GPU = ("width", "classifier")
BUSY = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--only", action="append", choices=FAMILIES, metavar="FAMILY")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, for tests")
    parser.add_argument("--out", type=Path, help="CSV file; results/benchmarks.csv by default")
    parser.add_argument("--pictures", type=Path, help="folder; docs/assets by default")
    parser.add_argument("--threads", type=int, help="threads, by default all")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    trial = Path("runs/benchmarks")  # what a quick run measures is no result
    out: Path = args.out or (trial / "quick.csv" if args.quick else Path("results/benchmarks.csv"))
    pictures: Path = args.pictures or (trial if args.quick else Path("docs/assets"))

    chosen = args.only or list(FAMILIES)
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    words = sys.argv[1:] if argv is None else argv
    command = shlex.join(["python", "-m", "scripts.benchmarks", *words])
    try:
        bench = Bench(out, chosen, devices, args.quick, command)
    except DataError as error:
        parser.error(str(error))
    if (load := float(bench.facts["load"] or 0.0)) > BUSY and not args.quick:
        print(f"the load of this machine is {load:.2f}: wait until it is quiet", file=sys.stderr)
    start = time.perf_counter()
    for bench.device in devices:
        for name in chosen:
            if bench.device == "cpu" or name in ON_GPU:
                with bench.guarded(family=name, case="the whole family"):
                    FAMILIES[name](bench)
    minutes = (time.perf_counter() - start) / 60
    rows = read_rows(out)
    for picture in draw(rows, pictures):
        print(picture)
    print(f"\n{len(rows)} rows are in {out}, after {minutes:.1f} minutes\n\n{summary(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
