"""OBJ, PLY, STL and OFF targets come back with nothing changed but where the vertices are."""

from __future__ import annotations

import os
import re
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from posetx.errors import PosetxError, UsageError
from posetx.files.targets import read_target
from posetx.files.targets.normals import turned

ROTATION = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])

# A cube of quads with two groups, UV seams, hard normals, colours on two vertices, and every way
# of writing a face; the last lines are a triangle with negative indices and an isolated vertex.
CUBE = """# cube \\
mtllib my cube.mtl
o cube
v 0 0 0
v  1 0 0   1 0 0
v 1 1 0 0 1 0
v\t0 1 0 # inner comment
v 0.00 0 1.50000
v 1 0 1.5 1.0
v 1 1 \\
 1.5
v 0 1 1.5
vt 0 0
vt 1 0
vt 1 1
vn 0 0 -1
vn 0 0 1
vn 0 -2 0
vn 0.5 0.5 0.5
g bottom
usemtl skin
s off
f 4/1/1 3/2/1 2/3/1 1/1/1
g rest
f 5//2 6//2 7//2 8//2
f 1//3 2//3 6//3 \\
 5//3
f 2/1 3/2 7/3 6/1
f 3 4 8 7
  f 4//4 1//4 5//4 8//4
l 1 2
v 3 3 3
v 4 3 3
v 3 4 3
v 9 9 9
f -4 -3 -2
vp 0.1 0.2
"""


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def other_lines(data: bytes) -> list[bytes]:
    """Everything that is not a number of a v or vn line."""
    joined = data.replace(b"\\\n", b" ").replace(b"\\\r\n", b" ")
    number = rb"[ \t]+[-+0-9.e]+"
    return [re.sub(rb"^(\s*vn?)(%b){3}" % number, rb"\1", line) for line in joined.split(b"\n")]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_obj_reading(tmp_path: Path, ending: str) -> None:
    target = read_target(write(tmp_path / "c.obj", CUBE.replace("\n", ending)))
    assert target.vertices.shape == (12, 3)
    assert target.vertices[[4, 6]].tolist() == [[0, 0, 1.5], [1, 1, 1.5]]
    assert target.faces.shape == (13, 3)
    assert target.faces[0].tolist() == [3, 2, 1] and target.faces[1].tolist() == [3, 1, 0]
    assert target.faces[-1].tolist() == [8, 9, 10]


def test_obj_old_mac_line_endings(tmp_path: Path) -> None:
    target = read_target(write(tmp_path / "c.obj", CUBE.replace("\n", "\r")))
    assert len(target.faces) == 13
    target.save(tmp_path / "o.obj", target.vertices + 1)
    again = read_target(tmp_path / "o.obj")
    np.testing.assert_allclose(again.vertices, target.vertices + 1, atol=1e-6)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_obj_saving_changes_only_positions(tmp_path: Path, ending: str) -> None:
    source = write(tmp_path / "c.obj", CUBE.replace("\n", ending))
    target = read_target(source)
    target.save(tmp_path / "same.obj", target.vertices)
    assert (tmp_path / "same.obj").read_bytes() == source.read_bytes()

    moved = target.vertices @ ROTATION.T + [1, 2, 3]
    target.save(tmp_path / "moved.obj", moved)
    data = (tmp_path / "moved.obj").read_bytes()
    again = read_target(tmp_path / "moved.obj")
    np.testing.assert_allclose(again.vertices, moved, atol=1e-7)
    assert (again.faces == target.faces).all()
    assert other_lines(data) == other_lines(source.read_bytes())
    assert b"1 0 0" + ending.encode() in data  # the colour behind the second vertex


def test_obj_normals_turn_with_the_faces(tmp_path: Path) -> None:
    target = read_target(write(tmp_path / "c.obj", CUBE))
    target.save(tmp_path / "o.obj", target.vertices @ ROTATION.T)
    lines = (tmp_path / "o.obj").read_text().splitlines()
    normals = np.array([line.split()[1:] for line in lines if line.startswith("vn")], dtype=float)
    before = np.array([[0, 0, -1], [0, 0, 1], [0, -2, 0], [0.5, 0.5, 0.5]])
    np.testing.assert_allclose(normals, before @ ROTATION.T, atol=2e-6)


def test_obj_unmoved_parts_keep_their_digits(tmp_path: Path) -> None:
    target = read_target(write(tmp_path / "c.obj", CUBE))
    moved = target.vertices.copy()
    moved[8:11] += 1
    target.save(tmp_path / "o.obj", moved)
    text = (tmp_path / "o.obj").read_text()
    assert "v 0.00 0 1.50000\n" in text and "vn 0.5 0.5 0.5\n" in text


