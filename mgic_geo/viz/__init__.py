"""Pictures of clouds and of training runs (Matplotlib, the extra ``viz``)."""

from .clouds import draw_cloud, plot_clouds
from .training import plot_confusion, plot_curves

__all__ = ["draw_cloud", "plot_clouds", "plot_confusion", "plot_curves"]
