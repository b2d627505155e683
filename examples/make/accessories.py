"""What the character wears besides clothes: a hat, a belt and its buckle."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from posetx.bodies.skeleton import JOINTS

from .body import Body, joint, share
from .obj import Part
from .paint import ARM, Painter
from .texture import BELT_SWATCH, HAT_SWATCH

BELT_SIDES = 56


def revolve(rings: np.ndarray, swatch) -> tuple[np.ndarray, list]:
    """UVs (T, 2) and quads between rings (R, S, 3).

    The UVs fill the swatch, with a seam where the rings close.
    """
    count, sides = rings.shape[:2]
    (u0, v0), (u1, v1) = swatch
    length = np.linalg.norm(np.diff(rings, axis=0), axis=2).mean(1)
    rise = np.concatenate([[0], length.cumsum()]) / length.sum()
    run = np.linspace(0, 1, sides + 1)
    uv = [(u0 + (u1 - u0) * u, v0 + (v1 - v0) * v) for v in rise for u in run]
    faces = []
    for r in range(count - 1):
        for s in range(sides):
            quad = ((r, s), (r, s + 1), (r + 1, s + 1), (r + 1, s))
            faces.append([(a * sides + b % sides, a * (sides + 1) + b) for a, b in quad])
    return np.array(uv), faces


def hat_part(rest: np.ndarray, painter: Painter) -> Part:
    """A wide-brimmed hat that follows the head."""
    body = painter.body
    head = (share(body.weights, "head") > 0.7) & (body.part == 0)
    _, up, _ = painter.on_head(body.template)
    ring = rest[head & (np.abs(up - 0.058) < 0.012)]
    low, high = ring.min(0), ring.max(0)
    centre = (low + high) / 2
    a, b = (high[0] - low[0]) / 2 * 1.05, (high[2] - low[2]) / 2 * 1.05
    top = rest[head][:, 1].max() - centre[1] + 0.02
    # (reach, height) from the sweat band out over the brim, up the crown, to its middle
    profile = [
        (0.97, -0.005), (1.25, -0.016), (1.62, -0.018), (1.95, 0.004), (1.98, 0.012),
        (1.62, -0.006), (1.25, -0.004), (1.05, 0.010), (1.04, 0.30 * top), (0.99, 0.70 * top),
        (0.93, 0.98 * top), (0.84, 1.12 * top), (0.66, 1.14 * top), (0.40, 1.06 * top),
        (0.14, 1.02 * top), (0.02, 1.01 * top),
    ]  # fmt: skip
    angle = np.arange(40) / 40 * 2 * np.pi
    rings = []
    for reach, height in profile:
        curl = max(reach - 1.2, 0) * 0.075 * np.sin(angle) ** 2  # the brim turns up at the sides
        x, z = a * reach * np.sin(angle), b * reach * np.cos(angle)
        rings.append(np.stack([x, height + curl, z], 1))
    uv, faces = revolve(np.array(rings), HAT_SWATCH)
    vertices = np.concatenate(rings)
    tilt = np.deg2rad(-7)  # pushed back a little
    turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    weights = np.zeros((len(vertices), len(JOINTS)))
    weights[:, joint("head")] = 1
    return Part("hat", vertices @ turn.T + centre, weights, uv, {("hat", "leather"): faces})


def belt_part(rest: np.ndarray, painter: Painter) -> tuple[Part, np.ndarray]:
    """A belt round the waist, and the point (3,) at the middle of its front."""
    body = painter.body
    trunk = share(body.weights, *ARM) < 0.2
    level = rest[trunk & (np.abs(body.template[:, 1] - painter.waist) < 0.02), 1].mean()
    middle = rest[trunk & (np.abs(rest[:, 1] - level) < 0.03)].mean(0) * (1, 0, 1)
    angle = np.arange(BELT_SIDES) / BELT_SIDES * 2 * np.pi
    rings = []
    for height in (-0.024, 0.024):
        near = rest[trunk & (np.abs(rest[:, 1] - level - height) < 0.022)] - middle
        at, radius = np.arctan2(near[:, 0], near[:, 2]), np.hypot(near[:, 0], near[:, 2])
        off = np.abs((at[None] - angle[:, None] + np.pi) % (2 * np.pi) - np.pi)
        reach = np.where(off < 0.16, radius, 0).max(1)
        reach = (np.roll(reach, 1) + 2 * reach + np.roll(reach, -1)) / 4
        for thick in (0.002, 0.012):
            r = reach + 0.009 + thick
            y = np.full_like(r, level + height)
            rings.append(np.stack([r * np.sin(angle), y, r * np.cos(angle)], 1) + middle)
    inner_low, outer_low, inner_high, outer_high = rings
    loop = np.array([inner_low, outer_low, outer_high, inner_high, inner_low])
    uv, faces = revolve(loop, BELT_SWATCH)
    vertices = np.concatenate(loop[:4])
    faces = [[(v % len(vertices), t) for v, t in f] for f in faces]  # the last ring is the first
    _, same = cKDTree(rest).query(vertices)
    belt = Part("belt", vertices, body.weights[same], uv, {("belt", "leather"): faces})
    return belt, (outer_low[0] + outer_high[0]) / 2


def buckle_part(rest: np.ndarray, body: Body, front: np.ndarray) -> Part:
    """A brass frame."""
    square = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    frame = np.array(
        [
            front + (x * width, y * height, z)
            for z in (-0.004, 0.008)
            for width, height in ((0.040, 0.034), (0.027, 0.021))
            for x, y in square
        ]
    )
    quads = []
    for i in range(4):
        j = (i + 1) % 4
        quads += [(8 + i, 8 + j, 12 + j, 12 + i), (4 + i, 4 + j, j, i)]  # front, back
        quads += [(i, j, 8 + j, 8 + i), (12 + i, 12 + j, 4 + j, 4 + i)]  # outside, inside
    _, same = cKDTree(rest).query(front)
    weights = np.tile(body.weights[same], (len(frame), 1))
    faces = [[(v, -1) for v in quad] for quad in quads]
    return Part("buckle", frame, weights, np.zeros((0, 2)), {("buckle", "brass"): faces})
