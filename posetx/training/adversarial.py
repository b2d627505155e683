"""Adversarial training: 3D-PoseMAE, Algorithm 1, on whole batches on the device.

Gradient of the pose-transfer adversarial loss with the model in eval mode, perturbation (FGM or
PGD), statistical outlier removal on the adversarial points, detach; then the ordinary step.

One step of FGM teaches a network to bend its gradient instead of withstanding an attack
(catastrophic overfitting, arXiv 2010.01799). The cures are PGD of two or three steps from a random
start, and GradAlign (Andriushchenko and Flammarion, NeurIPS 2020, arXiv 2007.02617): a term for
gradients that are the same at a cloud and at a random place near it, see :func:`misalignment`.

PGD-20 harms several times as much as PGD-3, and a network that withstands the one need not
withstand the other. "free" training makes attacks of many steps cheap enough to learn from, see
:class:`Attacker`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from posetx.attacks.ascent import random_start, slope
from posetx.attacks.budget import Budget
from posetx.attacks.defences import inliers
from posetx.attacks.drop import standing_in
from posetx.attacks.ifgm import REACH
from posetx.attacks.methods import FREE, perturbed
from posetx.attacks.objective import Objective, damage_of
from posetx.data.sources import Stream
from posetx.data.stream import Batch
from posetx.geometry.frames import normalise_pose
from posetx.models.registry import Network
from posetx.training.pose_side import KnownIdentities


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
    #: of PGD; FGM has one; of free attacks how often each batch is learnt from
    pgd_steps: int = 3
    #: weight of :func:`misalignment` in the loss; 0: without
    alignment: float = 0.0


class Plan(NamedTuple):
    """A share of a batch, and within what it is attacked."""

    rows: Tensor  # (R,) of the batch
    clouds: Tensor  # (R, P, 3)
    budget: Budget


def planned(batch: Batch, settings: AdversarialSettings, generator: torch.Generator) -> Plan:
    """Which clouds of a batch are attacked, each within a budget of its own."""
    count, device = round(settings.share * len(batch.pose)), batch.pose.device
    rows = torch.randperm(len(batch.pose), generator=generator, device=device)[:count]
    epsilon = settings.epsilon * torch.rand(count, generator=generator, device=device)
    return Plan(rows, batch.pose[rows], Budget("l2", epsilon))


def harm_of(
    model: Network, batch: Batch, rows: Tensor, known: KnownIdentities | None = None
) -> Objective:
    """What is done to the model's output by moving clouds (R, P, 3) of these ``rows`` (R,).

    ``known`` are the batch's identities, where they are encoded already.
    """
    if known:
        move = known.mover(rows)
    else:
        move = model.mover(batch.queries[rows], batch.identity.shape[1])
    return damage_of(move, batch.truth[rows])


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
    plan = planned(batch, settings, generator)
    with _standing(model):
        harm = harm_of(model, batch, plan.rows, known)
        return misalignment(harm, plan.clouds, plan.budget, generator)


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


class Attacker:
    """Makes the batches of a run's steps adversarial to its network.

    With "free", free adversarial training (Shafahi et al., NeurIPS 2019, arXiv 1904.12843), a batch
    is learnt from several times in turn, and its attack goes on from one time to the next: each
    time one step of PGD, from a random start. So a step of training costs one gradient of an
    attack, and learns from attacks of one to ``pgd_steps`` steps.
    """

    def __init__(self, settings: AdversarialSettings):
        self.settings = settings
        self.batch: Batch | None = None
        self.begun: tuple[Plan, Tensor] | None = None  # and how far the clouds have moved
        self.left = 0  # times that the batch is yet learnt from

    def of_step(self, stream: Stream, count: int) -> Batch:
        """The batch of a step: ``count`` samples that are drawn, or the last one."""
        if self.batch is None or not self.left or self.settings.method != FREE:
            self.batch, self.begun, self.left = stream.draw(count), None, self.settings.pgd_steps
        self.left -= 1
        return self.batch

    def attacked(
        self,
        model: Network,
        batch: Batch,
        generator: torch.Generator,
        known: KnownIdentities | None = None,
    ) -> Batch:
        """The batch of this step with a share of its pose clouds attacked, as :func:`attacked`."""
        s = self.settings
        if s.method != FREE:
            return attacked(model, batch, s, generator, known)
        if not round(s.share * len(batch.pose)):
            return batch
        if self.begun is None:
            plan = planned(batch, s, generator)
            self.begun = plan, random_start(plan.clouds, plan.budget, generator)
        (rows, clouds, budget), moved = self.begun
        with _standing(model):
            uphill = slope(harm_of(model, batch, rows, known))(clouds + moved)[1]
        moved = budget.project(moved + REACH / s.pgd_steps * budget.steepest(uphill))
        self.begun = self.begun[0], moved
        return _with_clouds(batch, rows, clouds + moved)


def attacked(
    model: Network,
    batch: Batch,
    settings: AdversarialSettings,
    generator: torch.Generator,
    known: KnownIdentities | None = None,
) -> Batch:
    """The batch with a share of its pose clouds made adversarial to ``model``.

    The model's mode and gradients are left as they were; for ``known`` see :func:`harm_of`.
    """
    if not round(settings.share * len(batch.pose)):
        return batch
    plan = planned(batch, settings, generator)
    with _standing(model):
        harm = harm_of(model, batch, plan.rows, known)
        found = perturbed(
            settings.method, harm, plan.clouds, plan.budget, generator, settings.pgd_steps
        )
    return _with_clouds(batch, plan.rows, found.clouds.detach())


@contextmanager
def _standing(model: Network) -> Iterator[None]:
    """The model in eval mode, and then in the one that it was in."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _with_clouds(batch: Batch, rows: Tensor, clouds: Tensor) -> Batch:
    """A batch with other pose clouds (R, P, 3) in its ``rows`` (R,), without their outliers."""
    kept = standing_in(inliers(clouds))
    adversarial = clouds.gather(1, kept.unsqueeze(-1).expand(-1, -1, 3))
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
