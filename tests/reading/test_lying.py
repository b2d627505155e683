"""People who lie: what they lie on says so, and the result lies as they do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from posetx.bodies.body import BodyModel
from posetx.bodies.metrics import position_metrics
from posetx.cleaning.clean import clean_scan
from posetx.data.poses import PoseBank
from posetx.evaluation.protocols import Pair, pairs
from posetx.files.scans import Scan
from posetx.files.sources import array_target
from posetx.geometry.axes import upright
from posetx.geometry.rotations import matrix_from_yaw
from posetx.geometry.sampling import sample_surface
from posetx.pipeline.pipeline import Pipeline
from posetx.reading.floor import lies_on
from posetx.reading.orient import is_flat
from posetx.target.ready import ReadyTarget

ON_THE_BACK = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # y up; the face is now up
ON_THE_SIDE = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
Z_UP = upright(np.array([0.0, 0.0, 1.0])).T  # from y up


@pytest.fixture(scope="module")
def worker() -> Pipeline:
    return Pipeline.load("posemae")


@pytest.fixture(scope="module")
def pair(all_banks: dict[str, PoseBank]) -> Pair:
    return next(pairs("seen", BodyModel.load(), all_banks, 1))


@pytest.fixture(scope="module")
def ready(worker: Pipeline, pair: Pair) -> ReadyTarget:
    target = array_target(pair.target.double().numpy(), BodyModel.load().faces.numpy())
    return worker.prepare(target, refine=False)


def scene(pair: Pair, laid: np.ndarray, floor: bool = True, wall: bool = False) -> np.ndarray:
    """Points of the posed body, turned and on the ground, with what is around; y up, metres."""
    surface = sample_surface(pair.points.double().numpy(), BodyModel.load().faces.numpy(), 20_000)
    points = surface[0] @ laid.T
    points -= [points[:, 0].mean(), points[:, 1].min(), points[:, 2].min()]
    rng = np.random.default_rng(0)
    around = np.stack([rng.uniform(-1.4, 1.4, 20_000), rng.uniform(0.0, 2.8, 20_000)], 1)
    level = 0.002 * rng.standard_normal(len(around))
    parts = [points]
    if floor:
        parts.append(np.stack([around[:, 0], level, around[:, 1]], 1))
    if wall:
        parts.append(np.stack([around[:, 0], around[:, 1], level], 1))
    return np.concatenate(parts)


def scan_of(points: np.ndarray) -> Scan:
    return Scan(points * 1000 + [120.0, -40.0, 300.0], None, None, None, Path("scan.ply"), [])


def headed(vertices: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Turned about y: which way the head of one who lies points is not said."""
    ours, theirs = ((v - v.mean(0))[:, 2] + 1j * (v - v.mean(0))[:, 0] for v in (vertices, like))
    turn = matrix_from_yaw(torch.tensor(np.angle((ours.conj() * theirs).sum()))).numpy()
    return vertices @ turn.T


@pytest.mark.parametrize(
    ("laid", "up", "floor"),
    [
        (ON_THE_BACK, "auto", True),
        (ON_THE_SIDE, "z", False),
        pytest.param(ON_THE_SIDE, "auto", True, marks=pytest.mark.slow),
        pytest.param(ON_THE_BACK, "z", False, marks=pytest.mark.slow),
    ],
)
def test_the_result_lies_as_the_scan_does(worker, pair, ready, laid, up, floor) -> None:
    scan = scan_of(scene(pair, laid, floor) @ Z_UP.T)
    result = worker.give(worker.read(scan, up, refine=False), ready)
    assert result.report.scan_up == "z"
    assert any("lies" in note for note in result.warnings) == floor
    truth = pair.truth.numpy() @ laid.T
    assert position_metrics(headed(result.vertices, truth), truth)["pmd"] < 80e-4
    assert np.isclose(result.vertices[:, 1].min(), ready.target.vertices[:, 1].min(), atol=1e-6)


def test_the_scan_s_heading_is_kept(worker, pair, ready) -> None:
    """With y up nothing at all is turned."""
    points = scene(pair, ON_THE_SIDE, floor=False)
    result = worker.give(worker.read(scan_of(points), "y", refine=False), ready, heading="scan")
    truth = pair.truth.numpy() @ ON_THE_SIDE.T
    assert position_metrics(result.vertices, truth)["pmd"] < 80e-4


@pytest.mark.parametrize("turn", [np.eye(3), Z_UP])
@pytest.mark.parametrize(
    ("laid", "wall", "lies"),
    [
        (ON_THE_BACK, False, True),
        (ON_THE_SIDE, False, True),
        (np.eye(3), False, False),
        (np.eye(3), True, False),
    ],
)
def test_what_a_body_lies_on(pair, turn, laid, wall, lies) -> None:
    cleaned = clean_scan(scene(pair, laid, wall=wall) @ turn.T)
    assert cleaned.planes
    up = "y" if turn is not Z_UP else "z"
    assert lies_on(cleaned.points, cleaned.planes) == (up if lies else None)


def test_nobody_lies_on_nothing(pair) -> None:
    assert lies_on(scene(pair, ON_THE_BACK, floor=False), []) is None


def test_flat_is_low_and_long(pair) -> None:
    up = np.array([0.0, 1.0, 0.0])
    assert is_flat(scene(pair, ON_THE_BACK, floor=False), up)
    assert not is_flat(scene(pair, np.eye(3), floor=False), up)
