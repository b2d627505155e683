"""The shipped weights: they load, they are whole, they transfer poses better than doing nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from posetx.bodies.body import BodyModel
from posetx.data.poses import PoseBank
from posetx.data.stream import BodyStream, StreamSettings
from posetx.errors import MissingError, PosetxError
from posetx.evaluation.protocols import PROTOCOLS, pairs
from posetx.evaluation.run import Evaluator
from posetx.geometry.rotations import matrix_from_yaw
from posetx.models.checkpoint import load_model
from posetx.models.predictor import IdentityFrame, Predictor, pose_sample
from posetx.reading.reader import CLUTTER
from posetx.system.paths import find_model


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(load_model("posemae")[0], torch.device("cpu"))


def test_card_describes_the_file() -> None:
    path = find_model("posemae")
    card = json.loads(path.with_suffix(".json").read_text())
    assert path.stat().st_size < 24 * 2**20
    assert card["training"]["samples"] > 0
    assert {"seen", "unseen", "reposed", "noise", "scan"} <= set(card["figures"])


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    path = find_model("posemae")
    for suffix in (".safetensors", ".json"):
        shutil.copy(path.with_suffix(suffix), tmp_path)
    copy = tmp_path / path.name
    data = bytearray(copy.read_bytes())
    data[-1] ^= 1
    copy.write_bytes(data)
    with pytest.raises(MissingError, match="sha256"):
        load_model(str(copy))
    copy.write_bytes(data[: len(data) // 2])
    copy.with_suffix(".json").unlink()
    with pytest.raises(PosetxError, match="not a usable posetx model"):
        load_model(str(copy))


def test_torch_does_not_import_its_compiler_to_load_a_model() -> None:
    """Which takes longer than all the rest of it."""
    code = "import sys; from posetx.models.checkpoint import load_network as load; "
    code += "load('posemae'); sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_names_are_refused() -> None:
    with pytest.raises(MissingError, match="no such model"):
        load_model("nothing")


def test_remeshing_the_target_does_not_move_its_surface(
    predictor: Predictor, all_banks: dict[str, PoseBank]
) -> None:
    body = BodyModel.load()
    pair = next(pairs("unseen", body, all_banks, 1))
    target, faces = pair.target.double().numpy(), body.faces.numpy()
    finer, finer_faces = trimesh.remesh.subdivide(target, faces)
    code = predictor.encode_pose(pose_sample(pair.points.double().numpy(), 128)[None])

    def moved(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        frame = IdentityFrame.of(vertices, triangles)
        normal = frame.to_normal(vertices)
        context = predictor.context(code, predictor.identity_sample(normal, triangles))
        return frame.from_normal(predictor.decode(context, normal)[0])

    coarse, fine = moved(target, faces), moved(finer, finer_faces)
    height = np.ptp(target[:, 1])
    # subdivision keeps the first vertices: the same surface points, seen in two meshes
    assert np.linalg.norm(fine[: len(target)] - coarse, axis=1).mean() < 0.01 * height


def test_figures_are_deterministic_and_sane(predictor: Predictor) -> None:
    first, again = Evaluator(predictor), Evaluator(predictor)
    figures = first.protocol("unseen", 2, restored=1)
    again.protocol("unseen", 1, restored=1)
    assert first.details["unseen"][:1] == again.details["unseen"]
    assert figures["pmd"] < 60e-4
    assert figures["edge_restored"] < 0.05


@pytest.mark.parametrize("refine", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_scans_are_turned_upright_and_to_the_front(predictor: Predictor, refine: bool) -> None:
    """Whichever axis is up: what the model sees next is the body's own frame."""
    evaluator = Evaluator(predictor, refine=refine)
    most = 10 if refine else 20  # of the second pair the network alone is off by 14
    for pair in pairs("turned", evaluator.body, evaluator.banks, 2):
        read = evaluator.read(pair, PROTOCOLS["turned"])
        rotation = np.roll(read.orientation.rotation, -pair.roll, 1)
        turn = rotation @ matrix_from_yaw(torch.tensor(pair.yaw)).double().numpy()
        assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) < most
        assert all(s["stage"] != "fit" for s in read.cleaning), "there was no furniture"


def test_the_network_alone_is_sane_on_scans(predictor: Predictor) -> None:
    figures = Evaluator(predictor).protocol("scan", 2, restored=0)
    assert figures["orientation_within_15"] >= 0.5
    assert figures["pmd"] < 150e-4


def test_it_knows_what_is_no_body(predictor: Predictor, all_banks: dict[str, PoseBank]) -> None:
    """Of boxes against bodies it suspects most points, of the bodies few."""
    settings = StreamSettings(
        pose_points=1024,
        pool=3000,
        scan_share=1.0,
        noise_share=0.0,
        object_share=1.0,
        more_share=0.0,
        dressed_share=0.0,
    )
    batch = BodyStream(BodyModel.load(), all_banks["unseen"], settings, seed=5).draw(16)
    with torch.no_grad():
        pose = predictor.model.encode_pose(batch.pose, sets=8)
    suspected = pose.features.shares.sum(-1) < 1 - CLUTTER
    strange = batch.pose_part < 0
    assert suspected[strange].float().mean() > 0.5
    assert suspected[~strange].float().mean() < 0.15
