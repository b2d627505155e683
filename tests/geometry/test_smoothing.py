"""Smoothing: what is smooth stays, what jitters is calmed, and rotations stay rotations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posetx.geometry.smoothing import (
    best_window,
    frames_in,
    noise_variance,
    smooth_places,
    smooth_rotations,
    without_jumps,
)

WINDOW = 9


def test_a_parabola_stays_and_noise_is_calmed() -> None:
    time = np.linspace(-1, 1, 50)
    smooth = np.stack([time, time**2, 3 - time], axis=1)
    np.testing.assert_allclose(smooth_places(smooth, WINDOW), smooth, atol=1e-12)
    noisy = smooth + np.random.default_rng(0).normal(scale=0.1, size=smooth.shape)
    error = np.abs(smooth_places(noisy, WINDOW) - smooth).mean()
    assert error < 0.6 * np.abs(noisy - smooth).mean()


def test_an_even_turn_stays_and_noise_is_calmed() -> None:
    turns = Rotation.from_euler("y", np.linspace(0, 200, 60)[:, None], degrees=True)
    matrices = turns.as_matrix()[:, None]
    found = smooth_rotations(matrices, WINDOW)
    apart = Rotation.from_matrix(found[:, 0]).inv() * turns
    assert np.degrees(apart.magnitude()).max() < 0.2
    jitter = Rotation.from_rotvec(np.random.default_rng(0).normal(scale=0.1, size=(60, 3)))
    noisy = smooth_rotations((jitter * turns).as_matrix()[:, None], WINDOW)[:, 0]
    calm = (Rotation.from_matrix(noisy).inv() * turns).magnitude()
    assert calm.mean() < 0.7 * jitter.magnitude().mean()
    product = noisy @ noisy.swapaxes(1, 2)
    np.testing.assert_allclose(product, np.tile(np.eye(3), (60, 1, 1)), atol=1e-9)
    assert (np.linalg.det(noisy) > 0).all()


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5])
def test_few_frames_are_no_trouble(frames: int) -> None:
    places = np.random.default_rng(0).normal(size=(frames, 3))
    assert smooth_places(places, WINDOW).shape == places.shape
    np.testing.assert_array_equal(smooth_places(places[:3], WINDOW), places[:3])


@pytest.mark.parametrize(("seconds", "fps", "frames"), [(0.3, 30, 9), (0, 30, 1), (0.3, 60, 19)])
def test_a_window_has_an_odd_number_of_frames(seconds: float, fps: float, frames: int) -> None:
    assert frames_in(seconds, fps) == frames


@pytest.mark.parametrize("scale", [0.003, 0.03, 0.1])
def test_the_noise_is_told_and_the_best_window_is_nearly_the_best(scale: float) -> None:
    time = np.linspace(0, 6, 120)
    smooth = np.stack([np.sin(time + i) for i in range(12)], axis=1)
    noisy = smooth + np.random.default_rng(0).normal(scale=scale, size=smooth.shape)
    assert noise_variance(noisy) == pytest.approx(scale**2, rel=0.2)

    def error(window: int) -> float:
        return float(np.square(smooth_places(noisy, window) - smooth).mean())

    least = min(error(window) for window in range(5, 41, 2))
    assert error(best_window(noisy)) < 1.2 * least < error(1)
    assert best_window(noisy[:4]) == 1


def test_what_has_no_noise_is_left_alone() -> None:
    time = np.linspace(0, 20, 60)
    fast = np.stack([np.sin(time + i) for i in range(6)], axis=1)
    assert best_window(fast) == 1


def test_the_noise_is_the_mean_of_what_each_coordinate_has() -> None:
    """Where few coordinates have most of it, too: hands, of a body whose trunk is still."""
    scales = np.array([0.001] * 9 + [0.1] * 3)
    noisy = scales * np.random.default_rng(0).normal(size=(200, len(scales)))
    noisy[70] += 100.0  # a frame that is wrong
    assert noise_variance(noisy) == pytest.approx(np.square(scales).mean(), rel=0.4)


def test_a_part_that_jumps_is_filled_and_one_that_is_fast_stays() -> None:
    times = np.arange(40) / 30
    slow = Rotation.from_euler("x", 40 * np.sin(4 * times)[:, None], degrees=True).as_matrix()
    # 120 degrees to and fro, five times a second: no frame of it is a jump
    fast = Rotation.from_euler("y", 60 * np.sin(10 * np.pi * times)[:, None], degrees=True)
    true = np.stack([slow, slow, fast.as_matrix()], axis=1)
    wrong = true.copy()
    for frame in (7, 20):
        off = Rotation.from_euler("z", 35, degrees=True).as_matrix()
        wrong[frame, 1] = off @ wrong[frame, 1]
    found = without_jumps(wrong)
    changed = np.abs(found - wrong).max(axis=(2, 3)) > 1e-12
    assert np.argwhere(changed).tolist() == [[7, 1], [20, 1]]
    apart = Rotation.from_matrix(found[[7, 20], 1]).inv() * Rotation.from_matrix(true[[7, 20], 1])
    assert np.degrees(apart.magnitude()).max() < 0.5
    np.testing.assert_array_equal(without_jumps(true), true)
    np.testing.assert_array_equal(without_jumps(wrong[:4]), wrong[:4])
    # turned for good is no jump
    turned = true.copy()
    turned[20:, 0] = off @ turned[20:, 0]
    np.testing.assert_array_equal(without_jumps(turned), turned)
