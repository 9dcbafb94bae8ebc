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
    from mgic_geo.training._evaluate_points import evaluate_points
    from mgic_geo.training._provenance import provenance
    from mgic_geo.training.config import AugmentConfig, TrainConfig
    from mgic_geo.training.corruption_scores import CorruptionScores, evaluate_corruptions
    from mgic_geo.training.data import (
        Clouds,
        PointLabels,
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
    from mgic_geo.training.point_scores import PointScores, shape_iou
    from mgic_geo.training.preprocess import Preprocess
    from mgic_geo.training.scores import CloudScores, ImageScores, Scores, SegmentationScores

__all__ = [
    "AugmentConfig",
    "CloudScores",
    "Clouds",
    "ConfusionMatrix",
    "CorruptionScores",
    "ImageConfig",
    "ImageScores",
    "PointLabels",
    "PointScores",
    "Preprocess",
    "Scores",
    "SegmentationScores",
    "Splits",
    "TrainConfig",
    "TrainResult",
    "augment",
    "classify",
    "evaluate_clouds",
    "evaluate_corruptions",
    "evaluate_images",
    "evaluate_points",
    "evaluate_segmentation",
    "make_splits",
    "predict_logits",
    "provenance",
    "segment",
    "shape_iou",
    "split_by_name",
    "to_clouds",
    "train",
]

__getattr__ = at_first_use(
    __name__,
    {
        "corruption_scores": ("CorruptionScores", "evaluate_corruptions"),
        "config": ("AugmentConfig", "TrainConfig"),
        "data": (
            "Clouds",
            "PointLabels",
            "Splits",
            "augment",
            "make_splits",
            "split_by_name",
            "to_clouds",
        ),
        "evaluate": ("evaluate_clouds", "predict_logits"),
        "_evaluate_points": ("evaluate_points",),
        "_evaluate_images": ("classify", "evaluate_images", "evaluate_segmentation", "segment"),
        "image_config": ("ImageConfig",),
        "loop": ("TrainResult", "train"),
        "metrics": ("ConfusionMatrix",),
        "point_scores": ("PointScores", "shape_iou"),
        "preprocess": ("Preprocess",),
        "_provenance": ("provenance",),
        "scores": ("CloudScores", "ImageScores", "Scores", "SegmentationScores"),
    },
)
