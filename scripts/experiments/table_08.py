"""Table 8: how long light networks take for one image on one thread.

    python -m scripts.experiments.table_08
    python -m scripts.experiments.table_08 "MobileNet*"

Every network runs as it is, fused, compiled by torch, in ONNX Runtime (``onnx`` extra) and, as on
a phone, in ExecuTorch with XNNPACK in float32 and int8 (``executorch`` extra). The forms of all
networks take turns, so that what else the machine does reaches all alike; a form whose outputs are
not those of the network is not timed.
"""

from __future__ import annotations

import copy
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import numba
import torch
from torch import Tensor, nn

import mgic_geo
from mgic_geo import fuse
from mgic_geo._optional import require
from mgic_geo.export import load_exported
from mgic_geo.export._onnx import quiet
from mgic_geo.models import WeightsInfo, create_model
from mgic_geo.profiling import profile_model_by_name
from mgic_geo.testing import randomize_norms, settle_norms

from ..benchmarks._bench import failure
from ..benchmarks._timing import Timing, interleave
from ._experiment import Context, Experiment
from ._program import program

Run = Callable[[], Tensor]
SIDE, RUNS = 224, 50
QUICK_SIDE, QUICK_RUNS = 32, 2
# Largest difference of a form, as a share of the largest output; of 8 bits with random weights.
TOLERANCE, TOLERANCE_INT8 = 1e-3, 0.5
# Images that show the ranges of activations.
CALIBRATION = 8


class Line(NamedTuple):
    """A network, and the milliseconds that the paper prints for its PC and its phone."""

    name: str
    paper: float
    phone: float
    model: str
    options: Mapping[str, Any] = MappingProxyType({})


LINES = (
    Line("MobileNetV2 1.0x", 130.0, 795.0, "mobilenetv2"),
    Line("MobileNetV3-Large 0.75x", 140.0, 418.0, "mobilenetv3_large", {"width_mult": 0.75}),
    Line("GhostNet 1.0x", 170.0, 487.0, "ghostnet"),
    Line("MGIC-MobileNetV3 1.0x", 172.0, 480.0, "mgic_mobilenetv3"),
)


class Form(NamedTuple):
    """A way to run a network; of several with one metric the fastest counts."""

    metric: str
    label: str
    build: Callable[[nn.Module, Tensor], Run]
    tolerance: float = TOLERANCE


def forms(context: Context) -> list[Form]:
    """All forms that this machine has the packages for."""
    layouts = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
    found = [Form("eager", name, partial(eager, layout=form)) for name, form in layouts.items()]
    found += [Form("fused", name, partial(fused, layout=form)) for name, form in layouts.items()]
    backend = "aot_eager" if context.quick else "inductor"
    found.append(Form("compiled", backend, partial(compiled, backend=backend)))
    try:
        onnxruntime = [require(name, "onnx") for name in ("onnx", "onnxscript", "onnxruntime")][-1]
        found.append(Form("onnx", f"onnxruntime {onnxruntime.__version__}", exported))
    except ImportError as error:
        print(f"{context.experiment.name}: no column of ONNX Runtime: {error}", flush=True)
    try:
        with quiet():
            require("executorch.exir", "executorch")
        name = f"executorch {version('executorch')}"
        found.append(Form("xnnpack", name, phone))
        int8 = partial(phone, quantized="int8")
        found.append(Form("xnnpack_int8", name, int8, TOLERANCE_INT8))
    except ImportError as error:
        print(f"{context.experiment.name}: no columns of ExecuTorch: {error}", flush=True)
    return found


def eager(model: nn.Module, x: Tensor, layout: torch.memory_format) -> Run:
    """The network as it is."""
    own: Any = copy.deepcopy(model)
    own = own.to(memory_format=layout)
    x = x.contiguous(memory_format=layout)
    return lambda: cast(Tensor, own(x))


def fused(model: nn.Module, x: Tensor, layout: torch.memory_format) -> Run:
    """:func:`mgic_geo.fuse` of it."""
    return eager(fuse(model), x, layout)


def compiled(model: nn.Module, x: Tensor, backend: str) -> Run:
    """``torch.compile`` of it; inductor folds norms into frozen weights and chooses layouts."""
    options: Any = {"freezing": True} if backend == "inductor" else None
    made = torch.compile(model, fullgraph=True, dynamic=False, backend=backend, options=options)
    return lambda: cast(Tensor, made(x))


