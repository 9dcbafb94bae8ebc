"""Fits the temperature of shipped weights, stores it with them, and writes it on their card.

    python -m scripts.calibrate_shipped modelnet10-mgic-diffgcn --data modelnet10_train.npz

It is fitted on the validation part of the run that the weights come from, as their config says:
weights that were trained on all shapes cannot be calibrated so.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

import mgic_geo
from mgic_geo.cli import main as command
from mgic_geo.errors import DataError
from mgic_geo.io import atomic_write

PACKAGE = Path(mgic_geo.__file__).parent
_SECTION = re.compile(r"## Calibration\n.*?(?=## Limits)|(?=## Limits)", re.DOTALL)


def calibrate(name: str, data: str, picture: str | None = None, package: Path = PACKAGE) -> Path:
    """Rewrites ``weights/NAME``: the weights' header and the card, nothing else."""
    folder = package / "weights" / name
    file, card = folder / "model.safetensors", folder / "README.md"
    config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    part = ["--fold", config["fold"]] if config.get("fold") is not None else []
    part = part or ["--val_fraction", config["val_fraction"]]
    if part[1] == 0.0:
        raise DataError(f"{name}: trained on all shapes, none is left to calibrate it by")
    words = ["calibrate", file, "--data", data, *part, "--out", file, "--json"]
    words += ["--picture", picture] if picture else []
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = command([str(word) for word in words])
    if code:
        raise DataError(f"{name}: not calibrated")
    text = _SECTION.sub(lambda _: _section(name, json.loads(out.getvalue())), card.read_text(), 1)
    content = file.read_bytes()
    text = re.sub(r"^[\d,]+ bytes\.", f"{len(content):,} bytes.", text, flags=re.MULTILINE)
    digest = hashlib.sha256(content).hexdigest()
    text = re.sub(r"(SHA-256 of `model.safetensors`: `)\w+", rf"\g<1>{digest}", text)
    with atomic_write(card, "w", encoding="utf-8") as target:
        target.write(text)
    return folder


def _section(name: str, found: dict[str, Any]) -> str:
    error, nll = found["expected_calibration_error"], found["negative_log_likelihood"]
    apart = found["held_out_expected_calibration_error"]
    halves = "" if apart is None else f", {100 * apart:.2f} % on halves that it was not fitted on"
    return f"""## Calibration

Temperature **{found["temperature"]:.4f}**, fitted on the validation part, {found["num_shapes"]}
shapes, and stored in the weights. Expected calibration error (15 bins):
{100 * error["before"]:.2f} % before, **{100 * error["after"]:.2f} %** after{halves};
negative log-likelihood {nll["before"]:.3f} before, {nll["after"]:.3f} nats after.

```bash
mgic-geo calibrate {name} --source FILE.npz
```

"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", metavar="NAME", help="for example modelnet10-mgic-diffgcn")
    parser.add_argument("--data", required=True, help="what the weights were trained on a part of")
    parser.add_argument("--picture", help="draw confidence against accuracy")
    args = parser.parse_args(argv)
    try:
        print(f"calibrated: {calibrate(args.name, args.data, args.picture)}")
    except (ValueError, OSError) as error:
        print(f"calibrate_shipped: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
