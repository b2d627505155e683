"""Training on a folder of meshes: what is read, what is refused, that the truth is the truth."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull
from typer.testing import CliRunner

from posetx.bodies.body import BodyModel
from posetx.cli import app
from posetx.data import folder as module
from posetx.data.folder import FolderStream, MeshFolder
from posetx.data.poses import PoseBank
from posetx.data.stream import EDGES, StreamSettings
from posetx.data.write import BodiesSettings, encode_ply, obj_encoder, write_bodies
from posetx.errors import PosetxError
from posetx.geometry.frames import normalise_pose
from posetx.models.checkpoint import load_model, read_model
from posetx.models.pose_mae import PoseMAEConfig
from posetx.models.predictor import IdentityFrame
from posetx.training.adversarial import AdversarialSettings
from posetx.training.loop import Trainer, TrainSettings

CPU = torch.device("cpu")
TINY = PoseMAEConfig(width=64, code=64, decoder_width=16, decoder_blocks=1, depth=1)
STREAM = StreamSettings(pose_points=64, identity_points=48, yaw_degrees=0.0, noise_share=0.0)
KNOWN = ("pose", "identity", "queries", "truth", "metres")

DIRECTIONS = np.random.default_rng(0).normal(size=(300, 3))
BALL = DIRECTIONS / np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
BALL_FACES = ConvexHull(BALL).simplices.astype(np.int64)
#: an "identity" is an ellipsoid's size, a "pose" how much taller it stands
SIZES, TALLER = (1.0, 3.0, 0.5), (1.0, 2.0)


def ellipsoid(identity: int, pose: int) -> np.ndarray:
    return BALL * SIZES[identity] * [0.3, TALLER[pose], 0.3] + [5.0, identity, pose]


def tiny() -> bytes:
    points = "".join(f"v {x:.9e} {y:.9e} {z:.9e}\n" for x, y, z in 1e-60 * BALL)
    return (points + "".join(f"f {a} {b} {c}\n" for a, b, c in BALL_FACES + 1)).encode()


def ellipsoids(folder: Path, names: list[tuple[int, int]] | None = None) -> Path:
    encode = obj_encoder(BALL_FACES)
    folder.mkdir(exist_ok=True)
    for i, j in names or [(i, j) for i in range(3) for j in range(2)]:
        (folder / f"id{i}_{j}.obj").write_bytes(encode(ellipsoid(i, j)))
    return folder


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people in three poses, and scans beside them, which are no data."""
    path = tmp_path_factory.mktemp("npt")
    settings = BodiesSettings(3, layout="npt", format="obj", identities=3, seed=4)
    write_bodies(path, settings)
    (path / "id0_0_scan.ply").write_bytes(b"")
    return path


@pytest.fixture(scope="module")
def meshes(bodies: Path) -> MeshFolder:
    return MeshFolder.read(bodies)


# Reading


def test_reads_what_is_there(tmp_path: Path) -> None:
    """Numbers in names are numbers, formats mix, a hole in the table stays one."""
    path = ellipsoids(tmp_path, [(0, 0), (2, 0), (2, 1)])
    (path / "id010_0.PLY").write_bytes(encode_ply(ellipsoid(1, 0), BALL_FACES))
    (path / "readme.txt").write_text("mine")
    (path / "body_1.obj").write_text("no mesh")
    meshes = MeshFolder.read(path)
    assert meshes.table.tolist() == [[0, -1], [1, 2], [3, -1]]
    assert meshes.vertices.shape == (4, 300, 3) and meshes.vertices.dtype == torch.float32
    frame = IdentityFrame.of(ellipsoid(1, 0), BALL_FACES)
    assert meshes.units[3] == pytest.approx(frame.unit, rel=1e-5)
    expected = torch.from_numpy(frame.to_normal(ellipsoid(1, 0))).float()
    torch.testing.assert_close(meshes.vertices[3], expected, atol=1e-5, rtol=0)
    assert float(meshes.face_area.sum()) == pytest.approx(1.0, abs=1e-5)
    assert str(meshes) == f"4 meshes of {path}: 3 identities, 2 poses"


