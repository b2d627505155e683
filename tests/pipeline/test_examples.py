"""The example files are what the README says they are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def scan() -> np.ndarray:
    """Records (N,) with x, y, z and red, green, blue, read by the header alone."""
    data = (EXAMPLES / "scan.ply").read_bytes()
    header, _, body = data.partition(b"end_header\n")
    lines = header.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    sizes = {"float": "<f4", "uchar": "u1"}
    fields = [(w[2], sizes[w[1]]) for w in map(str.split, lines) if w[0] == "property"]
    count = next(int(w[2]) for w in map(str.split, lines) if w[:2] == ["element", "vertex"])
    assert [name for name, _ in fields] == ["x", "y", "z", "red", "green", "blue"]
    records = np.frombuffer(body, fields)
    assert len(records) == count
    return records


@pytest.fixture(scope="module")
def target() -> list[list[str]]:
    """The words of every line of the OBJ."""
    return [line.split() for line in (EXAMPLES / "target.obj").read_text().splitlines()]


def test_scan_is_a_person_in_millimetres(scan):
    points = np.stack([scan[axis] for axis in "xyz"], 1)
    assert 60_000 < len(points) < 100_000
    assert np.isfinite(points).all()
    extent = np.subtract(*np.percentile(points, [99.8, 0.2], axis=0))
    assert 1400 < extent[2] < 2300  # z is up
    assert 2000 < extent[:2].max() < 3200  # the floor around the feet
    # anywhere but at the origin
    assert np.abs(points.mean(0)).min() > 500


def test_scan_has_floor_and_stray_points(scan):
    z = scan["z"]
    level = np.percentile(z, 5)
    assert 0.05 < (np.abs(z - level) < 30).mean() < 0.6
    points = np.stack([scan[axis] for axis in "xyz"], 1).astype(float)
    coarse = Counter(map(tuple, np.floor(points / 120).astype(int)))
    assert sum(count == 1 for count in coarse.values()) > 20


def test_target_is_mostly_quads_with_uvs_and_normals(target):
    corners = Counter(len(words) - 1 for words in target if words[:1] == ["f"])
    assert corners[4] > 0.85 * sum(corners.values())
    counts = Counter(words[0] for words in target if words)
    assert 6_000 < counts["v"] < 27_000
    assert counts["vt"] > counts["v"]  # seams
    assert counts["vn"] == counts["v"]
    for words in target:
        if words[:1] == ["f"]:
            indices = [corner.split("/") for corner in words[1:]]
            assert all(1 <= int(v) <= counts["v"] for v, _, _ in indices)
            assert all(not t or 1 <= int(t) <= counts["vt"] for _, t, _ in indices)


def test_target_has_parts_materials_and_a_texture(target):
    objects = [words[1] for words in target if words[:1] == ["o"]]
    assert {"Body", "eye_left", "eye_right", "hat", "belt", "buckle"} == set(objects)
    used = {words[1] for words in target if words[:1] == ["usemtl"]}
    library = next(words[1] for words in target if words[:1] == ["mtllib"])
    rows = [line.split() for line in (EXAMPLES / library).read_text().splitlines()]
    assert used == {row[1] for row in rows if row[:1] == ["newmtl"]}
    assert len(used) >= 3
    textures = {row[1] for row in rows if row[:1] == ["map_Kd"]}
    assert textures == {"target.png"}
    with Image.open(EXAMPLES / "target.png") as image:
        assert image.size == (1024, 1024)


def test_target_stands_in_centimetres_y_up(target):
    vertices = np.array([words[1:4] for words in target if words[:1] == ["v"]], float)
    extent = np.ptp(vertices, axis=0)
    assert 140 < extent[1] < 230
    assert abs(vertices[:, 1].min()) < 3
    assert extent[2] < extent[0] < extent[1]  # faces z, the arms point down and out


def test_examples_stay_small():
    assert sum(path.stat().st_size for path in EXAMPLES.iterdir() if path.is_file()) < 6 * 2**20
