"""The curves of the joints' confidence: found again in joints that were drawn by known ones."""

from __future__ import annotations

import re

import numpy as np
import pytest

from posetx.pipeline.joint_confidence import FITTED, RIGHT, likelihood
from posetx.studies.joint_confidence import Measured, curves_and_table, fit_curves


def drawn(count: int, seed: int) -> list[Measured]:
    """Scans whose joints are right as often as the shipped curves say."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        shown = np.log(rng.uniform(0.02, 1.5, (19, 3)))
        looked, near = np.log(rng.uniform(0.05, 0.5, 19)), np.log(rng.uniform(0.008, 0.05, 19))
        whole = np.full(19, rng.normal(1.0, 2.0))
        one = np.ones(19)
        inputs = np.column_stack([one, shown, looked, one, near, whole])
        right = rng.random(19) < likelihood(inputs, np.array(FITTED))
        errors = np.where(right, 0.5, 2.0) * RIGHT
        rows.append(Measured(number % 6, True, inputs, errors, rng.random(19) < 0.1))
    return rows


def test_known_curves_are_found_again() -> None:
    rows = drawn(400, 0)
    inputs = np.concatenate([row.inputs for row in rows])
    right = np.concatenate([row.errors < RIGHT for row in rows])
    found = likelihood(inputs, fit_curves(inputs, right))
    true = likelihood(inputs, np.array(FITTED))
    assert np.abs(found - true).mean() < 0.03


def test_what_the_curves_say_comes_true_on_other_scans() -> None:
    curves, table = curves_and_table(drawn(120, 1))
    assert curves.shape == (8,) and np.isfinite(curves).all()
    lines = [re.findall(r"[\d.]+", line.split("|", 2)[2]) for line in table.splitlines()[2:]]
    assert int(lines[-2][0]) == 120 * 19 == sum(int(line[0]) for line in lines[:-2])
    for count, said, right in lines[:-2]:
        error = 3 * np.sqrt(0.25 / int(count)) + 0.05
        assert abs(float(said) - float(right)) < error, table
    assert abs(int(lines[-1][0]) - 0.1 * 120 * 19) < 60
    with pytest.raises(ValueError, match="one fold"):
        curves_and_table(drawn(1, 0))
