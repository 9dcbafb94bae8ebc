"""Which layers of a network can be replaced, and why others cannot."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mgic_geo.errors import MgicGeoError
from mgic_geo.nn import HierarchicalConv, HierarchicalLinear
from mgic_geo.nn._hierarchical import Hierarchical
from mgic_geo.nn.linear_grids import LinearGrids

Where = (
    str
    | type[nn.Module]
    | Callable[[str, nn.Module], bool]
    | Iterable[str | type[nn.Module] | Callable[[str, nn.Module], bool]]
)
"""Layers by name (``"layer?.*"``), type, ``predicate(name, module)``, or any of several."""

_CONVS: tuple[Any, ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
# By name: neither package is imported for them.
_OTHERS = {
    "torch_geometric.nn.dense.linear.Linear": "Linear (PyG)",
    "transformers.pytorch_utils.Conv1D": "Conv1D (transformers)",
}
_FORWARDS = ("forward", "_conv_forward")
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass
class Layer:
    """A linear map of a network.

    Args:
        name: Its first name in ``named_modules``.
        module: In the copy that is worked on.
        kind: What it is.
        reason: Why it is left alone; empty where it may be replaced.
        note: What a reader of the report should know besides.
        outputs: Places of the output in the example: rows or pixels; summed over the calls.
        places: Places of the input.
    """

    name: str
    module: nn.Module
    kind: str
    reason: str = ""
    note: str = ""
    outputs: int = 0
    places: int = 0
    calls: int = 0
    weight_shape: tuple[int, int, int] = field(default=(0, 0, 1))

    def weight(self) -> Tensor:
        """The dense map ``[m, n, K]``, in double precision."""
        weight: Tensor = self.module.get_parameter("weight").detach().double().cpu()
        if self.kind == "Conv1D (transformers)":
            weight = weight.T
        return weight.reshape(weight.size(0), weight.size(1), -1)

    def lay(self, weight: Tensor) -> Tensor:
        """A map ``[m, n, K]`` as the module holds it."""
        own = self.module.get_parameter("weight")
        return (weight.squeeze(-1).T if "Conv1D" in self.kind else weight).reshape(own.shape)

    @property
    def dense_parameters(self) -> int:
        """Weights without the bias."""
        return math.prod(self.weight_shape)

    @property
    def dense_macs(self) -> int:
        """Multiply-accumulates in the example."""
        return self.dense_parameters * self.outputs

    def macs(self, grids: LinearGrids) -> int:
        """Multiply-accumulates in the example, of the layer that these grids make."""
        return grids.macs(self.outputs, self.places)

    def build(self, grids: LinearGrids) -> Hierarchical:
        """The layer in the hierarchy, in the place of the dense one; the bias is kept."""
        m, n, _ = self.weight_shape
        old: Any = self.module
        has_bias = old.bias is not None
        at = {"device": old.weight.device, "dtype": old.weight.dtype}
        new: Hierarchical
        if self.kind.startswith("Conv") and "(" not in self.kind:
            new = HierarchicalConv(
                n, m, old.kernel_size, old.stride, old.padding, old.dilation, has_bias,
                old.padding_mode, grids=grids, **at,
            )  # fmt: skip
        else:
            new = HierarchicalLinear(n, m, bias=has_bias, grids=grids, **at)
            if self.kind == "Conv1D (transformers)":
                new.nf = m  # type: ignore[assignment]
        if has_bias:
            new.bias = old.bias
        learned = old.weight.requires_grad
        for factor in (*new.fine, *new.down, *new.up):
            factor.requires_grad_(learned)
        return new.train(old.training)


def find_layers(model: nn.Module, where: Where | None) -> list[Layer]:
    """All layers with a weight that couples channels, in the order of ``named_modules``.

    Raises:
        MgicGeoError: A layer has no weights yet; ``where`` chooses nothing.
    """
    owners = Counter(
        id(parameter)
        for module in model.modules()
        for parameter in module.parameters(recurse=False)
    )
    found = []
    for name, module in model.named_modules():
        if any(
            isinstance(p, nn.parameter.UninitializedParameter) for p in module.parameters(False)
        ):
            raise MgicGeoError(
                f"{name or type(model).__name__} has no weights yet (it is lazily initialised): "
                "call the model once, then compress it"
            )
        if layer := _layer(name, module):
            layer.reason = layer.reason or _tied(module, owners)
            if where is not None and not layer.reason and not _chosen(where, name, module):
                layer.reason = "not chosen by where"
            found.append(layer)
    if where is not None and not any(layer.reason != "not chosen by where" for layer in found):
        names = ", ".join(layer.name for layer in found[:5]) or "none"
        raise MgicGeoError(f"where = {where!r} chooses no layer; the layers are {names}, ...")
    return found


def _layer(name: str, module: nn.Module) -> Layer | None:
    kind = type(module)
    full = f"{kind.__module__}.{kind.__qualname__}"
    if full in _OTHERS:
        return _checked(Layer(name, module, _OTHERS[full]))
    if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
        base: Any = next(c for c in (nn.Linear, *_CONVS) if isinstance(module, c))
        layer = Layer(name, module, base.__name__)
        if any(getattr(kind, f, None) is not getattr(base, f, None) for f in _FORWARDS):
            layer.reason = f"{kind.__name__} computes in a way of its own"
        return _checked(layer)
    left = _left_alone(module)
    return Layer(name, module, kind.__name__, left) if left else None


def _left_alone(module: nn.Module) -> str:
    """Why a module with dense weights that is none of the known kinds stays."""
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        return "transposed convolution"
    if isinstance(module, nn.MultiheadAttention):
        return "in_proj_weight is a parameter of the attention, no layer"
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        return "recurrent weights are no layers"
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return "embedding"
    if isinstance(module, nn.Bilinear):
        return "bilinear"
    if "quantized" in type(module).__module__ and hasattr(module, "weight"):
        return "quantised"
    if isinstance(module, torch.jit.ScriptModule) and any(True for _ in module.parameters(False)):
        return "compiled by torch.jit"
    return ""


def _checked(layer: Layer) -> Layer:
    module: Any = layer.module
    if parametrize.is_parametrized(module):
        layer.reason = "parametrised"
    elif "weight" not in module._parameters:
        layer.reason = "its weight is computed anew at each call"
    elif not isinstance(module.weight, nn.Parameter) or module.weight.numel() == 0:
        layer.reason = "no weights"
    elif not module.weight.is_floating_point():
        layer.reason = f"weights of {module.weight.dtype}"
    elif any(getattr(module, hooks) for hooks in _HOOKS):
        layer.reason = "has hooks, which would see other modules"
    elif getattr(module, "groups", 1) > 1:
        layer.reason = f"in {module.groups} groups already"
    weight = module._parameters.get("weight")
    if weight is not None and weight.dim() > 1:
        m, n = module.weight.shape[:2]
        if layer.kind == "Conv1D (transformers)":
            m, n = n, m
        layer.weight_shape = (m, n, math.prod(module.weight.shape[2:]))
        if not module.weight.requires_grad:
            layer.note = "frozen, and so are its factors"
    return layer


def _tied(module: nn.Module, owners: Counter[int]) -> str:
    weight = module._parameters.get("weight")
    return "tied weights" if weight is not None and owners[id(weight)] > 1 else ""


def _chosen(where: Where, name: str, module: nn.Module) -> bool:
    if isinstance(where, str):
        return fnmatchcase(name, where)
    if isinstance(where, type):
        return isinstance(module, where)
    if callable(where):
        return bool(where(name, module))
    return any(_chosen(one, name, module) for one in where)
