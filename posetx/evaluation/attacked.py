"""The protocols' attacks: white box, on the points that the network sees."""

from __future__ import annotations

import torch

from posetx.arrays import Floats, Indices
from posetx.attacks.budget import Budget
from posetx.attacks.methods import perturbed
from posetx.attacks.scan import picked_vertices, victim_of
from posetx.evaluation.protocol_table import EPSILON, PGD_STEPS
from posetx.models.predictor import IdentityFrame, Predictor


def adversarial_sample(
    predictor: Predictor,
    method: str,
    sample: Floats,
    target: Floats,
    truth: Floats,
    faces: Indices,
    seed: int,
) -> Floats:
    """``sample`` (S, 3), as :func:`pose_sample` makes it, after the attack; metres, same order."""
    frame, aim = IdentityFrame.of(target, faces), IdentityFrame.of(truth, faces)
    picked = picked_vertices(len(target), seed)

    def tensor(values: Floats) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=predictor.device)[None]

    victim = victim_of(predictor, frame.to_normal(target), faces, seed)
    # nothing is known of where the surface sample goes: the harm counts at the vertices only
    right = tensor((truth[picked] - aim.centre) / frame.unit)
    objective = victim.objective(right, len(sample))
    cloud = tensor(sample - sample.mean(0))
    budget = Budget("l2", EPSILON)
    generator = torch.Generator(device=predictor.device).manual_seed(seed)
    moved = perturbed(method, objective, cloud, budget, generator, PGD_STEPS)
    points: Floats = moved.clouds[0].cpu().double().numpy() + sample.mean(0)
    return points
