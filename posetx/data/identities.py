"""Identities beyond the body model's own: limb and head scaling, soft offsets, rest poses.

They stand in for what characters and clothed people have and the shape space lacks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from posetx.bodies.body import BodyModel, global_rotations, on_device
from posetx.bodies.skeleton import BONE_END, MIRROR
from posetx.geometry.rotations import matrix_from_axis_angle, turn_between


@dataclass
class Identity:
    """A batch of bodies: shape, bone scales and a soft displacement field.

    ``coefficients`` (B, S); ``scales`` (B, 19, 1), or (B, 19, 3) by axis at rest;
    ``frequency`` (B, 4, 3) rad/m, ``phase`` (B, 4), ``amplitude`` (B, 4, 3) metres.
    """

    coefficients: Tensor
    scales: Tensor
    frequency: Tensor
    phase: Tensor
    amplitude: Tensor

    def __getitem__(self, rows: slice | Tensor) -> Identity:
        return Identity(*(getattr(self, field.name)[rows] for field in fields(self)))

    def offsets(self, rest: Tensor) -> Tensor:
        """The displacement (B, N, 3) at rest points (B, N, 3): four slow sine waves."""
        wave = torch.sin(rest @ self.frequency.transpose(1, 2) + self.phase.unsqueeze(1))
        return wave @ self.amplitude


def draw_identities(
    body: BodyModel,
    count: int,
    generator: torch.Generator,
    *,
    varied: bool,
    adults: bool = False,
    stylised: float = 0.0,
) -> Identity:
    """Random identities; ``varied`` adds scaling and offsets to two thirds of them.

    ``stylised`` is the share that gets the proportions of cartoons, see :func:`stylised_scales`.
    """
    device = body.bank.device

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=device)

    rows = len(body.bank) // 2 if adults else len(body.bank)
    pick = torch.randint(rows, (2, count), generator=generator, device=device)
    # between two sampled bodies: a continuum instead of 8192 points
    share = rand(count, 1) * 0.5
    coefficients = (1 - share) * body.bank[pick[0]] + share * body.bank[pick[1]]

    strength = rand(count, 1, 1) * (rand(count, 1, 1) < 0.67) * float(varied)
    sides = 0.10 * randn(count, 19, 1)
    both = 0.5 * (sides + sides[:, on_device(MIRROR, device)])
    uneven = (rand(count, 1, 1) < 0.25).float()
    log_scale = both + uneven * (sides - both) * 0.5
    log_scale[:, 4] *= 2.5  # heads differ most among characters
    amplitude = 0.012 * randn(count, 4, 3)
    scales = torch.exp(strength * log_scale.clamp(-0.5, 0.5))
    waves = {"frequency": 8.0 * randn(count, 4, 3), "phase": 6.2832 * rand(count, 4)}
    if stylised:
        drawn = rand(count, 1, 1) < stylised
        scales = torch.where(drawn, scales * stylised_scales(count, generator), scales)
    return Identity(
        coefficients=coefficients,
        scales=scales,
        amplitude=strength * amplitude,
        **waves,
    )


#: proportions of cartoons and games: joints (left ones; the right ones are as they), the ends of
#: a log-uniform scale, and how often a figure has it
PROPORTIONS = (
    ((4,), (0.85, 2.0), 0.7),  # head
    ((8,), (0.7, 1.8), 0.5),  # hands
    ((15,), (0.8, 1.7), 0.5),  # feet
    ((6, 7), (0.7, 1.5), 0.5),  # arms
    ((13, 14), (0.5, 1.25), 0.6),  # legs
    ((0, 1, 2, 5), (0.75, 1.3), 0.4),  # trunk
)
#: the same for widths alone, across bones that stand upright at rest
WIDTHS = (((0, 1, 2, 3), (0.75, 1.7), 0.6), ((13, 14), (0.7, 1.6), 0.5))


def stylised_scales(count: int, generator: torch.Generator) -> Tensor:
    """Scales (count, 19, 3) of parts as cartoons have them: large heads, short legs, broad trunks.

    A part's three scales are along x, y and z at rest: its length and its width, where they
    differ.
    """
    device = generator.device
    log = torch.zeros(count, 19, 3, device=device)
    for table, axes in ((PROPORTIONS, (0, 1, 2)), (WIDTHS, (0, 2))):
        for joints, (low, high), often in table:
            uniform = torch.rand(2, count, generator=generator, device=device)
            ends = math.log(low), math.log(high)
            drawn = (ends[0] + (ends[1] - ends[0]) * uniform[0]) * (uniform[1] < often)
            for joint in {*joints, *(MIRROR[joint] for joint in joints)}:
                for axis in axes:
                    log[:, joint, axis] += drawn
    return torch.exp(log.clamp(-0.8, 0.8))


def draw_rest_poses(body: BodyModel, count: int, generator: torch.Generator) -> Tensor:
    """Global rotations (count, 19, 3, 3) between and around an A-pose and a T-pose."""
    device = body.bank.device
    raise_by = torch.rand(count, 1, generator=generator, device=device) * 1.4 - 0.3
    local = torch.eye(3, device=device).repeat(count, 19, 1, 1)
    for joint, side in ((6, 1.0), (10, -1.0)):
        bone = body.joint_template[BONE_END[joint]] - body.joint_template[joint]
        straight = turn_between(bone, side * torch.eye(3, device=device)[0])
        axis = _axis_angle(straight)
        local[:, joint] = matrix_from_axis_angle(raise_by * axis)
    for joint, sign in ((13, -1.0), (16, 1.0)):  # from legs together to legs apart
        spread = torch.rand(count, generator=generator, device=device) * 0.25 - 0.12
        axis = torch.zeros(count, 3, device=device)
        axis[:, 2] = sign * spread
        local[:, joint] = matrix_from_axis_angle(axis)
    noise = 0.06 * torch.randn(count, 19, 3, generator=generator, device=device)
    noise[:, :5] *= 0.3
    return global_rotations(local @ matrix_from_axis_angle(noise))


def _axis_angle(matrix: Tensor) -> Tensor:
    axis = torch.stack(
        [
            matrix[2, 1] - matrix[1, 2],
            matrix[0, 2] - matrix[2, 0],
            matrix[1, 0] - matrix[0, 1],
        ]
    )
    sine = axis.norm() / 2
    angle = torch.atan2(sine, (matrix.trace() - 1) / 2)
    vector: Tensor = axis / (2 * sine) * angle
    return vector
