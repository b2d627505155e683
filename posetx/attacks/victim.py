"""A network with the identities that it is to pose: what attacks are made on and judged by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from posetx.attacks.defences import MASK, defended
from posetx.attacks.objective import Objective, transfer_damage
from posetx.geometry.rotations import matrix_from_yaw
from posetx.models.predictor import NetworkPredictor


def turned(positions: Tensor, degrees: float) -> Tensor:
    """Positions (B, V, 3) turned about upright, the pose that IGSM-T's attacker wants."""
    return positions @ matrix_from_yaw(torch.deg2rad(torch.tensor(degrees))).T.to(positions)


@dataclass
class Victim:
    """``queries`` (B, I + V, 3): an identity's surface sample each, then V of its vertices."""

    predictor: NetworkPredictor
    queries: Tensor

    def __getitem__(self, rows: slice) -> Victim:
        return Victim(self.predictor, self.queries[rows])

    @property
    def _shown(self) -> int:
        return self.predictor.network.config.identity_points

    def _sets(self, points: int) -> int:
        return points // self.predictor.network.config.pose_points

    def objective(
        self,
        truth: Tensor,
        points: int,
        wanted: bool = False,
        defence: str | None = None,
        generator: torch.Generator | None = None,
    ) -> Objective:
        """See :func:`transfer_damage`; for clouds of so many ``points``, behind a ``defence``.

        ``generator`` is what a defence takes its randomness from.
        """
        model, sets = self.predictor.network, self._sets(points)
        masks = generator if defence == MASK else None
        plain = transfer_damage(model, self.queries, truth, self._shown, sets, wanted, masks)
        if defence is None or generator is None:
            return plain
        return defended(plain, defence, generator)

    @torch.no_grad()
    def predicted(self, clouds: Tensor) -> Tensor:
        """Where the network puts the vertices (B, V, 3) by clouds (B, S, 3) in any unit."""
        shown = self._shown
        move = self.predictor.network.mover(self.queries, shown, self._sets(clouds.shape[1]))
        return move(self.predictor.normalised(clouds))[:, shown:]
