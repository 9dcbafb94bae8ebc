from __future__ import annotations

import numpy as np
import pytest

from mgic_geo.errors import DataError
from mgic_geo.transforms import poisson_disk, sample_surface

CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 5], [3, 0, 5], [0, 1, 5]], dtype=float)
FACES = np.array([[0, 1, 2], [3, 4, 5], [0, 0, 1]])  # areas 0.5, 1.5, 0


def test_points_fall_on_faces_in_proportion_to_area() -> None:
    points = sample_surface(CORNERS, FACES, 8000, seed=1)
    low = points[points[:, 2] == 0.0]
    high = points[points[:, 2] == 5.0]
    assert points.shape == (8000, 3)
    assert points.dtype == np.float64
    assert len(low) + len(high) == 8000
    assert len(high) / 8000 == pytest.approx(0.75, abs=0.02)
    np.testing.assert_allclose(low.mean(axis=0), [1 / 3, 1 / 3, 0], atol=0.02)
    np.testing.assert_allclose(high.mean(axis=0), [1, 1 / 3, 5], atol=0.04)
    for group, width in ((low, 1.0), (high, 3.0)):
        assert (group[:, 0] / width + group[:, 1]).max() <= 1.0 + 1e-12
        assert group[:, :2].min() >= 0.0


def test_the_seed_decides_and_a_generator_advances() -> None:
    first = sample_surface(CORNERS, FACES, 50, seed=7)
    np.testing.assert_array_equal(first, sample_surface(CORNERS, FACES, 50, seed=7))
    assert (first != sample_surface(CORNERS, FACES, 50, seed=8)).any()
    rng = np.random.default_rng(7)
    np.testing.assert_array_equal(first, sample_surface(CORNERS, FACES, 50, rng))
    assert (first != sample_surface(CORNERS, FACES, 50, rng)).any()


@pytest.mark.parametrize(("draw", "height"), [(0.0, 0.0), (np.nextafter(1.0, 0.0), 5.0)])
def test_degenerate_faces_at_either_end_are_never_drawn(draw: float, height: float) -> None:
    class Fixed(np.random.Generator):
        def random(self, size: tuple[int, ...]) -> np.ndarray:  # type: ignore[override]
            return np.full(size, draw)

    faces = np.array([[5, 5, 4], *FACES, [0, 0, 0]])
    points = sample_surface(CORNERS, faces, 3, Fixed(np.random.PCG64(0)))
    assert (points[:, 2] == height).all()


@pytest.mark.parametrize(
    ("vertices", "faces", "num", "message"),
    [
        (CORNERS, np.zeros((0, 3), dtype=int), 5, "no faces"),
        (CORNERS, [[0, 1, 6]], 5, "vertex 6, but the mesh has 6"),
        (CORNERS, [[0, -1, 2]], 5, "vertex -1"),
        (CORNERS, [[0, 0, 1], [2, 2, 2]], 5, "no area"),
        (np.full((3, 3), np.nan), [[0, 1, 2]], 5, "NaN"),
        (CORNERS[:, :2], FACES, 5, r"vertices \[V, 3\]"),
        (CORNERS, FACES, 0, "num_points"),
    ],
)
def test_meshes_that_cannot_be_sampled(vertices, faces, num, message) -> None:
    with pytest.raises(DataError, match=message):
        sample_surface(vertices, faces, num)


def test_poisson_disk_spreads_exactly_that_many_points() -> None:
    pytest.importorskip("open3d", reason="Poisson-disk sampling needs the extra mesh")
    points = poisson_disk(CORNERS, FACES, 200, seed=3)
    assert points.shape == (200, 3)
    np.testing.assert_array_equal(points, poisson_disk(CORNERS, FACES, 200, seed=3))
    assert (points != poisson_disk(CORNERS, FACES, 200, seed=4)).any()

    def closest(cloud: np.ndarray) -> float:
        distance = np.linalg.norm(cloud[:, None] - cloud, axis=-1)
        return float(distance[~np.eye(len(cloud), dtype=bool)].min())

    assert closest(points) > 5 * closest(sample_surface(CORNERS, FACES, 200, seed=3))
