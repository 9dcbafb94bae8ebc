from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mgic_geo.errors import DataError
from mgic_geo.io import PointCloud, read_shape, write_ply


@pytest.mark.parametrize("exact", [False, True])
def test_round_trip(tmp_path: Path, exact: bool) -> None:
    pytest.importorskip("trimesh", reason="PLY files are read by trimesh, extra mesh")
    rng = np.random.default_rng(0)
    points = rng.random((50, 3)) + 1e6
    points = points.astype(np.float32).astype(np.float64) if exact else points
    colors = rng.integers(0, 256, (50, 3), dtype=np.uint8)
    path = tmp_path / "new" / "cloud.ply"
    write_ply(path, points, colors, np.arange(50) - 1, ["label 0 leg"])
    cloud = read_shape(path)
    assert isinstance(cloud, PointCloud)
    assert np.array_equal(cloud.points, points)  # to the last bit
    assert cloud.colors is not None
    np.testing.assert_allclose(cloud.colors, colors / 255.0)
    head, _, body = path.read_bytes().partition(b"end_header\n")
    lines = head.decode().splitlines()
    kind = "float" if exact else "double"
    assert lines[2:5] == ["comment label 0 leg", "element vertex 50", f"property {kind} x"]
    assert lines[-1] == "property int label"
    size = 3 * (4 if exact else 8) + 3 + 4
    assert len(body) == 50 * size
    labels = [int.from_bytes(body[i + size - 4 : i + size], "little", signed=True)
              for i in range(0, len(body), size)]  # fmt: skip
    assert labels == list(range(-1, 49))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"points": np.zeros((4, 2))}, r"points must be \[N, 3\], got shape \[4, 2\]"),
        ({"colors": np.zeros((3, 3))}, r"colors must be \[N, 3\], got shape \[3, 3\]"),
        ({"label": np.zeros((4, 1))}, r"label must be \[N\], got shape \[4, 1\]"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, arguments: dict[str, np.ndarray], text: str) -> None:
    with pytest.raises(DataError, match=text):
        write_ply(tmp_path / "a.ply", **{"points": np.zeros((4, 3)), **arguments})
    assert not list(tmp_path.iterdir())
