"""One HTML file that shows clouds, what they were taken for, and what a network looked at."""

from .contents import ReportCloud
from .write import check_report_path, write_report

__all__ = ["ReportCloud", "check_report_path", "write_report"]
