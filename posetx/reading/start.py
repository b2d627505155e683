"""Where a reading begins that is the next one of a body already known: its last pose, its shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from posetx.arrays import Floats
from posetx.bodies.body import BodyModel
from posetx.fit.figure import Figure
from posetx.geometry.rotations import matrix_from_yaw
from posetx.reading.fitted import Fitted


@dataclass(frozen=True)
class Start:
    """A body in the scan's frame and unit.

    Attributes
    ----------
    turn : (3, 3) from the scan's frame to upright, the body about to the front
    up : which of the scan's axes is up
    rotations : (19, 3, 3) global, from the neutral body into the scan's frame
    root : (3,) where the pelvis is
    shape : (S,) coefficients of the body model's first S components
    scale : the scan's units that a metre of the body model takes
    """

    turn: Floats
    up: str
    rotations: Floats
    root: Floats
    shape: Floats
    scale: float

    def fitted(self, body: BodyModel) -> Fitted:
        """The body by itself, in the scan's frame; its pose is ``rotations``."""
        components = body.joint_components[: len(self.shape), 0].double().cpu().numpy()
        pelvis = body.joint_template[0].double().cpu().numpy() + self.shape @ components
        where = self.root - self.scale * pelvis @ self.turn
        return Fitted(self.shape, self.scale, where)

    @property
    def faced(self) -> Floats:
        """``turn`` (3, 3) with the pelvis to the front, as it faces now."""
        forward = self.turn @ self.rotations[0, :, 2]
        yaw = torch.tensor(-np.arctan2(forward[0], forward[2]), dtype=torch.float64)
        faced: Floats = matrix_from_yaw(yaw).numpy() @ self.turn
        return faced

    def figure(self, turn: Floats, middle: Floats, metre: float, pelvis: Floats) -> Figure:
        """The body in the frame of a cloud.

        Parameters
        ----------
        turn, middle, metre : (3, 3), (3,), a place x of the scan is turn @ (x - middle) / metre
        pelvis : (3,) of the body model of this shape at rest, in metres
        """
        size = self.scale / metre
        where = turn @ (self.root - middle) / metre - size * pelvis
        return Figure(
            torch.as_tensor(turn @ self.rotations).float()[None],
            torch.as_tensor(where).float().view(1, 1, 3),
            torch.tensor(size).float().view(1, 1, 1),
            torch.as_tensor(self.shape).float()[None],
        )
