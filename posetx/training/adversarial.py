"""Adversarial training: 3D-PoseMAE, Algorithm 1, on whole batches on the device.

Gradient of the pose-transfer adversarial loss with the model in eval mode, perturbation (FGM or
PGD), statistical outlier removal on the adversarial points, detach; then the ordinary step.

One step of FGM teaches a network to bend its gradient instead of withstanding an attack
(catastrophic overfitting, arXiv 2010.01799). The cures are PGD of two or three steps from a random
start, and GradAlign (Andriushchenko and Flammarion, NeurIPS 2020, arXiv 2007.02617): a term for
gradients that are the same at a cloud and at a random place near it, see :func:`misalignment`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from posetx.attacks.budget import Budget
from posetx.attacks.defences import inliers
from posetx.attacks.drop import standing_in
from posetx.attacks.methods import METHODS as ATTACKS
from posetx.attacks.methods import perturbed
from posetx.attacks.objective import Objective, damage_of
from posetx.data.stream import Batch
from posetx.geometry.frames import normalise_pose
from posetx.models.registry import Network
from posetx.training.pose_side import KnownIdentities

#: attacks that training may use: within the global budget, and cheap enough for every step
METHODS = tuple(name for name, method in ATTACKS.items() if method.training)


@dataclass(frozen=True)
class AdversarialSettings:
    """What is attacked, how hard, and when."""

    method: str = "fgm"
    #: largest root-mean-square displacement a coordinate, in the pose's normalised frame (about
    #: metres for an adult); each cloud draws its own budget up to it
    epsilon: float = 0.08
    #: share of a batch that is attacked; the rest stays clean and keeps the clean accuracy
    share: float = 0.5
    #: share of the run that comes before: stage 1, clean
    begin: float = 0.0
    #: of PGD; FGM has one
    pgd_steps: int = 3
    #: weight of :func:`misalignment` in the loss; 0: without
    alignment: float = 0.0


class Plan(NamedTuple):
    """A share of a batch, and what is needed to attack it."""

    rows: Tensor  # (R,) of the batch
    clouds: Tensor  # (R, P, 3)
    budget: Budget
    objective: Objective


def planned(
    model: Network,
    batch: Batch,
    settings: AdversarialSettings,
    generator: torch.Generator,
    known: KnownIdentities | None = None,
) -> Plan:
    """Which clouds of a batch are attacked, each within a budget of its own.

    ``known`` are the batch's identities, where they are encoded already.
    """
    count, device = round(settings.share * len(batch.pose)), batch.pose.device
    rows = torch.randperm(len(batch.pose), generator=generator, device=device)[:count]
    epsilon = settings.epsilon * torch.rand(count, generator=generator, device=device)
    if known:
        move = known.mover(rows)
    else:
        move = model.mover(batch.queries[rows], batch.identity.shape[1])
    objective = damage_of(move, batch.truth[rows])
    return Plan(rows, batch.pose[rows], Budget("l2", epsilon), objective)


def misaligned(
    model: Network,
    batch: Batch,
    settings: AdversarialSettings,
    generator: torch.Generator,
    known: KnownIdentities | None = None,
) -> Tensor:
    """:func:`misalignment` of as many of a batch's clouds as are attacked, to learn from.

    The model is in eval mode for it, as for an attack, and left in its own.
    """
    training = model.training
    model.eval()
    plan = planned(model, batch, settings, generator, known)
    apart = misalignment(plan.objective, plan.clouds, plan.budget, generator)
    model.train(training)
    return apart


def misalignment(
    objective: Objective, clouds: Tensor, budget: Budget, generator: torch.Generator
) -> Tensor:
    """GradAlign's term: 1 - cos of the harm's gradients at clouds (B, P, 3) and near them.

    A scalar from 0 to 2, the batch's mean, with gradients to what ``objective`` is of. Near are
    random places at the ``budget``'s full size, where most of its ball is.
    """

    def uphill(place: Tensor) -> Tensor:
        place = place.detach().requires_grad_(True)
        harm = objective(place).sum()
        return torch.autograd.grad(harm, place, create_graph=True)[0].flatten(1)

    near = clouds + budget.random(clouds, generator)
    # of the ways to compute attention only the plain one can be differentiated twice
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        cosine = F.cosine_similarity(uphill(clouds), uphill(near))
    return (1 - cosine).mean()


def attacked(
    model: Network,
    batch: Batch,
    settings: AdversarialSettings,
    generator: torch.Generator,
    known: KnownIdentities | None = None,
) -> Batch:
    """The batch with a share of its pose clouds made adversarial to ``model``.

    The model's mode and gradients are left as they were; for ``known`` see :func:`planned`.
    """
    if not round(settings.share * len(batch.pose)):
        return batch
    training = model.training
    model.eval()
    rows, clouds, budget, objective = planned(model, batch, settings, generator, known)
    adversarial = perturbed(
        settings.method, objective, clouds, budget, generator, settings.pgd_steps
    ).clouds
    model.train(training)
    kept = standing_in(inliers(adversarial.detach()))
    adversarial = adversarial.detach().gather(1, kept.unsqueeze(-1).expand(-1, -1, 3))
    adversarial, centre, unit = normalise_pose(adversarial)
    pose = batch.pose.clone()
    pose[rows] = adversarial
    attack = replace(batch, pose=pose)
    for name in ("pose_part", "pose_place", "pose_lift"):
        values = getattr(batch, name)
        if values is not None:
            moved = values.clone()
            index = kept if values.ndim == 2 else kept.unsqueeze(-1).expand(-1, -1, 3)
            moved[rows] = values[rows].gather(1, index)
            setattr(attack, name, moved)
    if batch.pose_joints is not None:
        attack.pose_joints = batch.pose_joints.clone()
        attack.pose_joints[rows] = (batch.pose_joints[rows] - centre) / unit
    return attack
