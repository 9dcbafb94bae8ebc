"""The format ``executorch``: for phones and small boards, with XNNPACK, ``.pte``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.export import ExportedProgram

from mgic_geo._optional import require
from mgic_geo.export._onnx import quiet
from mgic_geo.export._torch import ExportError
from mgic_geo.export.metadata import ExportInfo


def save(program: ExportedProgram, path: Path, info: ExportInfo) -> list[str]:
    """Writes the program with its description.

    Returns:
        The operators that stay outside of XNNPACK, one entry a call.

    Raises:
        ExportError: ExecuTorch has no operator for a part of it.
        ImportError: ExecuTorch is not installed; the message names the extra.
    """
    with quiet():
        try:
            edge = partition(program, {METHOD: info.to_json()})
            outside = operators_outside(edge.exported_program())
            buffer = edge.to_executorch().buffer
        except ImportError:
            raise
        except Exception as error:  # its passes raise all kinds
            reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            raise ExportError(
                f"{info.model}: ExecuTorch cannot take a part of it ({reason[0][:200]})"
            ) from error
    path.write_bytes(buffer)
    return outside


def partition(program: ExportedProgram, constants: dict[str, Any]) -> Any:
    """The program with what XNNPACK can run handed to it, as ExecuTorch's edge program.

    Args:
        program: What :func:`~mgic_geo.export._torch.trace` returned.
        constants: Methods that return a constant.
    """
    with quiet():
        exir = require("executorch.exir", "executorch")
        xnnpack = require("executorch.backends.xnnpack.partition.xnnpack_partitioner", "executorch")
        return exir.to_edge_transform_and_lower(
            program, partitioner=[xnnpack.XnnpackPartitioner()], constant_methods=constants
        )


def delegates(program: Any) -> int:
    """How many parts of a lowered program XNNPACK runs; one is best: nothing goes in between."""
    return sum("executorch_call_delegate" in str(node.target) for node in program.graph.nodes)


def operators_outside(program: Any) -> list[str]:
    """The operators of a lowered program that XNNPACK does not run, one entry a call."""
    return [
        name
        for node in program.graph.nodes
        if node.op == "call_function" and "." in (name := _name(node.target))
    ]


def _name(target: Any) -> str:
    """``aten.add.Tensor``; calls of delegates and of Python have no dot."""
    schema = getattr(target, "_schema", None)
    if schema is None:
        return ""
    return f"{schema.name.replace('::', '.')}.{schema.overload_name or 'default'}"


METHOD = "mgic_geo_json"
