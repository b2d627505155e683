"""What poses people take: how far a fitted body is from the shipped pose prior, and which way back.

The prior is a mixture over joint angles (:mod:`posetx.data.prior`). Its components are as narrow
as the clips that they stand for, and people take other poses too: here it is one Gaussian, with
the mixture's mean and covariance, and limits where the clips end. The pelvis's own turn is free.
"""

from __future__ import annotations

import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from posetx.bodies.body import relative_rotations
from posetx.bodies.skeleton import PARENTS
from posetx.data.prior import PosePrior, shipped_prior
from posetx.fit.figure import JOINT_COUNT

TURNS = 3 * JOINT_COUNT
#: standard deviation (radians) about axes that the clips do not use, such as an elbow's sideways,
#: and what is added to those about the others, for what a joint of another body means
UNUSED, MORE = 0.06, 0.02
#: how far (radians) a joint goes beyond its range as easily as one standard deviation
YIELDS = 0.1


class Habits:
    """The pose prior as a solver needs it, in double precision."""

    def __init__(self, prior: PosePrior | None = None):
        prior = prior or shipped_prior("train")
        used = prior.columns
        weights, means, factors = (x.double() for x in (prior.weights, prior.means, prior.factors))
        self.mean = torch.zeros(TURNS, dtype=torch.float64)
        self.mean[used] = weights @ means
        away = means - self.mean[used]
        each = factors @ factors.transpose(1, 2) + away.unsqueeze(2) * away.unsqueeze(1)
        covariance = UNUSED**2 * torch.eye(TURNS, dtype=torch.float64)
        covariance[used.unsqueeze(1), used] = torch.einsum("k,kij->ij", weights, each)
        covariance[used, used] += MORE**2
        self.precision = torch.zeros_like(covariance)
        self.precision[3:, 3:] = torch.linalg.inv(covariance[3:, 3:])
        self.low = torch.full((TURNS,), -torch.inf, dtype=torch.float64)
        self.high = -self.low
        self.low[used], self.high[used] = prior.low.double(), prior.high.double()
        self.low[:3], self.high[:3] = -torch.inf, torch.inf
        self.reference = prior.reference.double()
        self.basis, self.offset = prior.basis.double(), prior.offset.double()

    def energy(self, rotations: Tensor) -> float:
        """The negative log likelihood, but for a constant, of global rotations (19, 3, 3)."""
        z, beyond = self._coordinates(rotations.double())[1:]
        away = z - self.mean
        return float(0.5 * (away @ self.precision @ away + beyond @ beyond / YIELDS**2))

    def normal_equations(self, rotations: Tensor) -> tuple[Tensor, Tensor]:
        """Matrix (57, 57) and gradient (57,) of :meth:`energy`.

        By turns about the joints in the axes of the space, as
        :class:`posetx.fit.figure.FreeBody` has them.
        """
        rotations = rotations.double()
        vectors, z, beyond = self._coordinates(rotations)
        # a turn of a joint in space is one in the axes of the joint before it
        before = rotations[list(PARENTS[1:])].mT
        turns = self.basis[1:].mT @ _inverse_left(vectors[1:]) @ before
        by_turns = torch.block_diag(torch.zeros(3, 3, dtype=torch.float64), *turns)
        stiff = torch.diag((beyond != 0).double() / YIELDS**2)
        gradient = self.precision @ (z - self.mean) + beyond / YIELDS**2
        return by_turns.T @ (self.precision + stiff) @ by_turns, by_turns.T @ gradient

    def _coordinates(self, rotations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotation vectors (19, 3), coordinates (57,), how far they are out of range (57,)."""
        vectors = _vectors(relative_rotations(rotations) @ self.reference.mT)
        z = (self.basis.mT @ (vectors - self.offset).unsqueeze(-1)).flatten()
        return vectors, z, (z - self.high).clamp_min(0) - (self.low - z).clamp_min(0)


def _vectors(rotations: Tensor) -> Tensor:
    return torch.from_numpy(Rotation.from_matrix(rotations.numpy()).as_rotvec())


def _inverse_left(vectors: Tensor) -> Tensor:
    """How rotation vectors (N, 3) answer to small turns after them: (N, 3, 3).

    The inverse of the left Jacobian of SO(3); short of half a turn, where it has none.
    """
    angle = vectors.norm(dim=-1).clamp(1e-4, 3.0).view(-1, 1, 1)
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    bend = 1 / angle**2 - (1 + angle.cos()) / (2 * angle * angle.sin())
    inverse: Tensor = torch.eye(3, dtype=vectors.dtype) - 0.5 * skew + bend * (skew @ skew)
    return inverse
