"""The second look: anchors on the neutral body, and the step towards where the points are."""

from __future__ import annotations

import pytest
import torch

from posetx.bodies.body import BodyModel
from posetx.geometry.rotations import matrix_from_axis_angle
from posetx.models.encoder import PartPool, PointFeatures
from posetx.models.pose_mae import PoseMAE, PoseMAEConfig
from posetx.models.refine import LOOK, Estimate, PartLook, PartRefiner

PARTS = 19


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def look(body: BodyModel) -> PartLook:
    torch.manual_seed(0)
    look = PartLook(PARTS)
    look.begin_on(body.template, body.weights, body.joint_template)
    return look


def at_rest(body: BodyModel, rotation: torch.Tensor | None = None, shift: float = 0.0) -> Estimate:
    joints = body.joint_template.unsqueeze(0)
    turn = torch.eye(3) if rotation is None else rotation
    return Estimate(turn.expand(1, PARTS, 3, 3), joints @ turn.T + shift)


def test_anchors_begin_on_the_body(look: PartLook, body: BodyModel) -> None:
    placed = look.placed(at_rest(body)).detach().flatten(1, 2)
    distance = torch.cdist(
        placed, body.template.unsqueeze(0), compute_mode="donot_use_mm_for_euclid_dist"
    )
    assert distance.amin(2).max() < 1e-5


def test_channels_are_gaussians_of_the_distance_and_turn_with_the_body(look, body) -> None:
    points = body.template[::50].unsqueeze(0)
    with torch.no_grad():
        hidden, _ = look(points, at_rest(body))
        distance = torch.cdist(points, look.placed(at_rest(body)).flatten(1, 2))
        width = look.log_width.exp().flatten()
        assert torch.allclose(hidden, torch.exp(-0.5 * (distance / width) ** 2), atol=1e-4)
        turn = matrix_from_axis_angle(torch.tensor([0.3, -0.8, 0.4]))
        turned, _ = look(points @ turn.T + 0.2, at_rest(body, turn, 0.2))
    assert torch.allclose(hidden, turned, atol=1e-4)


def test_what_is_pooled_points_to_where_the_surface_is(look: PartLook, body: BodyModel) -> None:
    """A body a little beside its estimate: every anchor that sees it says in which direction."""
    shift = torch.tensor([0.03, 0.0, 0.0])
    points = body.template.unsqueeze(0)
    with torch.no_grad():
        estimate = at_rest(body)

        def off(cloud: torch.Tensor) -> torch.Tensor:
            hidden, _ = look(cloud, estimate)
            pooled = look.pooled(look.sums(cloud, hidden), cloud.shape[1], estimate)
            assert pooled.shape == (1, PARTS, 4 * LOOK)
            return pooled[..., LOOK:].unflatten(2, (LOOK, 3))

        moved = off(points + shift) - off(points)
    assert moved[..., 0].mean() > 0
    assert moved[..., 0].mean() > 3 * moved[..., 1:].mean((0, 1, 2)).abs().max()


def test_order_of_points_does_not_matter_and_the_first_estimate_gets_no_gradient() -> None:
    torch.manual_seed(0)
    refiner = PartRefiner(32, 12, 16, PARTS, 32, 1, places=True)
    torch.nn.init.normal_(refiner.out.weight, std=0.1)
    points = torch.randn(2, 40, 3) * 0.3
    features = PointFeatures(torch.randn(2, 40, 32), torch.randn(2, 40, PARTS))
    joints = (torch.randn(2, PARTS, 3) * 0.3).requires_grad_(True)
    first = Estimate(torch.eye(3).expand(2, PARTS, 3, 3), joints)
    code = torch.randn(2, 16)
    *_, one = (look.estimate for look in refiner(points, features, code, first, 2))
    order = torch.randperm(40)
    shuffled = PointFeatures(features.hidden[:, order], features.parts[:, order])
    *_, two = (look.estimate for look in refiner(points[:, order], shuffled, code, first, 2))
    assert torch.allclose(one.rotations, two.rotations, atol=1e-4)
    assert torch.allclose(one.joints, two.joints, atol=1e-4)
    one.joints.sum().backward()
    assert joints.grad is None


def test_clutter_is_in_no_part() -> None:
    """Points that are surely clutter change nothing that is pooled over the parts' points."""
    torch.manual_seed(0)
    pool = PartPool(16, 12, PARTS)
    points, hidden, parts = torch.randn(2, 30, 3), torch.rand(2, 30, 16), torch.randn(2, 30, PARTS)
    clutter = torch.full((2, 30, 1), -30.0)
    clutter[:, 20:] = 30.0
    features = PointFeatures(hidden, parts, clutter)
    assert torch.allclose(features.shares.sum(2), (clutter < 0).float().squeeze(2), atol=1e-5)
    sizes = torch.ones(PARTS, pool.size)
    sizes[:, 0] = 30 / 20  # the share of all points
    few = pool(points[:, :20], features[slice(20)])[:, :-16].unflatten(1, (PARTS, pool.size))
    assert torch.allclose(
        pool(points, features)[:, :-16].unflatten(1, (PARTS, pool.size)) * sizes, few, atol=1e-4
    )


def test_a_fresh_refiner_corrects_nothing(body: BodyModel) -> None:
    """Training can begin from a model without one at no loss."""
    torch.manual_seed(0)
    small = {"width": 64, "code": 64, "decoder_width": 32, "depth": 1}
    without = PoseMAE(PoseMAEConfig(**small, refine=False)).eval()
    model = PoseMAE(PoseMAEConfig(**small)).eval()
    model.begin_on(body)
    model.load_state_dict(without.state_dict(), strict=False)
    pose, points = torch.randn(2, 128, 3) * 0.3, torch.randn(2, 128, 3) * 0.3
    with torch.no_grad():
        assert torch.allclose(
            model(pose, points).positions, without(pose, points).positions, atol=1e-5
        )
