"""Safetensors files whose bytes follow from their content."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

from safetensors.torch import save
from torch import Tensor

_LENGTH = struct.Struct("<Q")
_ALIGNMENT = 8  # of the tensors behind the header, as the format asks


def tensors_as_bytes(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> bytes:
    """What ``safetensors.torch.save`` returns, with the metadata in the order of their names.

    Safetensors keeps metadata in a hash map, whose order differs from process to process.

    Args:
        tensors: Contiguous tensors by name.
        metadata: Texts by name.
    """
    data = save(dict(tensors), dict(metadata) if metadata else None)
    (length,) = _LENGTH.unpack_from(data)
    start = _LENGTH.size + length
    header = json.loads(data[_LENGTH.size : start])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return _LENGTH.pack(len(text)) + text + data[start:]
