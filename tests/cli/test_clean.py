"""`posetx clean`: what is kept of a scan, in its own frame, and what is said about the rest."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from posetx.cli import app
from posetx.files.scan_write import write_scan
from posetx.files.scans import Scan, read_scan
from tests.cleaning.test_clean import body, floor, scene, strays

EXAMPLE = Path(__file__).parents[2] / "examples" / "scan.ply"
OFFSET = np.array([512345.678, 5412345.678, 321.5])


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        app(["clean", *map(str, arguments)], prog_name="posetx")
    return int(ended.value.code or 0)


@pytest.fixture
def room(tmp_path: Path) -> tuple[Path, Scan, np.ndarray]:
    """A body on a floor among strays, in surveyors' millimetres, with normals and colours."""
    rng = np.random.default_rng(7)
    points, is_body = scene(body(5000, rng), floor(5000, rng), strays(100, rng))
    points = points * 1000.0 + OFFSET * 1000.0
    normals = rng.normal(size=points.shape)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    colors = rng.integers(0, 256, points.shape).astype(np.uint8)
    path = tmp_path / "room.ply"
    scan = Scan(points, normals, colors, None, path)
    write_scan(path, scan)
    return path, scan, is_body


def rows_in(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Where each row of `part` stands in `whole`; they are the same to the last bit."""
    place = {tuple(row): i for i, row in enumerate(whole.tolist())}
    return np.array([place[tuple(row)] for row in part.tolist()])


def test_frame_unit_normals_and_colours_stay(room, tmp_path: Path) -> None:
    path, scan, is_body = room
    out = tmp_path / "out.ply"
    assert run(path, "-o", out) == 0
    result = read_scan(out)
    kept = rows_in(result.points, scan.points)
    assert is_body[kept].mean() > 0.97
    assert len(kept) > 0.97 * is_body.sum()
    np.testing.assert_array_equal(result.colors, scan.colors[kept])
    np.testing.assert_allclose(result.normals, scan.normals[kept], atol=1e-6)


@pytest.mark.parametrize("suffix", ["xyz", "txt", "csv", "npz", "PLY"])
def test_every_format(room, suffix: str, tmp_path: Path) -> None:
    path, _, _ = room
    assert run(path, "-o", tmp_path / "a.ply") == 0
    assert run(path, "-o", tmp_path / f"b.{suffix}") == 0
    one, other = read_scan(tmp_path / "a.ply"), read_scan(tmp_path / f"b.{suffix}")
    np.testing.assert_allclose(one.points, other.points, rtol=0, atol=1e-3)
    np.testing.assert_array_equal(one.colors, other.colors)
    np.testing.assert_allclose(one.normals, other.normals, atol=1e-5)


def test_single_precision_stays_single(tmp_path: Path) -> None:
    assert run(EXAMPLE, "-o", tmp_path / "out.ply") == 0
    assert b"property float x" in (tmp_path / "out.ply").read_bytes()[:300]


def test_the_table_and_the_document_say_the_same(room, tmp_path: Path, capsys) -> None:
    path, scan, _ = room
    assert run(path, "-o", tmp_path / "a.ply") == 0
    table = capsys.readouterr().out
    assert run(path, "-o", tmp_path / "b.ply", "--json", "--points", 500) == 0
    report = json.loads(capsys.readouterr().out)
    stages = report["stages"]
    assert stages[0]["in"] == report["points_in"] == len(scan.points)
    assert stages[-1]["out"] == report["points_out"] == len(read_scan(tmp_path / "b.ply").points)
    assert all(a["out"] == b["in"] for a, b in pairwise(stages))
    assert [s["stage"] for s in stages[:3]] == ["duplicates", "outliers", "planes"]
    assert stages[-1]["stage"] == "sampling"
    for stage in stages[:-1]:
        assert f"{stage['in']:,}" in table and stage["stage"] in table
    assert (tmp_path / "a.ply").stat().st_size > (tmp_path / "b.ply").stat().st_size


@pytest.mark.parametrize(("sampling", "fewest"), [("voxel", 900), ("farthest", 1000)])
def test_points(room, sampling: str, fewest: int, tmp_path: Path) -> None:
    path, scan, _ = room
    out = tmp_path / "out.ply"
    assert run(path, "-o", out, "--points", 1000, "--sampling", sampling) == 0
    points = read_scan(out).points
    assert fewest <= len(points) <= 1000
    rows_in(points, scan.points)


def test_stages_can_be_left_out(room, tmp_path: Path, capsys) -> None:
    path, scan, _ = room
    options = ["--no-outliers", "--no-planes", "--no-clusters"]
    assert run(path, "-o", tmp_path / "out.ply", "--json", *options) == 0
    report = json.loads(capsys.readouterr().out)
    assert [s["stage"] for s in report["stages"]] == ["duplicates"]
    assert report["points_out"] == len(scan.points)


def test_a_mesh_keeps_its_faces(tmp_path: Path, capsys) -> None:
    """A body of triangles on a floor of two: the floor's vertices lie far apart."""
    import trimesh

    torso = trimesh.creation.capsule(height=1.2, radius=0.2)
    torso.apply_translation([0, 0, 0.3])
    count = len(torso.vertices)
    square = np.array([[-1.5, -1.5, 0], [1.5, -1.5, 0], [1.5, 1.5, 0], [-1.5, 1.5, 0]], float)
    faces = np.concatenate([torso.faces, np.array([[0, 1, 2], [0, 2, 3]]) + count])
    path = tmp_path / "mesh.ply"
    write_scan(path, Scan(np.concatenate([torso.vertices, square]), None, None, faces, path))
    assert run(path, "-o", tmp_path / "out.ply", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    result = read_scan(tmp_path / "out.ply")
    assert report["stages"][0]["stage"] == "surface"
    assert all(a["out"] == b["in"] for a, b in pairwise(report["stages"]))
    assert result.points[:, :2].__abs__().max() < 0.3
    assert result.faces is not None and len(result.faces) == report["faces_out"]
    assert 0.85 * len(torso.faces) < len(result.faces) <= len(torso.faces)
    assert run(path, "-o", tmp_path / "out.xyz") == 0
    assert "faces need one of" in capsys.readouterr().err


def test_a_second_person_is_said(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(1)
    path = tmp_path / "two.npz"
    np.savez(path, points=np.concatenate([body(6000, rng), body(4000, rng) * 0.8 + [1.6, 0, 0]]))
    assert run(path, "-o", tmp_path / "out.ply", "--json") == 0
    captured = capsys.readouterr()
    notes = json.loads(captured.out)["warnings"]
    assert len(notes) == 1 and "second person" in notes[0]
    assert "second person" in captured.err


def test_preview(room, tmp_path: Path) -> None:
    pytest.importorskip("pyvista")
    picture = tmp_path / "out.png"
    assert run(room[0], "-o", tmp_path / "out.ply", "--preview", picture) == 0
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_existing_files_stay(room, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out.ply"
    out.write_text("mine")
    assert run(room[0], "-o", out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert run(room[0], "-o", out, "--overwrite") == 0
    assert out.read_bytes().startswith(b"ply")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.ply", "-o", "o.ply"], 1, "missing.ply"),
        (["few.xyz", "-o", "o.ply"], 1, "few.xyz: no body found: has 3 points"),
        (["few.xyz", "-o", "o.las"], 2, ".ply .obj .xyz .txt .csv .npz"),
        (["few.xyz", "-o", "o.ply", "--preview", "o.jpg"], 2, "PNG"),
        (["few.xyz", "-o", "o.ply", "--points", "0"], 2, "points"),
        (["few.xyz", "-o", "o.ply", "--sampling", "random"], 2, "sampling"),
        (["room.ply", "-o", "no/such/o.ply"], 1, "no/such"),
    ],
)
def test_failures_are_one_line_and_leave_nothing(
    arguments, code, message, room, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few.xyz").write_text("0 0 0\n1 0 0\n0 1 0\n")
    before = sorted(tmp_path.iterdir())
    assert run(*arguments) == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert sorted(tmp_path.iterdir()) == before
