"""Training without ground truth: any meshes, grouped by identity, and nothing else known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from typer.testing import CliRunner

from posetx.bodies.body import BodyModel
from posetx.cli import app
from posetx.data.groups import GroupStream, MeshGroups
from posetx.data.stream import EDGES, StreamSettings
from posetx.errors import PosetxError, UsageError
from posetx.models.registry import config_named
from posetx.training.loop import Trainer, TrainSettings

SETTINGS = StreamSettings(pose_points=64, identity_points=64)
CONFIG = config_named("mapconnet", width=8, pose_points=64, identity_points=64)
CPU = torch.device("cpu")


def bent(mesh: trimesh.Trimesh, degrees: float) -> trimesh.Trimesh:
    """The upper half turned over to one side, as a pose."""
    mesh = mesh.copy()
    angle = np.deg2rad(degrees) * np.clip(mesh.vertices[:, 2] / mesh.extents[2] + 0.5, 0, 1)
    x, z = mesh.vertices[:, 0].copy(), mesh.vertices[:, 2].copy()
    mesh.vertices[:, 0] = np.cos(angle) * x + np.sin(angle) * z
    mesh.vertices[:, 2] = np.cos(angle) * z - np.sin(angle) * x
    return mesh


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A worm and a snake of another topology and unit, three poses each."""
    folder = tmp_path_factory.mktemp("animals")
    animals = {
        "worm": trimesh.creation.capsule(1.0, 0.2),
        "snake": trimesh.creation.cylinder(20.0, 300.0, sections=12).subdivide().subdivide(),
    }
    for name, mesh in animals.items():
        (folder / name).mkdir()
        for pose, degrees in enumerate((0, 40, 80)):
            bent(mesh, degrees).export(folder / name / f"{pose}.obj")
    return folder


def test_one_identity_in_two_poses_and_nothing_else(folder: Path) -> None:
    stream = GroupStream(MeshGroups.read(folder), SETTINGS)
    batch = stream.draw(32)
    assert batch.pose.shape == batch.identity.shape == (32, 64, 3)
    assert batch.queries.shape == batch.truth.shape == (32, 64 + 2 * EDGES, 3)
    assert batch.pose_part is None and batch.pose_joints is None
    # the same surface in two poses: edges keep their lengths nearly, points do not stay
    ends = [points[:, 64:].unflatten(1, (2, EDGES)) for points in (batch.queries, batch.truth)]
    lengths = [(x[:, 0] - x[:, 1]).norm(dim=-1) for x in ends]
    assert (lengths[0] / lengths[1]).log().abs().median() < 0.2
    assert (batch.queries - batch.truth).norm(dim=-1).mean() > 0.1
    assert len(batch.metres.round(decimals=3).unique()) > 2, "both identities are drawn"
    assert batch.metres.max() > 50 * batch.metres.min(), "units are the files' own"


def test_the_same_seed_draws_the_same(folder: Path) -> None:
    one, two = (GroupStream(MeshGroups.read(folder), SETTINGS, seed=4).draw(4) for _ in range(2))
    assert torch.equal(one.truth, two.truth) and torch.equal(one.pose, two.pose)


def test_it_learns_and_resumes(folder: Path, tmp_path: Path) -> None:
    groups, body = MeshGroups.read(folder), BodyModel.load()
    settings = TrainSettings(samples=4 * 40, batch=4, lr=2e-3, unsupervised=True)
    run = Trainer(tmp_path, body, groups, settings, CONFIG, SETTINGS, CPU)
    seen = [float(run.step()["cross_position"]) for _ in range(10)]
    assert np.mean(seen[-2:]) < np.mean(seen[:2])
    run.save()
    resumed = Trainer.resumed(tmp_path, body, groups, TrainSettings(samples=4 * 40), CPU)
    assert resumed.settings.unsupervised and resumed.samples == 40
    assert "self_position" in resumed.step()
    with pytest.raises(UsageError, match="npt needs ground truth"):
        config = config_named("npt", width=64)
        Trainer(tmp_path, body, groups, settings, config, SETTINGS, CPU)


def test_command(folder: Path, tmp_path: Path) -> None:
    sizes = ["--width", "8", "--pose-points", "32", "--identity-points", "32", "--batch", "4"]
    arguments = ["train", str(tmp_path), "--unsupervised", *sizes, "--samples", "8", "--json"]
    run = CliRunner().invoke(app, [*arguments, "--data", str(folder)])
    assert run.exit_code == 0, run.output
    card = json.loads(Path(json.loads(run.stdout)["model"]).with_suffix(".json").read_text())
    assert (
        card["architecture"] == "MAPConNet" and "without ground truth" in card["training"]["data"]
    )
    again = CliRunner().invoke(app, [*arguments, "--resume"])
    assert again.exit_code == 1 and "begun with --data and --unsupervised" in again.stderr


def test_what_it_needs_is_said(folder: Path, tmp_path: Path) -> None:
    def says(words: str) -> None:
        with pytest.raises(PosetxError, match=words):
            MeshGroups.read(tmp_path)

    says("has meshes of 0 identities, and needs two")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.obj").write_bytes((folder / "worm" / "0.obj").read_bytes())
    says("is the only mesh of a")
    (tmp_path / "a" / "1.obj").write_bytes((folder / "snake" / "0.obj").read_bytes())
    (tmp_path / "b" / "1.obj").write_bytes((folder / "worm" / "1.obj").read_bytes())
    says("1.obj: has .* vertices, 0.obj has")
