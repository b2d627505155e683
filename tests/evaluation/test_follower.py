"""The ideal follower on attacks whose effect is known, and the surface that a vertex stands for."""

from __future__ import annotations

import numpy as np
import pytest

from posetx.bodies.metrics import surface_pmd
from posetx.bodies.skeleton import JOINTS, PARENTS
from posetx.evaluation.follower import FEWEST, followed

HAND, FOREARM = JOINTS.index("hand.L"), JOINTS.index("forearm.L")
TURN = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])


@pytest.fixture
def cloud():
    """40 points a part, each part a ball of its own, and the part of each point."""
    rng = np.random.default_rng(0)
    part = np.repeat(np.arange(len(JOINTS)), 40)
    return 0.1 * rng.normal(size=(len(part), 3)) + rng.normal(size=(len(JOINTS), 3))[part], part


def one_hot(part: np.ndarray) -> np.ndarray:
    return np.eye(len(JOINTS))[part]


def turned_about(points: np.ndarray, middle: np.ndarray) -> np.ndarray:
    return (points - middle) @ TURN.T + middle


@pytest.mark.parametrize("size", [1.0, 1.7])
def test_a_part_that_is_turned_is_followed_exactly(cloud, size: float) -> None:
    """Also on a larger target that stands elsewhere: lengths count as beside the clean cloud."""
    points, part = cloud
    wrist = points[part == HAND].mean(0) + 0.2
    attacked = np.where((part == HAND)[:, None], turned_about(points, wrist), points)
    places = size * points + [3.0, 1, 2]
    right = size * attacked + [3.0, 1, 2]
    weights = one_hot(part)
    moved = followed(points, attacked, places, weights, places, weights)
    assert np.abs(moved - right).max() < 1e-9
    assert np.abs(moved - places)[part == HAND].max() > 0.1


def test_a_vertex_between_parts_goes_with_both(cloud) -> None:
    points, part = cloud
    attacked = points + np.where((part == HAND)[:, None], [0.0, 0.1, 0], 0.0)
    between = 0.5 * (one_hot(np.array([HAND])) + one_hot(np.array([FOREARM])))
    vertex = np.zeros((1, 3))
    moved = followed(points, attacked, points, one_hot(part), vertex, between)
    assert moved == pytest.approx(np.array([[0.0, 0.05, 0]]), abs=1e-9)


def test_who_is_not_attacked_stays(cloud) -> None:
    points = cloud[0]
    shares = np.random.default_rng(1).dirichlet(np.ones(len(JOINTS)), len(points))
    assert np.allclose(followed(points, points, points, shares, points, shares), points, atol=1e-9)
    nobody = np.zeros_like(shares)
    assert np.array_equal(followed(points, points + 1, points, nobody, points, shares), points)


def test_noise_moves_least_squares_less_than_points(cloud) -> None:
    points, part = cloud
    attacked = points + np.random.default_rng(2).normal(scale=0.05, size=points.shape)
    weights = one_hot(part)
    moved = followed(points, attacked, points, weights, points, weights)
    error = np.square(moved - points).mean()
    assert 0 < error < 0.3 * np.square(attacked - points).mean()


def test_a_part_of_few_points_goes_with_its_parent(cloud) -> None:
    points, part = cloud
    few = np.flatnonzero(part == HAND)[: int(FEWEST) - 1]
    kept = np.concatenate([np.flatnonzero(part != HAND), few])
    points, part = points[kept], part[kept]
    attacked = points + 0.2 * np.random.default_rng(3).normal(size=points.shape)
    attacked[part == FOREARM] = points[part == FOREARM] + [0.3, 0, 0]
    weights = one_hot(part)
    moved = followed(points, attacked, points, weights, points, weights)
    assert PARENTS[HAND] == FOREARM
    assert np.allclose((moved - points)[part == HAND], [0.3, 0, 0], atol=1e-9)


def test_clutter_is_not_followed(cloud) -> None:
    points, part = cloud
    weights = one_hot(part)
    attacked = points.copy()
    attacked[::4] += 5.0
    weights[::4] = 0
    moved = followed(points, attacked, points, weights, points, one_hot(part))
    assert np.allclose(moved, points, atol=1e-9)


def test_by_surface_a_vertex_counts_by_its_area() -> None:
    truth = np.array([[0.0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [0.4, 0.5, 0.5]])
    predicted = truth.copy()
    predicted[2, 0] += 0.3  # inside the box, so that centring changes nothing
    assert surface_pmd(predicted, truth, np.ones(4)) == pytest.approx(0.09 / 12)
    assert surface_pmd(predicted, truth, np.array([1.0, 1, 2, 0])) == pytest.approx(0.09 / 6)
    assert surface_pmd(predicted, truth, np.array([1.0, 1, 0, 1])) == 0
