"""Rows of what a GPU shows, and whether it was right."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch

from scripts.benchmarks._bench import COLUMNS, Bench, Peer, failure
from scripts.benchmarks._timing import Run

SEED = 0


class Check(Bench):
    """A :class:`Bench` whose rows may have a limit, and whose time is limited.

    Args:
        path: As for :class:`Bench`, and so the others.
        families: Likewise.
        device: ``"cuda"``; on ``"cpu"`` the same plan runs on plain tensors, for tests.
        quick: Likewise.
        command: Likewise.
        seconds: Nothing new begins after so many.
        compiler: The backend of ``torch.compile``.

    Attributes:
        wrong: Number of rows whose difference was above its limit, or that came to none.
    """

    columns = (*COLUMNS, "limit", "seed")

    def __init__(
        self,
        path: Path,
        families: Sequence[str],
        device: str = "cuda",
        quick: bool = False,
        command: str = "",
        seconds: float = math.inf,
        compiler: str = "inductor",
    ) -> None:
        super().__init__(path, families, [device], quick, command)
        self.facts["seed"] = SEED
        self.facts["versions"] += f", CUDA {torch.version.cuda or 'none'}"
        self.compiler = compiler
        self.wrong = 0
        self._end = time.monotonic() + seconds

    def judge(self, difference: float, limit: float, **values: Any) -> None:
        """Writes a row, and counts it if the difference is above the limit, or no number."""
        right = difference <= limit
        self.wrong += not right
        note = "; ".join(filter(None, [values.pop("note", ""), "" if right else "WRONG"]))
        self.record(difference=difference, limit=limit, note=note, **values)

    @contextmanager
    def judged(self, **values: Any) -> Iterator[None]:
        """As :meth:`guarded`, where to come to no result is to be wrong."""
        try:
            yield
        except Exception as error:  # a kernel may fail in any way; the others are judged
            self.wrong += 1
            self.record(**{**values, "note": failure(error)})

    def peer(self, name: str, build: Callable[[], Run], **fields: Any) -> Peer:
        """A peer with its peak memory, which is not built when the time is up."""

        def in_time() -> Run:
            if time.monotonic() > self._end:
                raise TimeoutError("left out, the time is up")
            return build()

        peak = device_peak if self.device == "cuda" else None
        return Peer(name, in_time, fields, peak=peak)

    def compiled(self, module: torch.nn.Module) -> torch.nn.Module:
        """``torch.compile`` for one shape, without breaks."""
        compiled: Any = torch.compile(module, fullgraph=True, dynamic=False, backend=self.compiler)
        return cast(torch.nn.Module, compiled)


def device_peak(run: Run) -> float:
    """MiB that a run needs at most over its model and inputs, those it keeps between runs included.

    That is gradients and what the optimizer holds. The first run, which compiles and chooses
    kernels, does not count.
    """
    gc.collect()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20
