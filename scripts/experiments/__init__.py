"""The paper's tables and figures, one program each, and what goes beyond them.

    python -m scripts.experiments                    # all, short budgets (make experiments)
    python -m scripts.experiments.table_01           # one of them
    python -m scripts.experiments.table_11 --full    # by the paper's schedule

Each writes ``results/<name>.csv``, a picture where there is something to see, and its part of
``results/README.md``, which is made from the rows alone.
"""
