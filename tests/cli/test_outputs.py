"""What a command writes, and where it may not: one check before any work."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from posetx.cli import COMMANDS, app
from posetx.errors import PosetxError, UsageError
from posetx.files.atomic import atomic_file, check_outputs, write_bytes_atomic
from posetx.files.scans import read_scan
from tests.cli.writers import WRITERS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes and devices of POSIX")


@pytest.fixture
def files(tmp_path: Path, standing: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in with a scan, a target and what must not be replaced."""
    monkeypatch.chdir(tmp_path)
    for name in ("scan.npy", "target.obj"):
        shutil.copy(standing / name, name)
    shutil.copy("scan.npy", "skin.npy")
    Path("old.obj").write_text("old")
    Path("old.json").write_text("{}")
    Path("old.html").write_text("old")
    Path("link.obj").symlink_to("target.obj")
    os.mkfifo("pipe.obj")
    Path("file").write_text("x")
    Path("to_no.json").symlink_to("no/o.json")
    Path("kept").mkdir()
    Path("kept/scan.npz").write_text("something else")
    Path("pipes").mkdir()
    os.mkfifo("pipes/scan.npz")
    Path("painted.mtl").write_text("newmtl a\nmap_Kd skin.png\nnewmtl b\nmap_Kd attack.png\n")
    Path("painted.obj").write_text("mtllib painted.mtl\n" + Path("target.obj").read_text())
    for name in ("skin.png", "attack.png"):
        Image.new("RGB", (8, 8)).save(name)
    return tmp_path


