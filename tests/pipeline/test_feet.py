"""Feet that stand stay: seen in the motion, held by thigh and shin, let go softly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from posetx.bodies.body import BodyModel, forward_kinematics, global_rotations
from posetx.bodies.skeleton import FEET, LEG_BONES, PARENTS
from posetx.pipeline.feet import BLEND, FARTHEST, locked, offsets, standing

FPS, LEGS = 30.0, 0.8
KNEES = (14, 17)


def stepping(frames: int = 60, noise: float = 0.004) -> np.ndarray:
    """Ankles (F, 3) that stand for a third, go on, and stand again, with noise."""
    third = frames // 3
    way = np.concatenate(
        [np.zeros(third), np.linspace(0, 0.9, third), np.full(frames - 2 * third, 0.9)]
    )
    ankles = np.stack([np.zeros(frames), 0.1 * np.sin(np.pi * way / 0.9), way], axis=1)
    return ankles + noise * np.sin(np.arange(frames))[:, None] * [1, 0, 1]


def squats(bend: float, frames: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Rotations and joints (F, 19, ..) of a body whose pelvis goes about above bent knees."""
    body = BodyModel.load()
    angles = bend * (1 + 0.2 * np.sin(0.3 * np.arange(frames)))
    local = np.tile(np.eye(3), (frames, 19, 1, 1))
    for hip, knee in ((13, 14), (16, 17)):
        local[:, hip] = Rotation.from_rotvec(angles[:, None] * [-1.0, 0, 0]).as_matrix()
        local[:, knee] = Rotation.from_rotvec(2 * angles[:, None] * [1.0, 0, 0]).as_matrix()
    rotations = global_rotations(torch.as_tensor(local)).numpy()
    rest = body.joint_template.double().expand(frames, -1, -1)
    return rotations, forward_kinematics(rest, torch.as_tensor(rotations)).numpy()


def bones(places: np.ndarray) -> np.ndarray:
    return np.linalg.norm(places[:, 1:] - places[:, list(PARENTS[1:])], axis=-1)


def test_when_a_foot_stands() -> None:
    stands = standing(stepping(), LEGS, FPS)
    assert stands[2:18].all() and stands[42:58].all() and not stands[23:37].any()
    assert not standing(stepping(noise=0.2), LEGS, FPS).any()
    assert standing(np.zeros((40, 3)), LEGS, FPS).all()
    assert not standing(np.zeros((2, 3)), LEGS, FPS).any()
    blink = np.zeros((40, 3))
    blink[20:, 0] = 0.03  # a jump of one frame is a gap, and none that is worth it
    assert standing(blink, LEGS, FPS).all()


def test_a_foot_comes_to_its_place_and_leaves_it_softly() -> None:
    ankles = stepping()
    stands = standing(ankles, LEGS, FPS)
    away = offsets(ankles, stands, LEGS, FPS)
    there = np.flatnonzero(stands)
    first, second = np.split(there, np.flatnonzero(np.diff(there) > 1) + 1)
    for frames in (first, second):
        np.testing.assert_allclose(np.ptp((ankles + away)[frames], axis=0), 0, atol=1e-12)
    between = np.arange(first[-1] + 1, second[0])
    size = np.linalg.norm(away, axis=1)
    assert size[between[len(between) // 2]] < 0.2 * max(size[first[-1]], size[second[0]])
    jump = np.linalg.norm(np.diff(away[between], axis=0), axis=1).max()
    assert jump < 2.5 * size.max() / (BLEND * FPS)
    far = ankles.copy()
    far[first] += np.linspace(-1.2, 1.2, len(first))[:, None] * [0, FARTHEST * LEGS, 0]
    assert not offsets(far, stands, LEGS, FPS)[first[3:-8]].any()


@pytest.mark.parametrize("bend", [0.02, 0.3, 0.9])
def test_held_feet(bend: float) -> None:
    rotations, places = squats(bend)
    wobble = 0.015 * np.sin(np.arange(60))[:, None, None] * [1.0, 0.5, 1.0]
    where = places - places[:, FEET[:1]] + wobble  # the left ankle goes about
    still = [np.zeros((60, 3)), stepping(noise=0.3)]  # in the motion the left one stands
    turned, held = locked(rotations, where, still, LEGS, FPS)
    left, right = FEET
    spread = np.linalg.norm(held[:, left] - held[:, left].mean(0), axis=1)
    assert spread.max() < (1e-9 if bend > 0.2 else 0.01)
    others = [j for j in range(19) if j not in (14, left)]
    np.testing.assert_array_equal(held[:, others], where[:, others])
    np.testing.assert_array_equal(held[:, right], where[:, right])
    np.testing.assert_allclose(bones(held), bones(where), atol=1e-9)
    same = [j for j in range(19) if j not in (13, 14)]
    np.testing.assert_array_equal(turned[:, same], rotations[:, same])
    np.testing.assert_allclose(turned @ turned.swapaxes(-1, -2), np.eye(3) + 0 * turned, atol=1e-9)
    # the turns and the places are of one leg, and its knee stays before it
    rest = BodyModel.load().joint_template.double().numpy()
    for joint, end in LEG_BONES[:2]:
        bone = np.einsum("fij,j->fi", turned[:, joint], rest[end] - rest[joint])
        np.testing.assert_allclose(held[:, joint] + bone, held[:, end], atol=1e-9)
    before = held[:, 14, 2] - 0.5 * (held[:, 13, 2] + held[:, left, 2])
    assert (before > -1e-3).all()


def test_out_of_reach_a_leg_is_as_long_as_it_is() -> None:
    rotations, places = squats(0.05)
    where = (
        places - places[:, FEET[:1]] + 0.05 * np.sin(0.2 * np.arange(60))[:, None, None] * [0, 1, 0]
    )
    _, held = locked(rotations, where, [np.zeros((60, 3))] * 2, LEGS, FPS)
    np.testing.assert_allclose(bones(held), bones(where), atol=1e-9)
    assert np.isfinite(held).all()
    before, after = (np.ptp(x[:, FEET[0], 1]) for x in (where, held))
    assert after < 0.6 * before


def test_a_loop_still_ends_where_it_begins() -> None:
    rotations, places = squats(0.5)
    rotations[-1], places[-1] = rotations[0], places[0]
    where = places - places[:, FEET[:1]] + np.linspace(0, 0.03, 60)[:, None, None] * [1.0, 0, 0]
    turned, held = locked(rotations, where, [np.zeros((60, 3))] * 2, LEGS, FPS)
    apart = (held[-1] - held[0]) - (where[-1] - where[0])
    np.testing.assert_allclose(apart, 0, atol=1e-9)
    np.testing.assert_allclose(turned[-1], turned[0], atol=1e-9)
