"""A report as one file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mgic_geo import __version__
from mgic_geo.errors import DataError
from mgic_geo.io import atomic_write

from . import _page
from ._points import fit_into, pack, worst_first
from .contents import ReportCloud

MOST_BYTES = 5_000_000
_OF_A_CLOUD = 260  # characters of a cloud's names and numbers, about
_SUFFIXES = (".html", ".htm")


def check_report_path(path: str | os.PathLike[str]) -> Path:
    """Whether a report can be written there: to be asked before hours of work.

    Folders that are missing are no obstacle: they are made when the report is written, not here.

    Args:
        path: The report.

    Returns:
        The path.

    Raises:
        DataError: It is no name of an HTML file, it is a folder, or its folder cannot be made or
            written to.

    Example:
        >>> from mgic_geo.viz import check_report_path
        >>> check_report_path("new/folder/report.html").name
        'report.html'
        >>> check_report_path("report.pdf")
        Traceback (most recent call last):
        mgic_geo.errors.DataError: report.pdf: a report is an HTML file; name it .html
    """
    target = Path(path)
    if target.suffix.lower() not in _SUFFIXES:
        raise DataError(f"{path}: a report is an HTML file; name it .html")
    if target.is_dir():
        raise DataError(f"{path}: this is a folder; name a file for the report")
    folder = next(f for f in Path(os.path.realpath(target)).parents if os.path.lexists(f))
    if not folder.is_dir():
        raise DataError(f"{path}: {folder.name} is a file, not a folder; name another one")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"{path}: no right to write into {folder}; name another folder")
    return target


def write_report(
    path: str | os.PathLike[str],
    clouds: Sequence[ReportCloud],
    *,
    title: str = "Report",
    facts: Mapping[str, object] | None = None,
    timings: Mapping[str, float] | None = None,
    card: str | None = None,
    classes: Sequence[str] | None = None,
    failures: Mapping[str, str] | None = None,
    max_bytes: int = MOST_BYTES,
) -> Path:
    """Writes one HTML file that shows clouds in 3-D and what they were taken for.

    The file needs no network and no other file: plotly.js is inside, compressed, and a browser of
    2023 or later unpacks it. One view turns and zooms the cloud that was chosen from small
    pictures; mistakes stand first, by the confidence in the wrong class. Where classes are known, a
    confusion matrix counts all clouds, and its cells show theirs.

    Of many clouds fewer points are shown, down to 256 of each, then fewer clouds, mistakes before
    others, so that the file stays below ``max_bytes``. The figures count all of them.

    Args:
        path: The file, ``.html``; its folder is made where it is missing.
        clouds: What to show.
        title: The heading.
        facts: Lines about weights and data, by their names.
        timings: Seconds by what took them.
        card: A model card in Markdown.
        classes: Order of the classes in the confusion matrix; by name if not given.
        failures: Messages by the files that could not be used.
        max_bytes: Largest size of the file; 2 MB of it are plotly.js.

    Returns:
        The path of the file.

    Raises:
        DataError: There is nothing to show, ``classes`` lacks one, or the path cannot be written.
        ImportError: Plotly, Jinja2 or markdown-it-py (extra ``viz``) is missing.

    Example:
        >>> import numpy as np
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.viz import ReportCloud, write_report
        >>> points = np.random.default_rng(0).random((50, 3))
        >>> cloud = ReportCloud(points, "a.ply", [("sofa", 0.9), ("bed", 0.1)], truth="bed")
        >>> with TemporaryDirectory() as folder:
        ...     path = write_report(f"{folder}/report.html", [cloud], title="One mistake")
        ...     path.stat().st_size < 5_000_000
        True
    """
    target = check_report_path(path)
    failures = failures or {}
    if not clouds and not failures:
        raise DataError(f"{path}: there is no cloud to report")
    names = _classes(clouds, classes)
    values: dict[str, Any] = {
        "title": title,
        "version": __version__,
        "facts": {name: str(value) for name, value in (facts or {}).items()},
        "timings": {
            name: _page.seconds_as_text(seconds) for name, seconds in (timings or {}).items()
        },
        "card": None if card is None else _page.card_as_html(card),
        "failures": failures,
        **_figures(clouds, names),
    }
    taken = len(_page.render(**values, data="", points="", shown=0))
    order = worst_first(clouds)
    count, most = fit_into(len(clouds), max_bytes - taken - _OF_A_CLOUD * len(clouds))
    shown = [clouds[i] for i in order[:count]]
    made = pack(shown, most)
    page = _page.render(
        **values,
        shown=len(shown),
        data=_page.as_script_data(_data(shown, made.counts, names)),
        points=_page.packed(made.data),
    )
    with atomic_write(target, "w", encoding="utf-8") as file:
        file.write(page)
    return target


def _classes(clouds: Sequence[ReportCloud], given: Sequence[str] | None) -> list[str]:
    """Every class that a cloud has or may have, each once."""
    found = {name for cloud in clouds for name, _ in cloud.top}
    found |= {cloud.truth for cloud in clouds if cloud.truth is not None}
    if given is None:
        return sorted(found)
    if lacking := sorted(found - set(given)):
        raise DataError(f"classes of the report lack {', '.join(lacking)}")
    return list(dict.fromkeys(given))


def _figures(clouds: Sequence[ReportCloud], classes: Sequence[str]) -> dict[str, Any]:
    """The confusion matrix of those clouds whose class is known, and what follows from it."""
    known = [cloud for cloud in clouds if cloud.truth is not None]
    counts = Counter((str(cloud.truth), cloud.top[0][0]) for cloud in known)
    rows = _page.matrix_rows(classes, counts) if known else []
    figures = {"shapes": f"{len(clouds):,}"}
    if known:
        right = sum(not cloud.wrong for cloud in known)
        recalls = [
            counts[name, name] / row["total"] for name, row in zip(classes, rows) if row["total"]
        ]
        figures = {
            "accuracy": f"{100 * right / len(known):.2f} %",
            "mean class accuracy": f"{100 * sum(recalls) / len(recalls):.2f} %",
            "mistakes": f"{len(known) - right:,}",
            **figures,
        }
    return {"figures": figures, "classes": classes, "rows": rows, "total": len(clouds)}


def _data(
    clouds: Sequence[ReportCloud], counts: Sequence[int], classes: Sequence[str]
) -> dict[str, Any]:
    """What the script of the page reads."""
    number = {name: i for i, name in enumerate(classes)}
    entries = [
        {
            "name": cloud.name,
            "note": cloud.note,
            "truth": None if cloud.truth is None else number[cloud.truth],
            "top": [[number[name], round(float(share), 4)] for name, share in cloud.top],
            "seconds": None if cloud.seconds is None else _page.seconds_as_text(cloud.seconds),
            "points": count,
            "of": len(cloud.xyz),
            "explained": cloud.importance is not None,
        }
        for cloud, count in zip(clouds, counts)
    ]
    return {"classes": list(classes), "clouds": entries}
