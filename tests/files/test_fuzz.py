"""Damaged files: whatever happens to the bytes, a reader ends with a result or one clear line."""

from __future__ import annotations

import base64
import gzip
import importlib
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from posetx.cli import app
from posetx.errors import PosetxError
from posetx.files.scans import read_scan
from posetx.files.targets import Target, read_target, rig_rules
from posetx.files.targets.clip import MorphClip, RigClip, Skeleton, SkeletonClip
from posetx.files.targets.clip_write import write_clip
from posetx.geometry.rig_fit import fit_rig
from posetx.pipeline.motion import Motion
from posetx.report.view.content import content_of
from posetx.report.view.files import view_of_files
from posetx.report.view.page import page_of
from tests.cli.test_one_line import bvh
from tests.files.mutants import aimed, huge_counts, mutations
from tests.files.test_gltf import Scene, tetra
from tests.files.test_scans import COLORS, NORMALS, POINTS, lzf, ptx, rows
from tests.files.test_targets import CUBE, OFF, make_ply, make_stl

# Files: of each seed in every run, in a slow run (3,000 and more of all), and through the command.
FEW, MANY, COMMANDS = 25, 60, 20
LONGEST = 20.0  # seconds for one file
MEMORY = 1024**3  # bytes, besides what Python and torch have


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


def _morph() -> bytes:
    """Morphed by default, at two nodes, with an image in a file, an animation, sparse data."""
    scene = Scene()
    primitive = tetra(scene, COLOR_0=scene.add(np.full((4, 4), 200, dtype="u1"), "VEC4"))
    primitive["targets"] = [{"POSITION": scene.add(np.eye(4, 3, dtype="<f4"), "VEC3")}]
    where = scene.add(np.array([[1]], dtype="u1"), "SCALAR")
    what = scene.add(np.ones((1, 3), dtype="<f4"), "VEC3")
    views = [scene.document["accessors"][i]["bufferView"] for i in (where, what)]
    scene.document["accessors"][0]["sparse"] = {
        "count": 1,
        "indices": {"bufferView": views[0], "componentType": 5121},
        "values": {"bufferView": views[1]},
    }
    scene.document["meshes"] = [{"primitives": [primitive], "weights": [0.5]}]
    matrix = np.eye(4).ravel().tolist()
    scene.document["nodes"] = [{"mesh": 0}, {"mesh": 0, "weights": [1.0], "matrix": matrix}]
    scene.document["scenes"] = [{"nodes": [0, 1]}]
    scene.document["images"] = [{"uri": "a.png"}]
    scene.document["animations"] = [
        {"samplers": [{"input": where, "output": what}],
         "channels": [{"sampler": 0, "target": {"node": 0, "path": "translation"}}]}
    ]  # fmt: skip
    return scene.glb()


def _gltf() -> bytes:
    """The same as text, its buffer inside."""
    data = _glb()
    length = int.from_bytes(data[12:16], "little")
    document = json.loads(data[20 : 20 + length])
    binary = data[28 + length : 28 + length + document["buffers"][0]["byteLength"]]
    uri = "data:application/octet-stream;base64," + base64.b64encode(binary).decode()
    document["buffers"][0]["uri"] = uri
    return json.dumps(document).encode()


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
    "skin.gltf": _gltf(),
    "morph.glb": _morph(),
    "morph.vrm": _morph(),
    "cloud.xyz": rows(POINTS, NORMALS, COLORS).encode(),
    "cloud.csv": ("x,y,z\n" + rows(POINTS, separator=",")).encode(),
    "cloud.pts": ("40\n" + rows(POINTS)).encode(),
    "named.csv": (
        '"t";"Points:0";"Points:1";"Points:2"\n'
        + rows(POINTS[:, :1], POINTS, separator=";").replace(".", ",")
    ).encode(),
    "cloud.ptx": ptx(POINTS[:20], np.eye(4), 7).encode(),
    "cloud.xyz.gz": gzip.compress(rows(POINTS).encode()),
    "materials.obj": b"mtllib a.mtl\nmtllib a.mtl b.mtl\n" + CUBE.encode(),
    "ascii.pcd": _pcd("ascii"),
    "binary.pcd": _pcd("binary"),
    "packed.pcd": _pcd("binary_compressed"),
    "a.npy": _numpy("npy"),
    "a.npz": _numpy("npz"),
}
CLIP = bvh("2").replace("0.0 0.0", "0.0 1.5 2 -30", 1).encode()
MESHES = (".obj", ".ply", ".stl", ".off", ".glb", ".gltf", ".vrm")
BINARY = ("little.ply", "big.ply", "binary.stl", "skin.glb", "binary.pcd", "packed.pcd", "a.npy",
          "a.npz")  # fmt: skip


