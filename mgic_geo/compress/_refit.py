"""Fits each layer anew to the inputs that the compressed layers before it give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mgic_geo.compress._calibrate import WHOLE, call, patches
from mgic_geo.compress._exchange import set_factors
from mgic_geo.compress._find import Layer
from mgic_geo.compress._fit import fit
from mgic_geo.compress._metric import Metric, ridge
from mgic_geo.nn._hierarchical import Hierarchical

_ROWS = 2048
_RIDGE = 1e-3


class _Enough(Exception):
    """What was watched has run; nothing after it has to."""


def refit(
    dense: nn.Module, slim: nn.Module, layers: Sequence[Layer], batches: Iterable[Any]
) -> dict[str, float]:
    r"""Fits layers in the order of their calls.

    With inputs :math:`x` in the dense network and :math:`\hat x` in the compressed one, the dense
    map that best gives :math:`W x` from :math:`\hat x` is
    :math:`W \mathrm{E}[x \hat x^T] \, \mathrm{E}[\hat x \hat x^T]^{-1}`; the factors are fitted to
    that, and the bias makes up for the rest of the mean.

    Returns:
        The relative error of each layer's outputs, errors of the layers before it included.
    """
    errors = {}
    modes = {module: module.training for module in slim.modules()}
    slim.eval()
    try:
        for layer in layers:
            new = slim.get_submodule(layer.name)
            assert isinstance(new, Hierarchical)
            errors[layer.name] = _refit_layer(dense, slim, layer, new, batches)
    finally:
        for module, training in modes.items():
            module.training = training
    return errors


def _refit_layer(
    dense: nn.Module, slim: nn.Module, layer: Layer, new: Hierarchical, batches: Iterable[Any]
) -> float:
    _, n, taps = layer.weight_shape
    whole = n * taps <= WHOLE
    own = cross = squares = torch.zeros((), dtype=torch.float64)
    mean_old = mean_new = torch.zeros((), dtype=torch.float64)
    rows = 0
    for number, inputs in enumerate(batches):
        pair = []
        for model, module in ((dense, layer.module), (slim, new)):
            generator = torch.Generator().manual_seed(number)
            seen = _inputs(model, module, layer.module, inputs, generator)
            pair.append(seen if whole else seen.transpose(1, 2))
        x, y = (part.reshape(-1, n * taps if whole else n) for part in pair)
        own, cross, squares = own + y.T @ y, cross + x.T @ y, squares + x.T @ x
        mean_old, mean_new = mean_old + x.sum(0), mean_new + y.sum(0)
        rows += len(x)
    own, cross, squares = own / rows, cross / rows, squares / rows
    size = own.size(0)
    share = min(0.5, 0.02 * size / rows + 1e-4)
    weight = layer.weight()
    shrunk = own + share * own.diagonal().mean() * torch.eye(size, dtype=own.dtype)
    metric = Metric(shrunk, n, taps)
    # W + W (E[x y'] - E[y y']) (E[y y'] + ridge)^-1
    step = torch.linalg.solve(ridge(shrunk, _RIDGE), (cross - own).T).T
    best = metric.back(metric.rows(weight) + metric.rows(weight) @ step, weight)
    factors = fit(best, metric, new.grids)
    set_factors(new, factors)
    if new.bias is not None and whole:
        old_bias = layer.module.bias
        assert isinstance(old_bias, Tensor)
        shift = weight.flatten(1) @ mean_old - factors.dense(weight).flatten(1) @ mean_new
        with torch.no_grad():
            new.bias.copy_(old_bias.double() + (shift / rows).to(old_bias.device))
    made = metric.rows(factors.dense(weight))
    wanted = metric.rows(weight)
    energy = ((wanted @ squares) * wanted).sum()
    left = energy - 2.0 * ((wanted @ cross) * made).sum() + ((made @ own) * made).sum()
    return float((left / energy).clamp_min(0.0).sqrt()) if energy > 0.0 else 0.0


def _inputs(
    model: nn.Module,
    module: nn.Module,
    form: nn.Module,
    inputs: Any,
    generator: torch.Generator,
) -> Tensor:
    """Patches of a layer's inputs, at all its calls; the model runs no further than the first."""
    found: list[Tensor] = []

    def see(_: nn.Module, args: Any) -> None:
        found.append(patches(form, args[0].detach(), _ROWS, generator))
        raise _Enough

    handle = module.register_forward_pre_hook(see)
    try:
        with torch.no_grad():
            call(model, inputs)
    except _Enough:
        pass
    finally:
        handle.remove()
    return found[0].double().cpu()
