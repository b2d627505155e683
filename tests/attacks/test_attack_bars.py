"""What the attacks are worth on the shipped weights, and whether these mask their gradients.

Slow: minutes. Poses are the shipped prior's.
"""

from __future__ import annotations

import copy
import math

import pytest
import torch

from posetx.attacks.settings import AttackSettings
from posetx.attacks.victim import turned
from posetx.evaluation.attack_grid import AttackGrid, Crowd
from posetx.evaluation.subjects import Subjects
from posetx.models.checkpoint import load_model
from posetx.models.predictor import Predictor

pytestmark = pytest.mark.slow
PAIRS = 8
SUCCESS = AttackSettings().success


@pytest.fixture(scope="module")
def grid() -> AttackGrid:
    return AttackGrid(Predictor(load_model("posemae")[0], torch.device("cpu")), Subjects())


@pytest.fixture(scope="module")
def crowd(grid: AttackGrid) -> Crowd:
    return grid.crowd("seen", PAIRS)


def pmd(grid: AttackGrid, crowd: Crowd, method: str, epsilon: float, **more) -> float:
    settings = AttackSettings(method, epsilon=epsilon, **more)
    return grid.cell(crowd, settings)["pmd"]


@pytest.mark.parametrize("epsilon", [0.02, 0.08])
def test_order_of_strength(grid: AttackGrid, crowd: Crowd, epsilon: float) -> None:
    clean = grid.figures(crowd)["pmd"]
    noise, fgm, ifgm = (pmd(grid, crowd, m, epsilon, steps=20) for m in ("noise", "fgm", "ifgm"))
    pgd = pmd(grid, crowd, "pgd", epsilon, steps=20, restarts=3)
    assert pgd >= 0.98 * ifgm and ifgm >= fgm >= noise >= clean
    if epsilon == 0.08:
        assert fgm >= 5 * clean


def test_a_large_budget_always_succeeds(grid: AttackGrid, crowd: Crowd) -> None:
    cell = grid.cell(crowd, AttackSettings("pgd", epsilon=0.5, steps=20))
    assert cell["success"] == 1.0


def test_more_steps_and_more_budget_do_more_harm(grid: AttackGrid, crowd: Crowd) -> None:
    steps = [pmd(grid, crowd, "ifgm", 0.02, steps=n) for n in (1, 5, 20)]
    assert steps == sorted(steps)
    budgets = [pmd(grid, crowd, "ifgm", e, steps=5) for e in (0.005, 0.01, 0.02, 0.04, 0.08)]
    assert budgets == sorted(budgets)


def test_a_black_box_is_harder(crowd: Crowd, grid: AttackGrid) -> None:
    """Made with a network nearby, an attack does less harm; and more than noise does."""
    other = copy.deepcopy(grid.predictor.network)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in other.parameters():
            noise = torch.randn(value.shape, generator=generator)
            value += 0.1 * value.std(correction=0) * noise
    blind = AttackGrid(grid.predictor, grid.subjects, Predictor(other, torch.device("cpu")))
    black = pmd(blind, crowd, "pgd", 0.02)
    assert pmd(grid, crowd, "noise", 0.02) < black < 0.9 * pmd(grid, crowd, "pgd", 0.02)


def test_queries_alone_do_more_than_noise(grid: AttackGrid, crowd: Crowd) -> None:
    some = grid.crowd("seen", 2)
    assert pmd(grid, some, "nes", 0.05) > 1.5 * pmd(grid, some, "noise", 0.05)


def test_the_smallest_displacement_is_smaller_than_pgds(grid: AttackGrid, crowd: Crowd) -> None:
    """C&W against PGD with a search for its smallest successful budget."""
    found = grid.attacked(crowd, AttackSettings("cw", epsilon=0.1, steps=60))
    victim, metres = crowd.victim(grid.predictor), crowd.metres
    objective = victim.objective(crowd.truth, crowd.clouds.shape[1])

    def harm(clouds: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return objective(clouds)

    goal = math.log(SUCCESS / float(metres.square().mean()))
    assert (harm(found.clouds) >= goal - 1e-3).all()
    size = (found.clouds - crowd.clouds).square().mean((1, 2)).sqrt()
    smallest = torch.full((PAIRS,), 0.1)
    low, high = torch.zeros(PAIRS), torch.full((PAIRS,), 0.02)
    for _ in range(7):
        middle = 0.5 * (low + high)
        one = [
            grid.attacked(_row(crowd, i), AttackSettings("pgd", epsilon=float(middle[i])))
            for i in range(PAIRS)
        ]
        done = harm(torch.cat([result.clouds for result in one])) >= goal
        smallest = torch.where(done, torch.minimum(smallest, middle), smallest)
        low, high = torch.where(done, low, middle), torch.where(done, middle, high)
    assert size.mean() < smallest.mean()
    assert (size < smallest).float().mean() >= 0.75


def _row(crowd: Crowd, i: int) -> Crowd:
    rows = slice(i, i + 1)
    return Crowd(
        crowd.cases[rows],
        crowd.clouds[rows],
        crowd.queries[rows],
        crowd.truth[rows],
        crowd.metres[rows],
    )


def test_a_hundred_signed_steps_go_halfway_to_the_pose_wanted(
    grid: AttackGrid, crowd: Crowd
) -> None:
    some = grid.crowd("seen", 4)
    settings = AttackSettings("igsm-t", "linf", epsilon=0.05, steps=100)
    cell = grid.cell(some, settings, turn_degrees=30.0)
    assert cell["from_wanted_mm"] <= 0.5 * cell["clean_from_wanted_mm"]
    victim = some.victim(grid.predictor)
    own = victim.predicted(some.clouds)
    apart = (turned(own, 30.0) - own).norm(dim=-1).mean(1) * some.metres
    assert cell["clean_from_wanted_mm"] == pytest.approx(1000 * float(apart.mean()), rel=1e-3)
