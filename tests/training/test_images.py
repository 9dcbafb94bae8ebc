from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from mgic_geo.errors import CheckpointError, DataError, MgicGeoError
from mgic_geo.models import create_model, read_weights_info
from mgic_geo.training import (
    ImageConfig,
    Preprocess,
    Splits,
    TrainConfig,
    classify,
    data,
    evaluate_images,
    evaluate_segmentation,
    loop,
    make_splits,
    segment,
    train,
)
from mgic_geo.training.tasks import make_task

Config = Callable[..., TrainConfig]
CPU = torch.device("cpu")
# images in memory and augmented together; one by one, cut out at random; images with masks
KINDS = pytest.mark.parametrize("kind", ["memory", "crops", "masks"])


def run_of(kind: str, config: Config, request: pytest.FixtureRequest, **changes: Any) -> Any:
    """A config and data of one kind."""
    if kind == "masks":
        options = {"model": "tiny_segmenter", "label_smoothing": 0.0, **changes}
        return config({"crop_size": 16}, **options), request.getfixturevalue("mask_splits")
    image = {"image_size": 8} if kind == "crops" else {}
    return config({"color": 0.1, **image}, **changes), request.getfixturevalue("image_splits")


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@KINDS
def test_resumed_run_equals_an_uninterrupted_one(
    kind: str, image_config: Config, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    more = {"optimizer": "sgd", "schedule": "cosine", "lr": 0.1} if kind == "crops" else {}
    config, splits = run_of(kind, image_config, request, **more)
    whole, parts = (replace(config, out=str(tmp_path / name)) for name in ("whole", "parts"))
    train(whole, splits)
    train(replace(parts, stop_after=1), splits)
    torch.manual_seed(99)  # what a new process would not know
    train(replace(parts, resume=True), splits)
    for name in ("last", "best"):
        one, two = (load_file(tmp_path / run / f"{name}.safetensors") for run in ("whole", "parts"))
        assert all(torch.equal(one[key], two[key]) for key in one | two)
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")
    assert len(rows(tmp_path / "whole")) == 2


@pytest.mark.parametrize("kind", ["memory", "crops"])
def test_images_are_learned(
    kind: str, image_config: Config, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    result = train(*run_of(kind, image_config, request, epochs=5, lr=0.05))
    first, *_, last = rows(tmp_path / "run")
    assert float(last["train_loss"]) < 0.7 * float(first["train_loss"])
    assert float(last["val_accuracy"]) > 0.8  # images that were not trained on; chance is a third
    validation = result.summary["validation"]
    assert validation["top5_accuracy"] == 1.0
    assert validation["num_images"] == 18
    assert result.summary["train_images"] == 48
    chosen = result.summary["chosen_epoch"]
    accuracies = [float(row["val_accuracy"]) for row in rows(tmp_path / "run")]
    assert accuracies[chosen - 1] == max(accuracies) == validation["accuracy"]


def test_masks_are_learned(
    image_config: Config, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    result = train(*run_of("masks", image_config, request, epochs=8, lr=0.05))
    validation = result.summary["validation"]
    assert validation["mean_iou"] > 0.8
    assert validation["num_images"] == 4
    assert float(rows(tmp_path / "run")[-1]["val_mean_iou"]) > 0.8
    first, *_, last = rows(tmp_path / "run")
    assert float(last["train_loss"]) < float(first["train_loss"])


def test_weights_say_how_images_are_prepared(
    image_config: Config, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    train(*run_of("memory", image_config, request, model_options={"width": 4}, epochs=1))
    info = read_weights_info(tmp_path / "run/best.safetensors")
    assert (info.task, info.image_size, info.model_args) == ("images", 12, {"width": 4})
    assert info.mean == (0.485, 0.456, 0.406)
    own = {"mean": (0.1, 0.2, 0.3), "std": (1.0, 1.0, 1.0)}
    config = image_config(own, out=str(tmp_path / "own"), epochs=1)
    train(config, request.getfixturevalue("image_splits"))
    assert read_weights_info(tmp_path / "own/best.safetensors").mean == (0.1, 0.2, 0.3)


def test_erased_pixels_have_the_mean_colour(
    image_config: Config, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, seen = loop._Trainer._step, []

    def looking(trainer: Any, inputs: torch.Tensor, target: torch.Tensor) -> Any:
        seen.append((inputs == 0.0).all(dim=1).flatten(1).sum(1))
        return step(trainer, inputs, target)

    monkeypatch.setattr(loop._Trainer, "_step", looking)
    config, splits = run_of("memory", image_config, request, epochs=1)
    for erase in (0.0, 1.0):
        image = replace(config.image, erase=erase)
        train(replace(config, image=image, out=f"{config.out}-{erase}"), splits)
    half = len(seen) // 2
    assert not torch.cat(seen[:half]).any()
    assert torch.cat(seen[half:]).all()


def test_workers_change_nothing(
    image_config: Config, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    states = []
    for workers in (0, 2):
        out = str(tmp_path / str(workers))
        config, splits = run_of("masks", image_config, request, workers=workers, out=out)
        states.append(train(config, splits).model.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@KINDS
def test_steps_per_epoch_takes_a_random_part(
    kind: str,
    image_config: Config,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step, seen = loop._Trainer._step, []

    def looking(trainer: Any, inputs: torch.Tensor, target: torch.Tensor) -> Any:
        seen.append(inputs.clone())
        return step(trainer, inputs, target)

    monkeypatch.setattr(loop._Trainer, "_step", looking)
    config, splits = run_of(kind, image_config, request, steps_per_epoch=1)
    train(config, splits)
    assert [batch.size(0) for batch in seen] == [8, 8]  # one step in each of two epochs
    assert not torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("kind", ["crops", "masks"])
def test_an_image_is_cut_out_anew_in_each_epoch(
    kind: str, image_config: Config, request: pytest.FixtureRequest
) -> None:
    task = make_task(*run_of(kind, image_config, request), CPU)
    dataset = task.loader(1).dataset
    crops = []
    for epoch in (0, 1, 0):
        task.set_epoch(epoch)
        crops.append(dataset[3][0])
    assert torch.equal(crops[0], crops[2])
    assert not torch.equal(crops[0], crops[1])


def test_mask_moves_with_its_image(
    image_config: Config, mask_splits: Splits[Any], request: pytest.FixtureRequest
) -> None:
    config, _ = run_of("masks", image_config, request)
    config.image = replace(config.image, flip=1.0, scale=(1.0, 1.0), crop_size=40)
    dataset = make_task(config, mask_splits, CPU).loader(1).dataset
    for image, mask in (dataset[i] for i in range(8)):
        bright = image.float().mean(dim=0)
        assert bright[mask == 1].mean() > bright[mask == 0].mean() + 100
        assert bool((mask == 7).any())  # the frame, and what no image covers


def test_memory_format_changes_the_layout_alone(
    image_config: Config, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    states = []
    for layout in ("contiguous", "channels_last"):
        config, splits = run_of("memory", image_config, request, memory_format=layout)
        result = train(replace(config, out=str(tmp_path / layout)), splits)
        states.append(result.model.state_dict())
    for key in states[0]:
        torch.testing.assert_close(states[0][key], states[1][key], rtol=1e-3, atol=1e-4)
    weight = states[1]["features.0.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_a_batch_without_any_class_leaves_the_loss_finite(
    image_config: Config, mask_splits: Splits[Any]
) -> None:
    config = image_config(model="tiny_segmenter")
    task = make_task(config, mask_splits, CPU)
    outputs = torch.randn(2, 2, 4, 4, requires_grad=True)
    none = task.loss(outputs, torch.full((2, 4, 4), 7))
    none.backward()
    assert none.item() == 0.0
    assert bool((outputs.grad == 0.0).all())
    mask = torch.randint(0, 2, (2, 4, 4))
    expected = F.cross_entropy(outputs, mask, label_smoothing=config.label_smoothing)
    torch.testing.assert_close(task.loss(outputs, mask), expected)
    # outputs of another size are brought to the mask's
    small = task.loss(outputs[:, :, ::2, ::2], mask)
    assert bool(small.isfinite())


def test_top5_counts_as_by_hand(image_splits: Splits[Any], tiny_models: None) -> None:
    torch.manual_seed(1)
    model = create_model("tiny_cnn", num_classes=9)
    part, preprocess = image_splits.train, Preprocess(12, (0.5,) * 3, (0.25,) * 3)
    scores = evaluate_images(model, part, preprocess, 9)
    order = [classify(model, image, preprocess).argsort(descending=True) for image, _ in part]
    place = [int((o == label).nonzero()) for o, (_, label) in zip(order, part)]
    assert scores.figures["accuracy"] == pytest.approx(sum(p < 1 for p in place) / 48)
    assert scores.top5 == pytest.approx(sum(p < 5 for p in place) / 48)
    assert 0.0 < scores.top5 < 1.0
    logits = torch.stack([classify(model, image, preprocess) for image, _ in part])
    assert scores.loss == pytest.approx(float(F.cross_entropy(logits, part.labels)), rel=1e-5)


def test_images_of_any_size_are_cropped_for_evaluation(
    image_splits: Splits[Any], tiny_models: None
) -> None:
    model = create_model("tiny_cnn", num_classes=3)
    part, small = image_splits.train, Preprocess(8, (0.5,) * 3, (0.25,) * 3)
    scores = evaluate_images(model, part, small, 3)
    logits = torch.stack([classify(model, image, small) for image, _ in part])
    assert scores.matrix.accuracy == float((logits.argmax(dim=1) == part.labels).float().mean())


@pytest.mark.parametrize("side", [None, 16, 40])
def test_segmentation_is_measured_on_the_masks_own_pixels(
    side: int | None, mask_splits: Splits[Any], tiny_models: None
) -> None:
    model = create_model("tiny_segmenter", num_classes=2)
    preprocess = Preprocess(side, (0.5,) * 3, (0.25,) * 3)
    scores = evaluate_segmentation(model, mask_splits.train, preprocess, 2)
    losses, right = [], []
    for image, mask in mask_splits.train:
        logits = segment(model, image, preprocess)
        assert logits.shape == (2, *mask.shape)
        counted = mask != 7
        right.append((logits.argmax(dim=0) == mask)[counted])
        losses.append(
            F.cross_entropy(logits[None], mask[None].long(), ignore_index=7, reduction="sum")
        )
    total = sum(int((mask != 7).sum()) for _, mask in mask_splits.train)
    assert int(scores.matrix.matrix.sum()) == total
    assert scores.figures["accuracy"] == pytest.approx(float(torch.cat(right).double().mean()))
    assert scores.loss == pytest.approx(float(sum(losses)) / total, rel=1e-4)


def test_nothing_to_measure(mask_splits: Splits[Any], tiny_models: None) -> None:
    mask_splits.train.ignore_index = 1  # the disc; and the frame becomes a class that there is not
    model = create_model("tiny_segmenter", num_classes=2)
    preprocess = Preprocess(None, (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(DataError, match="class 7 is none of the 2 classes"):
        evaluate_segmentation(model, mask_splits.train, preprocess, 2)
    with pytest.raises(DataError, match="none of the pixels to evaluate on has a class"):
        evaluate_segmentation(model, mask_splits.train.subset([]), preprocess, 2)


@pytest.mark.parametrize(
    ("part", "model", "text"),
    [
        (
            "image_splits",
            "dgcnn",
            r"furniture10 holds images with a class each.*dgcnn is for point clou",
        ),
        ("image_splits", "tiny_segmenter", r"tiny_segmenter is for images with a class for each p"),
        ("mask_splits", "tiny_cnn", r"holds images with a class for each pixel.*tiny_cnn is for"),
    ],
)
def test_a_model_of_another_domain(
    part: str,
    model: str,
    text: str,
    image_config: Config,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = request.getfixturevalue(part).train
    monkeypatch.setattr(data, "open_dataset", lambda *_, **__: dataset)
    with pytest.raises(MgicGeoError, match=text) as caught:
        make_splits(image_config(model=model))
    assert "choose one of " in str(caught.value)


def test_images_do_not_train_models_of_images_on_clouds(image_config: Config) -> None:
    with pytest.raises(MgicGeoError, match=r"furniture10 holds point clouds.*choose one of dgcnn"):
        make_splits(image_config(data="furniture10"))


def test_validation_part(
    image_config: Config,
    image_splits: Splits[Any],
    mask_splits: Splits[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[tuple[Any, ...]] = []
    sets = {"plain": image_splits.train, "camvid": mask_splits.train, "other": image_splits.val}

    def opening(name: str, root: str, split: str | None, *_: Any, **settings: Any) -> Any:
        opened.append((name, split, settings))
        return mask_splits.val if split == "val" and name == "camvid" else sets[name]

    monkeypatch.setattr(data, "open_dataset", opening)
    splits = make_splits(image_config(data="plain", val_fraction=0.25))
    assert (len(splits.train), len(splits.val)) == (36, 12)
    assert min(splits.val.names) > max(splits.train.names)
    assert make_splits(image_config(data="plain", val_fraction=0.0)).val is None
    splits = make_splits(image_config(data="plain", val_data="other"))
    assert (len(splits.train), len(splits.val)) == (48, 18)

    opened.clear()
    segmenter = image_config(data="camvid", source="there", model="tiny_segmenter")
    mask_splits.val.names = tuple(f"val{name}" for name in mask_splits.val.names)
    splits = make_splits(segmenter)
    assert (len(splits.train), len(splits.val)) == (16, 4)
    there = {"source": "there"}
    assert opened == [("camvid", "train", there), ("camvid", "val", there)]
    # a zip without splits is whatever is asked for: nobody validates on what was trained on
    monkeypatch.setattr(data, "open_dataset", lambda *_, **__: mask_splits.train)
    with pytest.raises(DataError, match="there is one split alone"):
        make_splits(segmenter)
    monkeypatch.setattr(data, "open_dataset", opening)
    image_splits.val.classes = ("red", "green", "grey")
    with pytest.raises(DataError, match="its classes are red, green, grey"):
        make_splits(image_config(data="plain", val_data="other"))


def test_masks_of_a_set_without_splits_are_divided_by_name(
    image_config: Config, mask_splits: Splits[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "open_dataset", lambda *_, **__: mask_splits.train)
    splits = make_splits(image_config(data="folder", model="tiny_segmenter"))
    assert splits.val.names == ("014", "015")
    assert len(splits.train) == 14


def test_options_of_the_wrong_domain(image_config: Config, mask_splits: Splits[Any]) -> None:
    with pytest.raises(MgicGeoError, match=r"width = 32: .* set it by --model_options.width 32"):
        image_config(width=32).model_args()
    config = image_config(model="tiny_segmenter", class_balance=0.5)
    with pytest.raises(MgicGeoError, match="class_balance"):
        make_task(config, mask_splits, CPU)
    assert TrainConfig(model="dgcnn", model_options={"k": 4}).model_args()["k"] == 4


def test_run_of_another_augmentation_is_not_resumed(
    image_config: Config, image_splits: Splits[Any]
) -> None:
    train(image_config(stop_after=1), image_splits)
    with pytest.raises(CheckpointError, match="a run with image = "):
        train(image_config({"flip": 0.0}, resume=True), image_splits)


@pytest.mark.parametrize(
    "changes",
    [
        {"image_size": 0},
        {"crop_size": -1},
        {"padding": -1},
        {"flip": 1.5},
        {"erase": -0.5},
        {"color": -0.1},
        {"scale": (0.5, 0.1)},
        {"mean": (0.5, 0.5, 0.5)},
        {"mean": (0.5, 0.5, 0.5), "std": (0.0, 1.0, 1.0)},
    ],
    ids=str,
)
def test_image_options_out_of_range(changes: dict[str, Any]) -> None:
    with pytest.raises(MgicGeoError, match=rf"image\.({'|'.join(changes)})"):
        ImageConfig(**changes)
