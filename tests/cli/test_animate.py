"""`posetx animate` run again: what is there of an earlier run is gone on with, or told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from posetx.cli import app
from tests.cli.writers import make_inputs

FAST = ("--no-refine", "--no-restore", "-m", "small.safetensors")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    make_inputs(folder)
    return folder


@pytest.fixture
def here(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.npy", "b.npy", "c.bvh", "t.obj", "t.mtl", "small.safetensors", "small.json"):
        shutil.copy(given / name, name)
    shutil.copytree(given / "maps", "maps")
    return tmp_path


def animated(*arguments: str) -> str:
    run = CliRunner().invoke(app, ["animate", *arguments, *FAST])
    assert run.exit_code == 0, run.output
    return run.stderr


def test_kept_poses_are_gone_on_with_or_read_anew(here: Path) -> None:
    arguments = ("a.npy", "b.npy", "t.obj", "-o", "o.glb", "--overwrite", "--poses", "p")
    arguments += ("--up", "y", "--front", "z")
    assert "note: p:" not in animated(*arguments)
    again = tuple(word for word in arguments if word != "--overwrite")
    Path("o.glb").unlink()
    assert "note: p: 2 of 2 frames are there already" in animated(*again)
    Path("o.glb").unlink()
    shutil.copy("b.npy", "a.npy")
    told = animated(*again)
    assert "note: p: 1 of 2 frames are there already" in told
    assert "note: p: 1 of 2 frames are there of other options or scans: these are read" in told


def test_frames_of_a_longer_run_are_told(here: Path) -> None:
    first = ("c.bvh", "t.obj", "-o", "r [x]")
    assert "note" not in animated(*first)
    told = animated(*first, "--overwrite", "--frames", ":1")
    assert "note: r [x]/frame_0001.obj: is of another run" in told
    assert "r [x]: 1 frame, " in told
