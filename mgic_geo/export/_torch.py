"""The format ``torch``: a torch.export program, ``.pt2``."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from mgic_geo.errors import MgicGeoError
from mgic_geo.export.metadata import KEY, ExportInfo

_BUILTIN = ("aten", "prims", "higher_order", "quantized_decomposed", "dim_order_ops")


class ExportError(MgicGeoError):
    """A model that cannot be exported, or whose exported file does not say the same."""


def trace(model: nn.Module, example: Tensor, dynamic: Sequence[int] = ()) -> ExportedProgram:
    """``model`` as a graph of torch's own operators.

    Args:
        model: In eval mode.
        example: An input; axes of it that are dynamic are larger than 1.
        dynamic: Axes of any size.

    Raises:
        ExportError: It does what no graph can hold, or has an operator that only Python knows; the
            message names the layer.
    """
    name = type(model).__name__
    shapes = (dict.fromkeys(dynamic, Dim.DYNAMIC),) if dynamic else None
    try:
        with torch.no_grad():
            program = torch.export.export(model, (example,), dynamic_shapes=shapes)
    except Exception as error:  # whatever the tracer trips over, in a layer that it does not know
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        raise ExportError(
            f"{name} cannot be traced ({type(error).__name__}: {reason.strip()[:160]}); "
            f"its layers: {_unknown(model)}"
        ) from error
    for node in program.graph.nodes:
        space = getattr(node.target, "namespace", "aten")
        if node.op == "call_function" and space not in _BUILTIN:
            raise ExportError(
                f"{name} has the operator {node.target} in {_layer(node)}, which no engine knows; "
                "write that layer with torch's own operators"
            )
    return program


def save(program: ExportedProgram, path: Path, info: ExportInfo) -> None:
    """Writes the program with its description."""
    # In memory first: torch's own writer ends the process where the disk is full.
    whole = io.BytesIO()
    torch.export.save(program, whole, extra_files={f"{KEY}.json": info.to_json()})
    path.write_bytes(whole.getbuffer())


def _layer(node: torch.fx.Node) -> str:
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path, kind = stack[-1] if stack else ("", "the model")
    kind = kind if isinstance(kind, str) else kind.__name__
    return f"{path or 'the model'} ({kind.rpartition('.')[2]})"


def _unknown(model: nn.Module) -> str:
    """Kinds of layers that are neither torch's nor of this package."""
    kinds = {type(module) for module in model.modules()}
    other = sorted(k.__name__ for k in kinds if k.__module__.split(".")[0] not in _OWN)
    return f"{', '.join(other)} are not known here" if other else "all known here"


_OWN = ("torch", "mgic_geo", "torch_geometric")
