"""Networks, by name."""

from mgic_geo.models.point_classifier import PointClassifier
from mgic_geo.models.registry import (
    create_model,
    dense_twin,
    describe_model,
    list_models,
    model_task,
    register_model,
)
from mgic_geo.models.weights import (
    DEFAULT_WEIGHTS,
    WeightsInfo,
    list_weights,
    load_model,
    load_state,
    read_weights_info,
    save_weights,
)

__all__ = [
    "DEFAULT_WEIGHTS",
    "PointClassifier",
    "WeightsInfo",
    "create_model",
    "dense_twin",
    "describe_model",
    "list_models",
    "list_weights",
    "load_model",
    "load_state",
    "model_task",
    "read_weights_info",
    "register_model",
    "save_weights",
]