def test_much_data_is_kept_in_half_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ellipsoids(tmp_path)
    whole = MeshFolder.read(tmp_path)
    monkeypatch.setattr(module, "FLOAT32_LIMIT", 1000)
    half = MeshFolder.read(tmp_path)
    assert half.vertices.dtype == torch.float16
    torch.testing.assert_close(half.vertices.float(), whole.vertices, atol=3e-4, rtol=0)
    assert FolderStream(half, STREAM).draw(4).truth.dtype == torch.float32


def with_file(name: str, content: bytes):
    def damage(path: Path) -> None:
        (path / name).write_bytes(content)

    return damage


def emptied(path: Path) -> None:
    for file in path.iterdir():
        file.rename(file.with_stem(file.stem.replace("id", "body")))


def disjoint(path: Path) -> None:
    for name in ("id0_1", "id1_0", "id2_0", "id2_1"):
        (path / f"{name}.obj").unlink()


@pytest.mark.parametrize(
    ("damage", "name", "what"),
    [
        (with_file("id1_1.obj", obj_encoder(BALL_FACES[:9])(BALL[:-1])), "id1_1.obj", "vertices"),
        (with_file("id1_1.obj", obj_encoder(BALL_FACES[::-1])(BALL)), "id1_1.obj", "other faces"),
        (with_file("id1_1.obj", obj_encoder(BALL_FACES)(0 * BALL)), "id1_1.obj", "no area"),
        # its unit would be 0 in single precision, and a batch what is no number
        (with_file("id1_1.obj", tiny()), "id1_1.obj", "no area"),
        (with_file("id1_1.obj", b"v 0 0\n"), "id1_1.obj", "three numbers"),
        (with_file("id1_01.off", b"OFF"), "id1_1.obj", "the same body as id1_01.off"),
        (emptied, "", "has no meshes id0_0.obj"),
        (disjoint, "", "share a pose"),
    ],
)
def test_refuses_in_one_line_that_names_the_file(tmp_path: Path, damage, name, what) -> None:
    damage(ellipsoids(tmp_path))
    with pytest.raises(PosetxError, match=what) as refused:
        MeshFolder.read(tmp_path)
    assert str(refused.value).startswith(str(tmp_path / name))
    assert "\n" not in str(refused.value)


def test_refuses_what_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(PosetxError, match="is not a folder"):
        MeshFolder.read(tmp_path / "none")


# Batches


def test_shapes_frames_and_nothing_made_up(meshes: MeshFolder) -> None:
    batch = FolderStream(meshes, StreamSettings(64, 48), seed=1).draw(10)
    assert batch.pose.shape == (10, 64, 3)
    assert batch.identity.shape == (10, 48, 3)
    assert batch.queries.shape == batch.truth.shape == (10, 48 + 2 * EDGES, 3)
    assert torch.equal(batch.queries[:, :48], batch.identity)
    for field in fields(batch):
        value = getattr(batch, field.name)
        assert value.isfinite().all() if field.name in KNOWN else value is None, field.name
    assert batch.identity.mean(1).abs().max() < 1e-5
    assert batch.truth[:, :48].mean(1).abs().max() < 1e-5
    assert 1.0 < batch.metres.min() <= batch.metres.max() < 2.0
    few = FolderStream(meshes, StreamSettings(64, 48)).draw(2, points=40)
    assert few.pose.shape == few.identity.shape == (2, 40, 3)


def test_source_and_truth_share_the_pose_and_nothing_else(meshes: MeshFolder) -> None:
    stream = FolderStream(meshes, STREAM, seed=2)
    source, identity, truth = stream._draw_files(200)
    rows, poses = torch.div(torch.arange(9), 3, rounding_mode="floor"), torch.arange(9) % 3
    assert torch.equal(poses[source], poses[truth])
    assert torch.equal(rows[identity], rows[truth])
    assert (rows[source] != rows[identity]).all()
    assert len(identity.unique()) == len(truth.unique()) == 9


