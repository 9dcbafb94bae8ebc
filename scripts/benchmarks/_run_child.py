"""Starts a measurement of :mod:`._child` in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def run_child(task: Mapping[str, Any], env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Runs a task in a new interpreter.

    Raises:
        RuntimeError: It failed; the message is the last line that it wrote.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"{__package__}._child", json.dumps(task)],
        cwd=ROOT,
        env=None if env is None else dict(env),
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode or not lines:
        last = lines[-1] if lines else f"exit status {done.returncode}"
        raise RuntimeError(last.removeprefix("RuntimeError: "))
    result: dict[str, Any] = json.loads(lines[-1])
    return result
