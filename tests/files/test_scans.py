"""Scans of every format, with what they hold besides points, and what bad ones get."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from posetx.errors import PosetxError
from posetx.files.scans import SCAN_SUFFIXES, read_scan
from posetx.files.targets import read_target

GENERATOR = np.random.default_rng(3)
POINTS = GENERATOR.normal(size=(40, 3))
NORMALS = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
COLORS = GENERATOR.integers(0, 256, (40, 3))
PLY = (
    "ply\nformat {} 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float z\n"
)


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def rows(*columns: np.ndarray, separator: str = " ") -> str:
    table = np.concatenate(columns, axis=1)
    return "".join(separator.join(f"{x:.9g}" for x in row) + "\n" for row in table)


TEXTS = {
    "a.xyz": (rows(POINTS), ""),
    "a.asc": (rows(POINTS), ""),
    "n.xyz": (rows(POINTS, NORMALS), "n"),
    "c.xyz": (rows(POINTS, COLORS), "c"),
    "nc.txt": (rows(POINTS, NORMALS, COLORS), "nc"),
    "cn.txt": (rows(POINTS, COLORS, NORMALS), "nc"),
    "count.pts": ("40\n" + rows(POINTS, COLORS[:, :1] - 128, COLORS), "c"),
    "comma.csv": (rows(POINTS, separator=","), ""),
    "named.csv": ("id,X,Y,Z,R,G,B,nx,ny,nz\n"
                  + rows(POINTS[:, :1], POINTS, COLORS, NORMALS, separator=","), "nc"),
    "german.csv": ("x;y;z\n" + rows(POINTS, separator=";").replace(".", ","), ""),
    "cloudcompare.txt": ("//X Y Z R G B\n40\n" + rows(POINTS, COLORS), "c"),
    "windows.xyz": ("\ufeff# made here\r\n\r\n" + rows(POINTS).replace("\n", "\r\n"), ""),
    "mac.xyz": (rows(POINTS).replace("\n", "\r"), ""),
    "cut.xyz": (rows(POINTS, NORMALS) + "1.5 2", "n"),
    "lines.obj": ("".join("v " + r + "\n" for r in rows(POINTS).splitlines()), ""),
    "colour.obj": ("".join("v " + r + "\n" for r in rows(POINTS, COLORS / 255).splitlines()), "c"),
}  # fmt: skip


@pytest.fixture(params=["at once", "in blocks"])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long texts are read in blocks of whole lines, which does not show."""
    if request.param == "in blocks":
        monkeypatch.setattr("posetx.files.codecs.tokens.BLOCK", 100)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("name", TEXTS)
def test_texts(tmp_path: Path, name: str) -> None:
    text, holds = TEXTS[name]
    scan = read_scan(write(tmp_path / name, text))
    np.testing.assert_allclose(scan.points, POINTS, atol=1e-7)
    assert (scan.normals is not None, scan.colors is not None) == ("n" in holds, "c" in holds)
    if scan.normals is not None:
        np.testing.assert_allclose(scan.normals, NORMALS, atol=1e-7)
    if scan.colors is not None:
        assert scan.colors.dtype == np.uint8
        np.testing.assert_array_equal(scan.colors, COLORS)
    assert bool(scan.notes) == (name == "cut.xyz")


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply_cloud(tmp_path: Path, kind: str) -> None:
    order = ">" if "big" in kind else "<"
    header = PLY.format(kind, 40) + "".join(
        f"property uchar {c}\n" for c in ("red", "green", "blue")
    )
    if kind == "ascii":
        body = rows(POINTS, COLORS).encode()
    else:
        body = b"".join(
            struct.pack(order + "3f3B", *p, *c)
            for p, c in zip(POINTS, COLORS.tolist(), strict=True)
        )
    scan = read_scan(write(tmp_path / "c.ply", header.encode() + b"end_header\n" + body))
    np.testing.assert_allclose(scan.points, POINTS, atol=1e-6)
    np.testing.assert_array_equal(scan.colors, COLORS)
    assert scan.faces is None
    with pytest.raises(PosetxError, match="truncated"):
        read_scan(write(tmp_path / "t.ply", header.encode() + b"end_header\n" + body[:-9]))


