"""Why a pair failed is told from what moved and what the scan shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from posetx.arrays import Floats, Indices
from posetx.bodies.body import BodyModel, global_rotations
from posetx.data.poses import PoseBank
from posetx.evaluation.causes import Shown, cause, failures
from posetx.geometry.rotations import matrix_from_axis_angle

LEFT_FOREARM, LEFT_THIGH = 7, 13


class Case:
    """The mean body with a joint turned, beside itself at rest."""

    def __init__(self, body: BodyModel):
        self.body = body
        self.faces = body.faces.numpy()
        self.weights = body.weights.double().numpy()
        self.part = self.weights.argmax(1)
        self.truth = self.posed({})

    def posed(self, turns: dict[int, tuple[float, float, float]]) -> Floats:
        local = torch.eye(3).repeat(1, 19, 1, 1)
        for joint, turn in turns.items():
            local[0, joint] = matrix_from_axis_angle(torch.tensor(turn))
        coefficients = torch.zeros(1, self.body.components.shape[0])
        vertices = self.body.pose(coefficients, global_rotations(local))[0]
        posed: Floats = vertices.double().numpy()
        return posed

    def why(self, predicted: Floats, turned: float = 0.0, shown: Shown | None = None) -> str:
        return cause(predicted, self.truth, self.weights, self.faces, turned, shown)

    def vertices(self) -> Indices:
        return np.arange(len(self.truth))


@pytest.fixture(scope="module")
def case(data: tuple[BodyModel, PoseBank]) -> Case:
    return Case(data[0])


def test_a_limb_that_is_seen_is_misplaced_and_one_that_is_not_is_hidden(case: Case) -> None:
    bent = case.posed({LEFT_FOREARM: (0.0, -1.2, 0.0)})
    every = case.vertices()
    assert case.why(bent) == "limb misplaced"
    assert case.why(bent, shown=Shown(every, every)) == "limb misplaced"
    lower = np.isin(case.part, (LEFT_FOREARM, LEFT_FOREARM + 1))
    without = every[~lower]  # the upper arm stays in sight
    assert case.why(bent, shown=Shown(without, np.arange(len(without)))) == "limb hidden"
    assert case.why(bent, shown=Shown(every, every[~lower])) == "limb left out"


def test_other_things_and_headings_come_first(case: Case) -> None:
    bent = case.posed({LEFT_FOREARM: (0.0, -1.2, 0.0)})
    origin = np.concatenate([case.vertices(), np.full(len(case.truth) // 10, -1)])
    every = np.arange(len(origin))
    assert case.why(bent, shown=Shown(origin, every)) == "other things kept"
    assert case.why(bent, shown=Shown(origin, case.vertices())) == "limb misplaced"
    assert case.why(bent, turned=170.0, shown=Shown(origin, every)) == "heading"


def test_a_leg_where_the_other_is_meant_to_be_is_swapped(case: Case) -> None:
    right = case.truth[case.part == LEFT_THIGH + 3].mean(0)
    left = case.truth[case.part == LEFT_THIGH].mean(0)
    swapped = case.truth.copy()
    leg = np.isin(case.part, (LEFT_THIGH, LEFT_THIGH + 1, LEFT_THIGH + 2))
    swapped[leg] += right - left
    assert case.why(swapped) == "limb swapped"


def test_a_head_that_looks_away_is_the_trunk(case: Case) -> None:
    assert case.why(case.posed({4: (0.0, 1.2, 0.0)})) == "trunk"


def test_failures_are_counted_by_cause() -> None:
    rows = [{"pmd": 0.1, "cause": "heading"}, {"pmd": 0.0}, {"pmd": 0.1, "cause": "heading"}]
    assert failures({"scan": rows}) == {"scan": {"pairs": 3, "failed": 2, "heading": 2}}
