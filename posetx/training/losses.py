"""The training objective: 3D-PoseMAE Eq 3, and what synthetic bodies know besides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from posetx.bodies.body import on_device
from posetx.bodies.skeleton import JOINTS
from posetx.data.stream import EDGES, Batch
from posetx.models.encoder import Places
from posetx.models.pose_mae import Output, PoseCode
from posetx.models.refine import Estimate
from posetx.training import distributed

#: Of each term, relative to ``position``. ``edge`` is Eq 3's lambda relative to the mean squared
#: error, as in the peers' code; the others were chosen so that each starts at about the size of
#: that error and none outgrows it.
WEIGHTS = {
    "position": 1.0,
    "edge": 5e-4,
    "rotation": 0.05,
    "joints": 0.25,
    "parts": 0.005,
    "skinning": 0.005,
    "places": 0.001,
}


#: how much more than 1 each joint's part and rotation count: hands, head and feet have three
#: quarters of a character's vertices and a quarter of its surface
EXTREMITIES = {"hand.L": 4.0, "hand.R": 4.0, "head": 2.0, "foot.L": 1.0, "foot.R": 1.0}
MORE = tuple(EXTREMITIES.get(joint, 0.0) for joint in JOINTS)


def edge_loss(predicted: Tensor, identity: Tensor) -> Tensor:
    """Mean |predicted edge length / identity edge length - 1| over the batch's edges.

    Both (B, 2 E, 3): first the one end of each edge, then the other.
    """
    a, b = predicted.chunk(2, 1)
    c, d = identity.chunk(2, 1)
    change: Tensor = ((a - b).norm(dim=-1) / (c - d).norm(dim=-1).clamp_min(1e-6) - 1).abs().mean()
    return change


def rebuilt_terms(
    positions: Tensor, truth: Tensor, queries: Tensor, counts: Tensor | None = None
) -> dict[str, Tensor]:
    """Eq 1 and 2 of positions (B, Q, 3): the squared error, and the edges at the end of Q.

    ``counts`` (B, Q) is how much each position counts, all alike without.
    """
    squared = (positions - truth).square()
    if counts is not None:
        # the mean over all processes: their slices do not count equally much
        squared = squared.mean(-1) * counts / distributed.mean(counts.mean())
    return {
        "position": squared.mean(),
        "edge": edge_loss(positions[:, -2 * EDGES :], queries[:, -2 * EDGES :]),
    }


def _mean(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).mean()


def _mean_error(code: PoseCode, what: Literal["rotations", "joints"], truth: Tensor) -> Tensor:
    """Mean squared error of all looks at a cloud, the first one counting as much as the others."""

    counts = 1 + on_device(MORE, truth.device)

    def error(estimate: Estimate) -> Tensor:
        squared: Tensor = (getattr(estimate, what) - truth).square().flatten(2).mean(-1)
        return (counts * squared).mean() / counts.mean()

    first = error(code.first)
    later = [error(look.estimate) for look in code.looks] or [first]
    return (_mean(later) + first) / 2


def training_loss(
    output: Output, batch: Batch, weights: Mapping[str, float] = WEIGHTS
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, by the terms' ``weights``, and its terms (detached scalars).

    ``position`` is the mean squared distance a coordinate in the identity's frame. Terms whose
    truth the batch does not know are left out; position and edges are always there.
    """
    counts = None
    if batch.query_weights is not None:
        counts = 1 + batch.query_weights @ on_device(MORE, output.positions.device)
    terms = {
        **rebuilt_terms(output.positions, batch.truth, batch.queries, counts),
        **_body_terms(output, batch),
    }
    loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
    return loss, {name: term.detach() for name, term in terms.items()}


def _body_terms(output: Output, batch: Batch) -> dict[str, Tensor]:
    """The terms that need a body model's word, as far as the batch has it."""
    pose, identity = output.pose, output.identity
    terms: dict[str, Tensor] = {}
    if batch.pose_rotations is not None and batch.identity_rotations is not None:
        terms["rotation"] = _mean_error(
            pose, "rotations", batch.pose_rotations
        ) + 0.5 * _mean_error(identity, "rotations", batch.identity_rotations)
    if batch.pose_joints is not None and batch.identity_joints is not None:
        terms["joints"] = _mean_error(pose, "joints", batch.pose_joints) + _mean_error(
            identity, "joints", batch.identity_joints
        )
        if batch.truth_joints is not None:
            placed = (output.motion.placed - batch.truth_joints).square().mean()
            terms["joints"] = terms["joints"] + placed
    if batch.pose_part is not None:
        # cross-entropy against the skinning weights; the pose cloud knows the largest one only,
        # and the encoder's mask keeps the first points
        aim = batch.pose_part[:, : pose.first_logits.shape[1]].flatten()
        if pose.features.clutter is not None:
            aim = torch.where(aim < 0, pose.features.parts.shape[2], aim)
        # the mean over the known points of all processes: their slices have not equally many
        known = distributed.mean((aim >= 0).sum().float()).clamp_min(1)
        terms["parts"] = _mean(
            F.cross_entropy(logits.flatten(0, 1).float(), aim, ignore_index=-1, reduction="sum")
            / known
            for logits in (pose.first_logits, *(look.features.logits for look in pose.looks))
        )
    seen = [look.features.places for look in pose.looks if look.features.places is not None]
    if batch.pose_place is not None and batch.pose_lift is not None and seen:
        shown = seen[0].lift.shape[1]
        aim, lift = batch.pose_place[:, :shown], batch.pose_lift[:, :shown]
        own = (batch.pose_part[:, :shown] >= 0) if batch.pose_part is not None else lift >= 0
        known = distributed.mean(own.sum().float()).clamp_min(1)
        terms["places"] = _mean(
            (_unlikelihood(places, aim, lift) * own).sum() / known for places in seen
        )
    if batch.query_weights is not None:
        weights = batch.query_weights
        terms["skinning"] = _mean(
            -(weights * logits.float().log_softmax(-1)).sum(-1).mean()
            for logits in (identity.first_logits, identity.features.parts)
        )
    return terms


def _unlikelihood(places: Places, place: Tensor, lift: Tensor) -> Tensor:
    """Of each point (B, N) how unlikely its truth is: Laplace, by the point's own spread."""
    spread = places.spread
    off = (places.place - place).norm(dim=-1) / spread[..., 0]
    above = (places.lift - lift).abs() / spread[..., 1]
    # a place has two dimensions, those of the skin
    each: Tensor = off + 2 * spread[..., 0].log() + above + spread[..., 1].log()
    return each


def frame_pmd(predicted: Tensor, batch: Batch) -> Tensor:
    """Mean squared error a coordinate in m² (a training gauge; the metric is in evaluation).

    For meshes from files it is in the square of their unit.
    """
    squared = (predicted - batch.truth).square().mean((1, 2))
    return (squared * batch.metres.square()).mean()
