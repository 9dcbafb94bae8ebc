"""Published weights in the dense image models of the registry."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mgic_geo.errors import CheckpointError
from mgic_geo.models.image_classifier import ImageClassifier
from mgic_geo.models.lraspp import LRASPP
from mgic_geo.models.published_files import read_state
from mgic_geo.models.published_names import Source, find_places, find_source
from mgic_geo.models.published_report import COUNTER, LoadReport, compare
from mgic_geo.nn import MGIC, BatchNorm
from mgic_geo.nn.vision import ConvNormAct


def load_published(
    model: nn.Module,
    state_or_path: Mapping[str, Any] | str | os.PathLike[str],
    strict: bool = False,
    fold_eps: bool = False,
) -> LoadReport:
    """Loads published weights of a dense image network into its twin in the registry.

    The source is recognised by its names:

    - ResNets of torchvision, timm, and the usual ones for CIFAR, into ``resnet*``
    - MobileNetV3 of torchvision and timm, into ``mobilenetv3_*`` and the backbone of
      ``lraspp_mobilenetv3_*``
    - GhostNet of timm and of its authors, into ``ghostnet``
    - LR-ASPP of torchvision, into ``lraspp_mobilenetv3_*``. Its last block is not halved and its
      details come at stride 8; what depends on that is mismatched.

    A layer is loaded whole or not at all. A classifier of another number of classes stays at its
    start, as does a first convolution for other channels: what fine-tuning needs. Tensors are
    converted to the type and device of ours, and weights of 1x1 convolutions and of linear layers
    stand for each other.

    Norms add a small number to the variance, and a network is only reproduced with its own:
    torchvision's MobileNetV3 has 1e-3 in the backbone, all others here have 1e-5 as ours. The
    loaded norms take over the source's ``eps``, the momentum stays. ``eps`` is no part of a state:
    a model that is built anew for this one's state, as by
    :func:`~mgic_geo.models.load_model`, lacks it. With ``fold_eps`` the difference goes to the
    running variances instead, which is the same in evaluation mode and travels.

    Only names and shapes are compared. So timm's ``tf_`` ports are not noticed, though they pad on
    one side only and have another ``eps``. Where a source projects shortcuts that ours pads, its
    tensors are ``unexpected``. Images must be normalised as in the source's training.

    Args:
        model: A dense image model, changed in place. Its blocks are those of the source.
        state_or_path: A state dict, or a ``.safetensors`` file or one of ``torch.save`` that holds
            tensors alone. The state may be in an entry ``state_dict``, ``model_state_dict`` or
            ``model``, and its names may begin with ``module.`` or ``model.``.
        strict: Raise unless every tensor finds its place.
        fold_eps: Keep the ``eps`` of our norms and change their running variances.

    Returns:
        What was loaded and what did not fit.

    Raises:
        CheckpointError: The file is unreadable, the names are unknown, the model's blocks are
            others, nothing fits, or, if ``strict``, not everything. The model is then unchanged.

    Example:
        >>> import torch
        >>> from mgic_geo.models import create_model, load_published
        >>> model = create_model("resnet20")
        >>> state = {  # two of the tensors that torchvision's ResNets have
        ...     "conv1.weight": torch.zeros(16, 3, 3, 3),
        ...     "layer1.0.conv1.weight": torch.zeros(16, 16, 3, 3),
        ... }
        >>> load_published(model, state).loaded
        ('stem.conv.weight', 'stages.0.0.convs.0.conv.weight')
    """
    where = "the weights" if isinstance(state_or_path, Mapping) else str(state_or_path)
    state = read_state(state_or_path)
    theirs = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    source = _recognise(theirs, where)
    places = _places(model, source, theirs, where)
    own = model.state_dict()
    layers: dict[str, dict[str, Tensor]] = defaultdict(dict)
    unexpected = sorted(state.keys() - theirs.keys())
    for name, tensor in theirs.items():
        module, _, leaf = name.rpartition(".")
        ours = f"{places[module]}.{leaf}" if module in places else ""
        if ours in own:
            layers[places[module]][ours] = _reshaped(tensor, own[ours].shape)
        else:
            unexpected.append(name)
    fitting, mismatched = compare(layers.values(), own)
    found = {name for layer in layers.values() for name in layer}
    missing = [name for name in own if name not in found and not name.endswith(COUNTER)]
    report = LoadReport(
        source.name,
        tuple(name for name in own if name in fitting),
        tuple(missing),
        tuple(unexpected),
        tuple(mismatched),
        source.eps,
    )
    if not fitting or (strict and not report.complete):
        what = "not everything fits" if fitting else "nothing fits"
        raise CheckpointError(f"{where}: {what}; {report}")
    with torch.no_grad():
        for name, tensor in fitting.items():
            own[name].copy_(tensor)
        _take_eps(model, source.eps, fitting.keys(), fold_eps)
    return report


def _recognise(state: Mapping[str, Tensor], where: str) -> Source:
    source = find_source({name.rpartition(".")[0] for name in state})
    if source is not None:
        return source
    if any(re.match(r"(backbone\.)?stages\.\d+\.\d+\.", name) for name in state):
        raise CheckpointError(
            f"{where}: the names are this package's own; use load_model or load_state"
        )
    raise CheckpointError(
        f"{where}: names of no known source ({', '.join([*state][:3]) or 'no tensors'}); known"
        " are ResNet, MobileNetV3, GhostNet and LR-ASPP as torchvision or timm name them"
    )


def _places(
    model: nn.Module, source: Source, state: Mapping[str, Tensor], where: str
) -> dict[str, str]:
    """Our module for each of theirs."""
    backbone = model.backbone if isinstance(model, LRASPP) else model
    if not isinstance(backbone, ImageClassifier):
        raise CheckpointError(
            f"{where}: weights of {source.name} do not fit a {type(model).__name__}; use an image "
            "model of the registry"
        )
    blocks = {
        f"stages.{i}.{j}": block
        for i, stage in enumerate(backbone.stages)
        for j, block in stage.named_children()
    }
    for name, block in blocks.items():
        if not isinstance(block, source.kinds):
            kinds = " or ".join(kind.__name__ for kind in source.kinds)
            hint = "; load them into its dense twin" if isinstance(block, MGIC) else ""
            raise CheckpointError(
                f"{where}: weights of {source.name} need blocks of kind {kinds}, but {name} is "
                f"{type(block).__name__}{hint}"
            )
    stem = next(name for name, m in backbone.named_modules() if isinstance(m, ConvNormAct))
    modules = {name.rpartition(".")[0] for name in state}
    places = find_places(source, modules, stem, list(blocks))
    if backbone is model:
        return places
    inside = {name for name, _ in backbone.named_modules()}
    return {m: f"backbone.{place}" if place in inside else place for m, place in places.items()}


def _reshaped(tensor: Tensor, shape: torch.Size) -> Tensor:
    """A 1x1 convolution as a linear map or the other way round, if that is all that differs."""
    short, long = sorted((tuple(tensor.shape), tuple(shape)), key=len)
    return tensor.reshape(shape) if len(short) == 2 and long == (*short, 1, 1) else tensor


def _take_eps(model: nn.Module, eps: float, loaded: Collection[str], fold: bool) -> None:
    for name, norm in model.named_modules():
        # the head of LR-ASPP has the usual norm
        if not isinstance(norm, BatchNorm) or name == "project.norm":
            continue
        if f"{name}.running_var" in loaded:
            if fold:
                norm.running_var += eps - norm.eps
            else:
                norm.eps = eps
