"""Networks, by name."""

from mgic_geo.models.point_classifier import GraphBlock, PointClassifier
from mgic_geo.models.registry import create_model, describe_model, list_models, register_model

__all__ = [
    "GraphBlock",
    "PointClassifier",
    "create_model",
    "describe_model",
    "list_models",
    "register_model",
]
