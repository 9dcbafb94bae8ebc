"""State dicts from files of any origin."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from mgic_geo.errors import CheckpointError

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = re.compile(r"(module\.|model\.|_orig_mod\.)+")


def read_state(state_or_path: Mapping[str, Any] | str | os.PathLike[str]) -> dict[str, Any]:
    """The entries of a state dict under plain names.

    Args:
        state_or_path: The state dict, or a ``.safetensors`` file or one of ``torch.save``. It may
            be an entry ``state_dict``, ``model_state_dict`` or ``model`` of another one, and its
            names may begin with ``module.``, ``model.`` or ``_orig_mod.``.

    Raises:
        CheckpointError: The file is missing, damaged, holds more than tensors, or no state dict.
    """
    if isinstance(state_or_path, Mapping):
        return _unwrap(state_or_path, "the weights")
    path = Path(state_or_path)
    return _unwrap(_read(path), str(path))


def _read(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give one of .safetensors or of torch.save")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise _unreadable(path, error) from error
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise _unreadable(path, error) from error  # torch has no one error for damaged files


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    first = str(error).strip().partition("\n")[0]
    return CheckpointError(
        f"{path}: damaged, or it holds more than tensors ({first or type(error).__name__}); save "
        "its state dict alone, with torch.save or safetensors"
    )


def _unwrap(state: Any, where: str) -> dict[str, Any]:
    while isinstance(state, Mapping):
        inner = next((state[k] for k in _WRAPPERS if isinstance(state.get(k), Mapping)), None)
        if inner is None:
            return {_PREFIXES.sub("", str(k), count=1): value for k, value in state.items()}
        state = inner
    raise CheckpointError(f"{where}: holds a {type(state).__name__}, not a state dict")
