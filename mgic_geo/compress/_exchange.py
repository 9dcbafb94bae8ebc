"""Putting layers of the hierarchy into a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mgic_geo.compress._fit import Factors
from mgic_geo.nn._hierarchical import Hierarchical


@torch.no_grad()
def set_factors(layer: Hierarchical, factors: Factors) -> None:
    """Writes fitted factors into a layer; those of both transfers get the same size."""
    up, down, core = factors.up, factors.down, factors.core
    if up is not None and down is not None:
        tiny = torch.finfo(down.dtype).tiny
        size = down.flatten(1).norm(dim=1).clamp_min(tiny)
        if core is None:
            scale = size.sqrt()
            up, down = up * scale, down / scale.view(-1, 1, 1)
        else:
            down, core = down / size.view(-1, 1, 1), _by_inputs(core, size)
        _copy(layer.up[0], up)
        _copy(layer.down[0], down)
    if core is not None:
        _copy(layer.relaxation(1), core)
    if factors.fine is not None and factors.picks is not None:
        _copy(layer.relaxation(0), factors.fine)
        picks = layer.picks(0)
        assert picks is not None
        picks.copy_(factors.picks.flatten())


def _by_inputs(core: Tensor, size: Tensor) -> Tensor:
    """A grouped map times a number for each of its inputs."""
    groups = size.numel() // core.size(1)
    scale = size.view(groups, 1, -1, 1)
    return (core.view(groups, -1, *core.shape[1:]) * scale).view_as(core)


def _copy(parameter: nn.Parameter | None, value: Tensor) -> None:
    assert parameter is not None
    parameter.copy_(value.reshape(parameter.shape))


def exchange(model: nn.Module, name: str, new: nn.Module) -> nn.Module:
    """Puts a layer where ``name`` is, and wherever else the same module is; returns the model."""
    old = model.get_submodule(name)
    if old is model:
        return new
    for module in model.modules():
        for child, value in list(module._modules.items()):
            if value is old:
                module._modules[child] = new
    return model
