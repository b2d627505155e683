"""Attacks: they stay in their budget, keep what is not theirs, and do more harm than noise."""

from __future__ import annotations

import copy

import pytest
import torch

from posetx.attacks.budget import NORMS, Budget
from posetx.attacks.fgm import fgm
from posetx.attacks.objective import gradient, transfer_damage
from posetx.attacks.pgd import pgd
from posetx.bodies.body import BodyModel
from posetx.bodies.stream import BodyStream, StreamSettings
from posetx.evaluation.protocols import training_poses
from posetx.models.checkpoint import load_model
from posetx.training.adversarial import AdversarialSettings, attacked, inliers


@pytest.fixture(scope="module")
def model():
    return load_model("posemae")[0]


@pytest.fixture(scope="module")
def batch():
    body = BodyModel.load()
    settings = StreamSettings(scan_share=0.0, noise_share=0.0, reposed_share=0.0)
    return BodyStream(body, training_poses(body, None), settings, seed=3).draw(8)


def objective_of(model, batch):
    return transfer_damage(model, batch.queries, batch.truth, batch.identity.shape[1])


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("norm", NORMS)
def test_steepest_step_has_the_budgets_size_and_beats_others(norm: str) -> None:
    grad = torch.randn(4, 50, 3, generator=torch.Generator().manual_seed(1))
    budget = Budget(norm, torch.tensor([0.01, 0.1, 1.0, 2.0]))
    step = budget.steepest(grad)
    assert torch.allclose(budget.size(step), torch.tensor([0.01, 0.1, 1.0, 2.0]), rtol=1e-4)
    other = budget.random(grad, generator())
    assert torch.allclose(budget.size(other), budget.size(step), rtol=1e-4)
    assert ((grad * step).sum((1, 2)) > (grad * other).sum((1, 2))).all()


@pytest.mark.parametrize("norm", NORMS)
def test_projection_is_the_nearest_within(norm: str) -> None:
    budget = Budget(norm, 0.1)
    far = torch.randn(3, 40, 3)
    near = budget.project(far)
    assert (budget.size(near) <= 0.1 + 1e-6).all()
    assert torch.allclose(budget.project(near), near, atol=1e-6)
    inside = budget.random(far, generator()) * 0.9
    assert ((far - near).norm(dim=(1, 2)) <= (far - inside).norm(dim=(1, 2))).all()


def test_zero_and_broken_gradients_move_nothing() -> None:
    broken = torch.full((2, 5, 3), float("nan"))
    for norm in NORMS:
        assert torch.equal(Budget(norm, 0.1).steepest(broken), torch.zeros(2, 5, 3))
    tiny = torch.full((1, 5, 3), 1e-30)
    assert Budget("l2", 0.1).size(Budget("l2", 0.1).steepest(tiny))[0] == pytest.approx(0.1)


def test_gradient_is_that_of_finite_differences(model, batch) -> None:
    exact = copy.deepcopy(model).double()  # in float32 the differences drown in rounding
    size = batch.identity.shape[1]
    objective = transfer_damage(exact, batch.queries.double(), batch.truth.double(), size)
    clouds = batch.pose.double()
    grad = gradient(objective, clouds)
    direction = Budget("l2", 1.0).steepest(grad)
    step = 1e-6 * direction
    with torch.no_grad():
        rise = (objective(clouds + step) - objective(clouds - step)) / 2e-6
    assert torch.allclose(rise, (grad * direction).sum((1, 2)), rtol=0.01)


def test_attacks_beat_noise_and_each_other_in_order(model, batch) -> None:
    objective, budget = objective_of(model, batch), Budget("l2", 0.03)
    clouds = batch.pose
    one = fgm(objective, clouds, budget)
    many = pgd(objective, clouds, budget, generator(), steps=10, restarts=2)
    noise = clouds + budget.random(clouds, generator())
    with torch.no_grad():
        harm = [float(objective(c).mean()) for c in (clouds, noise, one, many)]
    assert harm[0] < harm[1] < harm[2] < harm[3]
    for adversarial in (one, many):
        assert (budget.size(adversarial - clouds) <= 0.03 * 1.0001).all()
        assert torch.isfinite(adversarial).all()


def test_clouds_of_a_batch_do_not_influence_each_other(model, batch) -> None:
    objective = objective_of(model, batch)
    alone = transfer_damage(model, batch.queries[:1], batch.truth[:1], batch.identity.shape[1])
    assert torch.allclose(
        gradient(objective, batch.pose)[:1], gradient(alone, batch.pose[:1]), atol=1e-4, rtol=1e-2
    )


def test_outlier_removal_keeps_the_count_and_drops_the_outlier() -> None:
    clouds = torch.rand(2, 64, 3)
    clouds[0, 10] += 5.0
    kept = inliers(clouds)
    assert kept.shape == (2, 64)
    assert 10 not in kept[0]
    cleaned = clouds.gather(1, kept.unsqueeze(-1).expand(-1, -1, 3))
    assert cleaned[0].amax() < 1.5
    inside = kept == torch.arange(64)
    assert inside.sum() > 110  # everything else stays in its place


def test_adversarial_batch_changes_only_its_share_of_the_pose_clouds(model, batch) -> None:
    settings = AdversarialSettings(share=0.5, epsilon=0.1)
    result = attacked(model, batch, settings, generator())
    changed = (result.pose != batch.pose).flatten(1).any(1)
    assert changed.sum() == 4
    assert torch.equal(result.queries, batch.queries)
    assert torch.equal(result.pose_rotations, batch.pose_rotations)
    assert torch.equal(result.pose_joints[~changed], batch.pose_joints[~changed])
    assert all(p.grad is None for p in model.parameters())
    assert not model.training
    # labels follow the renormalised cloud: a joint stays where its points are
    size = result.pose.square().sum(-1).mean(1)
    assert torch.allclose(size, torch.full_like(size, 0.25), atol=1e-4)