def test_the_truth_is_the_identitys_own_mesh_in_the_pose(
    meshes: MeshFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all the meshes read, the one that truth and pose lie closest to is theirs."""
    settings = StreamSettings(1000, 1000, yaw_degrees=0.0, noise_share=0.0)
    stream = FolderStream(meshes, settings, seed=6)
    source, identity, truth = (torch.tensor([n]) for n in (1, 6, 7))  # id0_1, id2_0, id2_1
    monkeypatch.setattr(stream, "_draw_files", lambda count: (source, identity, truth))
    batch = stream.draw(1)
    assert float(batch.metres) == float(meshes.units[6])
    aim = batch.truth[0] * batch.metres
    meshes_in_metres = (meshes.vertices * meshes.units.view(-1, 1, 1))[:, ::4]
    far = [float(torch.cdist(aim, mesh).amin(1).mean()) for mesh in meshes_in_metres]
    assert int(np.argmin(far)) == 7 and far[7] < 0.025
    everyone = torch.arange(9)  # the pose cloud, too, lies closest to its own file
    clouds, _, _ = normalise_pose(stream._points(everyone, *stream._surface(9, 3000)))
    far = torch.cdist(batch.pose, clouds).amin(2).mean(1).tolist()
    assert int(np.argmin(far)) == 1


def test_truth_of_a_known_deformation(tmp_path: Path) -> None:
    """The identity in pose q must become exactly itself, as much taller as pose p is."""
    stream = FolderStream(MeshFolder.read(ellipsoids(tmp_path)), STREAM, seed=3)
    batch = stream.draw(64)
    # the identity's small heading is the only turn there is, and leaves heights and radii alone
    ratio = batch.truth[..., 1].norm(dim=1) / batch.queries[..., 1].norm(dim=1)
    assert {round(float(r), 3) for r in ratio} == {0.5, 1.0, 2.0}
    torch.testing.assert_close(
        batch.truth[..., 1], ratio.view(-1, 1) * batch.queries[..., 1], atol=1e-5, rtol=0
    )
    radii = [points[..., [0, 2]].norm(dim=-1) for points in (batch.truth, batch.queries)]
    torch.testing.assert_close(*radii, atol=1e-5, rtol=0)
    # the pose source has another size but the same shape as the truth
    extent = [points.amax(1) - points.amin(1) for points in (batch.pose, batch.truth)]
    slim = [e[:, 0] / e[:, 1] for e in extent]
    torch.testing.assert_close(*slim, atol=0.1, rtol=0)
    tall = slim[0] < 0.22
    assert tall.any() and not tall.all()


def test_pose_and_truth_turn_together(tmp_path: Path) -> None:
    """A half-turned ellipsoid, whose wide side shows its heading."""
    path = ellipsoids(tmp_path)
    for file in path.iterdir():
        lines = [line.split() for line in file.read_text().splitlines()]
        wide = [[w, x, y, str(4 * float(z))] if w == "v" else [w, x, y, z] for w, x, y, z in lines]
        file.write_text("\n".join(" ".join(line) for line in wide))
    settings = StreamSettings(512, 512, yaw_degrees=60.0, noise_share=0.0)
    batch = FolderStream(MeshFolder.read(path), settings, seed=4).draw(32)

    def heading(points: torch.Tensor) -> torch.Tensor:
        flat = points[..., [2, 0]] - points[..., [2, 0]].mean(1, keepdim=True)
        axis = torch.linalg.eigh(flat.mT @ flat).eigenvectors[..., -1]
        return torch.atan(axis[:, 1] / axis[:, 0]).rad2deg()

    pose, truth, identity = map(heading, (batch.pose, batch.truth[:, :512], batch.identity))
    assert (pose - truth).abs().max() < 3
    assert pose.abs().max() > 40
    assert identity.abs().max() < 12


def test_noise_is_of_the_share_and_size_that_was_asked(tmp_path: Path) -> None:
    meshes = MeshFolder.read(ellipsoids(tmp_path))
    settings = StreamSettings(64, 48, noise_share=0.5, noise=0.1)
    stream = FolderStream(meshes, settings, seed=5)
    moved = stream._noisy(torch.zeros(400, 64, 3)).flatten(1).std(1)
    assert 0.4 < (moved > 0).float().mean() < 0.6
    assert 0.1 < moved.max() < 0.16


def test_the_seed_decides_and_a_saved_state_continues(meshes: MeshFolder) -> None:
    def same(a, b) -> bool:
        return all(torch.equal(getattr(a, name), getattr(b, name)) for name in KNOWN)

    stream, twin = (FolderStream(meshes, STREAM, seed=7) for _ in range(2))
    first = stream.draw(4)
    assert same(first, twin.draw(4))
    state = stream.generator.get_state()
    second = stream.draw(4)
    assert not same(first, second)
    twin.generator.set_state(state)
    assert same(second, twin.draw(4))


# Training


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


def trainer(
    path: Path, body: BodyModel, meshes: MeshFolder, samples: int, config: PoseMAEConfig = TINY
) -> Trainer:
    settings = TrainSettings(samples=samples, batch=16)
    stream = StreamSettings(pose_points=64, identity_points=64)
    return Trainer(path, body, meshes, settings, config, stream, CPU)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["skin", "coords"])
def test_loss_falls(tmp_path: Path, body: BodyModel, meshes: MeshFolder, head: str) -> None:
    config = PoseMAEConfig(head, width=64, code=64, decoder_width=16, decoder_blocks=1, depth=1)
    seen = []
    run = trainer(tmp_path, body, meshes, 16 * 40, config)
    run.run(lambda progress: seen.append(progress.terms), report_steps=10)
    assert seen[0].keys() == {"position", "edge", "pmd"}
    assert seen[-1]["position"] < 0.7 * seen[0]["position"]


@pytest.mark.slow
def test_shipped_weights_learn_on(tmp_path: Path, body: BodyModel, meshes: MeshFolder) -> None:
    weights, card = read_model("posemae")[1:]
    run = trainer(tmp_path, body, meshes, 16 * 20, PoseMAEConfig())
    assert run.start_from(weights, card) == len(weights)
    seen = [float(run.step()["position"]) for _ in range(16)]
    assert np.mean(seen[-4:]) < np.mean(seen[:2])


def test_resumed_run_equals_an_unbroken_one(
    tmp_path: Path, body: BodyModel, meshes: MeshFolder, all_banks: dict[str, PoseBank]
) -> None:
    whole = trainer(tmp_path / "whole", body, meshes, 16 * 6)
    whole.run(lambda progress: None)
    broken = trainer(tmp_path / "broken", body, meshes, 16 * 6)
    for _ in range(3):
        broken.step()
    broken.save()
    resumed = Trainer.resumed(tmp_path / "broken", body, meshes, TrainSettings(samples=16 * 6), CPU)
    resumed.run(lambda progress: None)
    for name, value in whole.model.state_dict().items():
        assert torch.allclose(value, resumed.model.state_dict()[name], atol=1e-6), name
    with pytest.raises(PosetxError, match="begun with `data`"):
        Trainer.resumed(
            tmp_path / "broken", body, all_banks["train"], TrainSettings(samples=9), CPU
        )


def test_adversarial_training_needs_no_labels(
    tmp_path: Path, body: BodyModel, meshes: MeshFolder
) -> None:
    run = trainer(tmp_path, body, meshes, 16 * 6)
    run.settings.adversarial = AdversarialSettings()
    assert run.step().keys() == {"position", "edge", "pmd"}


def test_from_the_command_line_to_a_model(tmp_path: Path) -> None:
    data = ellipsoids(tmp_path / "data")

    def train(*more: str) -> Any:
        command = ["train", str(tmp_path / "run"), "--json", "--width", "16"]
        sizes = ["--batch", "4", "--pose-points", "32", "--identity-points", "32"]
        return CliRunner().invoke(app, [*command, *sizes, *more])

    done = train("--data", str(data), "--samples", "8")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    model, card = load_model(report["model"])
    assert card["training"]["data"] == f"6 meshes of {data}: 3 identities, 2 poses"
    assert card["training"]["stream"]["scan_share"] == 0
    assert model.config.pose_points == 32

    longer = train("--data", str(data), "--samples", "12", "--resume")
    assert json.loads(longer.stdout)["samples"] == 12, longer.stderr
    refused = train("--data", str(data), "--mocap", str(data), "--samples", "8", "--overwrite")
    assert refused.exit_code == 2 and "--mocap" in refused.stderr
