"""List the models with their parameters and multiply-accumulates, at their default options.

Multiply-accumulates (MACs) are those of learned weights for one cloud of 1,024 points, or one image
in the size that the model is made for.
"""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from mgic_geo.cli._output import print_json, print_table
from mgic_geo.costs import model_cost
from mgic_geo.models import describe_model, list_models, model_task
from mgic_geo.models.registry import TASKS


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "pattern", nargs="?", default="*", help="shell pattern of names, quoted: 'mgic_*'"
    )
    parser.add_argument("--task", choices=TASKS, help="only those for this")
    parser.add_argument("--json", action="store_true", help="print a list of JSON objects")


def run(options: Namespace) -> int:
    rows = []
    for name in list_models(options.pattern, options.task):
        rows.append(
            {
                "name": name,
                "task": model_task(name),
                **model_cost(name)._asdict(),
                "description": describe_model(name),
            }
        )
    if options.json:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
    else:
        raise ValueError(
            f"no model matches {options.pattern!r}; there are {', '.join(list_models())}"
        )
    return 0
