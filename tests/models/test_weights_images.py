from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mgic_geo.errors import CheckpointError
from mgic_geo.models import (
    WeightsInfo,
    create_model,
    load_model,
    read_weights_info,
    save_weights,
)

pytestmark = pytest.mark.usefixtures("tiny_models")
INFO = WeightsInfo(
    "tiny_cnn",
    {"width": 4},
    ("cat", "dog"),
    task="images",
    image_size=32,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.247, 0.2435, 0.2616),
)


def header(file: Path) -> dict[str, str]:
    with safe_open(file, framework="pt") as opened:
        return dict(opened.metadata())


def test_images_travel_with_what_prediction_needs(tmp_path: Path) -> None:
    model = create_model("tiny_cnn", num_classes=2, width=4).eval()
    save_weights(tmp_path / "w.safetensors", model, INFO)
    loaded, found = load_model(tmp_path / "w.safetensors")
    assert found == INFO
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(loaded(x), model(x))


def test_whole_images_have_no_size(tmp_path: Path) -> None:
    info = WeightsInfo("tiny_segmenter", {}, ("a", "b", "c"), task="segmentation")
    save_weights(tmp_path / "w.safetensors", create_model("tiny_segmenter"), info)
    assert read_weights_info(tmp_path / "w.safetensors").image_size is None


def test_header_of_point_weights_is_as_ever(tmp_path: Path) -> None:
    model = create_model("dgcnn", width=16)
    info = WeightsInfo("dgcnn", {"width": 16}, tuple("abcdefghij"), 64)
    save_weights(tmp_path / "w.safetensors", model, info)
    found = header(tmp_path / "w.safetensors")
    assert sorted(found) == ["classes", "format", "model", "model_args", "num_points"]
    assert read_weights_info(tmp_path / "w.safetensors") == info


@pytest.mark.parametrize(
    "changes", [{"mean": [0.5]}, {"std": "wide"}, {"image_size": "large"}], ids=str
)
def test_damaged_header(tmp_path: Path, changes: dict[str, Any]) -> None:
    file = tmp_path / "w.safetensors"
    save_weights(file, create_model("tiny_cnn", num_classes=2, width=4), INFO)
    values = {name: json.dumps(value) for name, value in changes.items()}
    save_file(load_file(file), file, metadata={**header(file), **values})
    with pytest.raises(CheckpointError, match="its header is damaged"):
        load_model(file)
