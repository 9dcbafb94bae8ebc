from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save

from mgic_geo.io.tensors import tensors_as_bytes

TENSORS = {"b": torch.arange(5.0), "a": torch.ones(2, 3, dtype=torch.int64), "é": torch.zeros(0)}
METADATA = {name: name * 3 for name in ("format", "model", "classes", "points", "ö", "args")}


def test_it_is_a_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(tensors_as_bytes(TENSORS, METADATA))
    with safe_open(path, "pt") as file:
        assert file.metadata() == METADATA
        assert {name: file.get_tensor(name).tolist() for name in file.keys()} == {  # noqa: SIM118
            name: tensor.tolist() for name, tensor in TENSORS.items()
        }


def test_metadata_stand_in_order_and_tensors_as_before() -> None:
    data, plain = tensors_as_bytes(TENSORS, METADATA), save(TENSORS, METADATA)
    length, other = (int.from_bytes(text[:8], "little") for text in (data, plain))
    assert length % 8 == 0
    assert data[8 + length :] == plain[8 + other :]
    header = json.loads(data[8 : 8 + length])
    assert list(header["__metadata__"]) == sorted(METADATA)
    assert list(header)[1:] == list(json.loads(plain[8 : 8 + other]))[1:]
    assert tensors_as_bytes(TENSORS) == save(TENSORS)


def test_equal_content_gives_equal_bytes() -> None:
    assert len({save(TENSORS, METADATA) for _ in range(20)}) > 1  # a hash map's order
    assert len({tensors_as_bytes(TENSORS, METADATA) for _ in range(20)}) == 1
