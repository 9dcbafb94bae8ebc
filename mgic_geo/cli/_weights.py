"""Which weights `evaluate` and `predict` run, and how."""

from __future__ import annotations

from dataclasses import dataclass

from jsonargparse import ArgumentParser, Namespace
from torch import nn

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
        "--weights", default=DEFAULT_WEIGHTS, help="shipped weights, a file, or a run folder"
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
    model, info = load_model(options.weights, options.device)
    parameters = sum(p.numel() for p in model.parameters())
    return Loaded(fuse(model) if options.fuse else model, info, parameters)
