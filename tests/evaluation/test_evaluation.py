"""Metrics on analytic cases; protocols that are the same for everyone."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from posetx.bodies.body import BodyModel
from posetx.bodies.metrics import joint_metrics, joint_regressor, position_metrics
from posetx.cli import app
from posetx.errors import UsageError
from posetx.evaluation.card import write_figures
from posetx.evaluation.protocols import HEIGHTS, PROTOCOLS, eligible_bodies, pairs
from posetx.evaluation.tables import figures_markdown
from posetx.geometry.axes import upright
from posetx.geometry.rotations import matrix_from_yaw
from tests.measures import geodesic_degrees


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def banks(all_banks):
    return all_banks


def test_pmd_is_the_mean_squared_coordinate_error() -> None:
    truth = np.array([[0.0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5]])
    predicted = truth.copy()
    predicted[2, 0] += 0.3  # inside the box, so that centring changes nothing
    figures = position_metrics(predicted, truth)
    assert figures["pmd"] == pytest.approx(0.09 / 9)
    assert figures["vertex_mm"] == pytest.approx(100.0)


def test_a_shift_counts_only_uncentred() -> None:
    truth = np.random.default_rng(0).normal(size=(50, 3))
    figures = position_metrics(truth + [0.2, 0, 0], truth)
    assert figures["pmd"] == pytest.approx(0.0, abs=1e-15)
    assert figures["pmd_uncentred"] == pytest.approx(0.04 / 3)


def test_joint_metrics_are_relative_to_the_pelvis() -> None:
    truth = np.zeros((5, 3))
    predicted = truth + 0.7
    predicted[4, 1] += 0.05
    figures = joint_metrics(predicted, truth, half_head=0.04)
    assert figures["mpjpe_mm"] == pytest.approx(50 / 4)
    assert figures["jdr"] == pytest.approx(0.75)


def test_regressed_joints_lie_near_the_skeleton(body: BodyModel) -> None:
    regressor = joint_regressor(body.weights.double().numpy())
    joints = regressor @ body.template.double().numpy()
    distance = np.linalg.norm(joints - body.joint_template.numpy(), axis=1)
    assert np.median(distance) < 0.05 and distance.max() < 0.15


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_pairs_are_frozen(name: str, body: BodyModel, banks) -> None:
    """The same seed gives the same pairs, however many are asked for."""
    three = list(itertools.islice(pairs(name, body, banks, 3), 3))
    more = list(itertools.islice(pairs(name, body, banks, 20), 3))
    other = next(pairs(name, body, banks, 1, seed=1))
    for a, b in zip(three, more, strict=True):
        assert torch.equal(a.points, b.points) and torch.equal(a.truth, b.truth)
    one = three[0]
    assert one.truth.shape == one.target.shape == (len(one.weights), 3)
    assert int(one.faces.max()) == len(one.truth) - 1
    assert one.truth.shape != other.truth.shape or not torch.equal(one.truth, other.truth)


def test_dressed_is_scanned_every_other_time_and_characters_have_own_meshes(
    body: BodyModel, banks
) -> None:
    whole, scan = itertools.islice(pairs("dressed", body, banks, 2), 2)
    plain = next(pairs("unseen", body, banks, 1))
    assert (whole.scanned, scan.scanned) == (False, True)
    assert whole.yaw == 0 != scan.yaw
    assert torch.equal(whole.truth, plain.truth) and torch.equal(whole.target, plain.target)
    near = torch.cdist(plain.points[::20], whole.points).min(1).values
    assert near.median() < 0.15, "the same body's pose"
    character = next(pairs("characters", body, banks, 1))
    assert torch.equal(character.points, plain.points)
    assert len(character.target) != len(plain.target)


def test_protocols_differ_in_what_they_say(body: BodyModel, banks) -> None:
    first = {name: next(pairs(name, body, banks, 1)) for name in PROTOCOLS}
    noise = (first["noise"].points - first["unseen"].points).std()
    height = float(np.ptp(first["unseen"].points[:, 1].numpy()))
    assert float(noise) == pytest.approx(0.02 * height, rel=0.05)
    assert torch.equal(first["noise"].truth, first["unseen"].truth)
    assert not torch.equal(first["reposed"].target, first["unseen"].target)
    assert first["scan"].yaw != 0 and first["unseen"].yaw == 0
    assert len(first["scan"].points) != len(body.template)


def test_turned_is_scan_with_other_axes_up(body: BodyModel, banks) -> None:
    scans = itertools.islice(pairs("scan", body, banks, 3), 3)
    turned = list(itertools.islice(pairs("turned", body, banks, 3), 3))
    for plain, other in zip(scans, turned, strict=True):
        assert torch.equal(plain.points, other.points.roll(-other.roll, 1))
        assert torch.equal(plain.truth, other.truth)
    assert [pair.roll for pair in turned] == [0, 1, 2]


def test_test_bodies_are_adults_of_usual_height(body: BodyModel) -> None:
    rows = eligible_bodies(body)[:64]
    vertices, _ = body.rest(body.bank[rows])
    height = vertices[..., 1].amax(1) - vertices[..., 1].amin(1)
    assert height.min() > HEIGHTS[0] - 0.03 and height.max() < HEIGHTS[1] + 0.03
    assert len(eligible_bodies(body)) > 1000


def test_unknown_protocols_are_refused(body: BodyModel, banks) -> None:
    with pytest.raises(UsageError, match="no such protocol"):
        next(pairs("nothing", body, banks))
    run = CliRunner().invoke(app, ["evaluate", "-p", "nothing"])
    assert run.exit_code == 2 and "seen, unseen" in run.output


def test_figures_go_into_the_card(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"x")
    path.with_suffix(".json").write_text(json.dumps({"figures": {"seen": {"pmd": 1.0}}, "a": 1}))
    write_figures(str(path), {"scan": {"pmd": 2.0}}, "prior")
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["figures"] == {"seen": {"pmd": 1.0}, "scan": {"pmd": 2.0}}
    assert card["figures_measured"]["poses"] == "prior" and card["a"] == 1


def test_markdown_prints_the_fields_unit() -> None:
    text = figures_markdown({"seen": {"pmd": 12.34e-4}, "scan": {"pmd": 2e-4, "jdr": 0.9}})
    assert "| PMD ×1e-4 | 12.3 | 2.00 |" in text
    assert "| JDR |  | 0.900 |" in text


def test_upright_takes_axes_where_they_belong() -> None:
    for up, front in (((0, 0, 1.0), (0, -1.0, 0)), ((0, 1.0, 0), (1.0, 0, 0))):
        turn = upright(np.array(up), np.array(front))
        assert np.allclose(turn @ up, [0, 1, 0]) and np.allclose(turn @ front, [0, 0, 1])
        assert np.linalg.det(turn) == pytest.approx(1.0)
    with pytest.raises(UsageError, match="same axis"):
        upright(np.array([0, 1.0, 0]), np.array([0, -1.0, 0]))


def test_rotation_helpers() -> None:
    turn = matrix_from_yaw(torch.tensor(math.pi / 2))
    assert torch.allclose(turn @ torch.tensor([0.0, 0, 1]), torch.tensor([1.0, 0, 0]), atol=1e-6)
    angle = geodesic_degrees(matrix_from_yaw(torch.tensor(0.5)), torch.eye(3))
    assert float(angle) == pytest.approx(math.degrees(0.5), abs=1e-3)
