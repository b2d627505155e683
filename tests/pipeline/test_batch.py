"""Several scans in one command: which files, where to, and that one failure stops nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from posetx.cli import app
from posetx.cli.many import do_many, in_turn
from posetx.cli.summary import Summary
from posetx.errors import PosetxError, UsageError
from posetx.files.scans import read_scan
from posetx.pipeline.batch import Job, find_scans, is_many, plan, run
from posetx.pipeline.engine import Task

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in ("b.ply", "a.xyz", "notes.md", ".hidden.ply"):
        (scans / name).write_text("x")
    return scans


def test_folders_patterns_and_files(folder: Path) -> None:
    inside = [folder / "a.xyz", folder / "b.ply"]
    assert find_scans([folder]) == inside
    assert find_scans([folder / "*.ply"]) == [folder / "b.ply"]
    assert find_scans([folder / "b.ply", folder, folder / "gone.ply"]) == [
        inside[1], inside[0], folder / "gone.ply",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="matches no file"):
        find_scans([folder / "*.stl"])
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match="no scans in this folder"):
        find_scans([folder / "empty"])


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    odd = tmp_path / "scan[1].ply"
    odd.write_text("x")
    assert find_scans([odd]) == [odd]
    assert not is_many([odd], tmp_path / "out.obj")


def test_numbers_in_names_are_counted(tmp_path: Path) -> None:
    names = ["take1_f2.ply", "take1_f10.ply", "take1_f010.ply", "take2_f1.ply", "take10_f1.ply"]
    for name in names:
        (tmp_path / name).write_bytes(b"ply")
    names[1:3] = names[2:0:-1]  # one number: as their letters go
    assert [path.name for path in find_scans([tmp_path])] == names
    assert [path.name for path in find_scans([tmp_path / "*.ply"])] == names


def test_what_makes_a_batch(folder: Path) -> None:
    one, out = folder / "b.ply", folder / "out.obj"
    assert not is_many([one], out)
    assert is_many([one, one], out)
    assert is_many([folder], out)
    assert is_many([folder / "*.ply"], out)
    assert is_many([one], folder)


def test_results_are_named_as_their_scans(folder: Path) -> None:
    jobs = plan([folder / "b.ply"], folder / "out", ".glb", folder / "pictures")
    assert jobs == [Job(folder / "b.ply", folder / "out" / "b.glb", folder / "pictures" / "b.png")]
    with pytest.raises(UsageError, match="would both become"):
        plan([folder / "b.ply", folder / "b.xyz"], folder / "out", ".obj", None)
    with pytest.raises(UsageError, match="would replace the scan"):
        plan([folder / "b.ply"], folder, ".ply", None)


def test_one_failure_stops_nothing_and_what_exists_is_kept(tmp_path: Path) -> None:
    jobs = [Job(tmp_path / f"{k}.ply", tmp_path / f"{k}.obj") for k in "abc"]
    jobs[0].output.write_text("old")
    done = []

    def work(job: Job) -> dict[str, str]:
        done.append(job.scan.name)
        if job.scan.name == "b.ply":
            raise ValueError("no body in it")
        return {"scan": job.scan.name}

    engine = Task(work, str).in_turn
    found = list(run(jobs, engine))
    assert [o.status for o in found] == ["skipped", "failed", "done"]
    assert found[1].error == "no body in it"
    assert found[2].report == {"scan": "c.ply"}
    assert done == ["b.ply", "c.ply"]
    assert next(run(jobs, engine, overwrite=True)).status == "done"


def test_the_command(tmp_path: Path) -> None:
    scans, out, summary = tmp_path / "scans", tmp_path / "out", tmp_path / "summary.json"
    scans.mkdir()
    points = read_scan(EXAMPLES / "scan.ply").points
    np.save(scans / "good.npy", points[::8])
    (scans / "broken.ply").write_text("ply\nformat")
    command = ["transfer", str(scans), str(EXAMPLES / "target.obj"), "-o", str(out)]
    command += ["--no-refine", "--no-restore", "--json"]
    command += ["--up", "z", "--front", "-y", "--target-up", "y", "--target-front", "z"]
    result = CliRunner().invoke(app, [*command, "--summary", str(summary)])
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert [r["status"] for r in document["results"]] == ["failed", "done"]
    assert "broken.ply" in document["results"][0]["error"]
    assert document["failed"] == 1
    assert json.loads(summary.read_text()) == document
    written = sorted(p.name for p in out.iterdir())
    assert "good.obj" in written
    assert "broken.obj" not in written
    before = (out / "good.obj").stat().st_mtime_ns
    (scans / "broken.ply").unlink()
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0
    assert json.loads(again.stdout)["results"][0]["status"] == "skipped"
    assert (out / "good.obj").stat().st_mtime_ns == before


def test_one_file_is_no_folder(tmp_path: Path) -> None:
    scan, target = str(EXAMPLES / "scan.ply"), str(EXAMPLES / "target.obj")
    result = CliRunner().invoke(
        app, ["transfer", scan, scan, target, "-o", str(tmp_path / "out.obj")]
    )
    assert result.exit_code == 2
    assert "folder" in result.stderr
    assert not list(tmp_path.iterdir())


def test_an_interrupted_batch_leaves_a_summary_and_says_why_rows_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [Job(tmp_path / f"{k}.ply", tmp_path / f"{k}.obj") for k in "abcd"]

    def work(job: Job) -> dict[str, float]:
        if job.scan.name == "b.ply":
            raise PosetxError("no body in it")
        if job.scan.name == "c.ply":
            raise KeyboardInterrupt
        return {"confidence": 0.5}

    path = tmp_path / "s.json"
    with pytest.raises(KeyboardInterrupt):
        do_many(jobs, tmp_path, in_turn(work), ("", str), Summary(path, {"up": "y"}, False), False)
    rows = json.loads(path.read_text())["results"]
    assert [row["status"] for row in rows] == ["done", "failed"]
    text = capsys.readouterr().err
    assert text.count("no body in it") == 2, "in the line, and in the table"
    assert "1 done, 0 there already, 1 failed, 2 not reached" in text
    assert Summary(path, {"up": "z"}, False).difference().startswith("what is there already")
    assert not Summary(path, {"up": "y"}, False).difference()
    path.write_text("{}")
    with pytest.raises(UsageError, match="no summary of such a run"):
        Summary(path, {}, False)
