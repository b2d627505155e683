"""Attacks: they stay in their budget, keep what is not theirs, and do more harm than noise."""

from __future__ import annotations

import copy

import pytest
import torch

from posetx.attacks.ascent import slope
from posetx.attacks.budget import NORMS, Budget
from posetx.attacks.cw import cw
from posetx.attacks.defences import CLOUD_DEFENCES, DEFENCES, inliers
from posetx.attacks.drop import drop, standing_in
from posetx.attacks.igsm import igsm
from posetx.attacks.methods import perturbed
from posetx.attacks.objective import transfer_damage
from posetx.attacks.pgd import pgd
from posetx.attacks.victim import Victim
from posetx.data.stream import BodyStream, StreamSettings
from posetx.models.checkpoint import load_model
from posetx.models.predictor import Predictor
from posetx.training.adversarial import AdversarialSettings, attacked


@pytest.fixture(scope="module")
def model():
    return load_model("posemae")[0]


@pytest.fixture(scope="module")
def batch(data):
    settings = StreamSettings(128, scan_share=0.0, noise_share=0.0, reposed_share=0.0)
    return BodyStream(*data, settings, seed=3).draw(8)


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
    grad = slope(objective)(clouds)[1]
    direction = Budget("l2", 1.0).steepest(grad)
    step = 1e-8 * direction  # so small that no ReLU turns between
    with torch.no_grad():
        rise = (objective(clouds + step) - objective(clouds - step)) / 2e-8
    assert torch.allclose(rise, (grad * direction).sum((1, 2)), rtol=0.01)