def test_turned_follows_a_single_face_exactly() -> None:
    old = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.0]])
    new = old.copy()
    new[3] = [0.5, 0.5, 0.7]  # folds the second triangle up
    faces = np.array([[0, 1, 2], [2, 1, 3]])
    hard = turned(
        np.array([[0, 0, 1.0], [0, 0, 2.0]]), np.array([[0] * 3, [1] * 3]), faces, old, new
    )
    normal = np.cross(new[1] - new[2], new[3] - new[2])
    np.testing.assert_allclose(hard[0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(hard[1], 2 * normal / np.linalg.norm(normal), atol=1e-6)


def test_obj_materials_go_along(tmp_path: Path) -> None:
    here, there = tmp_path / "in", tmp_path / "out"
    (here / "tex").mkdir(parents=True)
    there.mkdir()
    write(here / "my cube.mtl", "newmtl skin\nmap_Kd -s 1 1 1 tex/a b.png\nmap_bump -bm 0.5 n.png\n"
          "map_Ks ../secret.png\n")  # fmt: skip
    write(here / "tex" / "a b.png", "image")
    write(tmp_path / "secret.png", "not ours")
    target = read_target(write(here / "c.obj", CUBE))
    notes = target.save(there / "c.obj", target.vertices + 1)
    assert (there / "my cube.mtl").read_bytes() == (here / "my cube.mtl").read_bytes()
    assert (there / "tex" / "a b.png").read_text() == "image"
    assert len(notes) == 2 and "n.png" in notes[0] + notes[1] and "outside" in notes[0] + notes[1]
    assert sorted(os.listdir(there)) == ["c.obj", "my cube.mtl", "tex"]

    write(there / "tex" / "a b.png", "mine")
    notes = target.save(there / "d.obj", target.vertices)
    assert (there / "tex" / "a b.png").read_text() == "mine"
    assert any("differs" in note for note in notes)


def test_obj_missing_material_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    target = read_target(write(tmp_path / "c.obj", CUBE))
    notes = target.save(tmp_path / "out" / "c.obj", target.vertices)
    assert len(notes) == 1 and "missing" in notes[0]


# --- PLY -------------------------------------------------------------------------------------

PLY_POINTS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 1]])
PLY_POLYGONS = [[3, 2, 1, 0], [0, 1, 4], [1, 2, 4]]


def make_ply(kind: str, ragged: bool = True) -> bytes:
    """A pyramid with normals between the coordinates, a quality, colours, a camera and flags."""
    order = ">" if "big" in kind else "<"
    polygons = PLY_POLYGONS if ragged else PLY_POLYGONS[1:]
    header = (
        f"ply\nformat {kind} 1.0\ncomment made here\nelement camera 1\nproperty float fov\n"
        f"element vertex {len(PLY_POINTS)}\nproperty uchar red\nproperty double x\n"
        "property float quality\nproperty double y\nproperty double z\nproperty float nx\n"
        f"property float ny\nproperty float nz\nelement face {len(polygons)}\n"
        "property list uchar int vertex_indices\nproperty uchar flag\nend_header\n"
    )
    rows: list[tuple[str, tuple]] = [("f", (0.5,))]
    for i, (x, y, z) in enumerate(PLY_POINTS.tolist()):
        rows.append(("Bdfddfff", (i * 40, x, i + 0.25, y, z, 0.0, 0.0, 1.0)))
    for polygon in polygons:
        rows.append((f"B{len(polygon)}iB", (len(polygon), *polygon, 7)))
    if kind == "ascii":
        return (header + "".join(" ".join(map(str, r)) + "\n" for _, r in rows)).encode()
    return header.encode() + b"".join(struct.pack(order + f, *r) for f, r in rows) + b"tail"


@pytest.mark.parametrize("ragged", [True, False])
@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply_keeps_everything_else(tmp_path: Path, kind: str, ragged: bool) -> None:
    source = write(tmp_path / "p.ply", make_ply(kind, ragged))
    target = read_target(source)
    np.testing.assert_array_equal(target.vertices, PLY_POINTS)
    assert len(target.faces) == (4 if ragged else 2)
    target.save(tmp_path / "same.ply", target.vertices)
    assert (tmp_path / "same.ply").read_bytes() == source.read_bytes()

    moved = PLY_POINTS @ ROTATION.T + 5
    target.save(tmp_path / "moved.ply", moved)
    again = read_target(tmp_path / "moved.ply")
    np.testing.assert_allclose(again.vertices, moved, atol=1e-6)
    assert (again.faces == target.faces).all()
    vertex = again._ply.element("vertex")  # type: ignore[attr-defined]
    np.testing.assert_allclose(
        vertex.columns("nx", "ny", "nz")[:3], [ROTATION[:, 2]] * 3, atol=1e-6
    )
    # Putting the old numbers back gives the old bytes: nothing else was touched.
    if kind != "ascii":
        assert len((tmp_path / "moved.ply").read_bytes()) == len(source.read_bytes())
        np.testing.assert_array_equal(vertex.columns("quality").ravel(), np.arange(5) + 0.25)


