"""Files made to harm: names that lead elsewhere, and little files that ask for gigabytes."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from posetx.errors import PosetxError
from posetx.files.scans import read_scan
from posetx.files.targets import read_target
from tests.files.test_fuzz import no_hang
from tests.files.test_gltf import Scene, tetra

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")

SECRET = b"do not copy this "
#: What a name says of a file, with its suffix put in: above, absolute, hidden, by a link, no file.
NAMES = (
    "../secret{}", "..\\secret{}", "sub/../../secret{}", "./../secret{}", "sub/./../../secret{}",
    "{root}/secret{}", "file://{root}/secret{}", "//{root}/secret{}", "C:\\secret{}",
    ".hidden{}", "sub/.hidden{}", ".ssh/key{}", ".ssh/authorized_keys", ".bashrc", "./.hidden{}",
    "out{}", "deep/secret{}", "hiding{}", "renamed{}", "loop{}", "pipe{}", "device{}", "folder{}",
    "secret", "secret.txt", "secret.py", "", " ", ".", "..", "sub", "secret{}\0", "missing{}",
    "~/secret{}", "$HOME/secret{}", "sub\\..\\..\\secret{}", "a" * 300 + "{}", "x/" * 200 + "a{}",
)  # fmt: skip


def spread(root: Path, suffix: str) -> Path:
    """A folder with links, pipes and hidden files in it, and secrets above it."""
    here = root / "here"
    for folder in (here / ".ssh", here / "sub", here / f"folder{suffix}", root / "elsewhere"):
        folder.mkdir(parents=True)
    secrets = [root / f"secret{suffix}", root / "elsewhere" / f"secret{suffix}"]
    secrets += [here / f".hidden{suffix}", here / "sub" / f".hidden{suffix}", here / ".bashrc"]
    secrets += [here / ".ssh" / f"key{suffix}", here / ".ssh" / "authorized_keys"]
    secrets += [here / "secret", here / "secret.txt", here / "secret.py"]
    for secret in secrets:
        secret.write_bytes(SECRET * 100)
    (here / f"out{suffix}").symlink_to(root / f"secret{suffix}")
    (here / "deep").symlink_to(root / "elsewhere")
    (here / f"hiding{suffix}").symlink_to(here / f".hidden{suffix}")
    (here / f"renamed{suffix}").symlink_to(here / "secret.txt")
    (here / f"loop{suffix}").symlink_to(here / f"loop{suffix}")
    (here / f"device{suffix}").symlink_to("/dev/zero")
    os.mkfifo(here / f"pipe{suffix}")
    return here


def obj_with(name: str, kind: str) -> dict[str, bytes]:
    """An OBJ that names a library, or whose library names a texture."""
    cube = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\n"
    if kind == "mtllib":
        return {"t.obj": f"mtllib {name}\n{cube}".encode()}
    return {"t.obj": f"mtllib m.mtl\n{cube}".encode(), "m.mtl": f"map_Kd {name}\n".encode()}


def gltf_with(name: str, kind: str) -> dict[str, bytes]:
    """A glTF that names a buffer or an image, spelt in a URI's ways."""
    scene = Scene()
    scene.document["nodes"] = [{"mesh": 0}]
    scene.document["meshes"] = [{"primitives": [tetra(scene)]}]
    document = scene.document | {"buffers": [{"byteLength": len(scene.binary), "uri": "t.bin"}]}
    uri = name if kind.endswith("plain") else quote(name, safe="")
    if kind.startswith("buffer"):
        document["buffers"].append({"byteLength": 16, "uri": uri})
    else:
        document["images"] = [{"uri": uri}]
    return {"t.gltf": json.dumps(document).encode(), "t.bin": bytes(scene.binary)}


KINDS: dict[str, tuple[Callable[[str, str], dict[str, bytes]], str]] = {
    "mtllib": (obj_with, ".mtl"),
    "texture": (obj_with, ".png"),
    "buffer": (gltf_with, ".bin"),
    "buffer plain": (gltf_with, ".bin"),
    "image": (gltf_with, ".png"),
    "image plain": (gltf_with, ".png"),
}


def tree(folder: Path) -> dict[str, bytes]:
    """All regular files below a folder, links not followed."""
    files = {}
    for at, _, names in os.walk(folder):
        for name in names:
            path = Path(at, name)
            if path.is_file() and not path.is_symlink():
                files[str(path)] = path.read_bytes()
    return files


@pytest.mark.parametrize("kind", KINDS)
def test_names_that_lead_elsewhere(tmp_path: Path, kind: str) -> None:
    """Nothing but what lies openly beside the mesh is read or copied; nothing hangs."""
    make, suffix = KINDS[kind]
    here = spread(tmp_path / "in", suffix)
    before = tree(tmp_path / "in")
    for step, name in enumerate(NAMES):
        shown = name.replace("{root}", str(tmp_path / "in")).replace("{}", suffix)
        files = make(shown, kind)
        for file, data in files.items():
            (here / file).write_bytes(data)
        main = here / next(iter(files))
        there = tmp_path / f"out{step}"
        there.mkdir()
        with no_hang(5.0):
            try:
                target = read_target(main)
                notes = target.save(there / f"o{main.suffix}", target.vertices + 1)
                assert notes or not shown.strip(), (name, "nothing said")
            except PosetxError as error:
                assert "\n" not in str(error)
        found = tree(there)
        assert all(SECRET not in data for data in found.values()), name
        assert {Path(p).name for p in found} <= {*files, f"o{main.suffix}", "o.bin"}, name
        for file in files:
            (here / file).unlink()
        shutil.rmtree(there)
        assert tree(tmp_path / "in") == before, name


@pytest.mark.parametrize("kind", ["mtllib", "texture", "image"])
def test_nothing_is_written_through_a_link(tmp_path: Path, kind: str) -> None:
    make, suffix = KINDS[kind]
    here, there, outside = (tmp_path / name for name in ("here", "there", "outside"))
    for folder in (here / "sub", there, outside):
        folder.mkdir(parents=True)
    (here / "sub" / f"a{suffix}").write_bytes(b"own")
    for file, data in make(f"sub/a{suffix}", kind).items():
        (here / file).write_bytes(data)
    main = next(p for p in here.iterdir() if p.suffix in (".obj", ".gltf"))
    target = read_target(main)

    def saved() -> list[str]:
        return target.save(there / f"o{main.suffix}", target.vertices + 1)

    (there / "sub").symlink_to(outside)
    assert "would lie outside" in saved()[0] and not os.listdir(outside)
    (there / "sub").unlink()
    (there / "sub").mkdir()
    (there / "sub" / f"a{suffix}").symlink_to(outside / "new")
    assert "kept as it is" in saved()[0] and not os.listdir(outside)
    (there / "sub" / f"a{suffix}").unlink()
    os.mkfifo(there / "sub" / f"a{suffix}")
    with no_hang(5.0):
        assert "kept as it is" in saved()[0]
    (there / "sub" / f"a{suffix}").unlink()
    assert saved() == [] and (there / "sub" / f"a{suffix}").read_bytes() == b"own"


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    for file, data in gltf_with("unused.png", "image").items():
        (tmp_path / file).write_bytes(data)
    (tmp_path / "t.bin").rename(tmp_path / "real.bin")
    (tmp_path / "t.bin").symlink_to("real.bin")
    assert len(read_target(tmp_path / "t.gltf").vertices) == 4


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
