"""Balanced KD-trees, one a cloud, for the compiled neighbour search and farthest-point sampling.

A cloud of n points has 2^L leaves of at most ``LEAF`` points. Node i of depth d holds the points
from ``i * n >> d`` to ``(i + 1) * n >> d`` of the cloud in tree order, so nothing but the order and
the boxes is stored.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from mgic_geo.kernels.cpu.threads import ranges, run_all

LEAF = 32  # points; their distances to a query fill two vector registers of 512 bits in float32
_SHARED = 2**15  # points from which on the threads share the sorting of one cloud


class Forest(NamedTuple):
    """Trees of several clouds.

    Args:
        points: In tree order, ``[N, D]``.
        order: Where each of them was before, int32 ``[N]``.
        ptr: First point of each cloud, int64 ``[B + 1]``.
        levels: Depth of the leaves of each cloud, int64 ``[B]``.
        leaf_ptr: First leaf of each cloud, int64 ``[B + 1]``.
        leaves: Points of a leaf axis by axis, infinite past the last one, ``[leaves, D, LEAF]``.
        boxes: Lower and upper corner of each node ``[2 * leaves, 2, D]``, for each cloud a heap:
            from ``2 * leaf_ptr[b]`` on, the root is 1, the children of i are 2 i and 2 i + 1.
    """

    points: NDArray
    order: NDArray[np.int32]
    ptr: NDArray[np.int64]
    levels: NDArray[np.int64]
    leaf_ptr: NDArray[np.int64]
    leaves: NDArray
    boxes: NDArray


def grow(points: NDArray, ptr: NDArray[np.int64], workers: int) -> Forest:
    """The forest of clouds ``points[ptr[b]:ptr[b + 1]]``; puts ``points`` in tree order."""
    sizes = np.diff(ptr)
    levels = np.frexp(np.maximum(-(-sizes // LEAF), 1) - 1)[1].astype(np.int64)
    leaf_ptr = np.concatenate([[0], np.cumsum(1 << levels)])
    dims = points.shape[1]
    forest = Forest(
        points,
        np.arange(len(points), dtype=np.int32),
        ptr,
        levels,
        leaf_ptr,
        np.empty((leaf_ptr[-1], dims, LEAF), points.dtype),
        np.empty((2 * leaf_ptr[-1], 2, dims), points.dtype),
    )
    depth = (workers - 1).bit_length()
    shared = np.flatnonzero(sizes > _SHARED) if depth else sizes[:0]
    for cloud in shared:
        for level in range(depth):
            run_all(_split_node, [(forest, cloud, level, i) for i in range(1 << level)], workers)
        run_all(_sort, [(forest, cloud, depth, i) for i in range(1 << depth)], workers)
    done = np.zeros(len(sizes), np.bool_)
    done[shared] = True
    run_all(_finish, [(forest, done, *part) for part in ranges(len(sizes), 4 * workers)], workers)
    return forest


@numba.njit(nogil=True, cache=True)
def _split_node(forest, cloud, depth, i):
    """Puts the lower half of a node's points, along its longest side, before the upper half."""
    points, index = forest.points, forest.order
    start, stop = node_range(forest.ptr, depth, cloud, i)
    middle = node_range(forest.ptr, depth + 1, cloud, 2 * i)[1]
    axis, longest = 0, -1.0
    for a in range(points.shape[1]):
        low = high = points[start, a]
        for p in range(start + 1, stop):
            v = points[p, a]
            low = v if v < low else low
            high = v if v > high else high
        if high - low > longest:
            axis, longest = a, high - low
    # Hoare's selection. Both scans stop at equal keys, so repeated coordinates cost nothing extra.
    left, right = start, stop - 1
    while left < right:
        low, mid, high = points[left, axis], points[middle, axis], points[right, axis]
        pivot = max(min(low, mid), min(max(low, mid), high))
        p, q = left, right
        while p <= q:
            while points[p, axis] < pivot:
                p += 1
            while points[q, axis] > pivot:
                q -= 1
            if p <= q:
                for a in range(points.shape[1]):
                    points[p, a], points[q, a] = points[q, a], points[p, a]
                index[p], index[q] = index[q], index[p]
                p += 1
                q -= 1
        if q < middle:
            left = p
        if p > middle:
            right = q


@numba.njit(nogil=True, cache=True)
def _sort(forest, cloud, depth, i):
    """Puts the points below a node in tree order."""
    levels = forest.levels[cloud]
    stack = np.empty((levels + 2, 2), np.int64)
    stack[0, 0], stack[0, 1], top = depth, i, 1
    while top > 0:
        top -= 1
        d, j = stack[top, 0], stack[top, 1]
        if d < levels:
            _split_node(forest, cloud, d, j)
            stack[top, 0], stack[top, 1] = d + 1, 2 * j + 1
            stack[top + 1, 0], stack[top + 1, 1] = d + 1, 2 * j
            top += 2


@numba.njit(nogil=True, cache=True)
def node_range(ptr, depth, cloud, i):
    """First point of a node, and one past its last."""
    n = ptr[cloud + 1] - ptr[cloud]
    return ptr[cloud] + (i * n >> depth), ptr[cloud] + ((i + 1) * n >> depth)


@numba.njit(nogil=True, cache=True)
def _finish(forest, done, first, stop):
    """Sorts the clouds that are not done, then copies the leaves and computes the boxes."""
    points, leaves, boxes = forest.points, forest.leaves, forest.boxes
    for cloud in range(first, stop):
        if not done[cloud]:
            _sort(forest, cloud, 0, 0)
        depth, leaf, heap = forest.levels[cloud], forest.leaf_ptr[cloud], 2 * forest.leaf_ptr[cloud]
        count = 1 << depth
        for i in range(count):
            start, end = node_range(forest.ptr, depth, cloud, i)
            for a in range(points.shape[1]):
                low, high = np.inf, -np.inf
                for p in range(start, end):
                    v = points[p, a]
                    leaves[leaf + i, a, p - start] = v
                    low, high = min(low, v), max(high, v)
                for p in range(end - start, LEAF):
                    leaves[leaf + i, a, p] = np.inf
                boxes[heap + count + i, 0, a] = low
                boxes[heap + count + i, 1, a] = high
        for node in range(heap + count - 1, heap, -1):
            child = 2 * node - heap
            for a in range(points.shape[1]):
                boxes[node, 0, a] = min(boxes[child, 0, a], boxes[child + 1, 0, a])
                boxes[node, 1, a] = max(boxes[child, 1, a], boxes[child + 1, 1, a])


@numba.njit(nogil=True, cache=True)
def gap(boxes_a, a, boxes_b, b):
    """Squared distance of two boxes.

    Without fused operations and summed as the points' distances are, so rounding included it is
    never above the distance of a point of one from a point of the other.
    """
    zero = boxes_a.dtype.type(0)
    total = zero
    for axis in range(boxes_a.shape[2]):
        below = boxes_a[a, 0, axis] - boxes_b[b, 1, axis]
        above = boxes_b[b, 0, axis] - boxes_a[a, 1, axis]
        side = max(max(below, above), zero)
        total += side * side
    return total