def test_ply_strips_and_conversion_notes(tmp_path: Path) -> None:
    text = (
        "ply\nformat ascii 1.0\nelement vertex 5\nproperty float x\nproperty float y\n"
        "property float z\nelement tristrips 1\nproperty list int int vertex_indices\n"
        "end_header\n0 0 0\n1 0 0\n0 1 0\n1 1 0\n2 2 0\n8 0 1 2 3 -1 2 3 4\n"
    )
    target = read_target(write(tmp_path / "s.ply", text))
    assert target.faces.tolist() == [[0, 1, 2], [2, 1, 3], [2, 3, 4]]


# --- STL, OFF, conversions ---------------------------------------------------------------------

TETRA = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
TETRA_FACES = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])


def make_stl(binary: bool) -> bytes:
    corners = TETRA[TETRA_FACES]
    if binary:
        rows = b"".join(struct.pack("<12fH", 0, 0, 1, *c.ravel(), 9) for c in corners)
        return b"made here".ljust(80) + struct.pack("<I", 4) + rows
    text = "solid Made Here\n"
    for triangle in corners:
        text += " facet normal 0 0 1\n  outer loop\n"
        text += "".join("   vertex {} {} {}\n".format(*c) for c in triangle)
        text += "  endloop\n endfacet\n"
    return (text + "endsolid\n").encode()


OFF = "OFF # mine\n# counts\n4 4 0\n0 0 0 9 9 9\n1 0 0\n0 1 0\n0 0 1\n" + "".join(
    "3 {} {} {} 255 0 0\n".format(*f) for f in TETRA_FACES
)


@pytest.mark.parametrize(
    ("name", "data"),
    [("b.stl", make_stl(True)), ("a.stl", make_stl(False)), ("t.off", OFF.encode())],
)
def test_stl_and_off(tmp_path: Path, name: str, data: bytes) -> None:
    target = read_target(write(tmp_path / name, data))
    assert target.vertices.shape == (4, 3) and target.faces.shape == (4, 3)
    target.save(tmp_path / ("same_" + name), target.vertices)
    assert (tmp_path / ("same_" + name)).read_bytes() == data
    moved = target.vertices @ ROTATION.T
    target.save(tmp_path / ("moved_" + name), moved)
    again = read_target(tmp_path / ("moved_" + name))
    np.testing.assert_allclose(again.vertices[again.faces], moved[target.faces], atol=1e-6)
    if name == "t.off":
        assert (tmp_path / "moved_t.off").read_text().count("255 0 0") == 4


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".stl", ".off", ".glb"])
def test_conversion(tmp_path: Path, suffix: str) -> None:
    source = "c.ply" if suffix == ".obj" else "c.obj"
    target = read_target(
        write(tmp_path / source, make_ply("ascii") if suffix == ".obj" else CUBE.encode())
    )
    notes = target.save(tmp_path / f"o{suffix}", target.vertices + 1)
    assert "quads" in notes[0]
    assert notes[1:] == (["my cube.mtl is missing"] if suffix == ".glb" else [])
    again = read_target(tmp_path / f"o{suffix}")
    np.testing.assert_allclose(
        again.vertices[again.faces], target.vertices[target.faces] + 1, atol=1e-5
    )


def test_save_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = read_target(write(tmp_path / "c.obj", CUBE))
    out = write(tmp_path / "o.obj", "old")
    bad = target.vertices.copy()
    bad[3, 1] = np.nan
    with pytest.raises(PosetxError, match="not finite"):
        target.save(out, bad)
    with pytest.raises(ValueError, match="vertices are"):
        target.save(out, target.vertices[:-1])
    with pytest.raises(UsageError, match="unknown output format"):
        target.save(tmp_path / "o.max", target.vertices)
    with pytest.raises(UsageError, match="cannot be written"):
        target.save(tmp_path / "o.gltf", target.vertices)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(PosetxError, match="disk is full"):
        target.save(out, target.vertices + 1)
    assert out.read_text() == "old" and sorted(os.listdir(tmp_path)) == ["c.obj", "o.obj"]


