"""Which sides a scan shows: found from the points alone."""

from __future__ import annotations

import pytest
import torch

from posetx.bodies.body import BodyModel
from posetx.fit.figure import Figure, FreeBody, Placed
from posetx.fit.limbs import squared_distances
from posetx.fit.sides import Sides


@pytest.fixture(scope="module")
def placed() -> Placed:
    body = FreeBody(BodyModel.load(), 1500, 4)
    rest = torch.eye(3).repeat(1, 19, 1, 1)
    return body.place(Figure(rest, torch.zeros(1, 1, 3), torch.ones(1, 1, 1), torch.zeros(1, 4)))


def sides(placed: Placed, seen: torch.Tensor) -> Sides:
    cloud = placed.surface[:, seen]
    return Sides(placed, squared_distances(cloud, placed.surface).amin(1), cloud)


def test_all_sides_of_a_whole_scan(placed: Placed) -> None:
    whole = sides(placed, torch.ones(1500, dtype=torch.bool))
    assert whole.all_shown
    assert (whole.weights(placed.surface, placed.normals) > 0.99).all()


@pytest.mark.parametrize("camera", [(0.0, 0.0, 1.0), (0.0, 0.0, -1.0), (1.0, 0.0, 0.0)])
def test_what_one_camera_cannot_see_counts_little(placed: Placed, camera) -> None:
    facing = placed.normals[0] @ torch.tensor(camera)
    one = sides(placed, facing > 0.2)
    assert not one.all_shown
    weights = one.weights(placed.surface, placed.normals)[0]
    assert weights[facing > 0.7].mean() > 2 * weights[facing < -0.7].mean()
    assert weights[facing < -0.7].mean() < 0.5
    assert weights.min() >= 0 and weights.max() <= 1 + 1e-5
