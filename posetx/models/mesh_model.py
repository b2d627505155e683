"""What the field's other networks have in common: an identity's points in, the same points out.

They take the stream's and the protocols' clouds as they are, in the frames of
:class:`posetx.data.stream.Batch`, so that :mod:`posetx.training` and :mod:`posetx.attacks` need
not know which network they have. Unlike PoseMAE they see all the points of an identity at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from posetx.bodies.body import BodyModel
from posetx.geometry.rotations import full_precision

#: largest coordinate that the papers' networks can put out, here in the identity's unit
REACH = 2.0
#: a normalised cloud (B, P, 3), maybe a share of it to be masked -> positions (B, Q, 3)
Mover = Callable[..., Tensor]


@dataclass
class Moved:
    """``positions`` (B, Q, 3): where the identity's points go, in the identity's frame."""

    positions: Tensor


class MeshModel(nn.Module):
    """Base of the baselines; ``config`` is a frozen dataclass with ``pose_points`` at least."""

    config: Any
    #: its definition needs a pose point for each identity point; see :func:`with_count`
    equal_counts = False

    def forward(self, pose: Tensor, points: Tensor, sample: int | None = None) -> Moved:
        """Where an identity's ``points`` go when it takes the pose.

        Parameters
        ----------
        pose : (B, P, 3) normalised cloud, in random order.
        points : (B, Q, 3) in the identity's frame.
        sample : how many of ``points`` are a surface sample; of no meaning to most models.
        """
        raise NotImplementedError

    def mover(self, points: Tensor, sample: int, sets: int = 1) -> Mover:
        """Where ``points`` (B, Q, 3) go, as a function of the pose; see :meth:`PoseMAE.mover`."""

        def move(pose: Tensor, mask_ratio: float = 0.0) -> Tensor:
            if mask_ratio:
                pose = pose[:, : max(int(pose.shape[1] * (1 - mask_ratio)), 1)]
            positions: Tensor = self(pose, points, sample).positions
            return positions

        return move

    def begin_on(self, body: BodyModel) -> None:
        """Before training; nothing of a body model is known to these networks."""


def with_count(cloud: Tensor, count: int) -> Tensor:
    """A cloud (B, P, 3) of exactly ``count`` points: its first ones, or all of them over again.

    What models whose definition needs equal counts are given.
    """
    times = (count - 1) // cloud.shape[1] + 1  # of positive numbers, which ONNX rounds alike
    return cloud.repeat(1, times, 1)[:, :count]


def within_reach(raw: Tensor) -> Tensor:
    """Positions within :data:`REACH` of the origin from a last layer's output (B, Q, 3)."""
    return REACH * torch.tanh(full_precision(raw))
