"""What poses people take: how far a fitted body is from the shipped pose prior, and which way back.

The prior is a mixture over joint angles (:mod:`posetx.data.prior`). Its components are as narrow
as the clips that they stand for, and people take other poses too: here it is one Gaussian, with
the mixture's mean and covariance, and limits where the clips end. The pelvis's own turn is free.

The pull back has heavy tails: of poses that are unusual anyway, such as both hands held behind
the back, one is as good as another, and the points alone should tell.
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
#: energy from which on a pose counts as unusual: right fits have 15 to 120 as a rule, and those
#: whose limbs bend as none does have 200 to 600
UNUSUAL = 60.0


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

    def energy(self, rotations: Tensor) -> Tensor:
        """The negative log likelihoods (B,), but for a constant, of global rotations.

        They are (B, 19, 3, 3), on any device.
        """
        return self._energy(*self._coordinates(rotations.double().cpu())[1:]).to(rotations)

    def unusual(self, rotations: Tensor) -> Tensor:
        """How unusual poses (B, 19, 3, 3) are (B,): 1 for what everybody does, more for others."""
        return 1 + self.energy(rotations) / UNUSUAL

    def normal_equations(self, rotations: Tensor) -> tuple[Tensor, Tensor]:
        """Matrices (B, 57, 57) and gradients (B, 57) of UNUSUAL log :meth:`unusual`.

        That is the energy itself of usual poses. By turns about the joints in the axes of the
        space, as :class:`posetx.fit.figure.FreeBody` has them.
        """
        own = rotations.double().cpu()
        vectors, z, beyond = self._coordinates(own)
        # a turn of a joint in space is one in the axes of the joint before it
        before = own[:, list(PARENTS[1:])].mT
        turns = self.basis[1:].mT @ _inverse_left(vectors[:, 1:]) @ before
        by_turns = turns.new_zeros(len(own), JOINT_COUNT, 3, JOINT_COUNT, 3)
        joints = torch.arange(1, JOINT_COUNT)
        by_turns[:, joints, :, joints] = turns.transpose(0, 1)
        by_turns = by_turns.flatten(3).flatten(1, 2)
        stiff = torch.diag_embed((beyond != 0).double() / YIELDS**2)
        gradient = (z - self.mean) @ self.precision + beyond / YIELDS**2
        matrix = by_turns.mT @ (self.precision + stiff) @ by_turns
        gradient = (gradient.unsqueeze(1) @ by_turns).squeeze(1)
        tails = 1 / (1 + self._energy(z, beyond) / UNUSUAL)
        matrix, gradient = tails.view(-1, 1, 1) * matrix, tails.unsqueeze(1) * gradient
        return matrix.to(rotations), gradient.to(rotations)

    def _energy(self, z: Tensor, beyond: Tensor) -> Tensor:
        """(B,) of coordinates (B, 57) that are so far out of range."""
        away = z - self.mean
        unlikely = ((away @ self.precision) * away).sum(-1) + (beyond / YIELDS).square().sum(-1)
        return 0.5 * unlikely

    def _coordinates(self, rotations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotation vectors (B, 19, 3), coordinates (B, 57), how far these are out of range."""
        vectors = _vectors(relative_rotations(rotations) @ self.reference.mT)
        z = (self.basis.mT @ (vectors - self.offset).unsqueeze(-1)).flatten(1)
        return vectors, z, (z - self.high).clamp_min(0) - (self.low - z).clamp_min(0)


def _vectors(rotations: Tensor) -> Tensor:
    flat = Rotation.from_matrix(rotations.flatten(0, -3).numpy()).as_rotvec()
    return torch.from_numpy(flat).view(rotations.shape[:-1])


def _inverse_left(vectors: Tensor) -> Tensor:
    """How rotation vectors (..., 3) answer to small turns after them: (..., 3, 3).

    The inverse of the left Jacobian of SO(3); short of half a turn, where it has none.
    """
    angle = vectors.norm(dim=-1).clamp(1e-4, 3.0)[..., None, None]
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    bend = 1 / angle**2 - (1 + angle.cos()) / (2 * angle * angle.sin())
    inverse: Tensor = torch.eye(3, dtype=vectors.dtype) - 0.5 * skew + bend * (skew @ skew)
    return inverse
