"""Times of a network before and after its compression."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mgic_geo.compress._calibrate import call, try_call
from mgic_geo.compress.report import Latency
from mgic_geo.errors import MgicGeoError

_ENGINES = ("eager", "onnx")


def measure_latency(
    model: nn.Module,
    slim: nn.Module,
    inputs: Any,
    threads: Sequence[int] = (1, 2),
    engines: Sequence[str] = ("eager",),
    rounds: int = 15,
) -> list[Latency]:
    """Times both networks in turns, so that what else the machine does meets both alike.

    Args:
        model: The given network.
        slim: What :func:`mgic_geo.compress` made of it.
        inputs: Of one call. ``"onnx"`` takes a tensor alone, or a tuple of tensors.
        threads: Numbers of threads.
        engines: ``"eager"``, and ``"onnx"`` for both written to ONNX and run by ONNX Runtime.
        rounds: Calls of each; the least time counts.

    Returns:
        For ``report.latency``, by engine and threads.

    Raises:
        MgicGeoError: There is no such engine, or the inputs are none that it takes.
        DataError: A network does not take the inputs.
        ImportError: ONNX Runtime is missing; the message names the extra.

    Example:
        >>> dense, slim = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
        >>> times = measure_latency(dense, slim, torch.randn(1, 8), threads=(1,), rounds=2)
        >>> times[0].engine, times[0].threads
        ('eager', 1)
    """
    for engine in engines:
        if engine not in _ENGINES:
            raise MgicGeoError(f"engine {engine!r}: use one of {', '.join(_ENGINES)}")
    modes = {m: m.training for network in (model, slim) for m in network.modules()}
    kept = torch.get_num_threads()
    found = []
    try:
        for network in (model.eval(), slim.eval()):
            with torch.no_grad():
                try_call(network, inputs)
        for engine in engines:
            for count in threads:
                torch.set_num_threads(count)
                if engine == "eager":
                    runs = [_eager(network, inputs) for network in (model, slim)]
                else:
                    runs = [_onnx(network, inputs, count) for network in (model, slim)]
                found.append(Latency(engine, count, *_least(runs, rounds)))
    finally:
        torch.set_num_threads(kept)
        for module, training in modes.items():
            module.training = training
    return found


def _least(runs: Sequence[Callable[[], Any]], rounds: int) -> list[float]:
    best = [float("inf")] * len(runs)
    for number in range(rounds + 2):
        for i, run in enumerate(runs):
            start = time.perf_counter()
            run()
            if number >= 2:  # the first ones allocate
                best[i] = min(best[i], 1e3 * (time.perf_counter() - start))
    return best


def _eager(model: nn.Module, inputs: Any) -> Callable[[], Any]:
    def run() -> Any:
        with torch.inference_mode():
            return call(model, inputs)

    return run


def _onnx(model: nn.Module, inputs: Any, threads: int) -> Callable[[], Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = write_onnx(model, inputs, Path(folder) / "model.onnx")
        session = _session(path, threads)
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    feed = {node.name: x.numpy() for node, x in zip(session.get_inputs(), given, strict=True)}
    return lambda: session.run(None, feed)


def _session(path: Path, threads: int) -> Any:
    from mgic_geo._optional import require

    runtime = require("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def write_onnx(model: nn.Module, inputs: Any, path: str | os.PathLike[str]) -> Path:
    """Writes any network that torch can export as an ONNX file, for inputs of this size.

    :func:`mgic_geo.export` does more for image and point networks: it checks the file in its
    engine, describes it and leaves the batch free.

    Args:
        model: The network.
        inputs: A tensor or a tuple of tensors.
        path: The file.

    Raises:
        MgicGeoError: The inputs are something else.
        ImportError: ONNX is missing; the message names the extra.
    """
    from mgic_geo._optional import require
    from mgic_geo.export._onnx import quiet

    require("onnxscript", "onnx")
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    if not all(isinstance(x, Tensor) for x in given):
        raise MgicGeoError("ONNX is written for a tensor or a tuple of tensors")
    with quiet():
        torch.onnx.export(model.eval(), given, str(path), dynamo=True, verbose=False)
    return Path(path)
