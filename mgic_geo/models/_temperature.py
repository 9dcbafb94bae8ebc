"""Weights with another temperature."""

from __future__ import annotations

import os

from safetensors import safe_open

from mgic_geo.io import atomic_write
from mgic_geo.io.tensors import tensors_as_bytes
from mgic_geo.models.weights import read_weights_info, weights_path


def save_temperature(
    name_or_path: str | os.PathLike[str], temperature: float, out: str | os.PathLike[str]
) -> None:
    """Writes weights anew, the same but for the temperature of their logits.

    Args:
        name_or_path: As in :func:`~mgic_geo.models.load_model`.
        temperature: What logits are to be divided by.
        out: The file, which may be the one that they come from.

    Raises:
        CheckpointError: The weights are missing or damaged.
    """
    path = weights_path(name_or_path)
    read_weights_info(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    metadata["temperature"] = repr(temperature)
    with atomic_write(out, "wb") as target:
        target.write(tensors_as_bytes(state, metadata))
