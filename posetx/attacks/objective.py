"""What an attack on pose transfer maximises: the result's distance from the truth, or its nearness
to a pose that the attacker wants.

3D-PoseMAE Eq 5 minimises 1 / |result - truth|^2, which is infinite where the result is right and
flat where it is wrong. log |result - truth|^2 has the same gradient direction, is finite in
practice and of the same scale for all clouds, so that gradients of a batch compare.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from posetx.geometry.frames import normalise_pose
from posetx.models.mesh_model import Mover
from posetx.models.registry import Network

#: share of the points that is masked of a network which knows no masks
MASKED = 0.25
#: clouds (B, P, 3) -> the harm done (B,)
Objective = Callable[[Tensor], Tensor]


def transfer_damage(
    model: Network,
    queries: Tensor,
    truth: Tensor,
    sample: int | None = None,
    sets: int = 1,
    wanted: bool = False,
    masks: torch.Generator | None = None,
) -> Objective:
    """The objective of a white-box attack on ``model`` (in eval mode): log mean squared error.

    Parameters
    ----------
    queries : (B, Q, 3) an identity's points in its frame; the first ``sample`` (default: all)
        are its surface sample.
    truth : (B, T, 3) where the last T of them should go.
    sets : as in :meth:`PoseMAE.encode_pose`; of no meaning to other networks.
    wanted : ``truth`` is where the attacker wants them: the less error the better.
    masks : the encoder masks points at random as it does in training.

    The clouds may be in any unit; the normalisation is part of what is attacked.
    """
    move = model.mover(queries, sample or queries.shape[1], sets)
    return damage_of(move, truth, wanted, masks, getattr(model.config, "mask_ratio", MASKED))


def damage_of(
    move: Mover,
    truth: Tensor,
    wanted: bool = False,
    masks: torch.Generator | None = None,
    mask_ratio: float = MASKED,
) -> Objective:
    """:func:`transfer_damage` of identities that are known already, by what moves their points."""

    def damage(clouds: Tensor) -> Tensor:
        ratio = 0.0
        if masks is not None:  # a mask is a slice of points in random order
            order = torch.randperm(clouds.shape[1], generator=masks, device=clouds.device)
            clouds, ratio = clouds[:, order], mask_ratio
        positions = move(normalise_pose(clouds)[0], ratio)[:, -truth.shape[1] :]
        # float32's smallest step keeps the logarithm finite even for a perfect result
        error = (positions - truth).square().mean((1, 2)).clamp_min(1e-12).log()
        return -error if wanted else error

    return damage
