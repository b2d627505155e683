"""A body that can be moved, grown and reshaped, and how its surface answers to each of these.

The derivatives are written out: with linear blend skinning they are a few products, and a solver
that has them needs a dozen steps where gradient descent needs a hundred.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from posetx.bodies.body import BodyModel, forward_kinematics, global_rotations, skin
from posetx.bodies.skeleton import PARENTS
from posetx.geometry.rotations import matrix_from_axis_angle
from posetx.geometry.sampling import sample_surface
from posetx.models.refine import Estimate

JOINT_COUNT = len(PARENTS)
#: a joint turns by at most this much in one step (radians), a body grows by this (logarithm)
LARGEST_TURN, LARGEST_GROWTH = 0.5, 0.2
#: shape coefficients have unit variance over people
LARGEST_SHAPE = 4.0


@dataclass
class Figure:
    """A batch of bodies, B of them: every free quantity."""

    rotations: Tensor  # (B, 19, 3, 3) global
    where: Tensor  # (B, 1, 3)
    size: Tensor  # (B, 1, 1) cloud units a metre
    shape: Tensor  # (B, S) coefficients of the body model's first S components

    def __getitem__(self, rows: Tensor | slice) -> Figure:
        return Figure(self.rotations[rows], self.where[rows], self.size[rows], self.shape[rows])

    def to(self, device: torch.device | str) -> Figure:
        return Figure(*[getattr(self, x.name).to(device) for x in fields(self)])

    @classmethod
    def joined(cls, figures: list[Figure]) -> Figure:
        """Several batches as one."""
        return cls(*[torch.cat([getattr(f, x.name) for f in figures]) for x in fields(cls)])

    def repeated(self, times: int) -> Figure:
        """Each body as many times, one after the other."""
        every = (self.rotations, self.where, self.size, self.shape)
        return Figure(*[x.repeat_interleave(times, 0) for x in every])


@dataclass
class Placed:
    """Where a figure's N surface samples and joints are, in the cloud's frame."""

    surface: Tensor  # (B, N, 3)
    normals: Tensor  # (B, N, 3)
    joints: Tensor  # (B, 19, 3)


class FreeBody:
    """A body model's surface samples, its first components, and their derivatives.

    The free quantities, in the order of a step's P columns: 19 x 3 turns about the joints (axis
    times angle, in the cloud's axes, each with all that hangs on it), 3 of place, 1 of size
    (logarithm), S of shape.
    """

    def __init__(self, body: BodyModel, samples: int, components: int):
        device = body.template.device
        _, picked, where = sample_surface(
            body.template.double().cpu().numpy(), body.faces.cpu().numpy(), samples
        )
        corners = body.faces[torch.as_tensor(picked, device=device)]
        barycentric = torch.as_tensor(where, device=device).float().unsqueeze(-1)

        def at_samples(values: Tensor) -> Tensor:
            return (values[corners] * barycentric).sum(1)

        a, b, c = body.template[corners].unbind(1)
        self.template = at_samples(body.template)  # (N, 3)
        self.normals = F.normalize(torch.cross(b - a, c - a, dim=-1), dim=-1)
        self.weights = at_samples(body.weights)  # (N, 19)
        self.part = self.weights.argmax(1)
        self.components = torch.stack([at_samples(x) for x in body.components[:components]])
        self.joint_template = body.joint_template
        self.joint_components = body.joint_components[:components]
        self.carries = carries().to(device)
        self.columns = 3 * JOINT_COUNT + 4 + components

    def begin(self, estimate: Estimate) -> Figure:
        """The neutral body in the estimate's pose, where and as large as its joints say."""
        return neutral_figure(self.joint_template, estimate, len(self.components))

    def rest(self, figure: Figure) -> tuple[Tensor, Tensor]:
        """Surface samples (B, N, 3) and joints (B, 19, 3) of the figure's shape at rest, metres."""
        rest = self.template + torch.einsum("bs,sni->bni", figure.shape, self.components)
        joints = torch.einsum("bs,sji->bji", figure.shape, self.joint_components)
        return rest, joints + self.joint_template

    def place(self, figure: Figure) -> Placed:
        """The figure as it stands."""
        rest, joints = self.rest(figure)
        placed = forward_kinematics(joints, figure.rotations)
        surface = skin(rest, self.weights, joints, placed, figure.rotations)
        normals = self._blended(figure) @ self.normals.unsqueeze(-1)
        return Placed(
            figure.size * surface + figure.where,
            F.normalize(normals.squeeze(-1), dim=-1),
            figure.size * placed + figure.where,
        )

    def jacobian(self, figure: Figure) -> Tensor:
        """How each surface sample moves with each free quantity: (B, N, 3, P)."""
        rest, joints = self.rest(figure)
        rotations, size = figure.rotations, figure.size
        placed = forward_kinematics(joints, rotations)
        shift = placed - (rotations @ joints.unsqueeze(-1)).squeeze(-1)
        # each sample as each joint alone would place it, times that joint's weight
        shares = torch.einsum("bkij,bnj->bnki", rotations, rest) + shift.unsqueeze(1)
        shares = self.weights.unsqueeze(-1) * shares
        surface = shares.sum(2)
        carried = self.weights @ self.carries.T  # (N, 19)
        levers = self.carries @ shares - carried.unsqueeze(-1) * placed.unsqueeze(1)
        out = surface.new_zeros(*surface.shape, self.columns)
        turns = 3 * JOINT_COUNT
        x, y, z = (size.unsqueeze(-1) * levers).unbind(-1)
        by_turns = out[..., :turns].unflatten(-1, (JOINT_COUNT, 3))
        by_turns[:, :, 0, :, 1], by_turns[:, :, 0, :, 2] = z, -y
        by_turns[:, :, 1, :, 0], by_turns[:, :, 1, :, 2] = -z, x
        by_turns[:, :, 2, :, 0], by_turns[:, :, 2, :, 1] = y, -x
        out[..., turns : turns + 3] = torch.eye(3, device=out.device)
        out[..., turns + 3] = size * surface
        out[..., turns + 4 :] = size.unsqueeze(-1) * self._by_shape(figure)
        return out

    def moved(self, figure: Figure, step: Tensor) -> Figure:
        """The figure after a step (B, P), no quantity of which is taken too far."""
        turns = 3 * JOINT_COUNT
        turn = step[:, :turns].unflatten(1, (JOINT_COUNT, 3))
        angle = turn.norm(dim=-1, keepdim=True)
        turn = turn * (LARGEST_TURN / angle.clamp_min(LARGEST_TURN))
        growth = step[:, turns + 3].clamp(-LARGEST_GROWTH, LARGEST_GROWTH)
        return Figure(
            global_rotations(matrix_from_axis_angle(turn + 1e-9)) @ figure.rotations,
            figure.where + step[:, None, turns : turns + 3],
            figure.size * growth.exp().view(-1, 1, 1),
            (figure.shape + step[:, turns + 4 :]).clamp(-LARGEST_SHAPE, LARGEST_SHAPE),
        )

    @staticmethod
    def held(normal: Tensor, aim: Tensor) -> tuple[Tensor, Tensor]:
        """Normal matrix (..., P, P) and gradient (..., P) of steps that keep size and shape."""
        free = 3 * JOINT_COUNT + 3
        normal, aim = normal.clone(), aim.clone()
        normal[..., free:, :], normal[..., :, free:], aim[..., free:] = 0.0, 0.0, 0.0
        normal.diagonal(dim1=-2, dim2=-1)[..., free:] = 1.0
        return normal, aim

    def turned_back(self, rotations: Tensor, aim: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Normal matrix (..., 57, 57) and gradient (..., 57) of a pull that turns parts to ``aim``.

        ``rotations`` and ``aim`` (..., 19, 3, 3) are global, ``weights`` (..., 19, 1) the parts';
        the matrix is one where the weights are.
        """
        # sine times axis of each part's turn away; half a turn pulls no more, which is right for
        # an aim that was wrong
        apart = rotations @ aim.transpose(-1, -2)
        apart = 0.5 * (apart - apart.transpose(-1, -2))
        away = torch.stack([apart[..., 2, 1], apart[..., 0, 2], apart[..., 1, 0]], -1)
        carries = self.carries.to(weights.dtype)
        both = carries @ (weights * carries.T)
        axes = torch.eye(3, device=both.device, dtype=both.dtype)
        return torch.kron(both, axes), (carries @ (weights * away)).flatten(-2)

    def _blended(self, figure: Figure) -> Tensor:
        """Each sample's blend of rotations (B, N, 3, 3)."""
        blended: Tensor = (self.weights @ figure.rotations.flatten(2)).unflatten(-1, (3, 3))
        return blended

    def _by_shape(self, figure: Figure) -> Tensor:
        """(B, N, 3, S): the samples move with the skin and with the joints that carry them."""
        batch, count = figure.shape.shape
        joints = self.joint_components.repeat(batch, 1, 1)
        rotations = figure.rotations.repeat_interleave(count, 0)
        placed = forward_kinematics(joints, rotations)
        shift = placed - (rotations @ joints.unsqueeze(-1)).squeeze(-1)
        by_joints = torch.einsum("nk,bski->bnis", self.weights, shift.unflatten(0, (batch, count)))
        return torch.einsum("bnij,snj->bnis", self._blended(figure), self.components) + by_joints


def neutral_figure(joint_template: Tensor, estimate: Estimate, components: int) -> Figure:
    """The body of these rest joints (19, 3) as the estimate's rotations and joints (B) have it."""
    batch = len(estimate.joints)
    placed = forward_kinematics(joint_template.expand(batch, -1, -1), estimate.rotations)
    spread = [x - x.mean(1, keepdim=True) for x in (estimate.joints, placed)]
    size = (spread[0].norm(dim=(1, 2)) / spread[1].norm(dim=(1, 2))).view(-1, 1, 1)
    where = (estimate.joints - size * placed).mean(1, keepdim=True)
    shape = placed.new_zeros(batch, components)
    return Figure(estimate.rotations.clone(), where, size, shape)


def carries() -> Tensor:
    """(19, 19) 1 where the column's joint is, or hangs on, the row's."""
    table = torch.eye(JOINT_COUNT)
    for joint in range(JOINT_COUNT):
        above = PARENTS[joint]
        while above >= 0:
            table[above, joint] = 1
            above = PARENTS[above]
    return table
