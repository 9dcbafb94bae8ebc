"""Exact nearest neighbours by KD-trees: a leaf of queries at a time visits leaves of points."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from mgic_geo.kernels.cpu.threads import ranges, run_all
from mgic_geo.kernels.neighbors.tree import LEAF, gap, grow, node_range

_LEAVES_A_TASK = 8  # at least: less is not worth starting a thread for


def neighbor_table(
    x: NDArray,
    y: NDArray | None,
    ptr_x: NDArray[np.int64],
    ptr_y: NDArray[np.int64],
    k: int,
    workers: int,
    radius: float = math.inf,
) -> NDArray[np.int64]:
    """The ``k`` nearest points of ``x`` for each point of ``y``, ``[M, k]``, both overwritten.

    Without ``y``: for each point of ``x``, which then is not its own neighbour. Equal distances in
    any order, but in the same one for any number of workers. -1 where fewer lie within ``radius``.
    """
    forest = grow(x, ptr_x, workers)
    queries = forest if y is None else grow(y, ptr_y, workers)
    table = np.empty((len(queries.order), k), np.int64)
    leaves = int(queries.leaf_ptr[-1])
    parts = ranges(leaves, min(8 * workers, leaves // _LEAVES_A_TASK) if workers > 1 else 1)
    kind = x.dtype.type
    # Comparisons are strict, and a point at the radius is within it.
    with np.errstate(over="ignore"):
        limit = np.nextafter(kind(radius) * kind(radius), kind(np.inf))
    run_all(_search, [(forest, queries, y is None, *part, table, limit) for part in parts], workers)
    return table


@numba.njit(nogil=True, cache=True)
def _search(forest, queries, own, first, stop, table, farthest):
    """Fills the rows of the queries in leaves ``first`` to ``stop``."""
    # Whole arrays and numbers, no views: to count references to them would keep threads apart.
    index, leaves, boxes = forest.order, forest.leaves, forest.boxes
    points, number, around = queries.points, queries.order, queries.boxes
    k, kind = table.shape[1], leaves.dtype.type
    dist = np.empty((LEAF, k), leaves.dtype)
    who = np.empty((LEAF, k), np.int32)
    squared = np.empty(LEAF, leaves.dtype)
    stack = np.empty(forest.levels.max() + 1, np.int64)
    gaps = np.empty(forest.levels.max() + 1, leaves.dtype)
    cloud = 0
    for group in range(first, stop):
        while queries.leaf_ptr[cloud + 1] <= group:
            cloud += 1
        at = group - queries.leaf_ptr[cloud]
        begin, end = node_range(queries.ptr, queries.levels[cloud], cloud, at)
        if begin == end:
            continue
        box = 2 * queries.leaf_ptr[cloud] + (1 << queries.levels[cloud]) + at
        heap, base = 2 * forest.leaf_ptr[cloud], 1 << forest.levels[cloud]
        dist[:] = farthest
        who[:] = -1
        # The largest distance that still matters to a query of the group. What is just as far does
        # not, or else many coincident points would all be compared with each other.
        reach = farthest
        stack[0], gaps[0], top = 1, 0.0, 1
        while top > 0:
            top -= 1
            node, away = stack[top], gaps[top]
            while away < reach and node < base:  # to the nearer child, the other is put off
                node *= 2
                away = gap(around, box, boxes, heap + node)
                other = gap(around, box, boxes, heap + node + 1)
                far = node + 1
                if other < away:
                    away, other = other, away
                    far, node = node, node + 1
                if other < reach:
                    stack[top], gaps[top] = far, other
                    top += 1
            if away >= reach:
                continue
            start, past = node_range(forest.ptr, forest.levels[cloud], cloud, node - base)
            leaf = forest.leaf_ptr[cloud] + node - base
            reach = kind(0)
            for q in range(end - begin):
                limit = dist[q, k - 1]
                if _outside(points, begin + q, boxes, heap + node) < limit and _near(
                    leaves, leaf, points, begin + q, limit, squared
                ):
                    me = number[begin + q] if own else -1
                    for p in range(past - start):
                        if squared[p] < limit and index[start + p] != me:
                            _insert(dist, who, q, squared[p], index[start + p])
                            limit = dist[q, k - 1]
                reach = max(reach, limit)
        for q in range(end - begin):
            for c in range(k):
                table[number[begin + q], c] = who[q, c]


@numba.njit(nogil=True, cache=True, inline="always")
def _outside(points, i, boxes, node):
    """Squared distance of a point from a box; rounded as in :func:`gap`."""
    zero = points.dtype.type(0)
    total = zero
    for axis in range(points.shape[1]):
        v = points[i, axis]
        side = max(max(boxes[node, 0, axis] - v, v - boxes[node, 1, axis]), zero)
        total += side * side
    return total


@numba.njit(nogil=True, cache=True, inline="always")
def _near(leaves, leaf, points, i, limit, squared):
    """Writes the squared distances of a leaf's points; whether one is within the limit."""
    hits = 0
    if points.shape[1] == 3:  # the usual case, in registers
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        for p in range(LEAF):
            dx, dy, dz = leaves[leaf, 0, p] - x, leaves[leaf, 1, p] - y, leaves[leaf, 2, p] - z
            s = dx * dx + dy * dy + dz * dz
            squared[p] = s
            hits += s < limit
    else:
        squared[:] = 0.0
        for axis in range(points.shape[1]):
            v = points[i, axis]
            for p in range(LEAF):
                offset = leaves[leaf, axis, p] - v
                squared[p] += offset * offset
        for p in range(LEAF):
            hits += squared[p] < limit
    return hits > 0


@numba.njit(nogil=True, cache=True, inline="always")
def _insert(dist, who, q, distance, index):
    """Puts a point in its place of a query's sorted row, whose last entry is farther."""
    c = dist.shape[1] - 1
    while c > 0 and dist[q, c - 1] > distance:
        dist[q, c], who[q, c] = dist[q, c - 1], who[q, c - 1]
        c -= 1
    dist[q, c], who[q, c] = distance, index
