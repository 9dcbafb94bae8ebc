from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mgic_geo.errors import DataError
from mgic_geo.io import Mesh, read_off, write_off

VERTICES = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 2.5]], dtype=float)
ROWS = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n0 0 2.5\n"
TRIANGLES = "3 0 1 2\n3 0 2 3\n3 0 1 4\n"
SAME = [[0, 1, 2], [0, 2, 3], [0, 1, 4]]


@pytest.mark.parametrize(
    "text",
    [
        f"OFF\n5 3 0\n{ROWS}{TRIANGLES}",
        f"OFF5 3 0\n{ROWS}{TRIANGLES}",
        f"OFF 5 3 0\n{ROWS}{TRIANGLES}",
        f"\ufeffOFF\n\n5 3\n{ROWS}{TRIANGLES}\n\n",
        f"# by hand\nOFF # this\n\n5 3 0 # counts\n# vertices\n{ROWS}\n#faces\n{TRIANGLES}",
        f"OFF\n5 2 0\n{ROWS}4 0 1 2 3\n3 0 1 4\n",
        f"OFF\n5 2 0\n{ROWS}4 0 1 2 3 255 0 0\n3 0 1 4\n",
        f"OFF\n5 3 0\n{ROWS}" + "".join(f"{row} 3 1 0.5\n" for row in TRIANGLES.split("\n")[:3]),
        f"OFF\n5 3 0\n{ROWS}{TRIANGLES}".replace("\n", "\r\n"),
        f"OFF\n5 3 0\n{ROWS}{TRIANGLES}".replace("\n", "\r"),
        "OFF\n5 3 0\n" + (ROWS + TRIANGLES).replace("\n", " "),
        "OFF\n5 2 0\n" + (ROWS + "4 0 1 2 3\n3 0 1 4").replace("\n", "  "),
        "COFF\n5 3 0\n" + ROWS.replace("\n", " 255 0 0 255\n") + TRIANGLES,
        "NOFF\n5 3 0\n" + ROWS.replace("\n", " 0 0 1\n") + TRIANGLES,
        "OFF\n5 3 0\n" + ROWS.replace("\n", " 0.1 0.2 0.3\n") + TRIANGLES,
        f"OFF\n5 4 0\n{ROWS}2 0 1\n{TRIANGLES}",
    ],
)
def test_every_form_gives_the_same_mesh(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.off"
    file.write_bytes(text.encode())
    mesh = read_off(file)
    np.testing.assert_array_equal(mesh.vertices, VERTICES)
    assert mesh.faces.tolist() == SAME
    assert mesh.area == pytest.approx(0.5 + 0.5 + 1.25)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not an OFF file"),
        ("solid cube", "not an OFF file"),
        ("OFFSET 3", "not an OFF file"),
        ("OFF BINARY\n5 3 0\n", "binary"),
        ("4OFF\n5 3 0\n", "higher-dimensional"),
        ("OFF\n", "no counts"),
        ("OFF\nmany few 0\n", "no counts"),
        (f"OFF\n5 3 0\n{ROWS}3 0 1 2\n", "truncated"),
        (f"OFF\n5 3 0\n{ROWS[:12]}", "truncated"),
        (f"COFF\n5 3 0\n{ROWS}", "truncated"),
        (f"OFF\n5 3 0\n{ROWS}3 0 1 2\n3 0 2 3\n3 0 1\n", "3 corners and has 2"),
        (f"OFF\n5 3 0\n{ROWS}3 0 1 2\n3 0 2 3\n3 0 1 9\n", "vertex 9, but the vertices are 0 to 4"),
        (f"OFF\n5 3 0\n{ROWS}3 0 1 2\n3 0 2 3\n3 0 1 -1\n", "vertex -1"),
        (f"OFF\n5 3 0\n{ROWS}3 0 1 2\n3 0 2 3\n3 0 1 1.5\n", "no whole number"),
        (f"OFF\n5 3 0\n{ROWS}{TRIANGLES}".replace("2.5", "nan"), "1 of 5 vertices have NaN"),
        (f"OFF\n5 3 0\n{ROWS}{TRIANGLES}".replace("2.5", "inf"), "1 of 5 vertices have NaN"),
        (f"OFF\n5 3 0\n{ROWS}{TRIANGLES}".replace("2.5", "abc"), "text where numbers"),
        ("OFF\n0 0 0\n", "an empty mesh"),
        (f"OFF\n5 0 0\n{ROWS}", "an empty mesh"),
        (f"OFF\n5 1 0\n{ROWS}2 0 1\n", "an empty mesh"),
        (f"OFF\n5 1 0\n{ROWS}3 0 1 1\n", "area 0"),
        (f"OFF\n5 1 0\n{ROWS}3 0 1 4\n".replace("2.5", "1e300"), "area"),
        ("OFF\n99999999999999999999 1 0\n0 0 0\n3 0 0 0\n", "truncated"),
    ],
)
def test_bad_files_are_named_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "bad.off"
    file.write_text(text)
    with pytest.raises(DataError, match=says) as error:
        read_off(file)
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)


def test_a_cut_file_never_passes_for_a_smaller_one(tmp_path: Path) -> None:
    text = f"OFF\n5 3 0\n{ROWS}{TRIANGLES}".rstrip()
    file = tmp_path / "cut.off"
    for end in range(len(text) - 1):
        file.write_text(text[:end])
        with pytest.raises(DataError):
            read_off(file)


def test_written_meshes_come_back_to_the_last_digit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mesh = Mesh(rng.normal(size=(50, 3)) * 1e-5, rng.integers(0, 50, (80, 3)))
    write_off(tmp_path / "new" / "a.off", mesh)
    again = read_off(tmp_path / "new" / "a.off")
    np.testing.assert_array_equal(again.vertices, mesh.vertices)
    np.testing.assert_array_equal(again.faces, mesh.faces)


def test_real_meshes(shared_data: Path) -> None:
    sizes = {}
    for file in sorted((shared_data / "modelnet10_off").rglob("*.off")):
        mesh = read_off(file)
        sizes[file.stem] = (len(mesh.vertices), len(mesh.faces))
    assert sizes == {
        "bathtub_0001": (3514, 3546),
        "bathtub_0002": (700, 664),
        "bathtub_0004": (2842, 3519),
    }
