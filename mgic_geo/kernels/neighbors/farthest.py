"""Exact farthest-point sampling that leaves alone what a new point cannot bring closer.

A leaf of the tree knows the largest distance of its points from those picked. Where its box is
farther from the new point than that, nothing in it changes (Han et al., "QuickFPS", 2023), and so
for a node of many leaves; the root's largest distance is the next point's.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from mgic_geo.kernels.cpu.threads import ranges, run_all
from mgic_geo.kernels.neighbors.tree import LEAF, grow, node_range

_NO_INDEX = np.iinfo(np.int32).max


def farthest_table(
    pos: NDArray,
    ptr: NDArray[np.int64],
    first: NDArray[np.int64],
    counts: NDArray[np.int64],
    workers: int,
) -> NDArray[np.int64]:
    """Picks ``counts`` points of each cloud, from its point ``first`` on, cloud after cloud.

    ``pos`` is overwritten. A point once picked has distance -1; ties go to the smaller index.
    """
    forest = grow(pos, ptr, workers)
    ends = np.append(0, counts.cumsum())
    picked = np.empty(ends[-1], np.int64)
    parts = ranges(len(first), 2 * workers if workers > 1 else 1)
    run_all(_pick, [(forest, first, ends, picked, *part) for part in parts], workers)
    return picked


@numba.njit(nogil=True, cache=True)
def _pick(forest, first, ends, picked, begin, end):
    """Fills the places of clouds ``begin`` to ``end``."""
    order, leaves, boxes = forest.order, forest.leaves, forest.boxes
    new = np.empty(leaves.shape[1], leaves.dtype)
    squared = np.empty(LEAF, leaves.dtype)
    for cloud in range(begin, end):
        start, depth, leaf0 = forest.ptr[cloud], forest.levels[cloud], forest.leaf_ptr[cloud]
        base = 1 << depth
        slot = np.empty(forest.ptr[cloud + 1] - start, np.int32)  # of a point in the leaves
        distance = np.full((base, LEAF), -2.0, leaves.dtype)  # -2: there is no point
        indices = np.full((base, LEAF), _NO_INDEX, np.int32)
        for leaf in range(base):
            low, high = node_range(forest.ptr, depth, cloud, leaf)
            for p in range(low, high):
                slot[order[p] - start] = leaf * LEAF + p - low
                distance[leaf, p - low] = np.inf
                indices[leaf, p - low] = order[p]
        largest = np.full(2 * base, np.inf, leaves.dtype)  # distance in each node,
        whose = np.empty(2 * base, np.int32)  # and the smallest index of a point with it
        for leaf in range(base):
            whose[base + leaf] = indices[leaf].min()
        for node in range(base - 1, 0, -1):
            _join(largest, whose, node)
        stack = np.empty(2 * depth + 3, np.int64)
        current = first[cloud] + start
        for place in range(ends[cloud], ends[cloud + 1]):
            picked[place] = current
            home, at = slot[current - start] // LEAF, slot[current - start] % LEAF
            for axis in range(len(new)):
                new[axis] = leaves[leaf0 + home, axis, at]
            distance[home, at] = -1.0
            stack[0], top = 1, 1
            while top > 0:
                top -= 1
                node = stack[top]
                if node < 0:
                    _join(largest, whose, -node)
                elif _away(boxes, 2 * leaf0 + node, new) < largest[node]:
                    if node < base:  # the children, then the node from them
                        stack[top], stack[top + 1], stack[top + 2] = -node, 2 * node, 2 * node + 1
                        top += 3
                    else:
                        leaf = node - base
                        _update(leaves, leaf0 + leaf, new, distance, leaf, squared)
                        largest[node] = _largest(distance, leaf)
                        whose[node] = _first(distance, leaf, largest[node], indices)
            node = base + home  # left alone where all of its distances were 0
            largest[node] = _largest(distance, home)
            whose[node] = _first(distance, home, largest[node], indices)
            while node > 1:
                node >>= 1
                _join(largest, whose, node)
            current = np.int64(whose[1])


@numba.njit(nogil=True, cache=True)
def _away(boxes, node, point):
    """Squared distance of a point from a box; rounded as the distances in :func:`_update`."""
    total = 0.0 * point[0]
    for axis in range(len(point)):
        v = point[axis]
        side = max(max(boxes[node, 0, axis] - v, v - boxes[node, 1, axis]), 0.0)
        total += side * side
    return total


@numba.njit(nogil=True, cache=True)
def _join(largest, whose, node):
    a, b = 2 * node, 2 * node + 1
    if largest[b] > largest[a] or (largest[b] == largest[a] and whose[b] < whose[a]):
        a = b
    largest[node], whose[node] = largest[a], whose[a]


@numba.njit(nogil=True, cache=True)
def _update(leaves, leaf, new, distance, row, squared):
    """Brings the distances of a leaf's points down to those from the new point."""
    if len(new) == 3:  # the usual case, in registers
        x, y, z = new[0], new[1], new[2]
        for p in range(LEAF):
            dx, dy, dz = leaves[leaf, 0, p] - x, leaves[leaf, 1, p] - y, leaves[leaf, 2, p] - z
            s, d = dx * dx + dy * dy + dz * dz, distance[row, p]
            distance[row, p] = s if s < d else d
    else:
        squared[:] = 0.0
        for axis in range(len(new)):
            for p in range(LEAF):
                offset = leaves[leaf, axis, p] - new[axis]
                squared[p] += offset * offset
        for p in range(LEAF):
            s, d = squared[p], distance[row, p]
            distance[row, p] = s if s < d else d


@numba.njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})
def _largest(distance, row):
    # The flags let the comparison run in vector registers; distances are never NaN.
    best = distance[row, 0]
    for p in range(1, LEAF):
        best = distance[row, p] if distance[row, p] > best else best
    return best


@numba.njit(nogil=True, cache=True)
def _first(distance, row, best, indices):
    """The smallest index among a leaf's points of that distance."""
    who = np.int32(_NO_INDEX)
    for p in range(LEAF):
        index = indices[row, p] if distance[row, p] == best else np.int32(_NO_INDEX)
        who = min(who, index)
    return who
