"""CONTRIBUTING.md is true: one file and one line each, as it has them, in a copy of the package.

Code is taken from the document's blocks. What the copy then does is asked of processes of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

import posetx

PACKAGE = Path(posetx.__file__).parent
DOCUMENT = Path(__file__).parents[1] / "CONTRIBUTING.md"
WEIGHTS = Path(__file__).parents[1] / "weights" / "posemae.safetensors"

#: of a cube: its corners, two triangles of each side, and what else the file says
VERTICES = [[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]
FACES = [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6],
         [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]  # fmt: skip
CUBE = {"name": "cube", "vertices": VERTICES, "faces": FACES}


def blocks(section: str) -> list[str]:
    """The Python blocks of one of the document's sections."""
    text = DOCUMENT.read_text(encoding="utf-8")
    body = re.split(r"^## ", text.split(f"\n## {section}\n")[1], flags=re.MULTILINE)[0]
    found = re.findall(r"^ *```python\n(.*?)^ *```", body, flags=re.MULTILINE | re.DOTALL)
    return [dedent(block) for block in found]


class Copy:
    """The package, where things may be added to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(PACKAGE, folder / "posetx")

    def add(self, file: str, source: str, table: str, name: str, line: str) -> None:
        """A new file with this source, and a line at the end of the table called ``name``."""
        assert not (self.folder / file).exists()
        (self.folder / file).write_text(source, encoding="utf-8")
        path = self.folder / table
        text = path.read_text(encoding="utf-8")
        begin = re.search(rf"^{name}\b.*= [\[{{(]\n", text, flags=re.MULTILINE)
        assert begin and line.count("\n") == 1, (name, line)
        end = re.compile(r"^[\]})]", flags=re.MULTILINE).search(text, begin.end())
        assert end
        path.write_text(f"{text[: end.start()]}    {line}{text[end.start() :]}", encoding="utf-8")

    def run(self, *arguments: object) -> str:
        """What Python says to these arguments, in the copy."""
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def posetx(self, *arguments: object) -> dict[str, Any]:
        """What a command says as JSON."""
        answer: dict[str, Any] = json.loads(self.run("-m", "posetx", *arguments, "--json"))
        return answer


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


LEARN_AND_MOVE = """
from pathlib import Path
import json, torch
from typer.testing import CliRunner
from posetx.cli import app

def posetx(*arguments):
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)

sizes = ("--width", 8, "--pose-points", 32, "--identity-points", 32)
learnt = posetx("train", "run", "--model", "toy", *sizes, "--batch", 4, "--samples", 8)
measured = posetx("evaluate", "-m", learnt["model"], "-p", "seen", "--pairs", 1)

from posetx.bodies.body import BodyModel
from posetx.data.splits import training_poses
from posetx.data.stream import StreamSettings
from posetx.models.checkpoint import load_network
from posetx.models.registry import config_named
from posetx.training.loop import Trainer, TrainSettings

network, card = load_network("run/toy.safetensors")
points = torch.rand(2, 50, 3)
with torch.no_grad():
    moved = network.mover(points, 50)(torch.randn(2, 40, 3))
body, cpu = BodyModel.load(), torch.device("cpu")
config = config_named("toy", width=32, pose_points=32, identity_points=32)
settings, stream = TrainSettings(samples=8, batch=4), StreamSettings(32, 32, pool=256)
run = Trainer(Path("again"), body, training_poses(body, None), settings, config, stream, cpu)
before = [value.clone() for value in run.model.parameters()]
steps = [{name: float(term) for name, term in run.step().items()} for _ in range(2)]
print(json.dumps({
    "learnt": learnt, "measured": measured,
    "kind": card["architecture"], "moved": moved.shape, "finite": bool(moved.isfinite().all()),
    "steps": steps,
    "changed": [not torch.equal(a, b) for a, b in zip(before, run.model.parameters())],
}))
"""


def test_a_model_is_a_file_and_a_line(copy: Copy) -> None:
    source, line = blocks("A model")
    copy.add("posetx/models/toy.py", source, "posetx/models/known.py", "KNOWN", line)
    done = json.loads(copy.run("-c", LEARN_AND_MOVE))
    learnt = done["learnt"]
    assert Path(learnt["model"]).name == "toy.safetensors" and learnt["samples"] == 8
    assert done["measured"]["figures"]["seen"]["pmd"] > 0
    assert done["kind"] == "Toy" and done["moved"] == [2, 50, 3] and done["finite"]
    for terms in done["steps"]:
        assert set(terms) == {"position", "edge", "pmd"} and np.isfinite(list(terms.values())).all()
    assert all(done["changed"])


def test_an_attack_is_a_file_and_a_line(copy: Copy) -> None:
    source, line = blocks("An attack")
    table = "posetx/attacks/methods.py"
    copy.add("posetx/attacks/nesterov.py", source, table, "METHODS", line)
    found = copy.posetx(
        *("attack-dataset", "seen", "--pairs", 1, "--steps", 4, "--epsilon", 0.02),
        *("--method", "nesterov", "-m", WEIGHTS),
    )
    clean, attacked = found["rows"]
    assert attacked["method"] == "nesterov"
    assert 0 < attacked["size_mm"] <= 20.01 and attacked["pmd"] > clean["pmd"]


READ_AND_WRITE = """
from pathlib import Path
import json, numpy as np
from posetx.errors import PosetxError
from posetx.files.scans import SCAN_SUFFIXES, read_scan
from posetx.files.targets import read_target

try:
    read_scan(Path("cut.jmesh"))
except PosetxError as error:
    refused = str(error)
scan, target = read_scan(Path("cube.jmesh")), read_target(Path("cube.jmesh"))
target.save(Path("moved.jmesh"), target.vertices + 1)
target.save(Path("moved.ply"), target.vertices + 1)
print(json.dumps({
    "suffixes": SCAN_SUFFIXES, "refused": refused,
    "points": scan.points.tolist(), "faces": scan.faces.tolist(), "notes": scan.notes,
    "moved": json.loads(Path("moved.jmesh").read_text()),
    "converted": read_scan(Path("moved.ply")).points.tolist(),
}))
"""


def test_a_format_is_a_file_and_a_line_for_scans_and_for_targets(copy: Copy) -> None:
    codec, suffix, target, target_suffix = blocks("A file format")
    copy.add("posetx/files/codecs/jmesh.py", codec, "posetx/files/scans.py", "_READERS", suffix)
    copy.add(
        *("posetx/files/targets/jmesh.py", target),
        *("posetx/files/targets/base.py", "_READERS", target_suffix),
    )
    lonely = [*VERTICES, [float("nan"), 0, 0]]
    (copy.folder / "cube.jmesh").write_text(json.dumps(CUBE))
    (copy.folder / "cut.jmesh").write_text(json.dumps(CUBE)[:-9])
    (copy.folder / "holes.jmesh").write_text(json.dumps({**CUBE, "vertices": lonely}))
    done = json.loads(copy.run("-c", READ_AND_WRITE))
    assert ".jmesh" in done["suffixes"]
    assert done["refused"].startswith("cut.jmesh: ") and "\n" not in done["refused"]
    assert done["points"] == VERTICES and done["faces"] == FACES and done["notes"] == []
    moved = (np.array(VERTICES) + 1).tolist()
    assert done["moved"] == {**CUBE, "vertices": moved}
    assert done["converted"] == moved
    # a command takes it as any other, and the room's checks are made of it
    cleaned = copy.posetx("clean", "holes.jmesh", "-o", "clean.ply")
    assert "1 of 9 points are NaN" in json.dumps(cleaned)
