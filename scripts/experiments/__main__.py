"""Runs all experiments in turn, or those that are named, and writes the report.

python -m scripts.experiments                      # all, short budgets
python -m scripts.experiments table_01 table_05
python -m scripts.experiments --report             # the report alone, from the rows that are there
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from mgic_geo.errors import MgicGeoError

from ._list import NAMES, load
from ._program import contexts, parser
from ._report import write_report


def main(argv: Sequence[str] | None = None) -> int:
    options = parser((__doc__ or "").partition("\n")[0], one=False)
    options.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    options.add_argument("--report", action="store_true", help="write the report alone")
    args = options.parse_args(argv)
    if unknown := sorted(set(args.names) - set(NAMES)):
        options.error(f"no experiment {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if args.report:
        print(write_report(args.out))
        return 0
    failed = []
    try:
        chosen = contexts(load(args.names or NAMES), args)
    except MgicGeoError as error:
        options.error(str(error))
    for context in chosen:
        start = time.perf_counter()
        name = context.experiment.name
        print(f"{name}: {context.experiment.title}", flush=True)
        try:
            context.experiment.run(context)
        except (MgicGeoError, ImportError, OSError) as error:
            failed.append(name)
            print(f"{name}: {error}", file=sys.stderr)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
        write_report(context.out)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
