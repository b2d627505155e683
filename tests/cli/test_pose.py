"""`posetx pose`: one scan, many scans, those that fail."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from posetx.bodies.body import BodyModel
from posetx.bodies.skeleton import JOINTS
from posetx.cli import app
from posetx.files.scans import read_scan


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a folder of two scans."""
    monkeypatch.chdir(tmp_path)
    points = BodyModel.load().template.double().numpy()
    folder = tmp_path / "scans"
    folder.mkdir()
    np.save(folder / "a.npy", points[::2])
    np.save(folder / "b.npy", 1000 * points[1::2] + 5000)
    return folder


FAST = ("--no-refine", "--no-clean", "--up", "y", "--front", "z", "--json")


def test_one_scan_gives_a_pose_a_body_and_a_report(scans: Path) -> None:
    files = ["-o", "p.json", "--body", "b.ply", "--summary", "s.json"]
    run = CliRunner().invoke(app, ["pose", "scans/b.npy", *files, *FAST])
    assert run.exit_code == 0, run.output
    report = json.loads(run.stdout)
    assert report == json.loads(Path("s.json").read_text())
    assert (report["output"], report["body"], report["unit"]) == ("p.json", "b.ply", "mm")
    assert set(report["joint_confidence"]) == set(JOINTS)
    assert set(report["body_to_scan"]) == {"mean", "median", "p95", "within_10"}
    assert 0 < report["scan_to_body"]["median"] < 30
    pose = json.loads(Path("p.json").read_text())
    assert len(pose["frames"]) == 1 and pose["frames"][0]["scan"] == "scans/b.npy"
    body = read_scan(Path("b.ply"))
    assert np.abs(body.points - 5000).max() < 1200 and body.colors is not None
    assert "p.json: the pose of" in run.stderr and "mm from the scan (median)" in run.stderr


def test_many_scans_are_frames_of_one_file_and_bodies_in_a_folder(scans: Path) -> None:
    files = ["-o", "p.bvh", "--body", "bodies", "--body-format", "glb", "--summary", "s.json"]
    run = CliRunner().invoke(app, ["pose", "scans", *files, "--fps", "10", *FAST])
    assert run.exit_code == 0, run.output
    rows = json.loads(run.stdout)["results"]
    assert [(row["output"], row["frame"]) for row in rows] == [("p.bvh", 0), ("p.bvh", 1)]
    assert sorted(os.listdir("bodies")) == ["a.glb", "b.glb"]
    text = Path("p.bvh").read_text()
    assert "Frames: 2\nFrame Time: 0.1\n" in text
    assert "several units" in run.stderr and "p.bvh: 2 frames" in run.stderr
    again = CliRunner().invoke(app, ["pose", "scans", *files, *FAST])
    assert again.exit_code == 2 and "p.bvh: exists already" in again.stderr
    assert Path("p.bvh").read_text() == text


def test_a_scan_that_fails_is_left_out_and_said(scans: Path) -> None:
    (scans / "aa.ply").write_text("ply\nformat")
    run = CliRunner().invoke(app, ["pose", "scans", "-o", "p.npz", *FAST])
    assert run.exit_code == 1, run.output
    assert "aa.ply" in run.stderr and "2 done, 0 there already, 1 failed" in run.stderr
    rows = json.loads(run.stdout)["results"]
    assert [row["status"] for row in rows] == ["done", "failed", "done"]
    with np.load("p.npz") as arrays:
        assert arrays["joints"].shape == (2, 19, 3)
        assert arrays["scan"].tolist() == ["scans/a.npy", "scans/b.npy"]


def test_nothing_is_written_where_all_fail(scans: Path) -> None:
    (scans / "a.npy").write_bytes(b"")
    (scans / "b.npy").write_bytes(b"")
    run = CliRunner().invoke(app, ["pose", "scans", "-o", "p.npz", *FAST])
    assert run.exit_code == 1 and not Path("p.npz").exists()
