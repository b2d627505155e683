"""FBX, BLEND and USD without Blender: programs that stand in for it, and what is said of them."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from posetx.errors import MissingError, PosetxError, UsageError
from posetx.files.blender.protocol import packed, unpacked
from posetx.files.codecs import blender
from posetx.files.scans import read_scan
from posetx.files.targets import read_target
from posetx.files.targets.base import check_output_suffix, holds_skeleton, result_suffix
from posetx.geometry.rig import RigPose
from posetx.system import blender as system
from posetx.system.child import run_module

#: a binary FBX begins so; nothing here reads on
FBX = b"Kaydara FBX Binary  \x00\x1a\x00"
#: what a child that has started says
STARTED = f"sys.stderr.write('\\n{blender.STARTED}\\n')"
POINTS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 1], [3, 0, 0], [4, 0, 0], [3, 1, 1.0]])
FACES = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6]])


def stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, name: str = "python-fake"
) -> Path:
    """A binary FBX, for which what runs as Blender's Python does what `code` says."""
    program = tmp_path / name
    lines = "import io, json, os, sys, time\n"
    program.write_text(f"#!{sys.executable}\n{lines}{textwrap.dedent(code)}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv(system.VARIABLE, str(program))
    path = tmp_path / "a.fbx"
    path.write_bytes(FBX)
    return path


def scene(**changes: object) -> tuple[dict, dict]:
    """What a child says of a figure of two parts: one skinned to two bones, one that hangs."""
    frames = np.tile(np.eye(4), (3, 1, 1))
    frames[:, 0, 3] = 0, 1, 2
    told = {
        "parts": [["body", 4], ["hat", 3]],
        "bones": [["rig", "a"], ["rig", "b"], ["rig", "c"]],
        "skeletons": [0, 0],
        "notes": ["a note"],
        "clips": [],
        "files": ["/elsewhere/skin.png"],
        "packed": ["inside.png"],
    }
    arrays = {
        "points": POINTS,
        "faces": FACES,
        "face_part": np.array([0, 0, 1]),
        "bones": frames,
        "armatures": np.eye(4)[None],
        "bone_parent": np.array([-1, 0, 1]),
        "bone_armature": np.array([0, 0, 0]),
        "vertex": np.array([0, 0, 1, 2, 4, 5, 6]),
        "bone": np.array([0, 1, 1, 0, 2, 2, 2]),
        "weight": np.array([1.0, 3.0, 0.5, 1.0, 1.0, 1.0, 1.0]),
    }
    for key, value in changes.items():
        (told if key in told else arrays)[key] = value  # type: ignore[assignment]
    return told, arrays


def answering(tmp_path: Path, told: dict, arrays: dict) -> str:
    """The code of a child that answers so."""
    (tmp_path / "answer").write_bytes(blender.ANSWER + packed(told, arrays))
    return f"""
        sys.stdin.buffer.read(); {STARTED}
        print("Blender prints this")
        sys.stdout.flush()
        sys.stdout.buffer.write(open({str(tmp_path / "answer")!r}, "rb").read())
    """


def one_line(error: PosetxError, path: Path) -> str:
    line = str(error)
    assert "\n" not in line and line.startswith(f"{path}: ")
    return line


def test_files_that_nothing_else_may_replace(tmp_path, monkeypatch) -> None:
    path = tmp_path / "a.fbx"
    path.write_bytes(FBX)
    monkeypatch.setattr(blender, "ask", lambda *_: scene())
    target = read_target(path)
    own, out = {Path("/elsewhere/skin.png")}, tmp_path / "out"
    for name, beside in (
        ("o.obj", {out / "o.mtl", out / "inside.png", out / "skin.png"}),
        ("o.usda", {out / "textures"}),
        ("o.usdz", set()),
        ("o.glb", set()),
    ):
        assert target.beside(out / name) == own | beside


def test_without_blender_the_line_says_what_to_install(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv(system.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(system.importlib.util, "find_spec", lambda name: None)
    path = tmp_path / "a.fbx"
    path.write_bytes(FBX)
    for read in (read_scan, read_target):
        with pytest.raises(MissingError) as caught:
            read(path)
        line = one_line(caught.value, path)
        assert caught.value.exit_code == 3
        for word in ("FBX", "posetx[blender]", "Python 3.11", "POSETX_BLENDER"):
            assert word in line
    with pytest.raises(MissingError, match=r"out\.usdz: USDZ files need Blender, and"):
        check_output_suffix(tmp_path / "out.usdz", tmp_path / "a.glb")


def test_which_blender_is_taken(tmp_path, monkeypatch) -> None:
    """The one that is named, then this Python's bpy, then the one on PATH."""
    monkeypatch.delenv(system.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("blender", "blender-4.5", "python3.11"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(system.importlib.util, "find_spec", lambda name: None)
    assert system.find_blender() == system.Blender(str(tmp_path / "blender"), False)
    monkeypatch.setattr(system.importlib.util, "find_spec", lambda name: object())
    assert system.find_blender() == system.Blender(sys.executable, True)
    for name, is_python in (("blender-4.5", False), ("python3.11", True)):
        monkeypatch.setenv(system.VARIABLE, str(tmp_path / name))
        assert system.find_blender() == system.Blender(str(tmp_path / name), is_python)
    monkeypatch.setenv(system.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(MissingError, match=r"POSETX_BLENDER names .*none, which is no pr"):
        system.find_blender()


def test_a_python_without_bpy(tmp_path, monkeypatch) -> None:
    """With the child as it is: our own Python has no bpy."""
    if system.importlib.util.find_spec("bpy"):
        pytest.skip("this Python has bpy")
    monkeypatch.setenv(system.VARIABLE, sys.executable)
    path = tmp_path / "a.fbx"
    path.write_bytes(FBX)
    with pytest.raises(MissingError, match=r"has no bpy; pip install 'posetx\[blender\]'") as error:
        read_target(path)
    one_line(error.value, path)


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (f"{STARTED}; sys.stderr.flush(); os.abort()", PosetxError, "crashed on it (signal 6)"),
        (f"{STARTED}; print('hello')", PosetxError, "Blender said nothing"),
        (
            f"{STARTED}; sys.stderr.write('\\n{blender.REFUSED}no mesh\\n'); sys.exit(1)",
            PosetxError,
            "Blender cannot do it: no mesh; see docs/blender.md",
        ),
        ("sys.stderr.write('libGL.so.1: cannot open')", MissingError, "libGL.so.1: cannot open"),
        ("os.abort()", MissingError, "signal 6"),
        ("sys.exit(0)", MissingError, "exit code 0"),
        (
            f"{STARTED}; sys.stdout.buffer.write({blender.ANSWER!r} + b'garbage')",
            PosetxError,
            "cannot be read as what Blender answers",
        ),
    ],
)
@pytest.mark.parametrize("read", [read_scan, read_target])
def test_what_goes_wrong_is_one_line(read, code, kind, said, tmp_path, monkeypatch) -> None:
    path = stand_in(tmp_path, monkeypatch, code)
    with pytest.raises(PosetxError) as caught:
        read(path)
    assert type(caught.value) is kind and said in one_line(caught.value, path)


def test_what_is_no_program(tmp_path, monkeypatch) -> None:
    path = stand_in(tmp_path, monkeypatch, "")
    Path(os.environ[system.VARIABLE]).write_bytes(b"\x7fELF no program at all")
    with pytest.raises(MissingError, match="does not start") as caught:
        read_target(path)
    one_line(caught.value, path)


def test_a_hang_is_ended_with_all_that_it_started(tmp_path, monkeypatch) -> None:
    """The child starts another one, as scripts around programs do."""
    code = f"""
        import subprocess
        {STARTED}
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
        child.wait()
    """
    path = stand_in(tmp_path, monkeypatch, code)
    monkeypatch.setattr(blender, "SECONDS", 2.0)
    begin = time.monotonic()
    with pytest.raises(PosetxError, match=r"a\.fbx: Blender did not end within 2 s; ") as caught:
        read_target(path)
    assert time.monotonic() - begin < 20.0
    one_line(caught.value, path)
    assert ended(int((tmp_path / "pid").read_text()))


def ended(pid: int) -> bool:
    """Whether a process ends within a second; one that nobody waits for has ended."""
    for _ in range(50):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_ctrl_c_ends_the_child(tmp_path, monkeypatch) -> None:
    code = f"""
        open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
        time.sleep(60)
    """
    path = stand_in(tmp_path, monkeypatch, code)
    reading = f"from posetx.files.targets import read_target; read_target({str(path)!r})"
    parent = subprocess.Popen(
        [sys.executable, "-c", reading],
        stderr=subprocess.DEVNULL,
        # what is started in the background of a shell ignores it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert parent.poll() is None
        time.sleep(0.02)
    parent.send_signal(2)
    parent.wait(20)
    assert ended(int((tmp_path / "pid").read_text()))


def test_files_that_blender_cannot_read_are_told_before(tmp_path, monkeypatch) -> None:
    path = stand_in(tmp_path, monkeypatch, "os.abort()")
    path.write_text("; FBX 7.3.0 project file\nFBXHeaderExtension:  {\n")
    with pytest.raises(PosetxError, match="an FBX written as text, which Blender does not"):
        read_target(path)
    path.write_bytes(b"garbage")
    with pytest.raises(PosetxError, match="does not begin as a binary FBX does"):
        read_scan(path)


def test_an_answer_is_a_scan_and_a_target(tmp_path, monkeypatch) -> None:
    path = stand_in(tmp_path, monkeypatch, answering(tmp_path, *scene()))
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.points, POINTS)
    assert scan.notes == ["a note"] and len(scan.faces) == 3
    target = read_target(path)
    np.testing.assert_array_equal(target.faces, FACES)
    assert [target.object_name(i) for i in target.face_object] == ["body", "body", "hat"]
    assert target.face_skeleton.tolist() == [0, 0, 0]
    rig, why = target.rig(np.ones(7, dtype=bool))
    assert rig is None and "too few for limbs" in why


@pytest.mark.parametrize(
    "change",
    [
        {"faces": np.array([[0, 1, 9], [0, 2, 3], [4, 5, 6]])},
        {"faces": np.array([[0, 1, -1], [0, 2, 3], [4, 5, 6]])},
        {"face_part": np.array([0, 0, 2])},
        {"face_part": np.array([0, 0])},
        {"parts": [["body", 4], ["hat", 4]]},
        {"parts": [["body", 7]]},
        {"skeletons": [0, 1]},
        {"bones": np.tile(np.eye(3), (3, 1, 1))},
        {"bones": np.tile(np.eye(4), (2, 1, 1))},
        {"bone_parent": np.array([-1, 2, 1])},
        {"bone_parent": np.array([-2, 0, 1])},
        {"bone_armature": np.array([0, 0, 1])},
        {"vertex": np.array([0, 0, 1, 2, 4, 5, 7])},
        {"vertex": np.array([0, 0, 1])},
        {"bone": np.array([0, 1, 1, 0, 2, 2, 3])},
        {"weight": np.array([1.0, 3.0, 0.5, 1.0, 1.0, 1.0, 0.0])},
        {"weight": np.array([1.0, 3.0, 0.5, 1.0, 1.0, 1.0, np.nan])},
        {"points": np.array([["a", "b", "c"]] * 7)},
        {"notes": 3},
    ],
)
def test_an_answer_that_is_wrong_is_refused(change, tmp_path, monkeypatch) -> None:
    told, arrays = scene()
    if "bones" in change:
        arrays |= change
    else:
        told, arrays = scene(**change)
    path = tmp_path / "a.fbx"
    path.write_bytes(FBX)
    monkeypatch.setattr(blender, "ask", lambda *_: (told, arrays))
    with pytest.raises(PosetxError) as caught:
        read_target(path)
    one_line(caught.value, path)


def long_scene() -> tuple[dict, dict]:
    """A chain of eight bones that move a strip, each the two vertices at it; in centimetres."""
    frames = np.tile(np.diag([0.01, 0.01, 0.01, 1.0]), (8, 1, 1))
    frames[:, 0, 3] = np.arange(8)
    points = np.array([[x, y, 0.0] for x in range(8) for y in (0, 1)])
    faces = np.array([[2 * i, 2 * i + 2, 2 * i + 1] for i in range(7)])
    told = {
        "parts": [["strip", 16]],
        "bones": [["rig", str(i)] for i in range(8)],
        "skeletons": [0],
        "notes": [],
        "clips": [],
        "files": ["/elsewhere/skin.png"],
        "packed": ["inside.png"],
    }
    arrays = {
        "points": points,
        "faces": faces,
        "face_part": np.zeros(7, dtype=int),
        "bones": frames,
        "armatures": np.diag([0.01, 0.01, 0.01, 1.0])[None],
        "bone_parent": np.arange(8) - 1,
        "bone_armature": np.zeros(8, dtype=int),
        "vertex": np.arange(16),
        "bone": np.arange(16) // 2,
        "weight": np.full(16, 2.0),
    }
    return told, arrays


def test_bones_are_a_rig(tmp_path, monkeypatch) -> None:
    """Its armature stands still, and carries the scale; weights add up to one."""
    path = tmp_path / "a.fbx"
    path.write_bytes(FBX)
    monkeypatch.setattr(blender, "ask", lambda *_: long_scene())
    target = read_target(path)
    rig, why = target.rig(np.ones(16, dtype=bool))
    assert rig is not None and not why
    assert rig.joints.tolist() == [False] + [True] * 8
    assert rig.roots.tolist() == [False, True] + [False] * 7
    np.testing.assert_allclose(rig.skinned(rig.worlds(rig.still)), target.vertices, atol=1e-12)
    turns = rig.still.turns
    turns[4] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    bent = rig.skinned(rig.worlds(RigPose(turns, rig.still.shifts)))
    np.testing.assert_allclose(bent[:6], target.vertices[:6], atol=1e-12)
    np.testing.assert_allclose(bent[14], [3, 4, 0], atol=1e-12)


def saving(tmp_path: Path, code: str) -> str:
    """A child that looks as `long_scene` says, and does what `code` says of what it shall save."""
    (tmp_path / "answer").write_bytes(blender.ANSWER + packed(*long_scene()))
    (tmp_path / "saved").write_bytes(blender.ANSWER + packed({"notes": ["told"]}, {}))
    return f"""
data = sys.stdin.buffer.read()
{STARTED}
import numpy as np
with np.load(io.BytesIO(data)) as found:
    arrays = {{name: found[name] for name in found.files}}
told = json.loads(arrays.pop("task").tobytes())
if told["do"] == "look":
    sys.stdout.buffer.write(open({str(tmp_path / "answer")!r}, "rb").read())
    sys.exit()
folder = os.path.dirname(told["output"])
open({str(tmp_path / "told")!r}, "w").write(json.dumps(told))
np.savez({str(tmp_path / "given.npz")!r}, **arrays)
{code}
sys.stdout.buffer.write(open({str(tmp_path / "saved")!r}, "rb").read())
"""


WRITE = "open(told['output'], 'wb').write(b'a scene')"


def test_what_the_child_is_given_and_what_comes_of_it(tmp_path, monkeypatch) -> None:
    code = (
        f"{WRITE}; os.mkdir(folder + '/textures'); "
        "open(folder + '/textures/skin.png', 'wb').write(b'png'); "
        "open(folder + '/secret.txt', 'wb').write(b'no')"
    )
    path = stand_in(tmp_path, monkeypatch, saving(tmp_path, code))
    target, out = read_target(path), tmp_path / "out"
    out.mkdir()
    rig, _ = target.rig(np.ones(16, dtype=bool))
    turns = rig.still.turns
    turns[4] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    pose = RigPose(turns, rig.still.shifts)
    wanted = rig.skinned(rig.worlds(pose))
    assert target.save_posed(out / "b.usdc", wanted, rig, pose) == ["told"]
    found = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert found == {"b.usdc": b"a scene", "textures/skin.png": b"png"}
    told = json.loads((tmp_path / "told").read_text())
    assert told["path"] == str(path) and told["final"] == str(out)
    assert not Path(told["output"]).exists(), "the private folder is gone"
    with np.load(tmp_path / "given.npz") as given:
        assert given["bone"].tolist() == list(range(8)) and not given["moved"].any()
        np.testing.assert_allclose(given["frame"], rig.worlds(pose)[1:])
        np.testing.assert_array_equal(given["shown"], wanted)
    notes = target.save(out / "c.fbx", target.vertices + [0, 0, 1.0])
    assert notes[0] == "told" and "skinned" in notes[1]
    with np.load(tmp_path / "given.npz") as given:
        assert given["moved"].all() and "bone" not in given


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (f"{WRITE}; sys.stderr.flush(); os.abort()", "crashed on it"),
        ("pass", "Blender wrote nothing"),
        ("open(told['output'], 'wb').close()", "Blender wrote nothing"),
        (
            f"{WRITE}; sys.stderr.write('\\n{blender.REFUSED}no such bone\\n'); sys.exit(1)",
            "no such",
        ),
        (f"{WRITE}; time.sleep(60)", "did not end within"),
    ],
)
def test_nothing_half_written(code, said, tmp_path, monkeypatch) -> None:
    path = stand_in(tmp_path, monkeypatch, saving(tmp_path, code))
    target = read_target(path)
    monkeypatch.setattr(blender, "SECONDS", 2.0)
    (tmp_path / "out").mkdir()
    with pytest.raises(PosetxError, match=said) as caught:
        target.save(tmp_path / "out" / "b.fbx", target.vertices)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").iterdir())


def test_a_file_that_changed_meanwhile(tmp_path, monkeypatch) -> None:
    path = stand_in(tmp_path, monkeypatch, saving(tmp_path, WRITE))
    target = read_target(path)
    path.write_bytes(FBX + b"more")
    with pytest.raises(PosetxError, match="has changed since it was read; run it again"):
        target.save(tmp_path / "b.fbx", target.vertices)
    assert not (tmp_path / "b.fbx").exists()


def test_other_targets_go_through_blender(tmp_path, monkeypatch, standing: Path) -> None:
    """An OBJ is given as such, with what it names."""
    code = f"{WRITE}; open({str(tmp_path / 'first')!r}, 'w').write(open(told['path']).readline())"
    stand_in(tmp_path, monkeypatch, saving(tmp_path, code))
    target = read_target(standing / "target.obj")
    assert target.save(tmp_path / "b.blend", target.vertices) == ["told"]
    assert (tmp_path / "b.blend").read_bytes() == b"a scene"
    assert (tmp_path / "first").read_text().startswith("v ")


def test_formats_and_their_names(tmp_path, monkeypatch) -> None:
    stand_in(tmp_path, monkeypatch, "")
    for suffix in blender.SUFFIXES:
        assert holds_skeleton(Path(f"a{suffix}")) and result_suffix(Path(f"a{suffix}")) == suffix
        for source in ("a.obj", "a.glb", "a.vrm", "a.ply", "a.fbx"):
            check_output_suffix(tmp_path / f"b{suffix}", tmp_path / source)
    with pytest.raises(UsageError, match=r"\.fbx cannot be written as \.vrm"):
        check_output_suffix(tmp_path / "b.vrm", tmp_path / "a.fbx")
    check_output_suffix(tmp_path / "b.glb", tmp_path / "a.fbx")
    (tmp_path / "a.fbx.gz").write_bytes(b"x")
    with pytest.raises(PosetxError, match=r"a packed \.fbx is not read; unpack it first"):
        read_scan(tmp_path / "a.fbx.gz")


def test_what_is_packed_comes_back() -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([True])}
    told, found = unpacked(packed({"x": ["ä", 1]}, arrays))
    assert told == {"x": ["ä", 1]} and set(found) == {"a", "b"}
    np.testing.assert_array_equal(found["a"], arrays["a"])


def test_no_process_of_ours_imports_bpy(tmp_path, monkeypatch) -> None:
    """A bpy that ends whoever imports it, in a whole command."""
    (tmp_path / "bpy").mkdir()
    (tmp_path / "bpy" / "__init__.py").write_text("import os; os.abort()")
    monkeypatch.delenv(system.VARIABLE, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "a.fbx").write_bytes(FBX)
    done = run_module(
        "posetx", "clean", str(tmp_path / "a.fbx"), "-o", str(tmp_path / "o.ply"), seconds=120
    )
    # -I keeps the child from that folder, so it finds no bpy; were it ours, the code were -6
    assert done.code == 3 and done.said.startswith("error: ") and done.said.count("\n") == 1
