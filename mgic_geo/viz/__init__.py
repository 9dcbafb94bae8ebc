"""Pictures of clouds and training runs (Matplotlib, ``viz``), of segmented images (Pillow)."""

from .clouds import draw_cloud, plot_clouds
from .overlay import class_colors, draw_overlay
from .point_labels import plot_point_labels
from .training import plot_confusion, plot_curves

__all__ = [
    "class_colors",
    "draw_cloud",
    "draw_overlay",
    "plot_clouds",
    "plot_confusion",
    "plot_curves",
    "plot_point_labels",
]
