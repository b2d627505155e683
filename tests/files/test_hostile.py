"""Files made to harm: little ones that ask for gigabytes."""

from __future__ import annotations

import gzip
import io
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posetx.errors import PosetxError
from posetx.files.scans import read_scan
from posetx.files.targets import read_target
from tests.files.test_gltf import Scene, tetra

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")

# Little files that ask for much


def skinned_instances() -> bytes:
    scene = Scene()
    joints = scene.add(np.array([[0, 1, 0, 0]] * 4, dtype="u1"), "VEC4")
    weights = scene.add(np.full((4, 4), 0.25, dtype="<f4"), "VEC4")
    scene.document["nodes"] = [{"mesh": 0, "skin": i % 500} for i in range(2000)]
    scene.document["scenes"] = [{"nodes": list(range(2000))}]
    scene.document["skins"] = [{"joints": [i, i + 1]} for i in range(500)]
    scene.document["meshes"] = [{"primitives": [tetra(scene, JOINTS_0=joints, WEIGHTS_0=weights)]}]
    return scene.glb()


def instances_of(count: int, vertices: int) -> bytes:
    scene = Scene()
    points = scene.add(np.zeros((vertices, 3), dtype="<f4"), "VEC3")
    primitive: dict[str, Any] = {"attributes": {"POSITION": points}}
    scene.document["nodes"] = [{"mesh": 0} for _ in range(count)]
    scene.document["scenes"] = [{"nodes": list(range(count))}]
    scene.document["meshes"] = [{"primitives": [primitive]}]
    return scene.glb()


def many_primitives() -> bytes:
    scene = Scene()
    primitive = tetra(scene)
    scene.document["nodes"] = [{"mesh": 0} for _ in range(2000)]
    scene.document["scenes"] = [{"nodes": list(range(2000))}]
    scene.document["meshes"] = [{"primitives": [primitive] * 2000}]
    return scene.glb()


def sparse() -> bytes:
    scene = Scene()
    primitive = tetra(scene)
    scene.document["accessors"] += [
        {"componentType": 5126, "type": "VEC3", "count": 2_000_000,
         "sparse": {"count": 0, "indices": {"bufferView": 2, "componentType": 5123},
                    "values": {"bufferView": 0}}}
    ] * 300  # fmt: skip
    begin = len(scene.document["accessors"]) - 300
    scene.document["nodes"] = [{"mesh": 0}]
    scene.document["meshes"] = [
        {"primitives": [{**primitive, "attributes": {"POSITION": begin + i}} for i in range(300)]}
    ]
    return scene.glb()


def overlapping() -> bytes:
    scene = Scene()
    scene.add(np.zeros((20_000, 3), dtype="<f4"), "VEC3")
    scene.document["accessors"] = [
        {"bufferView": 0, "byteOffset": 4 * i, "componentType": 5126, "type": "VEC3",
         "count": 19_000}
        for i in range(900)
    ]  # fmt: skip
    scene.document["nodes"] = [{"mesh": 0}]
    scene.document["meshes"] = [
        {"primitives": [{"attributes": {"POSITION": i}} for i in range(900)]}
    ]
    return scene.glb()


def packed_npz() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, points=np.zeros((20_000_000, 3)))
    return stream.getvalue()


def libraries(count: int) -> dict[str, bytes]:
    spelt = "".join(f"mtllib {'./' * (i % 60)}m.mtl\n" for i in range(count))
    cube = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\n"
    textures = "".join(f"map_Kd t{i}.png\n" for i in range(20_000))
    return {"a.obj": (spelt + cube).encode(), "m.mtl": textures.encode()}


BOMBS: dict[str, Callable[[], dict[str, bytes]]] = {
    "skins": lambda: {"a.glb": skinned_instances()},
    "instances": lambda: {"a.glb": instances_of(3000, 10_000)},
    "primitives": lambda: {"a.glb": many_primitives()},
    "sparse": lambda: {"a.glb": sparse()},
    "overlapping": lambda: {"a.glb": overlapping()},
    "libraries": lambda: libraries(1000),
    "npz": lambda: {"a.npz": packed_npz()},
    "gzip": lambda: {"a.xyz.gz": gzip.compress(b"0 0 0\n" * 30_000_000, 9)},
    "continued": lambda: {"a.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf " + b"1 \\\n" * 200_000 + b"2\n"},
    "nested": lambda: {"a.gltf": b'{"asset":' * 100_000},
}  # fmt: skip


LARGE = ("instances", "sparse", "overlapping", "npz", "gzip")


@pytest.mark.parametrize("name", BOMBS)
def test_what_a_file_asks_for_is_bounded_by_its_size(tmp_path: Path, name: str) -> None:
    """As a scan and as a target: under 2 s of one core and 1 GiB, or refused."""
    files = BOMBS[name]()
    for file, data in files.items():
        (tmp_path / file).write_bytes(data)
        assert len(data) < 2_000_000
    path = tmp_path / next(iter(files))
    (tmp_path / "out").mkdir()
    seconds = [cpu_seconds(read_scan_or_not, path)]
    if path.suffix in (".glb", ".gltf", ".obj"):
        seconds.append(cpu_seconds(moved_or_not, path, tmp_path / "out" / path.name))
    assert max(seconds) < 2.0, seconds
    if name in LARGE:
        tracemalloc.start()
        read_scan_or_not(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**30


def cpu_seconds(work: Callable[..., None], *arguments: Path) -> float:
    begin = time.process_time()
    work(*arguments)
    return time.process_time() - begin


def moved_or_not(path: Path, out: Path) -> None:
    try:
        target = read_target(path)
        target.rig(np.ones(len(target.vertices), dtype=bool))
        target.save(out, target.vertices + 1)
    except PosetxError as error:
        assert "\n" not in str(error) and not out.exists()


def read_scan_or_not(path: Path) -> None:
    try:
        read_scan(path)
    except PosetxError as error:
        assert "\n" not in str(error)


def test_usual_instances_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.glb").write_bytes(instances_of(200, 5_000))
    assert len(read_scan(tmp_path / "a.glb").points) == 1_000_000
