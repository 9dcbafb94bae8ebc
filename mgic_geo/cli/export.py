"""Export a trained model, or one of the registry, to run without Python's model code.

Formats: torch (.pt2), onnx (.onnx, for ONNX Runtime and OpenVINO), executorch (.pte, XNNPACK) and
openvino (.xml and .bin). The search for neighbours of point networks is inside. Each file is run in
its engine and compared with eager before it is kept; `mgic-geo predict FILE --weights model.onnx`
uses it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from torch import Tensor, nn

from mgic_geo.cli._classes import match_classes
from mgic_geo.cli._nested import nested
from mgic_geo.cli._output import print_json
from mgic_geo.cli._samples import open_inputs, some_of, take_inputs
from mgic_geo.datasets import NAMED_DATASETS
from mgic_geo.errors import DataError
from mgic_geo.export import FORMATS, ExportReport, export, is_exported
from mgic_geo.models import WeightsInfo, create_model, list_models, load_model, model_task
from mgic_geo.training import split_by_name


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "weights", metavar="WEIGHTS_OR_MODEL", help="weights as in predict, or a name of a model"
    )
    parser.add_argument("--to", choices=list(FORMATS), help="format (default: by the file's name)")
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE",
        help="an option of a model without weights; may be repeated",
    )  # fmt: skip
    parser.add_argument("--num_points", type=int, help="points of a cloud (default: as trained)")
    parser.add_argument("--image_size", type=int, help="side of an image (default: as trained)")
    parser.add_argument("--quantize", choices=["int8"], help="static, calibrated on --data")
    parser.add_argument(
        "--data", help=f"real inputs: {', '.join(NAMED_DATASETS)}, an npz file or a folder"
    )
    parser.add_argument("--source", help="where a data set with a name lies, if not in the root")
    parser.add_argument("--split", help="train, val or test of the data")
    parser.add_argument("--root", default="datasets", help="folder for downloads and caches")
    parser.add_argument(
        "--val_fraction", type=float, default=0.125,
        help="share of the data, the last by name, that measures int8; the rest calibrates",
    )  # fmt: skip
    parser.add_argument("--samples", type=int, default=128, help="inputs that calibrate int8")
    parser.add_argument(
        "--limit", type=float, default=0.5, help="points of accuracy that int8 may cost"
    )
    parser.add_argument("--force", action="store_true", help="keep an int8 file that costs more")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="of logits, against eager")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: Namespace) -> int:
    model, info = _model(options)
    samples, validation = None, None
    if options.data is not None:
        samples, validation = _inputs(info, options)
    elif options.quantize:
        raise DataError("int8 is calibrated on real inputs: name some by --data")
    report = export(
        model,
        options.out,
        options.to,
        info=info,
        samples=samples,
        tolerance=options.tolerance,
        quantized=options.quantize,
        validation=validation,
        limit=options.limit,
        force=options.force,
    )
    if options.json:
        print_json(_summary(report))
    else:
        _print(report)
    return 0


def _model(options: Namespace) -> tuple[nn.Module, WeightsInfo]:
    name = options.weights
    if is_exported(name):
        raise DataError(f"{name}: is exported already; export from the weights that it came from")
    if name in list_models() and not Path(name).exists():
        import yaml

        pairs = (text.partition("=")[::2] for text in options.option)
        model_args = nested({key: yaml.safe_load(value) for key, value in pairs})
        model = create_model(name, **model_args).eval()
        classes = tuple(f"class {i}" for i in range(int(getattr(model, "num_classes", 0))))
        info = WeightsInfo(name, model_args, classes, 1024, model_task(name))
    else:
        if options.option:
            raise DataError(f"--option is for a model without weights; {name} has its own")
        model, info = load_model(name)
    changes: dict[str, Any] = {}
    if options.num_points is not None:
        changes["num_points"] = options.num_points
    if options.image_size is not None:
        changes["image_size"] = options.image_size
    return model, WeightsInfo(**{**info.__dict__, **changes})


def _inputs(info: WeightsInfo, options: Namespace) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
    """What calibrates, and what measures."""
    dataset = open_inputs(
        options.data, info, options.weights, options.root, options.split, options.source
    )
    train, val = split_by_name(dataset, options.val_fraction)
    some = take_inputs(dataset, some_of(train, options.samples), info)
    if info.data == "masks":
        return some, None
    assert dataset.labels is not None
    label = match_classes(dataset.classes, info.classes, options.data)[dataset.labels]
    return some, (take_inputs(dataset, val, info), label[val])


def _summary(report: ExportReport) -> dict[str, Any]:
    cost = report.quantized
    return {
        "file": str(report.path),
        "format": report.format,
        "bytes": report.size,
        "shape": list(report.info.shape),
        "differences": [vars(difference) for difference in report.differences],
        "outside_xnnpack": report.outside,
        "int8": None if cost is None else vars(cost),
    }


def _print(report: ExportReport) -> None:
    shape = ", ".join("any" if n is None else str(n) for n in report.info.shape)
    print(
        f"{report.path}: {report.format}, {report.size / 1e6:.2f} MB, {report.info.input} [{shape}]"
    )
    for difference in report.differences:
        print(f"  {difference}")
    if report.outside:
        print(f"  {len(report.outside)} calls stay outside of XNNPACK")
    if report.quantized is not None:
        print(f"  {report.quantized}")
