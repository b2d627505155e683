"""Damaged files: whatever happens to the bytes, a reader ends with a result or one clear line."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from test_files_gltf import Scene, tetra
from test_files_scans import COLORS, NORMALS, POINTS, lzf, rows
from test_files_targets import CUBE, OFF, make_ply, make_stl

from posetx.errors import PosetxError
from posetx.files.scans import read_scan
from posetx.files.targets import read_target

FEW, MANY = 60, 3000
ODD = [b"-1", b"nan", b"1e999", b"99999999999", b"4294967295", b"\xff\xff\xff\xff", b"\0", b"//",
       b"\n", b"\\\n", b"{", b"[", b'"', b"null", b"#", b"-", b"", b"0" * 400]  # fmt: skip


def _glb() -> bytes:
    scene = Scene()
    joints = scene.add(np.array([[0, 1, 0, 0]] * 4, dtype="u1"), "VEC4")
    weights = scene.add(np.full((4, 4), 0.25, dtype="<f4"), "VEC4")
    scene.document["nodes"] = [
        {"mesh": 0, "skin": 0, "children": [1]},
        {"translation": [0, 1, 0], "children": [2]},
        {"scale": [1, 2, 1], "mesh": 0, "rotation": [0, 0, 0, 1]},
    ]
    scene.document["meshes"] = [
        {"primitives": [tetra(scene, JOINTS_0=joints, WEIGHTS_0=weights), tetra(scene)]}
    ]
    scene.document["skins"] = [{"joints": [1, 2]}]
    return scene.glb()


def _pcd(kind: str) -> bytes:
    head = f"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nPOINTS 40\nDATA {kind}\n".encode()
    raw = POINTS.astype("<f4").T.tobytes()
    if kind == "ascii":
        return head + rows(POINTS).encode()
    if kind == "binary":
        return head + raw
    packed = lzf(raw)
    return head + len(packed).to_bytes(4, "little") + len(raw).to_bytes(4, "little") + packed


def _numpy(name: str) -> bytes:
    import io

    stream = io.BytesIO()
    if name == "npy":
        np.save(stream, POINTS)
    else:
        np.savez(stream, points=POINTS, normals=NORMALS)
    return stream.getvalue()


SEEDS: dict[str, bytes] = {
    "cube.obj": CUBE.encode(),
    "ascii.ply": make_ply("ascii"),
    "little.ply": make_ply("binary_little_endian"),
    "big.ply": make_ply("binary_big_endian", ragged=False),
    "binary.stl": make_stl(True),
    "text.stl": make_stl(False),
    "tetra.off": OFF.encode(),
    "skin.glb": _glb(),
    "cloud.xyz": rows(POINTS, NORMALS, COLORS).encode(),
    "cloud.csv": ("x,y,z\n" + rows(POINTS, separator=",")).encode(),
    "cloud.pts": ("40\n" + rows(POINTS)).encode(),
    "ascii.pcd": _pcd("ascii"),
    "binary.pcd": _pcd("binary"),
    "packed.pcd": _pcd("binary_compressed"),
    "a.npy": _numpy("npy"),
    "a.npz": _numpy("npz"),
}
MESHES = (".obj", ".ply", ".stl", ".off", ".glb")


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """`data` cut, with flipped bytes, with odd tokens, with pieces doubled, swapped or gone."""
    generator = np.random.default_rng(seed)
    for step in range(count):
        out = bytearray(data)
        for _ in range(int(generator.integers(1, 4))):
            at = int(generator.integers(0, max(len(out), 1)))
            length = int(generator.integers(1, 20))
            kind = (step + int(generator.integers(0, 2))) % 6
            if kind == 0:
                del out[at:]
            elif kind == 1:
                for _ in range(length):
                    if out:
                        out[int(generator.integers(0, len(out)))] = int(generator.integers(0, 256))
            elif kind == 2:
                odd = ODD[int(generator.integers(0, len(ODD)))]
                out[at : at + len(odd) * int(generator.integers(0, 2))] = odd
            elif kind == 3:
                out[at:at] = out[at : at + length]
            elif kind == 4:
                del out[at : at + length]
            else:  # a digit becomes another: counts and indices go wrong while the form stays
                digits = [i for i, b in enumerate(out[:3000]) if 48 <= b <= 57]
                if digits:
                    out[digits[int(generator.integers(0, len(digits)))]] = int(
                        generator.integers(48, 58)
                    )
        yield bytes(out)


def check(folder: Path, name: str, count: int, seed: int) -> None:
    path = folder / name
    suffix = path.suffix
    readable = 0
    for data in mutations(SEEDS[name], count, seed):
        path.write_bytes(data)
        try:
            scan = read_scan(path)
            assert scan.points.ndim == 2 and len(scan.points) and np.isfinite(scan.points).all()
            assert scan.faces is None or 0 <= scan.faces.min() <= scan.faces.max() < len(
                scan.points
            )
            readable += 1
        except PosetxError as error:
            assert "\n" not in str(error)
        if suffix not in MESHES:
            continue
        try:
            target = read_target(path)
            target.save(folder / f"out{suffix}", target.vertices[:, [1, 2, 0]] + 1)
        except PosetxError as error:
            assert "\n" not in str(error)
    assert readable < count


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", SEEDS)
def test_damaged(tmp_path: Path, name: str) -> None:
    check(tmp_path, name, FEW, zlib.crc32(name.encode()))


@pytest.mark.slow
@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SEEDS)
def test_damaged_at_length(tmp_path: Path, name: str, seed: int) -> None:
    check(tmp_path, name, MANY, seed)