def exported(model: nn.Module, x: Tensor) -> Run:
    """ONNX Runtime on what ``torch.onnx`` exports."""
    onnxruntime = require("onnxruntime", "onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's exporter calls what torch replaces
        made = torch.onnx.export(model, (x,), dynamo=True, verbose=False)
    assert made is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        made.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {session.get_inputs()[0].name: x.numpy()}
    return lambda: torch.from_numpy(session.run(None, feed)[0])


def phone(model: nn.Module, x: Tensor, quantized: str | None = None) -> Run:
    """ExecuTorch with XNNPACK on what :func:`mgic_geo.export` makes, one thread.

    In int8 it is quantised statically, weights by channel, on images of the same distribution.
    """
    info = WeightsInfo("table_08", {}, (), task="images", image_size=x.size(-1))
    samples = torch.randn(CALIBRATION, *x.shape[1:]) if quantized else None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.pte")
        report = mgic_geo.export(
            model, path, info=info, samples=samples, quantized=quantized, force=True
        )
        if report.outside:
            print(f"{len(report.outside)} calls stay outside of XNNPACK", flush=True)
        loaded = load_exported(path, threads=1)
    image = x.numpy()
    return lambda: torch.from_numpy(loaded(image))


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch and Numba on one thread, and as they were afterwards."""
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])


def prepare(line: Line, side: int) -> tuple[nn.Module, Tensor]:
    """The network with random weights, in eval mode, and an image ``[1, 3, side, side]``."""
    torch.manual_seed(0)
    model = randomize_norms(create_model(line.model, **line.options))
    settle_norms(model, torch.randn(4, 3, side, side))
    return model, torch.randn(1, 3, side, side)


def difference(found: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> float:
    """The largest difference.

    Raises:
        ArithmeticError: It is more than ``tolerance`` of the largest output.
    """
    largest = float((found - expected).abs().max())
    if not largest <= tolerance * float(expected.abs().max()):
        raise ArithmeticError(f"the outputs differ by {largest:.1e}")
    return largest


def run(context: Context) -> None:
    with torch.no_grad(), one_thread():
        torch.compiler.reset()  # torch limits how many networks it compiles in one process
        measure(context, [line for line in LINES if context.wants(line.name)], forms(context))


def measure(context: Context, lines: Sequence[Line], chosen: Sequence[Form]) -> None:
    """Builds and checks all forms of all networks, times them in turn, and writes the rows."""
    side, count = (QUICK_SIDE, QUICK_RUNS) if context.quick else (SIDE, RUNS)
    runs: dict[str, Run] = {}
    notes: dict[str, str] = {}
    failed: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        model, x = prepare(line, side)
        expected = model(x)
        for form in chosen:
            try:
                made = form.build(model, x)
                off = difference(made(), expected, form.tolerance)
            except Exception as error:  # a form may fail in any way; the others are measured
                failed[line.name].append(f"{form.metric}, {form.label} {failure(error)}")
                continue
            key = f"{line.name}, {form.metric}, {form.label}"
            notes[key] = f"largest difference {off:.1e} of {expected.abs().max():.3g}"
            runs[key] = made
            print(f"{key}: {notes[key]}", flush=True)
    results = interleave(runs, (count, count), 0.0)
    for line in lines:
        timings: dict[str, list[tuple[Timing, str]]] = defaultdict(list)
        for form in chosen:
            key = f"{line.name}, {form.metric}, {form.label}"
            result = results.get(key)
            if isinstance(result, Timing):
                timings[form.metric].append((result, f"{form.label}, {notes[key]}"))
            elif result is not None:
                failed[line.name].append(f"{form.metric}, {form.label} {failure(result)}")
        layers = profile_model_by_name(line.model, line.options, image_size=side)
        printed = {"eager": line.paper, "xnnpack": line.phone}
        for metric, found in timings.items():
            best, note = min(found, key=lambda pair: pair[0].median)
            first, third = (1e3 * seconds for seconds in best.quartiles)
            spread = f"{count} runs, quartiles {first:.4g} and {third:.4g} ms"
            context.record(
                line.name,
                {metric: 1e3 * best.median},
                {metric: printed[metric]} if metric in printed else None,
                parameters=sum(layer.parameters for layer in layers),
                macs=sum(layer.macs for layer in layers),
                note="; ".join([spread, note, *failed[line.name]]),
            )


EXPERIMENT = Experiment(
    name="table_08",
    title="Table 8: one image on one thread",
    about=f"""
        Milliseconds for one image of {SIDE} x {SIDE} pixels on one thread of the machine that the
        rows name: the median of {RUNS} runs, all forms of all networks in turn; quartiles and the
        largest difference of the outputs are in the rows. *Eager* and *fused* are in the better of
        two memory formats, *fused* is `mgic_geo.fuse`, *compiled* is `torch.compile` with frozen
        weights. The weights are random. The paper has means of 50 runs on an i9-9820X by a software
        that it does not name, so ratios compare and milliseconds do not. *XNNPACK* is ExecuTorch's
        engine of phones, on the same thread of the same machine, in float32 and in static int8; the
        paper's column beside it is of a Galaxy S8, which was not at hand. The machine was shared
        with other work in this run, so its milliseconds are above those of an idle one.
    """,
    run=run,
    columns={
        "eager": ("eager, ms", ".1f"),
        "fused": ("fused, ms", ".1f"),
        "compiled": ("compiled, ms", ".1f"),
        "onnx": ("ONNX Runtime, ms", ".1f"),
        "xnnpack": ("XNNPACK, ms", ".1f"),
        "xnnpack_int8": ("XNNPACK int8, ms", ".1f"),
    },
    paper="network",
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
