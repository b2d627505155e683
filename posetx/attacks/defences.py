"""Defences: what is done to clouds before the network sees them.

Each maps clouds (B, P, 3) to as many points; a point that is taken out gives its place to one that
is left (:func:`posetx.attacks.drop.filled`), so that gradients pass and batches stay tensors. An
attack that knows the defence climbs ``defended`` instead of the objective: through it, and over
its randomness by the mean of several draws (Athalye et al., "Obfuscated Gradients", ICML 2018).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from posetx.attacks.choices import DEFENCES as DEFENCES
from posetx.attacks.choices import DefenceName
from posetx.attacks.drop import filled
from posetx.attacks.objective import Objective

#: clouds (B, P, 3) and randomness to clouds (B, P, 3)
Defence = Callable[[Tensor, torch.Generator], Tensor]

#: neighbours whose mean distance tells an outlier, and by how many deviations
NEIGHBOURS, DEVIATIONS = 8, 2.0
#: share of the points that random sub-sampling keeps
KEPT = 0.5
#: neighbours that smoothing takes the mean of, the point among them
SMOOTHED = 8
#: draws that a random defence is averaged over
DRAWS = 4


def inliers(clouds: Tensor) -> Tensor:
    """Which points (B, P) statistical outlier removal keeps.

    A point is out when the mean distance to its neighbours is more than DEVIATIONS standard
    deviations above the cloud's mean.
    """
    distance = torch.cdist(clouds, clouds)
    near = distance.topk(NEIGHBOURS + 1, largest=False).values[..., 1:].mean(-1)
    deviation, mean = torch.std_mean(near, 1, keepdim=True)
    return near <= mean + DEVIATIONS * deviation


def without_outliers(clouds: Tensor, generator: torch.Generator) -> Tensor:
    """Statistical outlier removal, as the paper's Algorithm 1 has it."""
    with torch.no_grad():
        left = inliers(clouds)
    return filled(clouds, left)


def subsampled(clouds: Tensor, generator: torch.Generator) -> Tensor:
    """A random share of the points, drawn anew each time."""
    key = torch.rand(clouds.shape[:2], generator=generator, device=clouds.device)
    left = key.argsort(1).argsort(1) < max(int(KEPT * clouds.shape[1]), 1)
    return filled(clouds, left)


def smoothed(clouds: Tensor, generator: torch.Generator) -> Tensor:
    """Each point at the mean of its nearest ones."""
    with torch.no_grad():
        index = torch.cdist(clouds, clouds).topk(SMOOTHED, largest=False).indices
    near = clouds.unsqueeze(1).expand(-1, clouds.shape[1], -1, -1)
    return near.gather(2, index.unsqueeze(-1).expand(-1, -1, -1, 3)).mean(2)


#: By name. One more is a function here and a line.
CLOUD_DEFENCES: dict[str, Defence] = {
    "sor": without_outliers,
    "subsample": subsampled,
    "smooth": smoothed,
}
#: The encoder's own masks, as in training: no change of the cloud, see `transfer_damage`.
MASK: DefenceName = "mask"
#: Those that differ from call to call.
RANDOM = ("subsample", MASK)


def defended(
    objective: Objective, defence: str, generator: torch.Generator, draws: int = DRAWS
) -> Objective:
    """The objective behind a defence, for attacks that know of it; random ones by their mean.

    Of ``mask`` the objective itself draws the masks.
    """
    apply: Defence = CLOUD_DEFENCES.get(defence, lambda clouds, _: clouds)
    times = draws if defence in RANDOM else 1

    def behind(clouds: Tensor) -> Tensor:
        return torch.stack([objective(apply(clouds, generator)) for _ in range(times)]).mean(0)

    return behind
