"""Codes in the plane: what is said of them, and that a network's are those of what it was shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from posetx.attacks.settings import AttackSettings
from posetx.bodies.body import BodyModel
from posetx.data.poses import PoseBank
from posetx.models.predictor import Predictor
from posetx.models.registry import build, config_named
from posetx.studies.codes import AttackedCodes, Codes, Takes, identity_codes, pose_codes
from tests.cli.writers import SMALL


def test_groups_that_lie_apart_and_groups_that_do_not() -> None:
    rng = np.random.default_rng(0)
    middles = 10 * rng.normal(size=(4, 1, 16))
    apart = Codes.of(middles + rng.normal(size=(4, 6, 16)))
    mixed = Codes.of(rng.normal(size=(4, 6, 16)))
    assert apart.nearest == 1.0 and apart.silhouette > 0.7
    assert mixed.nearest < 0.6 and abs(mixed.silhouette) < 0.1
    assert apart.share > mixed.share and apart.plane.shape == (4, 6, 2)
    # the plane keeps what it can of the distances
    flat = Codes.of(np.concatenate([apart.plane, np.zeros((4, 6, 3))], axis=2))
    assert flat.share == pytest.approx(1.0)
    np.testing.assert_allclose(np.abs(flat.plane), np.abs(apart.plane), atol=1e-9)
    # each member of a group is as far from it as its own kind is near
    other = Codes.of(middles.swapaxes(0, 1) + 0.1 * rng.normal(size=(6, 4, 16)))
    assert other.nearest == 0.0 and other.other_way.nearest == 1.0
    same = Codes.of(np.ones((2, 2, 3)))
    assert same.silhouette == 0.0


def test_silhouette_is_that_of_its_definition() -> None:
    codes = np.array([[[0.0], [1.0]], [[4.0], [6.0]]])
    # own and other: 1, 5; 1, 4; 2, 3.5; 2, 5.5
    expected = np.mean([4 / 5, 3 / 4, 1.5 / 3.5, 3.5 / 5.5])
    assert Codes.of(codes).silhouette == pytest.approx(expected)


def test_codes_of_a_network(banks: dict[str, PoseBank]) -> None:
    torch.manual_seed(0)
    torch_device, body = torch.device("cpu"), BodyModel.load()
    network = build(config_named("posemae", **SMALL)).eval()
    predictor = Predictor(network, torch_device)  # type: ignore[arg-type]
    takes = Takes.draw(predictor, body, banks["unseen"], 3, 2)
    poses = Codes.of(pose_codes(predictor, takes.samples))
    assert poses.codes.shape == (3, 2, SMALL["code"]) and np.ptp(poses.codes) > 0
    bodies = identity_codes(predictor, body, 2, 3)
    assert bodies.codes.shape == (2, 3, SMALL["code"])
    again = identity_codes(predictor, body, 2, 3)
    np.testing.assert_array_equal(bodies.codes, again.codes)
    assert set(bodies.to_json()) == {"nearest", "silhouette", "plane"}


def test_attacked_codes_beside_the_clean_ones() -> None:
    clean = Codes.of(np.array([[[0.0, 0.0], [1.0, 0.0]], [[10.0, 0.0], [11.0, 0.0]]]))
    gone = clean.codes.copy()
    gone[0, 0] = [10.0, 5.0]  # nearest to the other pose; 11.18 away
    found = AttackedCodes.of(gone, clean)
    assert found.nearest == 0.75
    assert found.moved == pytest.approx(np.sqrt(125) / 4 / 10)
    np.testing.assert_allclose(found.plane[1], clean.plane[1], atol=1e-12)
    # the plane of two dimensions is all of it
    moved = np.linalg.norm(found.plane[0, 0] - clean.plane[0, 0])
    assert moved == pytest.approx(np.sqrt(125))
    assert AttackedCodes.of(clean.codes, clean).to_json() == {"nearest": 1.0, "moved": 0.0}


def test_attack_on_codes_keeps_its_budget_and_moves_them(banks: dict[str, PoseBank]) -> None:
    torch.manual_seed(0)
    body = BodyModel.load()
    network = build(config_named("posemae", **SMALL)).eval()
    predictor = Predictor(network, torch.device("cpu"))  # type: ignore[arg-type]
    takes = Takes.draw(predictor, body, banks["unseen"], 2, 3)
    clean = Codes.of(pose_codes(predictor, takes.samples))
    middle = takes.samples.mean(2, keepdims=True)

    def after(epsilon: float) -> tuple[float, float]:
        settings = AttackSettings("fgm", "linf", epsilon)
        harmed = takes.attacked(predictor, body, settings)
        far = np.abs(harmed.double().numpy() - (takes.samples - middle)).max()
        return float(far), AttackedCodes.of(pose_codes(predictor, harmed), clean).moved

    little, much = after(0.001), after(0.1)
    assert little[0] == pytest.approx(0.001, abs=1e-6) and much[0] == pytest.approx(0.1, abs=1e-6)
    assert 0 < little[1] < 0.1 * much[1]
