"""Networks, by name."""

from mgic_geo.models import mobilenetv2 as _mobilenetv2  # noqa: F401  (registers its models)
from mgic_geo.models import mobilenetv3 as _mobilenetv3  # noqa: F401
from mgic_geo.models import point_models as _point_models  # noqa: F401
from mgic_geo.models import pyramid_models as _pyramid_models  # noqa: F401
from mgic_geo.models import resnet as _resnet  # noqa: F401
from mgic_geo.models._classifier import Classifier, FeatureInfo, FeatureMaps
from mgic_geo.models.create import create_model, list_models
from mgic_geo.models.fusion_classifier import FusionClassifier
from mgic_geo.models.image_classifier import ImageClassifier
from mgic_geo.models.lraspp import LRASPP
from mgic_geo.models.point_classifier import PointClassifier
from mgic_geo.models.point_pyramid import PointPyramid
from mgic_geo.models.point_segmenter import PointSegmenter
from mgic_geo.models.published import load_published
from mgic_geo.models.published_report import LoadReport
from mgic_geo.models.registry import (
    dense_twin,
    describe_model,
    model_data,
    model_task,
    register_model,
)
from mgic_geo.models.weights import (
    DEFAULT_WEIGHTS,
    WeightsInfo,
    list_weights,
    load_matching,
    load_model,
    load_state,
    read_weights_info,
    save_weights,
)

__all__ = [
    "DEFAULT_WEIGHTS",
    "LRASPP",
    "Classifier",
    "FeatureInfo",
    "FeatureMaps",
    "FusionClassifier",
    "ImageClassifier",
    "LoadReport",
    "PointClassifier",
    "PointPyramid",
    "PointSegmenter",
    "WeightsInfo",
    "create_model",
    "dense_twin",
    "describe_model",
    "list_models",
    "list_weights",
    "load_matching",
    "load_model",
    "load_published",
    "load_state",
    "model_data",
    "model_task",
    "read_weights_info",
    "register_model",
    "save_weights",
]
