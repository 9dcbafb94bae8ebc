"""Training, evaluation and their records."""

from mgic_geo.training.config import AugmentConfig, TrainConfig
from mgic_geo.training.data import Clouds, Splits, augment, make_splits, to_clouds
from mgic_geo.training.evaluate import evaluate_clouds, predict_logits
from mgic_geo.training.loop import TrainResult, train
from mgic_geo.training.metrics import ConfusionMatrix
from mgic_geo.training.provenance import provenance

__all__ = [
    "AugmentConfig",
    "Clouds",
    "ConfusionMatrix",
    "Splits",
    "TrainConfig",
    "TrainResult",
    "augment",
    "evaluate_clouds",
    "make_splits",
    "predict_logits",
    "provenance",
    "to_clouds",
    "train",
]
