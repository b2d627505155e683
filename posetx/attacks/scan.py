"""An attack on a scan: what moves in the network's sample of it, and with that in the whole file.

The network sees a sample of the scan. The attack moves the sample; every other point of the body
goes along with the sampled ones next to it, and what cleaning takes away stays where it is. So the
file that is written is harmful beyond the sample it was made with, or is not: only the whole of
`transfer` on that file says which (:mod:`posetx.pipeline.adversary`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from posetx.arrays import Floats, Indices, Mask
from posetx.attacks.objective import Objective
from posetx.attacks.settings import AttackSettings
from posetx.attacks.victim import Victim
from posetx.models.predictor import Predictor

#: vertices of the target that the harm is measured on while attacking
VERTICES = 1024
#: where the clean prediction stands in for the truth it is exactly right at the clean cloud, and
#: the error has no slope there: the harm is looked at from this share of the budget beside it
NUDGE = 0.02
#: sampled points that a point of the scan goes along with
NEIGHBOURS = 6


@dataclass
class SampleAttack:
    """An attack on the network's sample (S, 3) of a scan, in metres of an adult.

    ``left`` (S,) says which of its points are still there. ``harm`` is by what is measured:
    ``clean``, ``attacked``, ``noise`` of the same size, and with a defence the same behind it; mean
    squared distances (m²) of the predicted vertices from the clean prediction, or, of a targeted
    attack, from the pose that is wanted.
    """

    moved: Floats
    left: Mask
    harm: dict[str, float]
    trace: list[float]
    queries: int


def picked_vertices(count: int, seed: int) -> Indices:
    """Which of a target's vertices the harm is measured on, VERTICES at most."""
    return np.random.default_rng(seed).permutation(count)[:VERTICES]


def victim_of(predictor: Predictor, vertices: Floats, faces: Indices, seed: int) -> Victim:
    """A victim for a target (N, 3) in its normalised frame, upright and facing +z."""
    picked = picked_vertices(len(vertices), seed)
    some = torch.as_tensor(vertices[picked], dtype=torch.float32, device=predictor.device)[None]
    return Victim(predictor, torch.cat([predictor.identity_sample(vertices, faces), some], 1))


def attack_sample(
    victim: Victim,
    sample: Floats,
    settings: AttackSettings,
    metre: float,
    wanted: Tensor | None = None,
    judge: Victim | None = None,
) -> SampleAttack:
    """Attack a sample (S, 3), upright and in metres, as :func:`pose_sample` makes it.

    ``metre`` is the identity frame's unit in metres of an adult, ``wanted`` (1, V, 3) where a
    targeted attack wants the vertices in that frame. ``judge`` is whose results count, where the
    victim is but a stand-in for it: a black box.
    """
    judge = judge or victim
    cloud = torch.as_tensor(sample, dtype=torch.float32, device=victim.predictor.device)[None]
    generator = torch.Generator(device=cloud.device)

    def objective_of(who: Victim, defence: str | None) -> Objective:
        truth = who.predicted(cloud) if wanted is None else wanted
        return who.objective(truth, len(sample), wanted is not None, defence, generator)

    known = objective_of(victim, settings.defence if settings.adaptive else None)
    nudge = NUDGE * settings.budget.random(cloud, generator.manual_seed(settings.seed))
    goal = math.log(settings.success / metre**2)
    result, left = settings.run(lambda clouds: known(clouds + nudge), cloud, generator, goal)

    noise = cloud + settings.budget.random(cloud, generator.manual_seed(settings.seed))
    shown = {"clean": cloud, "noise": noise, "attacked": result.clouds}
    sign = 1.0 if wanted is None else -1.0

    def squared(objective: Objective, clouds: Tensor) -> float:
        with torch.no_grad():
            return float((sign * objective(clouds)[0]).exp()) * metre**2

    counts = objective_of(judge, None)
    harm = {name: squared(counts, clouds) for name, clouds in shown.items()}
    if settings.defence:
        generator.manual_seed(settings.seed)
        behind = objective_of(judge, settings.defence)
        harm |= {f"{name}_defended": squared(behind, clouds) for name, clouds in shown.items()}
    return SampleAttack(
        result.clouds[0].cpu().double().numpy(),
        left[0].cpu().numpy(),
        harm,
        ((sign * result.trace[:, 0]).exp() * metre**2).tolist(),
        result.queries,
    )


def moved_along(
    points: Floats, sample: Floats, displacement: Floats, left: Mask
) -> tuple[Floats, Mask]:
    """A body's points (n, 3) after an attack on a sample (S, 3) of them, and who is left (n,).

    Where the attack moves, points go along with the sample's; where it takes away (``left`` (S,)),
    whoever is nearest to a sampled point that is gone goes too.
    """
    if left.all():
        return points + carried(points, sample, displacement), np.ones(len(points), dtype=bool)
    return points, left[cKDTree(sample).query(points)[1]]


def carried(points: Floats, sample: Floats, displacement: Floats) -> Floats:
    """Displacements (n, 3) of points (n, 3) that go along with a sample's (S, 3).

    The mean of the nearest sampled points', the nearer the more; nobody moves farther than they.
    """
    distance, index = cKDTree(sample).query(points, k=min(NEIGHBOURS, len(sample)))
    distance, index = distance.reshape(len(points), -1), index.reshape(len(points), -1)
    weight = 1 / (distance + 1e-3 * max(float(distance.mean()), 1e-12))
    weight /= weight.sum(1, keepdims=True)
    moved: Floats = (weight[..., None] * displacement[index]).sum(1)
    return moved