class Hang(BaseException):
    """No Exception, or a reader would take it for a damaged file."""


@contextmanager
def no_hang(seconds: float = LONGEST) -> Iterator[None]:
    """Raises Hang in the block when it takes longer."""

    def late(*_: object) -> None:
        raise Hang(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def check_error(error: PosetxError) -> None:
    """One line, code 1; and of these small files none is too large for the memory."""
    assert "\n" not in str(error) and error.exit_code == 1
    assert "memory" not in str(error), error


def check_file(path: Path, every: bool = False) -> bool:
    """Read it as a scan, and as a target that is saved again; whether it is a scan.

    With `every` by all that writes targets and shows files.
    """
    readable = False
    try:
        scan = read_scan(path)
        assert scan.points.ndim == 2 and len(scan.points) and np.isfinite(scan.points).all()
        assert scan.faces is None or 0 <= scan.faces.min() <= scan.faces.max() < len(scan.points)
        readable = True
    except PosetxError as error:
        check_error(error)
    if path.suffix in MESHES:
        out = path.parent / f"out{path.suffix}"
        try:
            target = read_target(path)
            target.save(out, target.vertices[:, [1, 2, 0]] + 1)
            out.unlink()
            save_posed(target, out)
        except PosetxError as error:
            check_error(error)
            assert not out.exists()
        out.unlink(missing_ok=True)
        if every:
            by_every_writer(path)
    if every:
        try:
            page_of(content_of(view_of_files([path])))
        except PosetxError as error:
            check_error(error)
    return readable


def by_every_writer(path: Path) -> None:
    """As other formats, and as clips of each kind; whole, or not there."""
    try:
        target = read_target(path)
    except PosetxError:
        return
    moved, count = target.vertices + 1, len(target.vertices)
    still, weights = np.eye(3)[None], np.ones((count, 1))
    skeleton = Skeleton(("a",), (-1,), still, np.zeros((1, 3)), weights)
    clips = [
        MorphClip("c", 30.0, np.ones((1, count, 3), np.float32), np.array([[0.0], [1.0]])),
        SkeletonClip("c", 30.0, skeleton, np.stack([still, still]), np.eye(2, 3)),
    ]
    outs = [path.parent / f"out{suffix}" for suffix in (".obj", ".glb", ".stl")]
    writers = [lambda out=out: target.save(out, moved) for out in outs]
    writers += [lambda clip=clip: write_clip(outs[1], target, clip) for clip in clips]
    writers.append(lambda: sorted(target.beside(outs[0])))
    for write in writers:
        try:
            write()
        except PosetxError as error:
            check_error(error)
            assert not any(out.exists() for out in outs)
        for out in outs:
            if out.exists():
                read_target(out)
        for out in path.parent.glob("out*"):
            out.unlink()


def save_posed(target: Target, out: Path) -> None:
    """Also by its skeleton, where it has one, even if that is of two joints; and in a clip."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rig_rules, "FEWEST", 1)
        rig, _ = target.rig(np.ones(len(target.vertices), dtype=bool))
    if rig is not None:
        pose = fit_rig(rig, target.vertices[:, [1, 2, 0]] + 1, np.ones(len(target.vertices)))
        target.save_posed(out, target.vertices, rig, pose)
        clip = out.with_name("clip.glb")
        write_clip(clip, target, RigClip("c", 30.0, rig, [pose, pose]))
        clip.unlink()


def check(folder: Path, name: str, files: Iterable[bytes], every: bool = False) -> int:
    """`check_file` of them all; how many were refused as scans."""
    path = folder / name
    refused = 0
    for data in files:
        path.write_bytes(data)
        with no_hang():
            refused += not check_file(path, every)
    left = {p.name for p in folder.iterdir()} - {name}
    assert all(p.startswith("out") and p.endswith(".bin") for p in left), left
    return refused


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", SEEDS)
def test_damaged(tmp_path: Path, name: str) -> None:
    assert check(tmp_path, name, mutations(SEEDS[name], FEW, zlib.crc32(name.encode())))


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", SEEDS)
def test_aimed(tmp_path: Path, name: str) -> None:
    files = aimed(name, SEEDS[name], FEW, zlib.crc32(name.encode()))
    assert check(tmp_path, name, files)


def check_clips(folder: Path, files: Iterable[bytes]) -> int:
    """Read them all as clips and change them as `animate` does; how many were refused."""
    refused = 0
    for data in files:
        (folder / "c.bvh").write_bytes(data)
        with no_hang():
            try:
                motion = Motion.of_bvh(folder / "c.bvh").faced("target").in_place()
                for changed in (motion, motion.smoothed(0.1), motion.looped()):
                    assert np.isfinite(changed.joints).all() and np.isfinite(changed.roots).all()
                    assert 1e-3 <= changed.fps <= 1e6 and changed.legs >= 0
            except PosetxError as error:
                check_error(error)
                refused += 1
    return refused


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_damaged_clips(tmp_path: Path) -> None:
    assert check_clips(tmp_path, mutations(CLIP, FEW, 7))
    assert check_clips(tmp_path, aimed("c.bvh", CLIP, FEW, 8))
    check_clips(tmp_path, list(huge_counts(CLIP, False))[:FEW])


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", SEEDS)
def test_huge_counts(tmp_path: Path, name: str) -> None:
    every = list(huge_counts(SEEDS[name], name in BINARY))
    check(tmp_path, name, every[:: max(len(every) // FEW, 1)])


def command_ends(folder: Path, name: str, files: Iterable[bytes], role: str) -> Counter[str]:
    """How often `posetx transfer` reads files as its scan or its target, and how often it refuses.

    The model is none, which it finds out when it has read both files. Nothing may be written
    either way.
    """
    good = {"scan": folder / "good.xyz", "target": folder / "good.off"}
    good["scan"].write_text(rows(POINTS))
    good["target"].write_text(OFF)
    both = good | {role: folder / name}
    (folder / "no.safetensors").write_bytes(b"no model")
    model = str(folder / "no.safetensors")
    arguments = ["transfer", str(both["scan"]), str(both["target"]), "-m", model]
    arguments += ["-o", str(folder / "out.off")]
    before = {"good.xyz", "good.off", "no.safetensors", name}
    ends: Counter[str] = Counter()
    for data in files:
        (folder / name).write_bytes(data)
        with no_hang():
            run = CliRunner().invoke(app, arguments)
        ends["read" if "no.safetensors" in run.output else "refused"] += 1
        assert run.exit_code == 1, run.output
        assert run.output.count("error:") == 1 and "Traceback" not in run.output, run.output
        assert "memory" not in run.output and "unexpected" not in run.output, run.output
        assert {p.name for p in folder.iterdir()} == before
    return ends


def limit_memory() -> None:
    """This process gets MEMORY more than it has now, and no more."""
    now = int(re.findall(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())[0]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))


def ends_well(file: str, name: str) -> None:
    """Runs a test file with an argument in a process of its own, whose memory it may limit."""
    child = subprocess.run(
        [sys.executable, file, name],
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    sys.stdout.write(child.stdout)
    assert child.returncode == 0, child.stdout + child.stderr


def at_length(name: str) -> None:
    """What `test_damaged_at_length` runs in a process with MEMORY more than it has at first."""
    for word in ("torch", "posetx.cli.transfer", "posetx.pipeline.pipeline"):
        importlib.import_module(word)
    limit_memory()
    warnings.simplefilter("error", RuntimeWarning)
    data = SEEDS[name]
    with tempfile.TemporaryDirectory() as folder:
        assert check(Path(folder), name, mutations(data, MANY, 1))
    with tempfile.TemporaryDirectory() as folder:
        check(Path(folder), name, aimed(name, data, MANY, 3), every=True)
    with tempfile.TemporaryDirectory() as folder:
        seed = zlib.crc32(name.encode())
        check_clips(Path(folder), mutations(CLIP, MANY // 4, seed))
        check_clips(Path(folder), aimed("c.bvh", CLIP, MANY // 4, seed))
    with tempfile.TemporaryDirectory() as folder:
        every = list(huge_counts(data, name in BINARY))
        check(Path(folder), name, every[:: max(len(every) // MANY, 1)])
    roles = ["scan", "target"] if Path(name).suffix in MESHES else ["scan"]
    for role in roles:
        with tempfile.TemporaryDirectory() as folder:
            ends = command_ends(Path(folder), name, mutations(data, COMMANDS, 2), role)
            assert ends["refused"], ends
            sys.stdout.write(f"{name} as {role}: {dict(ends)}\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    sys.stdout.write(f"{name}: at most {peak:.2f} GiB\n")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the limits of Linux")
@pytest.mark.parametrize("name", SEEDS)
def test_damaged_at_length(name: str) -> None:
    ends_well(__file__, name)


if __name__ == "__main__":
    at_length(sys.argv[1])
