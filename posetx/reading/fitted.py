"""The body that a scan was read by, in the scan's own frame: always the same vertices and faces."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from posetx.arrays import Floats
from posetx.bodies.body import BodyModel


@dataclass
class Fitted:
    """A body's shape and place; its pose are the global rotations of a reading.

    Attributes
    ----------
    shape : (S,) coefficients of the body model's first S components
    scale : the scan's units that a metre of the body model takes
    where : (3,) where the body model's origin is, in the scan's frame and unit
    """

    shape: Floats
    scale: float
    where: Floats

    def vertices(self, body: BodyModel, rotations: Floats, turn: Floats) -> Floats:
        """The body's vertices (V, 3) in the scan's frame and unit.

        Parameters
        ----------
        rotations : (19, 3, 3) global, from the neutral body into the scan's frame
        turn : (3, 3) from the scan's frame to upright, in which the pelvis of a body at rest is
            where the body model has it
        """
        shape = body.bank.new_zeros(1, body.bank.shape[1])
        shape[0, : len(self.shape)] = torch.as_tensor(self.shape)
        upright = torch.as_tensor(turn @ rotations).to(shape)
        posed: Floats = body.pose(shape, upright[None])[0].double().cpu().numpy()
        return self.scale * (posed @ turn) + self.where
