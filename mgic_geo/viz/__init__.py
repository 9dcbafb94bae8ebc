"""Pictures of clouds and training runs (Matplotlib), reports as HTML, segmented images.

The extra is ``viz``; of segmented images it is ``images``.
"""

from .calibration import plot_reliability
from .clouds import draw_cloud, plot_clouds
from .overlay import class_colors, draw_overlay
from .point_labels import plot_point_labels
from .report import ReportCloud, check_report_path, write_report
from .training import plot_confusion, plot_curves

__all__ = [
    "ReportCloud",
    "check_report_path",
    "class_colors",
    "draw_cloud",
    "draw_overlay",
    "plot_clouds",
    "plot_confusion",
    "plot_curves",
    "plot_point_labels",
    "plot_reliability",
    "write_report",
]
