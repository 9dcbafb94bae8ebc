"""What the measurements must show, and whether they do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ._bench import Row
from .classifier import PYG, TWIN
from .memory import ONE_BLOCK

Line = tuple[str, str, str]
EQUAL = 1e-4
TRAIN, BLOCK = "forward + backward", "block, forward + backward"


def summary(rows: Sequence[Row]) -> str:
    """A table: target, measured, reached or not; the CPU's rows alone."""
    lines = [("target", "measured", ""), *targets([row for row in rows if row["device"] == "cpu"])]
    wide = [max(len(line[i]) for line in lines) for i in range(2)]
    return "\n".join(f"{a:<{wide[0]}}  {b:<{wide[1]}}  {c}".rstrip() for a, b, c in lines)


def targets(rows: Sequence[Row]) -> list[Line]:
    return [
        *_width(rows),
        *_classifier(rows),
        *_knn(rows),
        *_epoch(rows),
        *_memory(rows),
        *_images(rows),
    ]


def _find(rows: Iterable[Row], column: str, **wanted: str) -> float | None:
    """The last such row that has the column."""
    found = [
        float(row[column])
        for row in rows
        if row[column] and all(row[key] == value for key, value in wanted.items())
    ]
    return found[-1] if found else None


def _line(
    target: str,
    value: float | None,
    unit: str,
    least: float = -math.inf,
    most: float = math.inf,
    note: str = "",
) -> Line:
    if value is None:
        return target, "not measured", ""
    reached = "reached" if least <= value <= most else "NOT REACHED"
    return target, f"{value:.3g}{unit}{note}", reached


def _width(rows: Sequence[Row]) -> list[Line]:
    lines = []
    for peer in ("MGIC (16, 64)", "MGIC (8, 16)"):
        exponent = _find(rows, "exponent", family="width", case=BLOCK, peer=peer)
        name = f"width: {peer} block, exponent at most 1.15"
        lines.append(_line(name, exponent, "", most=1.15))
        for width, least in (("512", 8.0), ("64", 1.3)):
            if (peer, width) == ("MGIC (16, 64)", "64"):
                continue  # it is the dense block
            for what in ("block", "operator"):
                faster = _find(
                    rows, "ratio", family="width", case=f"{what}, {TRAIN}", peer=peer, width=width
                )
                name = f"width: {peer} {what} at {width}, at least {least:g} x the dense one"
                lines.append(_line(name, faster, " x", least))
    return lines


def _classifier(rows: Sequence[Row]) -> list[Line]:
    lines = []
    for case in (
        "training step",
        "training step, with graph",
        "inference",
        "inference, with graph",
    ):
        ratio = _find(rows, "ratio", family="classifier", case=case, peer="mgic_diffgcn")
        name = f"classifier: {case} of mgic_diffgcn, at least 6 x PyG's EdgeConv(MLP)"
        lines.append(_line(name, ratio, " x", 6.0))
    fused = {"family": "classifier", "case": "inference, fused"}
    peers = (PYG, "mgic_diffgcn, fused")
    theirs, own = (_find(rows, "seconds", **fused, peer=peer) for peer in peers)
    ratio = None if own is None or theirs is None else theirs / own
    name = "classifier: inference of mgic_diffgcn, fused, at least 6 x PyG's EdgeConv(MLP)"
    lines.append(_line(name, ratio, " x", 6.0))
    for case in ("training step", "inference"):
        own = _find(rows, "seconds", family="classifier", case=case, peer="dgcnn")
        twin = _find(rows, "seconds", family="classifier", case=case, peer=TWIN)
        far = _find(rows, "difference", family="classifier", case=case, peer=TWIN)
        ratio = None if own is None or twin is None else twin / own
        # A target reached with different results is not reached.
        equal = far is not None and far <= EQUAL
        lines.append(
            _line(
                f"classifier: {case} of dgcnn, at least 4 x PyG's, outputs within {EQUAL:g}",
                ratio,
                " x",
                4.0 if equal else math.inf,
                note=f", {far:.1e}" if far is not None else ", outputs not compared",
            )
        )
    return lines


def _knn(rows: Sequence[Row]) -> list[Line]:
    lines = []
    for case in ("knn_graph, 16 x 1024", "knn_graph, 1 x 1000000"):
        ratio = _find(rows, "ratio", family="knn", case=case, peer="ours, auto")
        name = f"{case}: not slower than torch-cluster"
        lines.append(_line(name, ratio, " x", 1.0))
    return lines


def _epoch(rows: Sequence[Row]) -> list[Line]:
    case = "3991 clouds x 1024 points"
    seconds = _find(rows, "seconds", family="epoch", case=case, peer="mgic_diffgcn")
    return [_line(f"epoch: {case}, at most 45 s", seconds, " s", most=45.0)]


def _memory(rows: Sequence[Row]) -> list[Line]:
    own = [row for row in rows if row["family"] == "memory"]
    lines = []
    for row in own:
        if not row["peer"].startswith("MGIC") or not row["peak_mib"]:
            continue
        shape = {"case": row["case"], "width": row["width"], "nodes": row["nodes"]}
        where = f"memory: {row['case']} of {row['peer']} at {row['width']}"
        peak = float(row["peak_mib"])
        dense = _find(own, "peak_mib", peer="dense", **shape)
        one = _find(own, "peak_mib", peer=ONE_BLOCK[row["peer"]], **shape)
        if row["case"] == "training step" and dense is not None:
            name = f"{where}, at most 2 x the dense block's"
            lines.append(_line(name, peak / dense, " x", most=2.0))
        elif row["case"] == "inference" and one is not None:
            inputs = float(row["note"].rpartition(": ")[2].removesuffix(" MiB"))
            name = f"{where}, at most one block and the coarser inputs, {one + inputs:.0f} MiB"
            note = f" (dense block: {dense:.0f} MiB)" if dense is not None else ""
            lines.append(_line(name, peak, " MiB", most=one + inputs, note=note))
    return lines or [
        ("memory: training 2 x the dense block, inference one block", "not measured", "")
    ]


def _images(rows: Sequence[Row]) -> list[Line]:
    """Each in its better memory format, as a share of the dense twin's time in its better one."""
    lines = []
    for case, own, dense, most in (
        ("inference, fused", "mgic_resnet50", "resnet50", 0.6),
        ("inference, fused", "mgic_mobilenetv3", "mobilenetv3_large", 1.0),
        ("training step", "mgic_resnet56", "resnet56", 0.7),
    ):
        best = []
        for name in (own, dense):
            times = [
                _find(rows, "seconds", family="images", case=case, peer=f"{name}, {form}")
                for form in ("channels_last", "contiguous")
            ]
            best.append(min((t for t in times if t is not None), default=None))
        share = None if best[0] is None or best[1] is None else best[0] / best[1]
        lines.append(
            _line(f"images: {case} of {own}, at most {most:g} of {dense}", share, "", most=most)
        )
    return lines
