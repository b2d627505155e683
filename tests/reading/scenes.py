"""People who stand on something or before something, through the virtual scanner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from posetx.bodies.body import BodyModel
from posetx.data.plinth import add_plinths
from posetx.data.poses import PoseBank
from posetx.data.scanner import ScannerSettings, simulate_scans
from posetx.data.surface import area_samples
from posetx.evaluation.protocols import eligible_bodies
from posetx.geometry.rotations import matrix_from_yaw

#: samples of the body's surface, and points of a scan
SAMPLES, POINTS = 12_000, 12_000
#: who is lower than this share of the height at rest does not stand
UPRIGHT = 0.85
KINDS = ("plinth", "block", "turntable", "crate", "wall", "wall and floor", "part of a floor")


@dataclass
class Standing:
    """A scan (n, 3) of somebody who stands, in metres, and the axis that is up in it."""

    kind: str
    points: np.ndarray
    up: int


def standing(body: BodyModel, bank: PoseBank, number: int, seed: int = 0) -> Iterator[Standing]:
    """So many scans, of all kinds in turn, with x, y or z up; always the same for a seed."""
    generator = torch.Generator().manual_seed(seed)
    people = _people(body, bank, generator)
    for i in range(number):
        kind = KINDS[i % len(KINDS)]
        points, normals = next(people)
        height = points[:, 1].max() - points[:, 1].min()
        if kind == "plinth":
            clouds = add_plinths(points[None], normals[None], height[None], 1.0, generator)
            points, normals = clouds[0][0], clouds[1][0]
        else:
            made = _things(kind, points, generator)
            points = torch.cat([points, *(thing[0] for thing in made)])
            normals = torch.cat([normals, *(thing[1] for thing in made)])
        settings = ScannerSettings(views=(1, 4), floor=0.0)
        cell = 2.0 * (1.8 / SAMPLES) ** 0.5
        scans, _ = simulate_scans(
            points[None], normals[None], POINTS, generator, cell=cell, settings=settings,
            height=height[None],
        )  # fmt: skip
        roll = int(torch.randint(3, (), generator=generator))
        yield Standing(kind, scans[0].roll(roll, 1).double().numpy(), (1 + roll) % 3)


def _people(
    body: BodyModel, bank: PoseBank, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Samples of posed bodies on the ground, above the origin, at any heading, and normals."""
    rows = eligible_bodies(body)
    for _ in count():
        row = rows[torch.randint(len(rows), (1,), generator=generator)]
        shape = body.bank[row]
        turn = matrix_from_yaw(6.2832 * torch.rand(1, generator=generator))
        vertices = body.pose(shape, turn.unsqueeze(1) @ bank.draw(1, generator))[0]
        rest = body.pose(shape, torch.eye(3).expand(1, 19, 3, 3))[0]
        if np.ptp(vertices[:, 1].numpy()) < UPRIGHT * np.ptp(rest[:, 1].numpy()):
            continue
        a, b, c = vertices[body.faces].unbind(1)
        cross = torch.cross(b - a, c - a, dim=-1)
        faces, places = area_samples(cross.norm(dim=-1), SAMPLES, generator)
        points = (vertices[body.faces[faces]] * places.unsqueeze(-1)).sum(1)
        middle = points.mean(0)
        middle[1] = vertices[:, 1].min()
        yield points - middle, F.normalize(cross[faces], dim=-1)


def _things(kind: str, body: Tensor, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """What is around a body (N, 3): points and normals."""

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    feet = body[body[:, 1] < 0.1].mean(0)
    yaw = matrix_from_yaw(torch.tensor(between(0, 6.2832)))
    if kind == "turntable":
        radius, high = between(0.3, 0.8), between(0.05, 0.3)
        return [_disc(radius, high, feet, generator)]
    if kind in ("block", "crate"):
        edges = [between(0.5, 1.3), between(0.15, 1.0), between(0.5, 1.3)]
        if kind == "crate":  # with the floor that it stands on, seen in part
            floor = _box([between(0.8, 2.0), 0.0, between(0.8, 2.0)], generator)
            aside = torch.tensor([between(-0.5, 0.5), -edges[1], between(-0.5, 0.5)])
            things = [(floor[0] @ yaw.T + aside + feet * torch.tensor([1, 0, 1]), floor[1])]
        else:
            things = []
        points, normals = _box(edges, generator)
        down = torch.tensor([0.0, edges[1] / 2, 0.0])
        return [(points @ yaw.T + feet * torch.tensor([1, 0, 1]) - down, normals @ yaw.T), *things]
    if kind == "part of a floor":
        floor = _box([between(0.6, 1.2), 0.0, between(0.5, 1.5)], generator)
        aside = torch.tensor([between(0.0, 0.5), 0.0, between(0.0, 0.5)])
        return [(floor[0] @ yaw.T + feet * torch.tensor([1, 0, 1]) + aside, floor[1])]
    # a wall right behind whom it is, wherever that one looks
    wide, high = between(1.0, 2.5), between(1.6, 2.6)
    points, normals = _box([wide, high, 0.0], generator)
    back = (body @ yaw)[:, 2].min() - between(0.0, 0.15)
    wall = (points + torch.tensor([between(-0.3, 0.3), high / 2, float(back)])) @ yaw.T
    things = [(wall, normals.abs() @ yaw.T)]
    if kind == "wall and floor":
        deep = between(0.4, 1.2)
        points, normals = _box([wide, 0.0, deep], generator)
        things.append(
            ((points + torch.tensor([0.0, 0.0, float(back) + deep / 2])) @ yaw.T, normals)
        )
    return things


def _box(edges: list[float], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """As dense as a body is: a box about the origin, or with an edge of 0 a plate's upper side."""
    size = torch.tensor(edges)
    sides = torch.stack([size[1] * size[2], size[0] * size[2], size[0] * size[1]])
    number = int(SAMPLES * float(2 * sides.sum()) / 1.8)
    number = number // 2 if 0.0 in edges else number
    which = torch.multinomial(sides, number, True, generator=generator)
    along = torch.eye(3)[which] * torch.where(
        torch.rand(number, 1, generator=generator) < 0.5, -1.0, 1.0
    )
    if 0.0 in edges:
        along = along.abs()
    points = torch.where(along == 0, 2 * torch.rand(number, 3, generator=generator) - 1, along)
    return points * size / 2, along


def _disc(
    radius: float, high: float, feet: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A round base whose top is at the ground, with its rim."""
    area = 3.1416 * radius * (radius + 2 * high)
    number = int(SAMPLES * area / 1.8)
    angle = 6.2832 * torch.rand(number, generator=generator)
    outward = torch.stack([angle.sin(), torch.zeros(number), angle.cos()], 1)
    rim = (torch.rand(number, generator=generator) < 2 * high / (radius + 2 * high)).unsqueeze(1)
    inward = torch.where(rim, 1.0, torch.rand(number, 1, generator=generator).sqrt())
    points = radius * inward * outward + feet * torch.tensor([1, 0, 1])
    points[:, 1] -= torch.where(rim.squeeze(1), high * torch.rand(number, generator=generator), 0.0)
    return points, torch.where(rim, outward, torch.tensor([0.0, 1.0, 0.0]))
