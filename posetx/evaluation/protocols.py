"""The frozen protocols: which body strikes which pose, and who takes it over.

Everything follows from the seed. Subjects 13 and 14 of the CMU clips are unseen in training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from posetx.bodies.body import BodyModel
from posetx.data.identities import draw_rest_poses
from posetx.data.poses import PoseBank
from posetx.data.scanner import ScannerSettings, cell_of, simulate_scans
from posetx.data.wardrobe.wardrobe import Wardrobe
from posetx.errors import UsageError
from posetx.evaluation.dressed import dressed, seen
from posetx.evaluation.protocol_table import EXTRA as EXTRA
from posetx.evaluation.protocol_table import PROTOCOLS as PROTOCOLS
from posetx.evaluation.protocol_table import Protocol as Protocol
from posetx.geometry.rotations import matrix_from_yaw
from posetx.geometry.triangles import barycentric

PAIRS = 400
#: adults of this height (m) are drawn, so that m² and mm mean what they mean elsewhere
HEIGHTS = (1.5, 2.0)
NOISE = 0.02
SCAN_SAMPLES, SCAN_POINTS = 16384, 8192


@dataclass
class Pair:
    """One test case; metres, y up."""

    points: Tensor  # (N, 3) the pose source
    target: Tensor  # (V, 3) the identity's vertices
    truth: Tensor  # (V, 3) where they must go
    rest: Tensor  # (V, 3) the pose source's body as the target stands at rest
    yaw: float  # the pose source's heading in radians
    roll: int  # places by which the pose source's axes are rolled: with 1, z is up
    scanned: bool  # whether the pose source went through the virtual scanner
    faces: Tensor  # (F, 3) of the target
    weights: Tensor  # (V, 19) of the target, by which its joints are found
    # (N,) the vertex of the bare body, as target and truth have it, that is nearest to where each
    # point is from, -1 of none; None where that is not known, or the target is no bare body
    origin: Tensor | None = None


def eligible_bodies(body: BodyModel) -> Tensor:
    """Rows of the bank's adults whose height lies within HEIGHTS."""
    adults = body.bank[: len(body.bank) // 2]
    # the extreme vertices of the template stand for crown and soles
    ends = torch.stack([body.template[:, 1].argmax(), body.template[:, 1].argmin()])
    y = body.template[ends, 1] + torch.einsum("bs,sv->bv", adults, body.components[:, ends, 1])
    height = y[:, 0] - y[:, 1]
    return ((height > HEIGHTS[0]) & (height < HEIGHTS[1])).nonzero().squeeze(1)


def pairs(
    name: str, body: BodyModel, banks: dict[str, PoseBank], count: int = PAIRS, seed: int = 0
) -> Iterator[Pair]:
    """The pairs of a protocol, always the same for the same seed.

    Raises UsageError for an unknown name.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"{name}: no such protocol; known are {', '.join(PROTOCOLS)}")
    return pairs_of(PROTOCOLS[name], body, banks, count, seed)


def pairs_of(
    protocol: Protocol,
    body: BodyModel,
    banks: dict[str, PoseBank],
    count: int = PAIRS,
    seed: int = 0,
) -> Iterator[Pair]:
    """The pairs of a protocol that need not be one of the frozen ones."""
    bank, rows = banks[protocol.split], eligible_bodies(body)
    wardrobe, bare_target = Wardrobe(body), (body.faces, body.weights)
    generator = torch.Generator().manual_seed(1000 + seed)
    block = 16
    for start in range(0, count, block):
        # whole blocks are drawn, so that the first pairs do not depend on how many are asked for
        pick = torch.randint(len(rows), (2, block), generator=generator)
        source, target = body.bank[rows[pick[0]]], body.bank[rows[pick[1]]]
        rotations = bank.draw(block, generator)
        rest = draw_rest_poses(body, block, generator)
        other = bank.draw(block, generator)
        yaw = torch.zeros(block)
        scanned = torch.full((block,), bool(protocol.views))
        if protocol.views:
            yaw = (torch.rand(block, generator=generator) * 2 - 1) * math.pi
        if protocol.dressed == "source":  # every other one is a whole mesh, which faces +z
            scanned = scanned & (torch.arange(block) % 2 == 1)
            yaw = torch.where(scanned, yaw, 0.0)
        rotations = matrix_from_yaw(yaw).unsqueeze(1) @ rotations
        points = body.pose(source, rotations)
        origin = torch.arange(points.shape[1]).expand(block, -1)
        height = points[..., 1].amax(1) - points[..., 1].amin(1)
        if protocol.noise:
            noise = torch.randn(points.shape, generator=generator)
            points = points + NOISE * height.view(-1, 1, 1) * noise
        seeds = []
        if protocol.dressed:
            seeds = torch.randint(2**31, (block,), generator=generator).tolist()
        elif protocol.views:
            points, origin = _scanned(body, points, protocol, generator)
        shown = body.pose(target, other if protocol.reposed else rest)
        truth = body.pose(target, rotations)
        own = body.pose(source, rest)
        for i in range(min(block, count - start)):
            roll = i % 3 if protocol.any_up else 0
            cloud = points[i].roll(roll, 1)
            seen_as = bool(scanned[i])
            pair = Pair(
                cloud, shown[i], truth[i], own[i], float(yaw[i]), roll, seen_as, *bare_target
            )
            if protocol.dressed == "source":
                who = dressed(wardrobe, source[i], seeds[i])
                stands = who.pose(rotations[i])
                views = protocol.views if seen_as else 0
                pair.points = seen(who, stands, SCAN_SAMPLES, SCAN_POINTS, views)
            elif protocol.dressed == "target":
                who = dressed(wardrobe, target[i], seeds[i])
                pair.target, pair.truth = who.pose(rest[i]), who.pose(rotations[i])
                pair.faces, pair.weights = who.figure.faces, who.joint_weights
            else:
                pair.origin = origin[i]
            yield pair


def _scanned(
    body: BodyModel, vertices: Tensor, protocol: Protocol, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Bodies (B, V, 3) through the virtual scanner: (B, SCAN_POINTS, 3) and their origin."""
    corners = vertices[:, body.faces]
    cross = torch.cross(
        corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0], dim=-1
    )
    area = cross.norm(dim=-1)
    faces = torch.multinomial(area, SCAN_SAMPLES, True, generator=generator)
    shares = barycentric(torch.rand(2, *faces.shape, generator=generator))
    _, u, v = shares.split(1, -1)
    batch = torch.arange(len(vertices)).unsqueeze(1)
    a, b, c = corners[batch, faces].unbind(2)
    normals = torch.nn.functional.normalize(cross[batch, faces], dim=-1)
    scans, source = simulate_scans(
        a + u * (b - a) + v * (c - a),
        normals,
        SCAN_POINTS,
        generator,
        cell=cell_of(SCAN_SAMPLES),
        settings=ScannerSettings((protocol.views,) * 2, objects=(1.0,) if protocol.objects else ()),
    )
    nearest = body.faces[faces].gather(2, shares.argmax(-1, keepdim=True)).squeeze(-1)
    return scans, torch.where(source < 0, -1, nearest.gather(1, source.clamp_min(0)))
