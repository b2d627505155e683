"""Tables of points as programs write them: names of all kinds, decimal commas, indices, labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from posetx.errors import PosetxError
from posetx.files.scans import read_scan

POINTS = np.round(np.random.default_rng(0).normal(size=(60, 3)) * [0.4, 0.3, 0.9], 4)
COLORS = np.random.default_rng(1).integers(0, 256, (60, 3))


def lines(separator: str, *columns: np.ndarray, comma: bool = False, quote: str = "") -> str:
    """Rows of the columns as text; whole numbers as such."""

    def cell(value: float) -> str:
        text = f"{value:.4f}" if value != int(value) else f"{value:.0f}"
        return quote + (text.replace(".", ",") if comma else text) + quote

    table = np.concatenate([np.reshape(c, (len(POINTS), -1)) for c in columns], axis=1)
    return "".join(separator.join(cell(x) for x in row) + "\n" for row in table)


INDEX = np.arange(len(POINTS))
OTHER = np.arange(len(POINTS)) * 17.5 + 3
READ: dict[str, str] = {
    "unit.csv": "X [m],Y [m],Z [m]\n" + lines(",", POINTS),
    "index.csv": ",x,y,z\n" + lines(",", INDEX, POINTS),
    "index.txt": "x y z\n" + lines(" ", INDEX, POINTS),
    "unnamed_index.xyz": lines(" ", INDEX, POINTS),
    "quoted.csv": '"id","x","y","z"\n' + lines(",", OTHER, POINTS, quote='"'),
    "paraview.csv": '"Normals:0","Normals:1","Normals:2","Points:0","Points:1","Points:2"\n'
    + lines(",", POINTS * 0 + 1, POINTS),
    "cloudcompare.txt": "//X Y Z Scalar_field\n" + lines(" ", POINTS, OTHER),
    "comment.txt": "# made by a scanner\n# t x y z\n" + lines(" ", OTHER, POINTS),
    "unity.csv": "Time;Position_X;Position_Y;Position_Z\n" + lines(";", OTHER, POINTS),
    "survey.csv": "Punkt,Easting,Northing,Height\n" + lines(",", OTHER, POINTS),
    "suffix.csv": "t,x_coord,y_coord,z_coord\n" + lines(",", OTHER, POINTS),
    "order.csv": "z,y,x\n" + lines(",", POINTS[:, ::-1]),
    "spaces.xyz": lines(" ", POINTS, comma=True),
    "tabs.txt": "x\ty\tz\n" + lines("\t", POINTS, comma=True),
    "semicolons.csv": "Z.X;X;Y;Z\n" + lines(";", OTHER, POINTS, comma=True),
    "quoted_commas.csv": '"x","y","z"\n' + lines(",", POINTS, comma=True, quote='"'),
    "labels.csv": "part,x,y,z\n"
    + "".join(f"left arm,{line}\n" for line in lines(",", POINTS).splitlines()),
    "gaps.csv": "x,y,z,intensity,label\n"
    + "".join(f"{line},,\n" for line in lines(",", POINTS).splitlines()),
    "trailing.csv": "x,y,z,\n" + "".join(f"{line},\n" for line in lines(",", POINTS).splitlines()),
    "padded.csv": "  x ,  y ,  z \n" + lines(" , ", POINTS),
}


@pytest.mark.parametrize("name", READ)
def test_columns_are_those_that_the_header_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(READ[name])
    scan = read_scan(tmp_path / name)
    np.testing.assert_allclose(scan.points, POINTS, atol=1e-9)
    assert bool(scan.notes) == (name == "unnamed_index.xyz"), scan.notes


@pytest.mark.parametrize(
    ("header", "colours"),
    [("x,y,z,R,G,B", True), ("x,y,z,RGB:0,RGB:1,RGB:2", True), ("x,y,z,a,b,c", False)],
)
def test_colours_by_name(tmp_path: Path, header: str, colours: bool) -> None:
    (tmp_path / "a.csv").write_text(f"{header}\n{lines(',', POINTS, COLORS)}")
    scan = read_scan(tmp_path / "a.csv")
    assert (scan.colors is not None) == colours
    if scan.colors is not None:
        np.testing.assert_array_equal(scan.colors, COLORS)


def test_spreadsheets_write_unicode(tmp_path: Path) -> None:
    text = "x;y;z\n" + lines(";", POINTS, comma=True)
    (tmp_path / "a.csv").write_bytes(text.encode("utf-16"))
    np.testing.assert_allclose(read_scan(tmp_path / "a.csv").points, POINTS, atol=1e-9)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("t,lat,lon,alt", "'t', 'lat', 'lon' are taken"),
        ("x,y,z", "the header names 3 columns, the rows have 5"),
    ],
)
def test_what_is_taken_is_told(tmp_path: Path, header: str, says: str) -> None:
    other = [OTHER] if header.startswith("t") else [OTHER, OTHER]
    (tmp_path / "a.csv").write_text(f"{header}\n{lines(',', POINTS, *other)}")
    scan = read_scan(tmp_path / "a.csv")
    assert says in scan.notes[0]
    np.testing.assert_allclose(scan.points, POINTS, atol=1e-9)


def test_numbers_that_are_none_of_visual_c(tmp_path: Path) -> None:
    text = lines(" ", POINTS) + "1.#QNAN -1.#IND 1.#INF\n-1.#QNAN 0 0\n"
    (tmp_path / "a.xyz").write_text(text)
    scan = read_scan(tmp_path / "a.xyz")
    np.testing.assert_allclose(scan.points, POINTS, atol=1e-9)
    assert scan.notes == ["2 of 62 points are NaN or infinite and were left out"]


def _comma_twice() -> str:
    rows = lines(",", np.round(np.abs(POINTS) + 0.05, 2) + 1e-9, comma=True)
    return rows + "0,05,1,07,2,09\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (_comma_twice, "uses the comma as decimal sign and between its columns"),
        (lambda: "x,y,z\na,b,c\n", "line 2: 'a' is not a number"),
        (lambda: "a b\n1 2\n3 4\n", "rows of 2 numbers"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, text: Callable[[], str], says: str) -> None:
    (tmp_path / "a.csv").write_text(text())
    with pytest.raises(PosetxError, match=says):
        read_scan(tmp_path / "a.csv")
