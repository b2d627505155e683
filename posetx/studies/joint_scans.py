"""Simulated scans of bodies whose joints are known, for a study of how sure joints are.

Of all that scans are: whole, noisy, seen from one side or two, with a thing that touches the body,
dressed; and with limbs taken away, as of somebody who has lost one or whom the scanner missed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from posetx.arrays import Floats
from posetx.bodies.body import BodyModel, forward_kinematics
from posetx.data.scanner import ScannerSettings, cell_of, simulate_scans
from posetx.data.splits import unseen_poses
from posetx.data.surface import area_samples, posed
from posetx.data.wardrobe.wardrobe import Wardrobe
from posetx.evaluation.dressed import dressed, seen
from posetx.evaluation.protocols import NOISE, SCAN_POINTS, SCAN_SAMPLES, eligible_bodies
from posetx.geometry.rotations import matrix_from_yaw

KINDS = (
    *("whole", "noise", "two views", "one view", "object", "dressed", "dressed, two views"),
    *("cut", "cut, two views", "cut, one view"),
)
CUT = KINDS[-3:]
#: of each four scans of a kind that many are told where their front is, which saves half the time
TOLD = 3
#: what may be taken away, by the joints that its parts hang on, and how often twice
LIMBS = (
    (6, 7, 8), (7, 8), (8,), (10, 11, 12), (11, 12), (12,),
    (13, 14, 15), (14, 15), (16, 17, 18), (17, 18), (3, 4), (15,),
)  # fmt: skip
TWICE = 0.3


@dataclass
class KnownScan:
    """A scan (n, 3) in metres, y up, and the truth about it.

    ``joints`` (19, 3) and global ``rotations`` (19, 3, 3) are the body's, ``gone`` the joints whose
    parts were taken away; with ``told`` it faces +z, which may be said.
    """

    kind: str
    points: Floats
    joints: Floats
    rotations: Floats
    gone: tuple[int, ...]
    told: bool


def known_scans(
    body: BodyModel, count: int, seed: int, kinds: Sequence[str] = KINDS
) -> Iterator[KnownScan]:
    """So many scans, of these kinds in turn; always the same for a seed."""
    bank, rows, wardrobe = unseen_poses(body, None), eligible_bodies(body), Wardrobe(body)
    generator = torch.Generator().manual_seed(seed)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        told = number // len(kinds) % (TOLD + 1) < TOLD
        shape = body.bank[rows[torch.randint(len(rows), (1,), generator=generator)]]
        yaw = (torch.rand(1, generator=generator) * 2 - 1) * math.pi
        yaw = 0 * yaw if told else yaw
        rotations = matrix_from_yaw(yaw).unsqueeze(1) @ bank.draw(1, generator)
        gone: tuple[int, ...] = ()
        if kind.startswith("dressed"):
            picked = int(torch.randint(2**31, (1,), generator=generator))
            views = 2 if "views" in kind else 0
            points, joints = _dressed(body, wardrobe, shape, rotations, picked, views)
        else:
            joints = forward_kinematics(body.rest_joints(shape), rotations)[0]
            points, part = _scanned(body, body.pose(shape, rotations)[0], kind, generator)
            if kind.startswith("cut"):
                gone = _limbs(generator)
                points = points[~torch.isin(part, torch.tensor(gone))]
        yield KnownScan(
            kind,
            points.double().numpy(),
            joints.double().numpy(),
            rotations[0].double().numpy(),
            gone,
            told,
        )


def _dressed(
    body: BodyModel, wardrobe: Wardrobe, shape: Tensor, rotations: Tensor, seed: int, views: int
) -> tuple[Tensor, Tensor]:
    """Points and joints of somebody in clothes, half of them with a cartoon's proportions."""
    who = dressed(wardrobe, shape[0], seed)
    surface = who.figure.at(torch.arange(len(who.figure.points)))
    rest, joints = surface.rest(who.identity), body.rest_joints(shape)
    placed = posed(rest, who.figure.weights, joints, rotations, who.identity)[1][0]
    return seen(who, who.pose(rotations[0]), SCAN_SAMPLES, SCAN_POINTS, views), placed


def _scanned(
    body: BodyModel, vertices: Tensor, kind: str, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Points (n, 3) of a bare body, and the part that each is of, -1 of none."""
    a, b, c = vertices[body.faces].unbind(1)
    cross = torch.cross(b - a, c - a, dim=-1)
    faces, places = area_samples(cross.norm(dim=-1), SCAN_SAMPLES, generator)
    corners, shares = body.faces[faces], places.unsqueeze(-1)
    points = (vertices[corners] * shares).sum(1)
    part = (body.weights[corners] * shares).sum(1).argmax(1)
    if kind in ("whole", "noise", "cut"):
        if kind == "noise":
            height = vertices[:, 1].max() - vertices[:, 1].min()
            points = points + NOISE * height * torch.randn(points.shape, generator=generator)
        return points, part
    views = 1 if "one" in kind else 2
    settings = ScannerSettings((views,) * 2, objects=(1.0,) if kind == "object" else ())
    scans, source = simulate_scans(
        points[None],
        F.normalize(cross[faces], dim=-1)[None],
        SCAN_POINTS,
        generator,
        cell=cell_of(SCAN_SAMPLES),
        settings=settings,
    )
    return scans[0], torch.where(source[0] < 0, -1, part[source[0].clamp_min(0)])


def _limbs(generator: torch.Generator) -> tuple[int, ...]:
    """What is taken away of one scan."""
    gone: tuple[int, ...] = ()
    for _ in range(1 + int(torch.rand((), generator=generator) < TWICE)):
        gone += LIMBS[int(torch.randint(len(LIMBS), (1,), generator=generator))]
    return gone
