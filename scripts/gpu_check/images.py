"""Training steps of image networks against their dense twins: seconds and peak memory."""

from __future__ import annotations

from functools import partial

from scripts.benchmarks.images import FORMS, make_run

from ._check import Check

MODELS = ("resnet56", "mgic_resnet56")


def run(check: Check) -> None:
    side, batch = (32, 2) if check.quick else (32, 128)
    case = "training step"
    peers = [
        check.peer(
            f"{name}, {form}", partial(make_run, name, form, side, batch, case, check.device)
        )
        for name in MODELS
        for form in FORMS
    ]
    twin = [f"{MODELS[0]}, {form}" for form in FORMS]
    check.compare("images", case, peers, twin, 15.0, nodes=batch * side * side)
