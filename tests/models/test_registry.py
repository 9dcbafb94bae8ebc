from __future__ import annotations

import pytest
from torch import nn

from mgic_geo.models import list_models, model_data, model_task
from mgic_geo.models.registry import register_model

pytestmark = pytest.mark.usefixtures("tiny_models")


def test_models_say_what_they_are_for() -> None:
    assert model_task("dgcnn") == "points"
    assert model_task("tiny_cnn") == "images"
    assert model_task("tiny_segmenter") == "segmentation"
    assert "tiny_cnn" in list_models(task="images")
    assert not {"dgcnn", "tiny_segmenter"} & set(list_models(task="images"))
    assert list_models("tiny_*") == ["tiny_cnn", "tiny_segmenter"]
    assert list_models("tiny_*", "segmentation") == ["tiny_segmenter"]


def test_tasks_that_take_the_same_data() -> None:
    for name, data in (
        ("dgcnn", "clouds"),
        ("fusion_classifier", "clouds"),
        ("tiny_cnn", "images"),
        ("tiny_segmenter", "masks"),
    ):
        assert model_data(name) == data
    with pytest.raises(ValueError, match="no model named 'pointnet'"):
        model_data("pointnet")


def test_unknown_names_and_tasks() -> None:
    with pytest.raises(ValueError, match="no model named 'pointnet'; there are dgcnn"):
        model_task("pointnet")

    def sound() -> nn.Module:
        return nn.Identity()

    with pytest.raises(ValueError, match="task = 'audio': use one of"):
        register_model(sound, task="audio")
    assert "sound" not in list_models()
