"""Static int8 quantisation with the engines' own quantisers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from mgic_geo._optional import require
from mgic_geo.export._onnx import quiet
from mgic_geo.export._torch import trace

FORMATS = ("onnx", "openvino", "executorch")
"""The formats that have int8."""


def quantize_onnx(source: Path, target: Path, samples: Tensor) -> None:
    """Weights by channel and activations of ``Conv``, ``MatMul`` and ``Gemm`` to 8 bits.

    Products without constant weights, such as those with derivative operators, stay in float32, and
    so does what finds the neighbours.

    Args:
        source: A float32 file.
        target: The file to write.
        samples: Inputs ``[M, *]`` that show the ranges.
    """
    onnx = require("onnx", "onnx")
    require("onnxruntime", "onnx")
    q = require("onnxruntime.quantization", "onnx")
    preparation = require("onnxruntime.quantization.shape_inference", "onnx")

    class Reader(q.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self, name: str) -> None:
            self.batches: Iterator[Tensor] = iter(samples.split(1))
            self.name = name

        def get_next(self) -> Any:
            batch = next(self.batches, None)
            return None if batch is None else {self.name: batch.numpy()}

    prepared = target.with_suffix(".prepared.onnx")
    with quiet():
        preparation.quant_pre_process(source, prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)
        constants = {tensor.name for tensor in model.graph.initializer}
        moving = [
            node.name
            for node in model.graph.node
            if node.op_type == "MatMul" and not constants & set(node.input)
        ]
        q.quantize_static(
            prepared,
            target,
            Reader(model.graph.input[0].name),
            quant_format=q.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            per_channel=True,
            activation_type=q.QuantType.QUInt8,
            weight_type=q.QuantType.QInt8,
            nodes_to_exclude=moving,
        )
        made, before = onnx.load(target), onnx.load(source)
        del made.metadata_props[:]
        made.metadata_props.extend(before.metadata_props)
        onnx.save(made, target)
    prepared.unlink()


def quantize_program(
    model: nn.Module, example: Tensor, samples: Tensor, whole: bool = True
) -> ExportedProgram:
    """A program for XNNPACK in 8 bits, by PyTorch 2 export quantisation.

    Args:
        model: Lowered, float32.
        example: An input of the shape of the program.
        samples: Inputs ``[M, *]`` that show the ranges, each run in the example's batch.
        whole: Every operator that XNNPACK has in 8 bits, which is faster; else convolutions and
            linear maps alone, so that distances and indices of neighbours stay what they are.
    """
    xnnpack = require("executorch.backends.xnnpack.quantizer.xnnpack_quantizer", "executorch")
    with quiet():
        pt2e = require("torchao.quantization.pt2e.quantize_pt2e", "executorch")
        config = xnnpack.get_symmetric_quantization_config(is_per_channel=True)
        quantizer = xnnpack.XNNPACKQuantizer()
        if whole:
            quantizer.set_global(config)
        else:
            for kind in (torch.ops.aten.linear.default, torch.ops.aten.conv2d.default):
                quantizer.set_operator_type(kind, config)
        prepared = pt2e.prepare_pt2e(trace(model, example).module(), quantizer)
        with torch.no_grad():
            for sample in samples.split(example.size(0)):
                prepared(sample)
        converted = pt2e.convert_pt2e(prepared)
        return trace(converted, example)
