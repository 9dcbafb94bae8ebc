"""What the layers of a network get: places, order of the calls, moments of the inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mgic_geo.compress._find import Layer
from mgic_geo.compress._metric import Metric
from mgic_geo.errors import DataError

_ROWS = 4096  # a layer and batch
WHOLE = 1152
"""Up to this many inputs and taps the moments are those of all of them."""
_SHRINK = 0.02


def call(model: nn.Module, inputs: Any) -> Any:
    """``model(*inputs)``, ``model(**inputs)`` or ``model(inputs)``."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, tuple | list):
        return model(*inputs)
    return model(inputs)


def try_call(model: nn.Module, inputs: Any) -> Any:
    """The outputs for the example.

    Raises:
        DataError: The model does not take it.
    """
    try:
        return call(model, inputs)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        raise DataError(
            f"{type(model).__name__} does not take the example inputs ({describe(inputs)}): "
            f"{type(error).__name__}: {reason}"
        ) from error


def describe(inputs: Any) -> str:
    """Shapes of what a model is given."""
    if isinstance(inputs, Tensor):
        return f"[{', '.join(map(str, inputs.shape))}]"
    if isinstance(inputs, Mapping):
        return ", ".join(f"{key} {describe(value)}" for key, value in inputs.items())
    if isinstance(inputs, Sequence) and not isinstance(inputs, str):
        return ", ".join(map(describe, inputs))
    return type(inputs).__name__


def tensors(outputs: Any) -> list[Tensor]:
    """The tensors of real numbers in what a model returns."""
    leaves = tree_leaves(outputs)
    if len(leaves) == 1 and not isinstance(leaves[0], Tensor) and hasattr(leaves[0], "__dict__"):
        leaves = tree_leaves(list(vars(leaves[0]).values()))
    return [x for x in leaves if isinstance(x, Tensor) and x.is_floating_point()]


def patches(module: nn.Module, x: Tensor, rows: int, generator: torch.Generator) -> Tensor:
    """Some of the patches that a layer multiplies, ``[rows, n, K]``."""
    size: Any = getattr(module, "kernel_size", None)
    if size is None:
        flat = x.reshape(-1, x.size(-1))
        return flat[_some(len(flat), rows, generator)].unsqueeze(-1)
    layer: Any = module
    if x.dim() == len(size) + 1:
        x = x.unsqueeze(0)
    if around := layer._reversed_padding_repeated_twice:
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        x = F.pad(x, around, mode=mode) if any(around) else x
    for i, (k, step, gap) in enumerate(zip(size, layer.stride, layer.dilation, strict=True)):
        x = x.unfold(2 + i, (k - 1) * gap + 1, step)[..., ::gap]
    places = (x.size(0), *x.shape[2 : 2 + len(size)])
    picked = _some(int(torch.tensor(places).prod()), rows, generator)
    first, *rest = torch.unravel_index(picked, places)
    index: list[Any] = [first, slice(None), *rest]
    return x[tuple(index)].flatten(2)  # [rows, n, *kernel]


def _some(count: int, rows: int, generator: torch.Generator) -> Tensor:
    if count <= rows:
        return torch.arange(count)
    return torch.randint(count, (rows,), generator=generator)


@contextmanager
def _hooks(layers: Sequence[Layer], see: Callable[[Layer, Any, Any], None]) -> Iterator[None]:
    handles = [
        layer.module.register_forward_hook(lambda _, x, y, layer=layer: see(layer, x, y))
        for layer in layers
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Record:
    """Watches layers while the model runs.

    Args:
        layers: What is watched.
        seed: Of the patches that are taken.
    """

    def __init__(self, layers: Sequence[Layer], seed: int = 0) -> None:
        self.layers = layers
        self.seed = seed
        self.order: list[str] = []
        self._sums: dict[str, Tensor] = {}
        self._rows: dict[str, int] = {}

    def watch(self, model: nn.Module, batches: Iterable[Any], moments: bool = True) -> Any:
        """Runs the model on all batches; returns the outputs of the first one."""
        generator = torch.Generator().manual_seed(self.seed)
        first: Any = None
        for number, inputs in enumerate(batches):

            def see(layer: Layer, args: Any, output: Any, counts: bool = number == 0) -> None:
                x = args[0] if args else None
                if not isinstance(x, Tensor) or not isinstance(output, Tensor):
                    layer.reason = layer.reason or "not called with a tensor"
                    return
                if counts:
                    self._places(layer, x, output)
                if moments and not layer.reason:
                    rows = patches(layer.module, x.detach(), _ROWS, generator)
                    self._add(layer, rows)

            with _hooks(self.layers, see), torch.no_grad():
                outputs = try_call(model, inputs)
            first = outputs if number == 0 else first
        return first

    def _places(self, layer: Layer, x: Tensor, output: Tensor) -> None:
        if layer.name not in self.order:
            self.order.append(layer.name)
        layer.calls += 1
        m, n, taps = layer.weight_shape
        if not m:
            return
        layer.outputs += output.numel() // m
        around = getattr(layer.module, "padding_mode", "zeros") != "zeros"
        places = x.numel() // n
        if around:
            kernel: Any = layer.module
            pads = kernel._reversed_padding_repeated_twice[::-1]
            spatial = x.shape[-len(kernel.kernel_size) :]
            places = x.numel() // n // int(torch.tensor(spatial).prod())
            for i, side in enumerate(spatial):
                places *= side + pads[2 * i] + pads[2 * i + 1]
        layer.places += output.numel() // m if taps == 1 else places

    def _add(self, layer: Layer, rows: Tensor) -> None:
        _, n, taps = layer.weight_shape
        rows = rows.float().cpu()
        rows = rows.flatten(1) if n * taps <= WHOLE else rows.transpose(1, 2).flatten(0, 1)
        moments = (rows.T @ rows).double()
        self._sums[layer.name] = self._sums.get(layer.name, 0.0) + moments
        self._rows[layer.name] = self._rows.get(layer.name, 0) + len(rows)

    def metric(self, layer: Layer) -> Metric:
        """Moments of a layer's inputs, shrunk a little to their diagonal where rows are few."""
        _, n, taps = layer.weight_shape
        moments = self._sums[layer.name] / self._rows[layer.name]
        share = min(0.5, _SHRINK * moments.size(0) / self._rows[layer.name] + 1e-4)
        diagonal = moments.diagonal().mean() * torch.eye(moments.size(0), dtype=moments.dtype)
        return Metric((1.0 - share) * moments + share * diagonal, n, taps)
