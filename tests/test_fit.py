"""The fit of a body to the scan: closer than where it began, whatever the points' order."""

from __future__ import annotations

import pytest
import torch

from posetx.bodies.body import (
    BodyModel,
    forward_kinematics,
    global_rotations,
    relative_rotations,
)
from posetx.bodies.skeleton import JOINTS
from posetx.evaluation.protocols import training_poses
from posetx.geometry.rotations import geodesic_degrees, matrix_from_axis_angle
from posetx.models.encoder import PointFeatures
from posetx.models.frames import normalise_pose
from posetx.models.pose_mae import PoseCode
from posetx.models.refine import Estimate
from posetx.scan.fit import BodyFit, FitSettings

POINTS = 500


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def fit(body: BodyModel) -> BodyFit:
    return BodyFit(body, FitSettings(iterations=60, body_points=800))


def case(body: BodyModel, degrees: float, seed: int = 0) -> tuple[torch.Tensor, PoseCode, Estimate]:
    """Two bodies' points, what a network that errs by ``degrees`` says of them, and the truth."""
    generator = torch.Generator().manual_seed(seed)
    bank = training_poses(body, None)
    truth = bank.draw(2, generator)
    shape = body.bank[:2]
    vertices = body.pose(shape, truth)
    joints_rest = body.rest_joints(shape)
    joints = forward_kinematics(joints_rest, truth)
    picked = torch.randperm(vertices.shape[1], generator=generator)[:POINTS]
    cloud, centre, unit = normalise_pose(vertices[:, picked])
    joints = (joints - centre) / unit
    axis = torch.randn(2, len(JOINTS), 3, generator=generator)
    axis = torch.deg2rad(torch.tensor(degrees)) * axis / axis.norm(dim=-1, keepdim=True)
    axis[:, :5] *= 0.3
    wrong = global_rotations(relative_rotations(truth) @ matrix_from_axis_angle(axis))
    parts = torch.log(body.weights[picked].clamp_min(1e-3)).expand(2, -1, -1)
    placed = (forward_kinematics(joints_rest, wrong) - centre) / unit
    first = Estimate(wrong, placed)
    features = PointFeatures(torch.zeros(2, POINTS, 1), parts)
    pose = PoseCode(torch.zeros(2, 1), first, features, first, parts)
    return cloud, pose, Estimate(truth, joints)


def joint_error(estimate: Estimate, truth: Estimate) -> torch.Tensor:
    return (estimate.joints - truth.joints).norm(dim=-1).mean(1)


def test_it_finds_the_pose_from_nearby(body: BodyModel, fit: BodyFit) -> None:
    cloud, pose, truth = case(body, degrees=20)
    better = fit.improve(cloud, pose).estimate
    assert (joint_error(better, truth) < 0.5 * joint_error(pose.estimate, truth)).all()
    before = geodesic_degrees(pose.rotations, truth.rotations).mean()
    assert geodesic_degrees(better.rotations, truth.rotations).mean() < 0.8 * before


def test_a_right_estimate_stays_right(body: BodyModel, fit: BodyFit) -> None:
    cloud, pose, truth = case(body, degrees=0)
    assert (joint_error(fit.improve(cloud, pose).estimate, truth) < 0.03).all()


def test_order_of_points_and_company_do_not_matter(body: BodyModel, fit: BodyFit) -> None:
    cloud, pose, _ = case(body, degrees=15)
    together = fit.improve(cloud, pose).estimate
    order = torch.randperm(POINTS, generator=torch.Generator().manual_seed(1))
    shuffled = PoseCode(
        pose.code[:1],
        Estimate(pose.rotations[:1], pose.joints[:1]),
        PointFeatures(pose.features.hidden[:1, order], pose.features.parts[:1, order]),
        pose.first,
        pose.first_parts,
    )
    alone = fit.improve(cloud[:1, order], shuffled).estimate
    assert (alone.joints - together.joints[:1]).norm(dim=-1).max() < 0.01


def test_it_works_on_what_inference_mode_made_and_leaves_it_alone(body, fit: BodyFit) -> None:
    with torch.inference_mode():
        cloud, pose, _ = case(body, degrees=10)
        before = pose.joints.clone()
        result = fit.improve(cloud, pose)
    assert torch.equal(pose.joints, before)
    assert not result.joints.requires_grad
    assert torch.isfinite(result.joints).all()
