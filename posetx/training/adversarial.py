"""Adversarial training: 3D-PoseMAE, Algorithm 1, on whole batches on the device.

Gradient of the pose-transfer adversarial loss with the model in eval mode, perturbation (FGM or
PGD), statistical outlier removal on the adversarial points, detach; then the ordinary step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from posetx.attacks.budget import Budget
from posetx.attacks.defences import inliers
from posetx.attacks.drop import standing_in
from posetx.attacks.methods import METHODS as ATTACKS
from posetx.attacks.methods import perturbed
from posetx.attacks.objective import transfer_damage
from posetx.data.stream import Batch
from posetx.geometry.frames import normalise_pose
from posetx.models.registry import Network

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
    pgd_steps: int = 3


def attacked(
    model: Network, batch: Batch, settings: AdversarialSettings, generator: torch.Generator
) -> Batch:
    """The batch with a share of its pose clouds made adversarial to ``model``.

    The model's mode and gradients are left as they were.
    """
    count = round(settings.share * len(batch.pose))
    if not count:
        return batch
    device = batch.pose.device
    rows = torch.randperm(len(batch.pose), generator=generator, device=device)[:count]
    clouds, sample = batch.pose[rows], batch.identity.shape[1]
    epsilon = settings.epsilon * torch.rand(count, generator=generator, device=device)
    budget = Budget("l2", epsilon)
    training = model.training
    model.eval()
    objective = transfer_damage(model, batch.queries[rows], batch.truth[rows], sample)
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
        known = getattr(batch, name)
        if known is not None:
            moved = known.clone()
            index = kept if known.ndim == 2 else kept.unsqueeze(-1).expand(-1, -1, 3)
            moved[rows] = known[rows].gather(1, index)
            setattr(attack, name, moved)
    if batch.pose_joints is not None:
        attack.pose_joints = batch.pose_joints.clone()
        attack.pose_joints[rows] = (batch.pose_joints[rows] - centre) / unit
    return attack
