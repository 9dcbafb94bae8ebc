"""Which weights `evaluate` and `predict` run, and how."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jsonargparse import ArgumentParser, Namespace
from torch import Tensor, nn

from mgic_geo.errors import CheckpointError
from mgic_geo.export.metadata import ExportInfo
from mgic_geo.export.runtime import ExportedModel, is_exported, load_exported
from mgic_geo.models import DEFAULT_WEIGHTS, WeightsInfo, load_model
from mgic_geo.nn import fuse


@dataclass(frozen=True)
class Loaded:
    """A network ready to infer.

    Args:
        model: The network, fused or not.
        info: What its weights file says.
        parameters: Its parameters as trained.
    """

    model: nn.Module
    info: WeightsInfo
    parameters: int


def add_weights_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--weights",
        default=DEFAULT_WEIGHTS,
        help="shipped weights, a file, a run folder, or an exported .onnx, .pt2, .pte or .xml",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--fuse",
        action="store_true",
        help="fold the norms into the maps: faster, equal to rounding",
    )


def load_weights(options: Namespace) -> Loaded:
    """The network that the options name.

    Raises:
        CheckpointError: It cannot be loaded.
    """
    if is_exported(options.weights):
        return _exported(options)
    model, info = load_model(options.weights, options.device)
    parameters = sum(p.numel() for p in model.parameters())
    return Loaded(fuse(model) if options.fuse else model, info, parameters)


def _exported(options: Namespace) -> Loaded:
    if options.fuse or options.device != "cpu":
        raise CheckpointError(f"{options.weights}: exported models are fused, and run on the CPU")
    engine = load_exported(options.weights)
    return Loaded(_Engine(engine), _weights_info(engine.info), 0)


class _Engine(nn.Module):
    """An exported file where the commands expect a network."""

    def __init__(self, engine: ExportedModel) -> None:
        super().__init__()
        self.engine = engine

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.engine(x.numpy()))


def _weights_info(info: ExportInfo) -> WeightsInfo:
    return WeightsInfo(
        info.model,
        {},
        info.classes,
        info.num_points,
        info.task,
        info.image_size,
        info.mean,
        info.std,
        temperature=info.temperature,
    )
