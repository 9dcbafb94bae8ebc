"""Compresses networks that no one here wrote and checks each: ``python -m scripts.compress_zoo``.

Of each: compressed with a fit, forward and backward, state_dict round trip, deepcopy, the given
network unchanged, outputs of the same types and shapes, counts as predicted, torch.export where the
original goes. It needs ``pip install "mgic_geo[zoo]"``. Rows are written as they come; those of the
same commit are not made again.
"""

from __future__ import annotations

import argparse
import copy
import csv
import io
import logging
import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

import mgic_geo
from mgic_geo.compress import CompressReport
from mgic_geo.errors import MgicGeoError
from mgic_geo.io import atomic_write
from mgic_geo.profiling import profile_model
from mgic_geo.training import provenance

from ._networks import Network, networks
from ._table import read_zoo

COLUMNS = (
    "package", "network", "result", "replaced", "left", "parameters", "parameters_after", "macs",
    "macs_after", "export", "start", "seconds", "cpu_seconds", "why", "command", "commit",
    "versions", "device", "date",
)  # fmt: skip
_FITTED = 500_000  # parameters of a network whose layers are fitted; larger ones start at random
_CLOSE = 1e-3


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="patterns of names; all by default")
    parser.add_argument("--out", type=Path, default=Path("results/compress_zoo.csv"))
    options = parser.parse_args(argv)
    logging.disable(logging.CRITICAL)
    facts = provenance()
    done: dict[str, Any] = {row["network"]: row for row in read_zoo(options.out)}
    for network in networks():
        if options.names and not any(fnmatch(network.name, p) for p in options.names):
            continue
        row = done.get(network.name, {})
        if row.get("commit") != facts["commit"] or facts["commit"].endswith("-dirty"):
            row = {"package": network.package, "network": network.name, **check(network), **facts}
            done[network.name] = row
            _write(options.out, [done[n.name] for n in networks() if n.name in done])
        export = f"export {row['export']}" if row.get("export") else ""
        sizes = f"{row.get('parameters', '')} -> {row.get('parameters_after', '')}"
        print(
            f"{network.package:16s} {network.name:44s} {row['result']:8s} "
            f"{row.get('replaced', '')!s:>4} layers  {sizes:22s} {export:12s} "
            f"{row['seconds']:>6} s  {row.get('why', '')[:110]}",
            flush=True,
        )
    results = Counter(row["result"] for row in done.values())
    print(f"{len(done)} networks: {', '.join(f'{n} {what}' for what, n in results.items())}")
    return int(results["failed"] > 0)


def check(network: Network) -> dict[str, Any]:
    """One row: ``ok``, ``failed``, ``left`` where nothing can be replaced, ``original`` where the
    network itself does not run here.
    """
    start, cpu = time.perf_counter(), time.process_time()
    torch.manual_seed(0)
    row: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model, inputs = network.build()
            model.eval()
            with torch.no_grad():
                outputs = _call(model, inputs)
        except Exception as error:
            row = {"result": "original", "why": f"does not run here: {_one_line(error)}"}
        else:
            try:
                row = _check(model, inputs, outputs)
            except MgicGeoError as error:
                row = {"result": "left", "why": _one_line(error)}
            except Exception as error:
                row = {"result": "failed", "why": _one_line(error)}
    wall, work = time.perf_counter() - start, time.process_time() - cpu
    return {**row, "seconds": f"{wall:.1f}", "cpu_seconds": f"{work:.1f}"}


