"""An attack on a scan: what moves in the network's sample of it, and with that in the whole file.

The network sees a sample of the scan. The attack moves the sample; every other point of the body
goes along with the sampled ones next to it, and what cleaning takes away stays where it is. So the
file that is written is harmful beyond the sample it was made with, or is not: only the whole of
`transfer` on that file says which (:mod:`posetx.adversary`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from posetx.attacks.ascent import Attacked
from posetx.attacks.budget import Budget
from posetx.attacks.cw import cw
from posetx.attacks.defences import defended
from posetx.attacks.drop import drop
from posetx.attacks.methods import METHODS, perturbed
from posetx.attacks.objective import Objective, transfer_damage
from posetx.models.predictor import Predictor

Floats = NDArray[np.float64]

#: the attacks of `posetx attack`: those within a budget, and those with a goal of their own
NAMES = (*METHODS[:-1], "igsm-t", "cw", "drop", "nes")
#: vertices of the target that the harm is measured on while attacking
VERTICES = 1024
#: where the clean prediction stands in for the truth it is exactly right at the clean cloud, and
#: the error has no slope there: the harm is looked at from this share of the budget beside it
NUDGE = 0.02
#: sampled points that a point of the scan goes along with
NEIGHBOURS = 6


@dataclass(frozen=True)
class AttackSettings:
    """What `posetx attack` can set of an attack itself.

    ``epsilon`` is in metres of an adult: a scan's unit is not known, a body's size is. ``success``
    is the PMD (m²) from which on the result counts as another one; C&W's goal. ``share`` is that
    of the points that ``drop`` takes. ``defence`` stands before the network; the attack knows of
    it if ``adaptive``.
    """

    method: str = "pgd"
    norm: str = "l2"
    epsilon: float = 0.02
    steps: int = 20
    restarts: int = 1
    seed: int = 0
    success: float = 1e-3
    share: float = 0.1
    defence: str | None = None
    adaptive: bool = False


@dataclass
class SampleAttack:
    """An attack on the network's sample (S, 3) of a scan, in metres of an adult.

    ``left`` (S,) says which of its points are still there. ``harm`` is by what is measured:
    ``clean``, ``attacked``, ``noise`` of the same size, and with a defence the same behind it; mean
    squared distances (m²) of the predicted vertices from the clean prediction, or, of a targeted
    attack, from the pose that is wanted.
    """

    moved: Floats
    left: NDArray[np.bool_]
    harm: dict[str, float]
    trace: list[float]
    queries: int


@dataclass
class Victim:
    """A network and a target, for attacks on samples of the same size."""

    predictor: Predictor
    queries: Tensor  # (1, I + V, 3) the identity's surface sample, then vertices
    metre: float  # the identity frame's unit in metres of an adult

    def objective(self, truth: Tensor, sets: int, wanted: bool = False) -> Objective:
        """The log mean squared distance from ``truth`` (1, V, 3); its negative where wanted."""
        shown = self.queries.shape[1] - truth.shape[1]
        model = self.predictor.model
        return transfer_damage(model, self.queries, truth, shown, sets, wanted)

    @torch.no_grad()
    def predicted(self, cloud: Tensor) -> Tensor:
        """Where the network puts the vertices (1, V, 3) by a cloud (1, S, 3)."""
        model, own = self.predictor.model, self.predictor.model.config.identity_points
        pose = model.encode_pose(
            self.predictor.normalised(cloud), sets=cloud.shape[1] // model.config.pose_points
        )
        target = model.encode_identity(self.queries[:, :own], extra=self.queries[:, own:])
        return model.transferred(pose, target, self.queries, own).positions[:, own:]


def victim_of(
    predictor: Predictor, vertices: Floats, faces: NDArray[np.int64], metre: float, seed: int
) -> Victim:
    """A victim for a target (N, 3) in its normalised frame, upright and facing +z."""
    picked = np.random.default_rng(seed).permutation(len(vertices))[:VERTICES]
    some = torch.as_tensor(vertices[picked], dtype=torch.float32, device=predictor.device)[None]
    return Victim(
        predictor, torch.cat([predictor.identity_sample(vertices, faces), some], 1), metre
    )


def attack_sample(
    victim: Victim,
    sample: Floats,
    settings: AttackSettings,
    wanted: Tensor | None = None,
    judge: Victim | None = None,
) -> SampleAttack:
    """Attack a sample (S, 3), upright and in metres, as :func:`pose_sample` makes it.

    ``wanted`` (1, V, 3) is where a targeted attack wants the vertices, in the identity's frame.
    ``judge`` is whose results count, where the victim is but a stand-in for it: a black box.
    """
    judge = judge or victim
    device, sets = victim.predictor.device, len(sample) // judge.predictor.model.config.pose_points
    cloud = torch.as_tensor(sample, dtype=torch.float32, device=device)[None]
    generator = torch.Generator(device=device).manual_seed(settings.seed)
    own_sets = len(sample) // victim.predictor.model.config.pose_points

    def objective_of(who: Victim, times: int) -> Objective:
        if wanted is not None:
            return who.objective(wanted, times, wanted=True)
        return who.objective(who.predicted(cloud), times)

    budget = Budget(settings.norm, settings.epsilon)
    plain = objective_of(victim, own_sets)
    nudge = NUDGE * budget.random(cloud, generator)

    def objective(clouds: Tensor) -> Tensor:
        return known(clouds + nudge)

    known = plain
    if settings.defence and settings.adaptive:
        known = defended(plain, settings.defence, generator)
    result, left = _run(objective, cloud, budget, settings, generator, victim.metre)
    noise = cloud + budget.random(cloud, torch.Generator(device=device).manual_seed(settings.seed))

    counts = objective_of(judge, sets)
    shown = {"clean": cloud, "noise": noise, "attacked": result.clouds}
    harm = {name: _distance(counts, some, judge, wanted) for name, some in shown.items()}
    if settings.defence:
        generator.manual_seed(settings.seed)
        behind = defended(counts, settings.defence, generator)
        harm |= {
            f"{name}_defended": _distance(behind, some, judge, wanted)
            for name, some in shown.items()
        }
    sign = 1.0 if wanted is None else -1.0
    trace = (sign * result.trace[:, 0]).exp() * victim.metre**2
    return SampleAttack(
        result.clouds[0].cpu().double().numpy(),
        left,
        harm,
        trace.tolist(),
        result.queries,
    )


def _run(
    objective: Objective,
    cloud: Tensor,
    budget: Budget,
    settings: AttackSettings,
    generator: torch.Generator,
    metre: float,
) -> tuple[Attacked, NDArray[np.bool_]]:
    every = np.ones(cloud.shape[1], dtype=bool)
    if settings.method == "drop":
        result, left = drop(objective, cloud, settings.share)
        return result, left[0].cpu().numpy()
    if settings.method == "cw":
        goal = float(np.log(settings.success / metre**2))
        return cw(objective, cloud, budget, goal, settings.steps), every
    method = "igsm" if settings.method == "igsm-t" else settings.method
    result = perturbed(
        method, objective, cloud, budget, generator, settings.steps, settings.restarts
    )
    return result, every


@torch.no_grad()
def _distance(objective: Objective, cloud: Tensor, judge: Victim, wanted: Tensor | None) -> float:
    """The mean squared distance (m²) that an objective is the logarithm of."""
    sign = 1.0 if wanted is None else -1.0
    return float((sign * objective(cloud)[0]).exp()) * judge.metre**2


def carried(points: Floats, sample: Floats, displacement: Floats) -> Floats:
    """Displacements (n, 3) of points (n, 3) that go along with a sample's (S, 3).

    The mean of the nearest sampled points', the nearer the more; nobody moves farther than they.
    """
    distance, index = cKDTree(sample).query(points, k=min(NEIGHBOURS, len(sample)))
    distance, index = distance.reshape(len(points), -1), index.reshape(len(points), -1)
    weight = 1 / (distance + 1e-3 * max(float(distance.mean()), 1e-12))
    weight /= weight.sum(1, keepdims=True)
    return (weight[..., None] * displacement[index]).sum(1)