def test_welds_join_equal_places(tmp_path: Path) -> None:
    text = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv -0 0 0\nv 1 0 0\nv 1 1 1\nf 1 2 3\nf 4 5 6\n"
    target = read_target(write(tmp_path / "w.obj", text))
    first, place = target.welds()
    assert first.tolist() == [0, 1, 2, 5] and place.tolist() == [0, 1, 2, 0, 1, 3]


PLY_HEAD = (
    "ply\nformat {} 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float z\n"
)
BAD_TARGETS = {
    "empty.obj": ("", "is empty"),
    "binary.obj": ("\0\1\2", "not a text file"),
    "points.obj": ("v 0 0 0\nv 1 0 0\nv 0 1 0\n", "no faces"),
    "nothing.obj": ("# only words\n", "no vertices"),
    "word.obj": ("v 0 0 0\nv 1 zero 0\nv 0 1 0\nf 1 2 3\n", "line 2"),
    "short.obj": ("v 0 0 0\nv 1 0\n", "line 2"),
    "beyond.obj": ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n", "line 4"),
    "zero.obj": ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", "line 4"),
    "nan.obj": ("v 0 0 0\nv 1 nan 0\nv 0 1 0\nf 1 2 3\n", "vertex 2 of 3"),
    "huge.obj": ("v 0 0 0\nv 1 1e300 0\nv 0 1 0\nf 1 2 3\n", "vertex 2 of 3"),
    "not.ply": ("hello", "does not begin"),
    "headless.ply": ("ply\nformat ascii 1.0\n", "no end"),
    "cloud.ply": (PLY_HEAD.format("ascii", 1) + "end_header\n0 0 0\n", "no faces"),
    "huge.ply": (PLY_HEAD.format("binary_little_endian", 10**12) + "end_header\n123", "truncated"),
    "hugeascii.ply": (PLY_HEAD.format("ascii", 10**12) + "end_header\n1 2 3", "truncated"),
    "list.ply": (
        PLY_HEAD.format("ascii", 1)
        + "element face 9\nproperty list int int vertex_indices\nend_header\n0 0 0\n999999999 1",
        "truncated",
    ),
    "words.ply": (PLY_HEAD.format("ascii", 1) + "end_header\n0 zero 0\n", "not a number"),
    "flat.ply": ("ply\nformat ascii 1.0\nelement vertex 0\nend_header\n", "x, y and z"),
    "cut.stl": (make_stl(True)[:-7], "truncated"),
    "cuttext.stl": (make_stl(False)[:-40], "truncated"),
    "huge.off": ("OFF\n1000000000 1000000000 0\n0 0 0\n", "truncated"),
    "not.off": ("4 4 0\n", "does not begin"),
    "shape.max": ("x", "unknown mesh format"),
    "noname": ("x", "unknown mesh format"),
    "cut.glb": (b"glTF\2\0\0\0\xff\0\0\0", "truncated"),
    "words.gltf": ("not json", "no readable glTF"),
    "list.gltf": ("[]", "is not a glTF"),
    "deep.gltf": ("[" * 100000, "no readable glTF"),
    "bare.gltf": ('{"asset": {"version": "2.0"}}', "no mesh"),
}


@pytest.mark.parametrize("name", BAD_TARGETS)
def test_bad_targets(tmp_path: Path, name: str) -> None:
    data, message = BAD_TARGETS[name]
    path = write(tmp_path / name, data)
    with pytest.raises(PosetxError, match=message) as caught:
        read_target(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "; " in line and "\n" not in line


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(PosetxError, match="does not exist"):
        read_target(tmp_path / "no.obj")
    (tmp_path / "d.obj").mkdir()
    with pytest.raises(PosetxError, match="is a folder"):
        read_target(tmp_path / "d.obj")


def test_obj_speed(tmp_path: Path) -> None:
    """27k vertices, read and saved; the bound is loose, for busy machines."""
    side = 164
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    points = np.stack([x.ravel(), y.ravel(), np.sin(x.ravel())], 1) / side
    i = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel() + 1
    quads = np.stack([i, i + 1, i + side + 1, i + side], 1)
    text = "".join("v {:.6f} {:.6f} {:.6f}\n".format(*p) for p in points.tolist())
    text += "".join("f {}/1 {}/1 {}/1 {}/1\n".format(*q) for q in quads.tolist())
    path = write(tmp_path / "g.obj", text)
    begin = time.process_time()
    target = read_target(path)
    target.save(tmp_path / "o.obj", target.vertices * 2)
    assert time.process_time() - begin < 3
    assert len(target.faces) == 2 * (side - 1) ** 2