def _check(model: nn.Module, inputs: Any, outputs: Any) -> dict[str, Any]:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    count = sum(p.numel() for p in model.parameters())
    begin = "layers" if count <= _FITTED else "random"
    slim, report = mgic_geo.compress(model, inputs, start=begin)
    _require(_equal(model.state_dict(), before), "the given network was changed")
    slim.eval()
    found = _call(slim, inputs)
    _require(_shapes(found) == _shapes(outputs), "outputs of other types or shapes")
    _check_counts(slim, inputs, report)
    _check_gradients(model, slim, inputs)
    with torch.no_grad():
        wanted = _call(slim, inputs)
        twin = copy.deepcopy(slim)
        _require(_close(_call(twin, inputs), wanted, 0.0), "deepcopy says otherwise")
        for parameter in twin.parameters():
            nn.init.zeros_(parameter)
        twin.load_state_dict(slim.state_dict())
        _require(_close(_call(twin, inputs), wanted, 0.0), "state_dict loses something")
    export, why = _export(model, slim, inputs, wanted)
    reasons = Counter(layer.reason.partition(";")[0] for layer in report.layers if layer.reason)
    left = "; ".join(f"{n} x {reason}" for reason, n in reasons.most_common())
    macs = report.macs or ("", "")
    return {
        "result": "ok", "replaced": len(report.replaced),
        "left": len(report.layers) - len(report.replaced), "parameters": report.parameters[0],
        "parameters_after": report.parameters[1], "macs": macs[0], "macs_after": macs[1],
        "export": export, "start": begin, "why": "; ".join(filter(None, [why, left])),
    }  # fmt: skip


def _check_counts(slim: nn.Module, inputs: Any, report: CompressReport) -> None:
    saved = sum(layer.parameters[0] - layer.parameters[1] for layer in report.replaced)
    counted = sum(p.numel() for p in slim.parameters())
    _require(counted == report.parameters[0] - saved, "other parameters than predicted")
    if report.macs is not None:
        args, kwargs = _as_call(inputs)
        macs = sum(row.macs for row in profile_model(slim, *args, **kwargs))
        _require(macs == report.macs[1], f"{macs} MACs, predicted {report.macs[1]}")


def _check_gradients(model: nn.Module, slim: nn.Module, inputs: Any) -> None:
    learned = []
    for network in (model, slim):
        network.zero_grad(set_to_none=True)
        values = [x for x in tree_flatten(_call(network, inputs))[0] if _is_real(x)]
        torch.stack([x.square().mean() for x in values if x.requires_grad]).sum().backward()
        learned.append({n for n, p in network.named_parameters() if p.grad is None})
        network.zero_grad(set_to_none=True)
    _require(not learned[1] - learned[0], f"no gradient in {sorted(learned[1] - learned[0])[:3]}")


def _export(model: nn.Module, slim: nn.Module, inputs: Any, wanted: Any) -> tuple[str, str]:
    args, kwargs = _as_call(inputs)
    try:
        torch.export.export(model, args, kwargs, strict=False)
    except Exception as error:
        return "no", f"the original cannot be exported: {_one_line(error)[:80]}"
    program = torch.export.export(slim, args, kwargs, strict=False).module()
    with torch.no_grad():
        _require(_close(program(*args, **kwargs), wanted, _CLOSE), "exported, it says otherwise")
    return "torch", ""


def _as_call(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(inputs, dict):
        return (), inputs
    return (tuple(inputs) if isinstance(inputs, tuple) else (inputs,)), {}


def _call(model: nn.Module, inputs: Any) -> Any:
    args, kwargs = _as_call(inputs)
    return model(*args, **kwargs)


def _is_real(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def _shapes(outputs: Any) -> Any:
    leaves, spec = tree_flatten(outputs)
    kinds = [(x.shape, x.dtype) if isinstance(x, Tensor) else type(x) for x in leaves]
    return type(outputs), kinds, str(spec)


def _close(a: Any, b: Any, tolerance: float) -> bool:
    pairs = zip(*(filter(_is_real, tree_flatten(x)[0]) for x in (a, b)))
    return all(
        float((x - y).abs().max()) <= tolerance * max(1.0, float(y.abs().max())) for x, y in pairs
    )


def _equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "w", encoding="utf-8") as file:
        file.write(text.getvalue())


if __name__ == "__main__":
    sys.exit(main())