def tree(folder: Path) -> dict[str, bytes | str]:
    """What is in a folder: content of files, kind of the rest."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else oct(p.lstat().st_mode)
        for p in folder.rglob("*")
    }


T = ("transfer", "scan.npy", "target.obj")
C = ("clean", "scan.npy")
V = ("view", "scan.npy", "target.obj")
A = ("attack", "scan.npy", "target.obj")
P = ("pose", "scan.npy")
M = ("animate", "scan.npy", "target.obj")
PAINTED = "is a file of the target's"
REFUSED: list[tuple[tuple[str, ...], str]] = [
    ((*T, "-o", "o.obj", "--summary", "o.obj"), "both --output and --summary"),
    ((*T, "-o", "o.obj", "--summary", "./x/../o.obj"), "both --output and --summary"),
    ((*T, "-o", "o.obj", "--preview", "p.png", "--summary", "p.png"), "both --preview and"),
    ((*T, "-o", "target.obj", "--overwrite"), "is read by this command"),
    ((*T, "-o", "link.obj", "--overwrite"), "is read by this command"),
    ((*T, "-o", "o.obj", "--summary", "scan.npy", "--overwrite"), "is read by this command"),
    (("transfer", "target.obj", "old.obj", "-o", "target.obj", "--overwrite"), "is read by"),
    ((*T, "-o", "old.obj"), "exists already"),
    ((*T, "-o", "o.obj", "--summary", "old.json"), "exists already"),
    ((*T, "-o", "pipe.obj", "--overwrite"), "is a device or a pipe"),
    ((*T, "-o", "o.obj", "--summary", "pipe.obj", "--overwrite"), "is a device or a pipe"),
    ((*T, "-o", "o.obj", "--summary", "/dev/null", "--overwrite"), "is a device or a pipe"),
    ((*T, "-o", "no/o.obj"), "does not exist"),
    ((*T, "-o", "file/o.obj"), "is not a folder"),
    ((*T, "-o", "o.vrm"), "cannot be written as .vrm"),
    ((*T, "-o", "o.gltf"), "cannot be written as .gltf"),
    (("transfer", "gone.ply", "target.obj", "-o", "o.obj"), "the scan does not exist"),
    (("transfer", "scan.npy", "gone.obj", "-o", "o.obj"), "the target does not exist"),
    ((*T, "-o", "o.obj", "-m", "gone"), "no such model"),
    (("transfer", "scan.npy", "scan.npy", "old.obj", "-o", "r", "--summary", "old.obj"), "old.obj"),
    ((*T[:2], "painted.obj", "-o", "x/o.obj", "--preview", "x/skin.png"), PAINTED),
    ((*T[:2], "painted.obj", "-o", "o.ply", "--preview", "skin.png", "--overwrite"), PAINTED),
    ((*T[:2], "painted.obj", "-o", "x/o.obj", "--summary", "x/painted.mtl"), PAINTED),
    (("transfer", "skin.npy", "scan.npy", "painted.obj", "-o", "x", "--preview", "x"), PAINTED),
    ((*A[:2], "painted.obj", "-o", "o.ply", "--report", "x"), PAINTED),
    ((*T, "-o", "o.obj", "--view", "v.png"), "--view v.png: a page is HTML"),
    ((*T, "-o", "o.obj", "--view", "old.html"), "exists already"),
    ((*T, "-o", "o.obj", "--view", "no/v.html"), "does not exist"),
    ((*V, "-o", "v.obj"), "--output v.obj: a page is HTML"),
    ((*V, "-o", "old.html"), "exists already"),
    ((*V, "old.html", "-o", "old.html", "--overwrite"), "is read by this command"),
    (("view", "gone.ply", "-o", "v.html"), "the file does not exist"),
    ((*V, "-o", "v.html", "--up", "w"), "--up w: not an axis"),
    ((*V, "-o", "v.html", "--up", "x", "--front=-x"), "same axis"),
    ((*V, "-o", "v.html", "--up", "x", "--up", "y", "--up", "z"), "give one, or one for each"),
    ((*C, "-o", "scan.npy", "--overwrite"), "written as one of"),
    (("clean", "target.obj", "-o", "target.obj", "--overwrite"), "is read by this command"),
    ((*C, "-o", "o.ply", "--summary", "o.ply"), "both --output and --summary"),
    ((*P, "-o", "o.fbx"), "a pose is written as one of"),
    ((*P, "-o", "o.bvh", "--body", "o.stl"), "a body is written as one of"),
    ((*P, "-o", "o.bvh", "--preview", "o.jpg"), "the preview is a PNG"),
    ((*P, "-o", "o.bvh", "--view", "v.png"), "--view v.png: a page is HTML"),
    ((*P, "target.obj", "-o", "o.bvh", "--view", "old.html"), "exists already"),
    ((*P, "-o", "o.json", "--summary", "o.json"), "both --output and --summary"),
    ((*P, "-o", "old.json"), "exists already"),
    ((*P, "-o", "o.bvh", "--body", "old.obj"), "exists already"),
    ((*P, "-o", "o.bvh", "--body", "pipe.obj", "--overwrite"), "is a device or a pipe"),
    ((*P, "-o", "no/o.bvh"), "does not exist"),
    ((*P, "-o", "to_no.json", "--overwrite"), "no/o.json: the folder"),
    ((*P, "-o", "o.bvh", "--fps", "0"), "--fps 0.0: give frames a second"),
    ((*P, "-o", "o.bvh", "--up", "w"), "--up w: not an axis"),
    ((*P, "-o", "o.bvh", "-m", "gone"), "no such model"),
    (("pose", "gone.ply", "-o", "o.bvh"), "the scan does not exist"),
    (("pose", "target.obj", "-o", "o.bvh", "--body", "target.obj", "--overwrite"), "is read by"),
    ((*P, "target.obj", "-o", "old.json"), "exists already"),
    ((*P, "target.obj", "-o", "o.bvh", "--body", "file"), "is a file; several scans need"),
    ((*P, "target.obj", "-o", "o.bvh", "--body", "r", "--body-format", "stl"), "written as one of"),
    (
        (*P, "target.obj", "-o", "o.bvh", "--body", ".", "--body-format", "obj", "--overwrite"),
        "would replace the scan",
    ),
    (("pose", "scan.npy", "x/../scan.npy", "-o", "o.bvh", "--body", "r"), "would both become"),
    ((*M, "-o", "o.fbx"), "is written as .glb or .npz"),
    ((*M, "-o", "o_##.vrm"), "cannot be written as .vrm"),
    ((*M, "-o", "old.json"), "is written as"),
    ((*M, "-o", "no/o.glb"), "does not exist"),
    ((*M, "-o", "o.glb", "--view", "v"), "--view v: a page is HTML"),
    ((*M, "-o", "o.glb", "--view", "old.html"), "exists already"),
    ((*M, "-o", "o.glb", "--summary", "o.glb"), "both --output and --summary"),
    ((*M, "-o", "o.glb", "--frames", "5"), "--frames 5: give A:B"),
    ((*M, "-o", "o.glb", "--frames", "5:"), "none of the 1 scans is left"),
    ((*M, "-o", "o.glb", "--frames", "::0"), "--frames ::0: give A:B"),
    ((*M, "-o", "o.glb", "--fps", "0"), "--fps 0.0: give frames a second"),
    ((*M, "-o", "o.glb", "--smooth", "-1"), "--smooth -1.0: give seconds"),
    ((*M, "-o", "o.glb", "--poses", "file"), "is a file"),
    ((*M, "-o", "o.glb", "--up", "w"), "--up w: not an axis"),
    ((*M, "-o", "o_#.obj", "--morph"), "--morph: only a .glb has morph targets"),
    ((*M, "-o", "o.npz", "--morph"), "--morph: only a .glb has morph targets"),
    ((*M, "-o", "r", "--summary", "r/frame_0000.obj"), "--summary and --output frame_0000.obj"),
    ((*M, "-o", "o.glb", "--poses", "r", "--summary", "r/scan.npz"), "--summary and --poses scan"),
    ((*M, "-o", "r/scan.npz", "--poses", "r"), "both --output and --poses scan.npz"),
    ((*M, "-o", "o.glb", "--poses", "kept"), "is no pose that an earlier run kept"),
    ((*M, "-o", "o.glb", "--poses", "pipes"), "is a device or a pipe"),
    ((*M[:2], "painted.obj", "-o", "o.glb", "--preview", "skin.png", "--overwrite"), PAINTED),
    (("animate", "gone.bvh", "target.obj", "-o", "o.glb"), "the clip does not exist"),
    (("animate", "a.bvh", "scan.npy", "target.obj", "-o", "o.glb"), "one BVH at a time"),
    (("animate", "a.bvh", "target.obj", "-o", "o.glb", "--up", "z"), "--up z: a BVH has y up"),
    (("animate", "a.bvh", "target.obj", "-o", "o.glb", "--poses", "p"), "nothing to keep"),
    (
        ("animate", "scan.npy", "x/../scan.npy", *M[2:], "-o", "o.glb", "--poses", "p"),
        "both become",
    ),
    ((*A, "-o", "o.ply", "--toward", "gone.bvh"), "--toward does not exist"),
    ((*A, "-o", "o.ply", "--surrogate", "gone"), "no such model"),
    (("attack", "target.obj", "target.obj", "-o", "target.obj", "--overwrite"), "is read by"),
    ((*A, "-o", "old.obj"), "exists already"),
    ((*A, "-o", "o.ply", "--view", "o.ply"), "--view o.ply: a page is HTML"),
    ((*C, "-o", "o.ply", "--view", "old.html"), "exists already"),
    (("models", "export", "posemae", "-o", "old.json"), "a network is written as .onnx"),
    (("models", "export", "gone", "-o", "o.onnx"), "no such model"),
    (("models", "export", "posemae", "-o", "no/o.onnx"), "does not exist"),
    (("curves", "gone", "-o", "c.png"), "name the folder of a run"),
    (("curves", "file", "-o", "c.png"), "no log of a training"),
    (("curves", ".", "-o", "c.jpg"), "the preview is a PNG"),
    (("codes", "-o", "c.jpg"), "the preview is a PNG"),
    (("codes", "-o", "c.png", "-m", "gone"), "no such model"),
    (("evaluate", "--details", "old.json"), "exists already"),
    (("evaluate", "--details", "pipe.obj", "--overwrite"), "is a device or a pipe"),
    (("attack-dataset", "seen", "-o", "old.json"), "exists already"),
    (("trials", "study", "--table", "old.json"), "exists already"),
    (("train", "file", "--samples", "8"), "is not a folder"),
    (("train", "file/run", "--samples", "8"), "is not a folder"),
]


@pytest.mark.parametrize(("arguments", "says"), REFUSED)
def test_what_may_not_be_written_is_said_before_any_work(
    files: Path, arguments: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "x").mkdir()
    before = tree(files)
    # Work would need one of these.
    for name in ("posetx.pipeline.pipeline.Pipeline.load", "posetx.models.checkpoint.read_model"):
        monkeypatch.setattr(name, lambda *_: pytest.fail("work had begun"))
    run = CliRunner().invoke(app, list(arguments))
    assert run.exit_code in (1, 2, 3), run.output
    assert says in run.stderr and run.stderr.count("\n") == 1, run.stderr
    assert tree(files) == before


def test_all_commands_that_write_are_stopped_in_tests() -> None:
    """By tests/cli/test_stops.py, which is slow."""
    words = [writer.arguments.split() for writer in WRITERS.values()]
    pairs = {" ".join(told[:2]) for told in words}
    stopped = {told[0] for told in words if " ".join(told[:2]) not in COMMANDS}
    assert stopped | (pairs & COMMANDS.keys()) == COMMANDS.keys() - {"models", "doctor"}


def test_check_outputs_knows_one_file_by_two_names(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    os.link(tmp_path / "a", tmp_path / "b")
    with pytest.raises(UsageError, match="is both `one` and `two`"):
        check_outputs({"one": tmp_path / "a", "two": tmp_path / "b"}, [], True)
    with pytest.raises(UsageError, match="another `two`"):
        check_outputs({"two": tmp_path / "b"}, [tmp_path / "a"], True)
    check_outputs({"one": tmp_path / "a", "none": None}, [tmp_path / "gone"], True)


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_no_writer_takes_the_place_of_what_is_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    with pytest.raises(PosetxError):
        write_bytes_atomic(path, b"x")
    with pytest.raises(PosetxError), atomic_file(path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["out"] and not path.is_file()


def test_the_summary_of_one_scan_is_beside_its_result(files: Path) -> None:
    arguments = ["clean", "scan.npy", "-o", "o.obj", "--summary", "s.json", "--json"]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout) == json.loads((files / "s.json").read_text())
    assert len(read_scan(files / "o.obj").points) == json.loads(run.stdout)["points_out"]


def test_many_scans_are_cleaned_into_a_folder(files: Path) -> None:
    (files / "scans").mkdir()
    points = np.load("scan.npy")
    np.save("scans/a.npy", points)
    (files / "scans" / "bad.ply").write_text("ply\nformat")
    arguments = ["clean", "scans", "-o", "out", "--format", "obj", "--summary", "s.json"]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 1, run.output
    assert "2 scans, begun" in run.stderr.splitlines()[0]
    assert "1 done, 0 there already, 1 failed" in run.stderr
    rows = json.loads((files / "s.json").read_text())["results"]
    assert [row["status"] for row in rows] == ["done", "failed"]
    assert "bad.ply" in rows[1]["error"]
    assert os.listdir("out") == ["a.obj"]
    again = CliRunner().invoke(app, [*arguments, "--no-planes"])
    assert "made with another planes" in again.stderr
    after = json.loads((files / "s.json").read_text())["results"]
    assert after[0] == {**rows[0], "status": "skipped"}
