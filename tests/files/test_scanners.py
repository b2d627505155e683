"""LAS, LAZ and E57, written by the libraries that know them; and what is said without those."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from posetx.errors import MissingError, PosetxError
from posetx.files.scans import read_scan
from tests.files.mutants import mutations

GENERATOR = np.random.default_rng(5)
OFFSET = np.array([512345.678, 5412345.678, 321.5])
POINTS = GENERATOR.normal(size=(300, 3)) + OFFSET
COLORS = GENERATOR.integers(0, 256, (300, 3))
#: What the LAS files here count in, metres.
UNIT = 1e-4


def write_las(path: Path, kind: int = 3, colour_scale: int = 257) -> Path:
    laspy = pytest.importorskip("laspy")
    pytest.importorskip("lazrs")
    header = laspy.LasHeader(point_format=kind, version="1.4" if kind > 5 else "1.2")
    header.offsets, header.scales = OFFSET.round(), [UNIT] * 3
    las = laspy.LasData(header)
    las.x, las.y, las.z = POINTS.T
    if kind in (2, 3, 7):
        las.red, las.green, las.blue = (COLORS * colour_scale).T.astype(np.uint16)
    las.write(str(path))
    return path


def write_e57(path: Path, copies: int = 1, colours: bool = True) -> Path:
    pye57 = pytest.importorskip("pye57")
    with pye57.E57(str(path), mode="w") as file:
        for i in range(copies):
            data = {f"cartesian{c}": POINTS[:, k] - OFFSET[k] for k, c in enumerate("XYZ")}
            if colours:
                for k, name in enumerate(("Red", "Green", "Blue")):
                    data[f"color{name}"] = COLORS[:, k].astype(np.uint8)
            file.write_scan_raw(data, translation=OFFSET + 2.0 * i)
    return path


@pytest.mark.parametrize("suffix", ["las", "laz", "LAZ"])
@pytest.mark.parametrize("kind", [0, 3, 7])
def test_las(tmp_path: Path, suffix: str, kind: int) -> None:
    """Six digits before the point, and as many behind it as the file has."""
    scan = read_scan(write_las(tmp_path / f"a.{suffix}", kind))
    assert np.abs(scan.points - POINTS).max() <= 0.51 * UNIT
    assert (scan.colors is not None) == (kind != 0)
    if scan.colors is not None:
        np.testing.assert_array_equal(scan.colors, COLORS)


def test_las_with_colours_in_eight_bits_or_never_filled(tmp_path: Path) -> None:
    scan = read_scan(write_las(tmp_path / "a.las", colour_scale=1))
    np.testing.assert_array_equal(scan.colors, COLORS)
    assert read_scan(write_las(tmp_path / "b.las", colour_scale=0)).colors is None


@pytest.mark.parametrize("colours", [True, False])
def test_e57_takes_its_scans_together(tmp_path: Path, colours: bool) -> None:
    scan = read_scan(write_e57(tmp_path / "a.e57", 2, colours))
    expected = np.concatenate([POINTS, POINTS + 2.0])
    np.testing.assert_allclose(scan.points, expected, rtol=0, atol=1e-6)
    assert len(scan.notes) == 1 and "2 scans" in scan.notes[0]
    assert (scan.colors is not None) == colours
    if scan.colors is not None:
        np.testing.assert_array_equal(scan.colors[:300], COLORS)


@pytest.mark.parametrize(
    ("name", "missing"), [("a.las", "laspy"), ("a.laz", "lazrs"), ("a.e57", "pye57")]
)
def test_without_its_library(tmp_path: Path, name: str, missing: str, monkeypatch) -> None:
    path = tmp_path / name
    write_e57(path) if name.endswith("e57") else write_las(path)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingError, match=rf"{name}: .* need {missing}.*posetx\[scanners\]") as e:
        read_scan(path)
    assert e.value.exit_code == 3 and "\n" not in str(e.value)


@pytest.mark.parametrize("name", ["a.las", "a.laz", "a.e57"])
def test_damaged(tmp_path: Path, name: str) -> None:
    """A result or one line; not a crash, and no memory for points that are not there."""
    path = tmp_path / name
    data = (write_e57(path) if name.endswith("e57") else write_las(path)).read_bytes()
    for changed in [b"x", data[:200], *mutations(data, 40, 11)]:
        path.write_bytes(changed)
        try:
            assert np.isfinite(read_scan(path).points).all()
        except PosetxError as error:
            assert "\n" not in str(error) and str(error).startswith(str(path))


def test_las_that_promises_too_much(tmp_path: Path) -> None:
    path = write_las(tmp_path / "a.las")
    data = bytearray(path.read_bytes())
    data[100:104] = b"\xff\xff\xff\x7f"
    path.write_bytes(data)
    with pytest.raises(PosetxError, match="truncated"):
        read_scan(path)
    path = write_las(tmp_path / "b.las")
    record = 34  # bytes of a point
    path.write_bytes(path.read_bytes()[: -10 * record])
    with pytest.raises(PosetxError, match=r"truncated.* 290 of the 300 points"):
        read_scan(path)
    path = write_las(tmp_path / "c.laz")
    data = bytearray(path.read_bytes())
    data[107:111] = b"\xff\xff\xff\x7f"
    path.write_bytes(data)
    with pytest.raises(PosetxError, match=r"truncated.* points do not fit"):
        read_scan(path)