def lzf(data: bytes) -> bytes:
    """Literals, and for runs of one byte a reference that overlaps itself."""
    out, at = bytearray(), 0
    while at < len(data):
        run = 1
        while at + run < len(data) and data[at + run] == data[at] and run < 200:
            run += 1
        if run >= 10:
            out += bytes([0, data[at], 7 << 5, run - 1 - 9, 0])
            at += run
        else:
            piece = data[at : at + 1]
            out += bytes([0]) + piece
            at += 1
    return bytes(out)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("kind", ["ascii", "binary", "binary_compressed"])
def test_pcd(tmp_path: Path, kind: str) -> None:
    packed = (COLORS[:, 0] << 16) | (COLORS[:, 1] << 8) | COLORS[:, 2]
    header = (
        "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z pad rgb\nSIZE 4 4 4 1 4\nTYPE F F F U U\n"
        "COUNT 1 1 1 20 1\nWIDTH 40\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 40\n"
        f"DATA {kind}\n"
    )
    pad = np.zeros((40, 20), dtype=np.uint8)
    xyz, rgb = POINTS.astype("<f4"), packed.astype("<u4")
    if kind == "ascii":
        body = rows(POINTS, pad, packed[:, None]).encode()
    elif kind == "binary":
        body = b"".join(xyz[i].tobytes() + bytes(20) + rgb[i].tobytes() for i in range(40))
    else:
        raw = xyz.T.tobytes() + pad.tobytes() + rgb.tobytes()
        body = lzf(raw)
        body = struct.pack("<II", len(body), len(raw)) + body
    scan = read_scan(write(tmp_path / "c.pcd", header.encode() + body))
    np.testing.assert_allclose(scan.points, POINTS, atol=1e-6)
    if kind != "ascii":  # nine digits do not hold every packed colour
        np.testing.assert_array_equal(scan.colors, COLORS)
    with pytest.raises(PosetxError, match="truncated"):
        read_scan(write(tmp_path / "t.pcd", (header.encode() + body)[: -len(body) // 2]))


@pytest.mark.parametrize("suffix", ["ply", "obj", "stl", "off", "glb"])
def test_meshes_by_trimesh(tmp_path: Path, suffix: str) -> None:
    trimesh = pytest.importorskip("trimesh")
    mesh = trimesh.creation.icosphere(1)
    mesh.export(tmp_path / f"m.{suffix}")
    scan = read_scan(tmp_path / f"m.{suffix}")
    assert scan.points.shape == (42, 3) and scan.faces is not None
    corners = np.sort(scan.points[scan.faces].reshape(-1, 9), axis=0)
    np.testing.assert_allclose(corners, np.sort(mesh.triangles.reshape(-1, 9), axis=0), atol=1e-6)


def test_numpy_files(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", POINTS)
    np.save(tmp_path / "t.npy", np.asfortranarray(POINTS.T.astype(np.float32)))
    np.save(tmp_path / "grid.npy", POINTS.reshape(4, 10, 3))
    np.savez(tmp_path / "a.npz", other=np.zeros(3), points=POINTS, normals=NORMALS, colors=COLORS)
    np.savez_compressed(tmp_path / "b.npz", label=np.array(["x"]), anything=POINTS)
    np.savez(tmp_path / "m.npz", vertices=POINTS, faces=np.array([[0, 1, 2], [0, 1, 99]]))
    for name in ("a.npy", "t.npy", "grid.npy", "a.npz", "b.npz", "m.npz"):
        scan = read_scan(tmp_path / name)
        np.testing.assert_allclose(scan.points, POINTS, atol=1e-6)
        assert (scan.normals is not None) == (name == "a.npz")
    assert scan.faces is not None and scan.faces.tolist() == [[0, 1, 2]] and len(scan.notes) == 1

    np.save(tmp_path / "o.npy", np.array([{"x": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(PosetxError, match="no array of numbers"):
        read_scan(tmp_path / "o.npy")
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 3)}
    )
    with pytest.raises(PosetxError, match="truncated"):
        read_scan(write(tmp_path / "h.npy", head.getvalue()))
    with zipfile.ZipFile(tmp_path / "h.npz", "w") as archive:
        archive.writestr("points.npy", head.getvalue())
    with pytest.raises(PosetxError, match="truncated"):
        read_scan(tmp_path / "h.npz")
    with pytest.raises(PosetxError, match="no zip"):
        read_scan(write(tmp_path / "z.npz", "hello"))


def test_bad_points_are_dropped_with_their_faces(tmp_path: Path) -> None:
    text = "v 0 0 0\nv nan 0 0\nv 1 0 0\nv 0 1 0\nv 1e200 0 0\nf 1 3 4\nf 1 2 3\n"
    scan = read_scan(write(tmp_path / "n.obj", text))
    assert scan.points.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert scan.faces is not None and scan.faces.tolist() == [[0, 1, 2]]
    assert scan.notes == ["2 of 5 points are NaN or infinite and were left out"]


def test_one_point_is_a_scan(tmp_path: Path) -> None:
    assert len(read_scan(write(tmp_path / "one.xyz", "1 2 3\n")).points) == 1


BAD = {
    "empty.ply": ("", "is empty"),
    "empty.xyz": ("", "is empty"),
    "blank.xyz": ("\n \n", "no points"),
    "words.xyz": ("hello world\n", "no points"),
    "two.xyz": ("1 2\n3 4\n", "x, y and z"),
    "ragged.xyz": ("1 2 3\n1 2 3 4\n1 2 3\n4 5 6 7 8\n", "differ in length"),
    "letters.xyz": ("1 2 3\n4 x 6\n", "line 2"),
    "binary.txt": ("1 2\0", "not a text"),
    "nan.xyz": ("nan nan nan\n" * 4, "all of its 4 points"),
    "none.ply": (PLY.format("ascii", 0) + "end_header\n", "no points"),
    "huge.ply": (PLY.format("binary_little_endian", 10**13) + "end_header\n12", "truncated"),
    "garbage.ply": ("\x01\x02", "does not begin"),
    "none.obj": ("# nothing\n", "no points"),
    "huge.pcd": (
        "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 1000000000\nHEIGHT 1000\nDATA binary\n12",
        "truncated",
    ),
    "bomb.pcd": (
        "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS 300000000\nDATA binary_compressed\n"
        "\x04\0\0\0\0\0\0\x7f1234",
        "truncated",
    ),
    "head.pcd": ("FIELDS x y z\n", "no DATA"),
    "type.pcd": ("FIELDS x\nSIZE 3\nTYPE Q\nPOINTS 1\nDATA ascii\n1\n", "damaged"),
    "magic.npy": ("hello", "cannot be read"),
    "cut.glb": ("glTF", "truncated"),
    "cut.stl": ("solid x\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\n", "truncated"),
    "scan.max": ("x", "unknown scan format"),
    "nosuffix": ("x", "unknown scan format"),
}


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("name", BAD)
def test_bad_scans(tmp_path: Path, name: str) -> None:
    text, message = BAD[name]
    path = write(tmp_path / name, text.encode("latin-1"))
    with pytest.raises(PosetxError, match=message) as caught:
        read_scan(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "; " in line and "\n" not in line


def test_unknown_suffix_lists_those_known(tmp_path: Path) -> None:
    with pytest.raises(PosetxError, match=" ".join(SCAN_SUFFIXES)):
        read_scan(write(tmp_path / "a.xyzzy", "1 2 3"))


def test_missing_folder_and_pipe(tmp_path: Path) -> None:
    for name in ("no.ply", "no", "a\nb.ply", "n" * 400 + ".ply", "nul\0.ply"):
        with pytest.raises(PosetxError, match=r"does not exist|cannot be read"):
            read_scan(tmp_path / name)
    with pytest.raises(PosetxError, match="is a folder"):
        read_scan(tmp_path)
    os = pytest.importorskip("os")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.ply")
        with pytest.raises(PosetxError, match="not an ordinary file"):
            read_scan(tmp_path / "pipe.ply")


def ptx(points: np.ndarray, matrix: np.ndarray, columns: int = 4) -> str:
    """A scan of a PTX file, its last pixel empty, coloured where it has seven columns."""
    head = f"1\n{len(points) + 1}\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n"
    other = np.concatenate([np.full((len(points), 1), 0.5), COLORS[: len(points)]], axis=1)
    empty = " ".join(["0"] * columns) + "\n"
    return head + rows(matrix) + rows(points, other[:, : columns - 3]) + empty


@pytest.mark.parametrize("columns", [4, 7])
def test_ptx(tmp_path: Path, columns: int) -> None:
    turn = np.eye(4)
    turn[:3, :3] = [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]
    turn[3, :3] = 10, 20, 30
    text = ptx(POINTS[:25], np.eye(4), columns) + ptx(
        (POINTS[25:] - turn[3, :3]) @ turn[:3, :3].T, turn, columns
    )
    scan = read_scan(write(tmp_path / "a.ptx", text))
    np.testing.assert_allclose(scan.points, POINTS, atol=1e-6)
    assert (scan.colors is not None) == (columns == 7)
    assert scan.notes == ["2 scans in one file: taken together"]
    for damage in (text[: len(text) // 2], "9" + text, text.replace("0.5", "x")):
        with pytest.raises(PosetxError, match=r"a\.ptx"):
            read_scan(write(tmp_path / "a.ptx", damage))


@pytest.mark.parametrize("name", ["a.xyz", "a.ply", "a.npy"])
def test_gzip(tmp_path: Path, name: str) -> None:
    if name == "a.npy":
        np.save(tmp_path / name, POINTS)
    else:
        header = f"ply\nformat ascii 1.0\nelement vertex {len(POINTS)}\n"
        header += "property float x\nproperty float y\nproperty float z\nend_header\n"
        write(tmp_path / name, (header if name == "a.ply" else "") + rows(POINTS))
    data = (tmp_path / name).read_bytes()
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(data[:100]) + gzip.compress(data[100:]))
    np.testing.assert_allclose(read_scan(packed).points, POINTS, atol=1e-7)
    for damage in (packed.read_bytes()[:-30], b"no gzip", packed.read_bytes()[:40] + b"x" * 60):
        packed.write_bytes(damage)
        with pytest.raises(PosetxError, match="truncated or damaged"):
            read_scan(packed)
    with pytest.raises(PosetxError, match="unknown scan format"):
        read_scan(write(tmp_path / "a.tar.gz", "x"))
    with pytest.raises(PosetxError, match="unpack it first"):
        read_scan(write(tmp_path / "a.e57.gz", "x"))


def test_ply_as_other_programs_spell_it(tmp_path: Path) -> None:
    """A byte order mark, capitals, 64-bit indices."""
    names = [f"property double {axis}\n" for axis in "XYZ"]
    names += [f"property uchar {name}\n" for name in ("Red", "Green", "Blue")]
    header = f"ply\nformat binary_little_endian 1.0\nelement Vertex {len(POINTS)}\n"
    header += "".join(names) + "element face 1\nproperty list uint64 uint64 Vertex_Indices\n"
    kind = np.dtype([("p", "<f8", 3), ("c", "u1", 3)])
    body = np.zeros(len(POINTS), kind)
    body["p"], body["c"] = POINTS, COLORS
    face = np.array([3, 0, 1, 2], dtype="<u8")
    data = b"\xef\xbb\xbf" + header.encode() + b"end_header\n" + body.tobytes() + face.tobytes()
    (tmp_path / "a.ply").write_bytes(data)
    scan = read_scan(tmp_path / "a.ply")
    np.testing.assert_array_equal(scan.points, POINTS)
    np.testing.assert_array_equal(scan.colors, COLORS)
    assert scan.faces is not None and scan.faces.tolist() == [[0, 1, 2]]
    target = read_target(tmp_path / "a.ply")
    target.save(tmp_path / "b.ply", POINTS + 1)
    again = (tmp_path / "b.ply").read_bytes()
    assert again[: again.index(b"end_header")] == data[: data.index(b"end_header")]
    np.testing.assert_array_equal(read_scan(tmp_path / "b.ply").points, POINTS + 1)
