"""MAPConNet's unsupervised loss: no body is ever seen in another's pose.

Paper (ICCV 2023), Eq 4 to 6, with the contrastive terms of :mod:`posetx.training.contrastive`:

* cross-consistency: of two poses of body A, the second must be moved to the first;
* self-consistency: body B is given A's first pose; from what comes out, taken as it is (the
  gradient stops there, or A's pose could be passed on in a code of its own), A in its second pose
  must again be moved to the first.

As in the published code the first pass, A to B, has contrastive terms too: it has no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from posetx.data.stream import Batch
from posetx.geometry.frames import normalise_pose
from posetx.geometry.rotations import full_precision
from posetx.models.mapconnet import MAPConNet, Matched
from posetx.training import losses
from posetx.training.contrastive import TRIPLET, aligned_terms, supervised_terms

#: of each term next to the mean squared error: the published 1000 : 0.5 : 1 : 1
WEIGHTS = {
    "position": 1.0,
    "edge": losses.WEIGHTS["edge"],
    "mesh": TRIPLET,
    "point": TRIPLET,
}


@dataclass
class UnpairedBatch:
    """Bodies A in two poses and bodies B in any (B samples, N and M points).

    All are in their identities' frames, as in :class:`posetx.data.stream.Batch`: centred, A's two
    with one unit. Their last points are the ends of E edges, first the ones, then the others.
    """

    first: Tensor  # (B, N, 3) body A; N = I + 2 E
    second: Tensor  # (B, N, 3) the same points of A in another pose
    other: Tensor  # (B, M, 3) body B; no edges of it are needed
    metres: Tensor  # (B,) the unit of A's frame; of files, in theirs

    @classmethod
    def of(cls, batch: Batch) -> UnpairedBatch:
        """From a batch's identities alone: in their own pose and in the one that they take.

        B is the next sample's identity. Raises ValueError for a batch of one.
        """
        if len(batch.identity) < 2:
            raise ValueError("a batch of one has no other body")
        return cls(batch.truth, batch.queries, batch.identity.roll(-1, 0), batch.metres)


def unsupervised_loss(
    model: MAPConNet,
    batch: UnpairedBatch,
    weights: Mapping[str, float] = WEIGHTS,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, of the kinds that have ``weights``, and its terms (detached, unweighted scalars).

    Terms are named by pass and kind: ``cross_position``, ``first_mesh``, ``self_edge``...;
    ``generator`` draws the point loss's negatives.
    """
    pose, _, _ = normalise_pose(batch.first)
    cross = model(pose, batch.second)
    first = model(pose, batch.other)
    # in float32: bf16 would move the points by millimetres
    shown, _, _ = normalise_pose(full_precision(first.positions.detach()))
    again = model(shown, batch.second)

    def rebuilt(output: Matched) -> dict[str, Tensor]:
        """How far A is from its first pose, and its edges from their lengths."""
        return losses.rebuilt_terms(output.positions, batch.first, batch.second)

    passes = {
        "cross": {**rebuilt(cross), **aligned_terms(cross, generator)},
        "first": supervised_terms(first, generator),
        "self": {**rebuilt(again), **supervised_terms(again, generator)},
    }
    terms = {
        (where, kind): term
        for where, kinds in passes.items()
        for kind, term in kinds.items()
        if kind in weights
    }
    loss = torch.stack([weights[kind] * term for (_, kind), term in terms.items()]).sum()
    return loss, {f"{where}_{kind}": term.detach() for (where, kind), term in terms.items()}
