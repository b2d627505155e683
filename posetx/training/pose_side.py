"""What learns from attacked clouds: the side of a network that reads the pose.

An attack moves the pose source alone. Of a 3D-PoseMAE that has learnt from clean clouds only what
reads them has something to learn from it; the rest stands still, so that an identity is encoded
once, without gradients, for the attack and for the step after it.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from posetx.data.stream import Batch
from posetx.models.mesh_model import Mover
from posetx.models.pose_mae import Output, PoseMAE
from posetx.models.registry import Network

#: by a network's children; one that has none of them learns as a whole
POSE_SIDE = ("pose_encoder", "pose_head", "pose_refiner")


def pose_side(model: nn.Module) -> list[nn.Module]:
    """The modules that read the pose and nothing else; of a baseline, itself."""
    own = [getattr(model, name, None) for name in POSE_SIDE]
    return [module for module in own if module is not None] or [model]


def learn_pose_alone(model: nn.Module, alone: bool = True) -> None:
    """Let :func:`pose_side` have gradients and nothing else; or all of it again."""
    model.requires_grad_(not alone)
    for module in pose_side(model):
        module.requires_grad_(True)


class KnownIdentities:
    """A batch's identities as a network sees them whose identity side does not learn."""

    def __init__(self, model: PoseMAE, batch: Batch):
        self.model, self.queries, self.sample = model, batch.queries, batch.identity.shape[1]
        with torch.no_grad():
            extra = batch.queries[:, self.sample :]
            self.code = model.encode_identity(batch.identity, extra=extra)

    def output(self, pose: Tensor) -> Output:
        """What the network's ``forward`` gives for normalised clouds (B, P, 3)."""
        ratio = self.model.config.mask_ratio if self.model.training else 0.0
        source = self.model.encode_pose(pose, ratio)
        return self.model.transferred(source, self.code, self.queries, self.sample)

    def mover(self, rows: Tensor) -> Mover:
        """As :meth:`PoseMAE.mover`, for some ``rows`` (R,) of the batch."""
        code = _taken(self.code, rows)
        return self.model.mover_of(code, self.queries[rows], self.sample)


def known_identities(model: Network, batch: Batch) -> KnownIdentities | None:
    """The batch's identities, of a network that can tell them from poses."""
    return KnownIdentities(model, batch) if isinstance(model, PoseMAE) else None


def _taken(value: Any, rows: Tensor) -> Any:
    """Some rows of every tensor in a dataclass of tensors and such dataclasses."""
    if isinstance(value, Tensor):
        return value[rows]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{f.name: _taken(getattr(value, f.name), rows) for f in fields(value)}
        )
    return value
