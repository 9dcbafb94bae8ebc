"""The format ``openvino``: OpenVINO's own files, ``.xml`` with a ``.bin`` beside it."""

from __future__ import annotations

from pathlib import Path

from torch.export import ExportedProgram

from mgic_geo._optional import require
from mgic_geo.export import _onnx
from mgic_geo.export.metadata import KEY, ExportInfo


def save(program: ExportedProgram, path: Path, info: ExportInfo) -> None:
    """Writes the program with its description, converted from ONNX.

    Raises:
        ImportError: OpenVINO is not installed; the message names the extra.
    """
    require("openvino", "openvino")
    middle = path.with_suffix(".onnx")
    _onnx.save(program, middle, info)
    convert(middle, path, info)


def convert(source: Path, path: Path, info: ExportInfo) -> None:
    """Writes an ONNX file, which goes, as OpenVINO's."""
    openvino = require("openvino", "openvino")
    model = openvino.convert_model(source)
    model.set_rt_info(info.to_json(), [KEY])
    openvino.save_model(model, path, compress_to_fp16=False)
    source.unlink()
