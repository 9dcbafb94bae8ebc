"""Compressed networks on the disk."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn

from mgic_geo.compress._exchange import exchange
from mgic_geo.compress._find import find_layers
from mgic_geo.errors import CheckpointError
from mgic_geo.io import atomic_write
from mgic_geo.io.tensors import tensors_as_bytes
from mgic_geo.nn._hierarchical import Hierarchical
from mgic_geo.nn.linear_grids import LinearGrid, LinearGrids

_FORMAT = "mgic_geo-compressed-1"


def save_compressed(slim: nn.Module, path: str | os.PathLike[str]) -> None:
    """Writes the state of a compressed network and the forms of its layers, as safetensors.

    Args:
        slim: What :func:`mgic_geo.compress` made.
        path: The file.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from mgic_geo.nn import HierarchicalLinear
        >>> slim = torch.nn.Sequential(HierarchicalLinear(32, 32), torch.nn.Linear(32, 4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_compressed(slim, f"{folder}/slim.safetensors")
        ...     dense = torch.nn.Sequential(torch.nn.Linear(32, 32), torch.nn.Linear(32, 4))
        ...     again = load_compressed(dense, f"{folder}/slim.safetensors")
        >>> x = torch.randn(2, 32)
        >>> torch.equal(again(x), slim(x))
        True
    """
    forms = {
        name: asdict(module.grids)
        for name, module in slim.named_modules()
        if isinstance(module, Hierarchical)
    }
    state, seen = {}, set()
    for name, tensor in slim.state_dict().items():
        if tensor.data_ptr() in seen and tensor.numel():
            tensor = tensor.clone()  # tied: safetensors keeps each name apart
        seen.add(tensor.data_ptr())
        state[name] = tensor.detach().cpu().contiguous()
    with atomic_write(path, "wb") as file:
        file.write(tensors_as_bytes(state, {"format": _FORMAT, "forms": json.dumps(forms)}))


def load_compressed(model: nn.Module, path: str | os.PathLike[str]) -> nn.Module:
    """Builds a compressed network again.

    Args:
        model: The dense network that was compressed; its weights do not matter, and it is not
            changed.
        path: What :func:`save_compressed` wrote.

    Returns:
        The compressed network.

    Raises:
        CheckpointError: The file is missing, damaged or of another network.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from mgic_geo.nn import HierarchicalLinear
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     slim = torch.nn.Sequential(HierarchicalLinear(32, 32), torch.nn.Linear(32, 4))
        ...     save_compressed(slim, f"{folder}/slim.safetensors")
        ...     dense = torch.nn.Sequential(torch.nn.Linear(32, 32), torch.nn.Linear(32, 4))
        ...     type(load_compressed(dense, f"{folder}/slim.safetensors")[0]).__name__
        'HierarchicalLinear'
    """
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: damaged ({error})") from error
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(f"{path}: was not written by save_compressed")
    slim = copy.deepcopy(model)
    layers = {layer.name: layer for layer in find_layers(slim, None)}
    try:
        for name, form in json.loads(metadata["forms"]).items():
            grids = tuple(LinearGrid(**grid) for grid in form["grids"])
            slim = exchange(slim, name, layers[name].build(LinearGrids(grids, form["taps"])))
        slim.load_state_dict(state)
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise CheckpointError(f"{path}: of another network ({reason})") from error
    return slim