def harm_of(objective, clouds: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return objective(clouds)


def test_attacks_beat_noise_and_each_other_in_order(model, batch) -> None:
    objective, budget = objective_of(model, batch), Budget("l2", 0.03)
    clouds = batch.pose
    noise = clouds + budget.random(clouds, generator())
    order = [clouds, noise]
    order += [
        perturbed(m, objective, clouds, budget, generator(), 10).clouds for m in ("fgm", "ifgm")
    ]
    order += [pgd(objective, clouds, budget, generator(), steps=10, restarts=3).clouds]
    harm = [float(harm_of(objective, c).mean()) for c in order]
    assert harm == sorted(harm)


WITHIN = ("fgm", "ifgm", "mifgm", "pgd", "igsm", "nes")


@pytest.mark.parametrize("method", WITHIN)
def test_every_attack_stays_in_its_budget_and_does_what_it_can(model, batch, method) -> None:
    objective, clouds = objective_of(model, batch), batch.pose.clone()
    before = harm_of(objective, clouds)
    budget = Budget("linf" if method == "igsm" else "point", 0.03)
    steps = 1 if method == "nes" else 3  # of which each asks 32 times
    result = perturbed(method, objective, clouds, budget, generator(), steps)
    assert torch.equal(clouds, batch.pose)
    assert (budget.size(result.clouds - clouds) <= 0.03 * 1.0001).all()
    assert torch.isfinite(result.clouds).all()
    assert harm_of(objective, result.clouds).mean() > before.mean()
    again = perturbed(method, objective, clouds, budget, generator(), steps)
    assert torch.equal(result.clouds, again.clouds), "the same seed, the same attack"
    assert result.queries >= len(result.trace) > 0


def test_harm_rises_with_steps_and_with_the_budget(model, batch) -> None:
    objective = objective_of(model, batch)

    def harm(epsilon: float, steps: int) -> float:
        result = perturbed("ifgm", objective, batch.pose, Budget("l2", epsilon), generator(), steps)
        return float(harm_of(objective, result.clouds).mean())

    most = harm(0.03, 10)
    assert harm(0.03, 1) < harm(0.03, 4) < most
    assert harm(0.01, 10) < most < harm(0.1, 10)


@pytest.mark.slow
def test_the_smallest_displacement_that_does_the_harm(model, batch) -> None:
    objective, budget = objective_of(model, batch), Budget("l2", 0.2)
    strong = pgd(objective, batch.pose, Budget("l2", 0.03), generator(), steps=20)
    goal = float(harm_of(objective, strong.clouds).median())
    result = cw(objective, batch.pose, budget, goal, steps=60, searches=4)
    harm, size = harm_of(objective, result.clouds), budget.size(result.clouds - batch.pose)
    assert (harm >= goal - 1e-4).all()
    assert size.median() < 0.03 and (size <= 0.2001).all()
    # of a goal out of reach the most harmful place is told
    hopeless = cw(objective, batch.pose, Budget("l2", 0.01), goal=50.0, steps=5, searches=2)
    assert harm_of(objective, hopeless.clouds).mean() > harm_of(objective, batch.pose).mean()


def test_points_that_matter_are_dropped(model, batch) -> None:
    objective = objective_of(model, batch)
    result, left = drop(objective, batch.pose, share=0.25)
    assert (left.sum(1) == 96).all()
    assert torch.equal(result.clouds[left], batch.pose[left]), "who is left does not move"
    chance = torch.rand(8, 128, generator=generator()).argsort(1).argsort(1) < 96
    others = batch.pose.gather(1, standing_in(chance).unsqueeze(-1).expand(-1, -1, 3))
    assert harm_of(objective, result.clouds).mean() > harm_of(objective, others).mean() + 0.5
    with pytest.raises(ValueError, match="share"):
        drop(objective, batch.pose, share=1.0)


def test_signs_lead_to_the_pose_that_is_wanted(model, batch) -> None:
    size = batch.identity.shape[1]
    with torch.no_grad():
        other = model(batch.pose.roll(1, 0), batch.queries, size).positions
    wanted = transfer_damage(model, batch.queries, other, size, wanted=True)
    result = igsm(wanted, batch.pose, Budget("linf", 0.1), steps=40)
    before, after = (-harm_of(wanted, c) for c in (batch.pose, result.clouds))
    assert ((after - before).exp() < 0.25).float().mean() > 0.7  # half the distance
    with pytest.raises(ValueError, match="linf"):
        igsm(wanted, batch.pose, Budget("l2", 0.1))


FAST = ("sor",)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in DEFENCES]
)
def test_who_knows_of_a_defence_does_more_harm_behind_it(model, batch, name: str) -> None:
    victim = Victim(Predictor(model, torch.device("cpu")), batch.queries)
    truth, budget = batch.truth[:, batch.identity.shape[1] :], Budget("l2", 0.06)

    def objective(defence: str | None, seed: int = 0):
        seeded = torch.Generator().manual_seed(seed)
        return victim.objective(truth, 128, defence=defence, generator=seeded)

    def harm(attacked_objective) -> float:
        result = perturbed("pgd", attacked_objective, batch.pose, budget, generator(), steps=8)
        return float(harm_of(objective(name, seed=9), result.clouds).mean())

    assert harm(objective(name)) > harm(objective(None))


def test_clouds_of_a_batch_do_not_influence_each_other(model, batch) -> None:
    objective = objective_of(model, batch)
    alone = transfer_damage(model, batch.queries[:1], batch.truth[:1], batch.identity.shape[1])
    assert torch.allclose(
        slope(objective)(batch.pose)[1][:1],
        slope(alone)(batch.pose[:1])[1],
        atol=1e-4,
        rtol=1e-2,
    )


def test_outlier_removal_keeps_the_count_and_drops_the_outlier() -> None:
    clouds = torch.rand(2, 64, 3, generator=generator())
    clouds[0, 10] += 5.0
    left = inliers(clouds)
    kept = standing_in(left)
    assert kept.shape == (2, 64) and not left[0, 10] and 10 not in kept[0]
    cleaned = CLOUD_DEFENCES["sor"](clouds, generator())
    assert cleaned[0].amax() < 1.5
    assert torch.equal(cleaned[left], clouds[left]) and left.sum() > 110


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
