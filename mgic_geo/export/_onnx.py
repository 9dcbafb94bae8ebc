"""The format ``onnx``: what ONNX Runtime and OpenVINO run, ``.onnx``."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.export import ExportedProgram

from mgic_geo._optional import require
from mgic_geo.export._torch import ExportError
from mgic_geo.export.metadata import KEY, ExportInfo

OPSET = 18


def save(program: ExportedProgram, path: Path, info: ExportInfo) -> None:
    """Writes the program with its description.

    Raises:
        ExportError: ONNX has no operator for a part of it.
        ImportError: ONNX is not installed; the message names the extra.
    """
    onnx = require("onnx", "onnx")
    require("onnxscript", "onnx")
    try:
        with quiet():
            made = torch.onnx.export(
                program,
                (),
                dynamo=True,
                opset_version=OPSET,
                input_names=[info.input],
                output_names=["logits"],
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ExportError(f"{info.model}: ONNX does not know a part of it ({error})") from error
    assert made is not None
    proto = made.model_proto
    # Engines print traces of Python's stack for the nodes that have them.
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del proto.graph.value_info[:]
    entry = proto.metadata_props.add()
    entry.key, entry.value = KEY, info.to_json()
    onnx.save(proto, path)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps exporters' own progress, logs and warnings from the user."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
