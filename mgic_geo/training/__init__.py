"""Training, evaluation and their records."""

from typing import TYPE_CHECKING

from mgic_geo._lazy import at_first_use

if TYPE_CHECKING:
    from mgic_geo.training._evaluate_images import (
        classify,
        evaluate_images,
        evaluate_segmentation,
        segment,
    )
    from mgic_geo.training._provenance import provenance
    from mgic_geo.training.calibration import Calibration, fit_temperature, held_out_calibration
    from mgic_geo.training.config import AugmentConfig, TrainConfig
    from mgic_geo.training.data import (
        Clouds,
        Splits,
        augment,
        make_splits,
        split_by_name,
        to_clouds,
    )
    from mgic_geo.training.evaluate import evaluate_clouds, predict_logits
    from mgic_geo.training.image_config import ImageConfig
    from mgic_geo.training.loop import TrainResult, train
    from mgic_geo.training.metrics import ConfusionMatrix
    from mgic_geo.training.preprocess import Preprocess
    from mgic_geo.training.scores import CloudScores, ImageScores, Scores, SegmentationScores

__all__ = [
    "AugmentConfig",
    "Calibration",
    "CloudScores",
    "Clouds",
    "ConfusionMatrix",
    "ImageConfig",
    "ImageScores",
    "Preprocess",
    "Scores",
    "SegmentationScores",
    "Splits",
    "TrainConfig",
    "TrainResult",
    "augment",
    "classify",
    "evaluate_clouds",
    "evaluate_images",
    "evaluate_segmentation",
    "fit_temperature",
    "held_out_calibration",
    "make_splits",
    "predict_logits",
    "provenance",
    "segment",
    "split_by_name",
    "to_clouds",
    "train",
]

__getattr__ = at_first_use(
    __name__,
    {
        "calibration": ("Calibration", "fit_temperature", "held_out_calibration"),
        "config": ("AugmentConfig", "TrainConfig"),
        "data": ("Clouds", "Splits", "augment", "make_splits", "split_by_name", "to_clouds"),
        "evaluate": ("evaluate_clouds", "predict_logits"),
        "_evaluate_images": ("classify", "evaluate_images", "evaluate_segmentation", "segment"),
        "image_config": ("ImageConfig",),
        "loop": ("TrainResult", "train"),
        "metrics": ("ConfusionMatrix",),
        "preprocess": ("Preprocess",),
        "_provenance": ("provenance",),
        "scores": ("CloudScores", "ImageScores", "Scores", "SegmentationScores"),
    },
)
