"""Adversarial training: 3D-PoseMAE, Algorithm 1, on whole batches on the device.

Gradient of the pose-transfer adversarial loss with the model in eval mode, perturbation (FGM or
PGD), statistical outlier removal on the adversarial points, detach; then the ordinary step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from posetx.attacks.budget import Budget
from posetx.attacks.methods import perturbed
from posetx.attacks.objective import transfer_damage
from posetx.bodies.stream import Batch
from posetx.models.frames import normalise_pose
from posetx.models.pose_mae import PoseMAE

#: neighbours whose mean distance tells an outlier, and by how many deviations
NEIGHBOURS, DEVIATIONS = 8, 2.0


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
    model: PoseMAE, batch: Batch, settings: AdversarialSettings, generator: torch.Generator
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
    )
    model.train(training)
    kept = inliers(adversarial.detach())
    adversarial = adversarial.detach().gather(1, kept.unsqueeze(-1).expand(-1, -1, 3))
    adversarial, centre, unit = normalise_pose(adversarial)
    pose = batch.pose.clone()
    pose[rows] = adversarial
    attack = replace(batch, pose=pose)
    if batch.pose_part is not None:
        attack.pose_part = batch.pose_part.clone()
        attack.pose_part[rows] = batch.pose_part[rows].gather(1, kept)
    if batch.pose_joints is not None:
        attack.pose_joints = batch.pose_joints.clone()
        attack.pose_joints[rows] = (batch.pose_joints[rows] - centre) / unit
    return attack


def inliers(clouds: Tensor) -> Tensor:
    """Statistical outlier removal: indices (B, P) of the points kept, as many as came in.

    A point is out when the mean distance to its neighbours is more than DEVIATIONS standard
    deviations above the cloud's mean. The place of one that is out is taken by one kept, so that
    the batch stays a tensor.
    """
    distance = torch.cdist(clouds, clouds)
    near = distance.topk(NEIGHBOURS + 1, largest=False).values[..., 1:].mean(-1)
    deviation, mean = torch.std_mean(near, 1, keepdim=True)
    out = near > mean + DEVIATIONS * deviation
    index = torch.arange(clouds.shape[1], device=clouds.device).expand_as(near)
    # those kept first, in their order; the k-th that is out takes the k-th kept one
    order = out.to(torch.int8).sort(dim=1, stable=True).indices
    rank = out.cumsum(1) - 1
    kept = (~out).sum(1, keepdim=True)
    return torch.where(out, order.gather(1, rank.clamp_min(0) % kept), index)
