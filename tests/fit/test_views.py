"""Where a scan was taken from, and what it could not show."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from posetx.bodies.body import (
    BodyModel,
    forward_kinematics,
    global_rotations,
    relative_rotations,
)
from posetx.bodies.skeleton import JOINTS
from posetx.fit.cloud import BodyFit
from posetx.fit.figure import Figure, FreeBody, Placed
from posetx.fit.limbs import squared_distances
from posetx.fit.seen import Seen
from posetx.fit.views import Views, cameras, sphere
from posetx.geometry.frames import normalise_pose
from posetx.geometry.rotations import matrix_from_axis_angle
from posetx.geometry.visibility import visible_from
from posetx.models.encoder import PointFeatures
from posetx.models.pose_mae import PoseCode
from posetx.models.refine import Estimate

BEHIND = torch.tensor([0.2, 0.1, -1.0])


def turned(**angles: tuple[float, float, float]) -> torch.Tensor:
    """Global rotations (1, 19, 3, 3) of the body at rest with some joints turned (radians)."""
    local = torch.eye(3).repeat(1, len(JOINTS), 1, 1)
    for name, axis in angles.items():
        side, joint = name.split("_")
        local[0, JOINTS.index(f"{joint}.{side}")] = matrix_from_axis_angle(torch.tensor(axis))
    return global_rotations(local)


@pytest.fixture(scope="module")
def hugging() -> torch.Tensor:
    """Both forearms across the belly: from behind none of them can be seen."""
    return turned(L_forearm=(-1.9, 0.0, -0.6), R_forearm=(-1.9, 0.0, 0.6))


@pytest.fixture(scope="module")
def placed(hugging: torch.Tensor) -> Placed:
    free = FreeBody(BodyModel.load(), 1500, 4)
    at = (torch.zeros(1, 1, 3), torch.ones(1, 1, 1), torch.zeros(1, 4))
    return free.place(Figure(hugging, *at))


def near(placed: Placed, seen: torch.Tensor) -> torch.Tensor:
    squared = squared_distances(placed.surface[:, seen], placed.surface).amin(1)[0]
    return torch.exp(-squared.clamp_min(0) / 0.05**2)


def seen_from(placed: Placed, *directions: torch.Tensor) -> torch.Tensor:
    each = [visible_from(placed.surface, placed.normals, d[None], 0.07)[0] for d in directions]
    return torch.stack(each).any(0)


def degrees(a: torch.Tensor, b: torch.Tensor) -> float:
    return math.degrees(math.acos(min(1.0, float(F.cosine_similarity(a, b, dim=0)))))


@pytest.mark.parametrize("direction", [(0.0, 0.0, 1.0), (1.0, 0.3, 0.2), (-0.5, 0.0, -0.8)])
def test_the_camera_is_found(placed: Placed, direction) -> None:
    direction = torch.tensor(direction)
    found = cameras(placed, near(placed, seen_from(placed, direction)))
    assert len(found) == 1
    assert degrees(found[0], direction) < 20


def test_two_cameras_are_found(placed: Placed) -> None:
    both = (torch.tensor([0.0, 0.2, 1.0]), torch.tensor([0.7, 0.0, -0.7]))
    found = cameras(placed, near(placed, seen_from(placed, *both)))
    assert len(found) == 2
    for direction in both:
        assert min(degrees(x, direction) for x in found) < 25


def test_there_is_none_where_the_scan_goes_all_around(placed: Placed) -> None:
    whole = torch.ones(1500, dtype=torch.bool)
    assert len(cameras(placed, near(placed, whole))) == 0
    assert (Views(placed.surface, sphere(4)[:0]).open(placed.surface) == 1).all()


def test_what_is_behind_the_scan_is_hidden_and_what_is_before_it_is_not(placed: Placed) -> None:
    toward = F.normalize(BEHIND, dim=0)
    cloud = placed.surface[:, seen_from(placed, BEHIND)]
    views = Views(cloud, toward[None])
    assert (views.open(cloud + 0.01 * toward) == 1).float().mean() > 0.9
    assert (views.open(cloud - 0.3 * toward) == 0).float().mean() > 0.95
    assert (views.open(cloud + 0.3 * toward) == 1).all()
    beside = cloud + torch.tensor([2.0, 0.0, 0.0])
    assert (views.open(beside) == 1).all(), "nothing is in the way there"


def test_forearms_that_nobody_saw_stay_where_the_network_has_them() -> None:
    """Who sits is seen from behind. The pull to the next points takes hands to the thighs."""
    body = BodyModel.load()
    sitting = turned(
        L_thigh=(-1.2, 0.4, 0.0),
        R_thigh=(-1.2, -0.4, 0.0),
        L_shin=(1.2, 0.0, 0.0),
        R_shin=(1.2, 0.0, 0.0),
        L_upperarm=(0.0, 0.0, -0.6),
        R_upperarm=(0.0, 0.0, 0.6),
        L_forearm=(-1.1, -0.5, -0.9),
        R_forearm=(-1.1, 0.5, 0.9),
    )
    rest = body.rest_joints(body.bank[:1])
    vertices = body.pose(body.bank[:1], sitting)
    corners = vertices[0, body.faces]
    facing = torch.zeros_like(vertices[0]).index_add_(
        0,
        body.faces.flatten(),
        torch.linalg.cross(
            corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        ).repeat_interleave(3, 0),
    )
    seen = visible_from(vertices, F.normalize(facing, dim=-1)[None], BEHIND[None], 0.05)[0]
    picked = seen.nonzero()[:, 0]
    picked = picked[torch.randperm(len(picked), generator=torch.Generator().manual_seed(0))[:2000]]
    cloud, centre, unit = normalise_pose(vertices[:, picked])
    # the network's word: off by 12 degrees all over
    wrong = relative_rotations(sitting)
    turn = torch.randn(1, len(JOINTS), 3, generator=torch.Generator().manual_seed(1))
    turn = math.radians(12) * F.normalize(turn, dim=-1)
    wrong = global_rotations(wrong @ matrix_from_axis_angle(turn))
    first = Estimate(wrong, (forward_kinematics(rest, wrong) - centre) / unit)
    parts = torch.log(body.weights[picked].clamp_min(1e-3))[None]
    features = PointFeatures(torch.zeros(1, len(picked), 1), parts)
    pose = PoseCode(torch.zeros(1, 1), first, features, first, parts)
    fit = BodyFit(body)
    joints = fit.posed(pose, fit.figures(cloud, pose)).joints
    truth = (forward_kinematics(rest, sitting) - centre) / unit
    hands = [JOINTS.index("hand.L"), JOINTS.index("hand.R")]
    assert (joints - truth)[0, hands].norm(dim=-1).max() < 0.2
    assert not Seen.of(cloud, features).dressed
