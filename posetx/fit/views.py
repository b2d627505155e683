"""Where a scan was taken from, and what it could not show: limbs behind the body are no error.

A depth camera sees the nearest surface alone. A forearm in front of a trunk that is scanned from
behind has no points, and a fit that draws every limb to points takes it to the thigh. So the
directions of the cameras are found from the points and the fitted body, and of a body's places
those that lie behind the scan's own points, for each of the cameras, count nothing: there the
network's word on the pose stands.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from posetx.fit.figure import Placed
from posetx.geometry.visibility import camera_axes, visible_from

#: directions that cameras are looked for in (12 degrees apart), and how many cameras
DIRECTIONS, MOST = 256, 4
#: how probable a point of the scan is where the body is seen, and where it is not
SEEN, UNSEEN = 0.85, 0.2
#: what a camera has to explain (nats a place of the body): the second one of scans from two views
#: explains at least 0.22, one too many of scans from one view at most 0.07 (16 each)
LEAST_GAIN = 0.08
#: a scan goes all around where what no camera sees has points near as well, so much of what has
#: where one sees it: at least 0.86 in 24 whole meshes, bare, noisy and dressed; from one view at
#: most 0.55 of 10, and from two more than 0.85 only where hardly anything is hidden
AROUND = 0.85
#: cells of the depth buffers (the cloud's frame): the body's samples are 0.035 apart, the points
#: of a scan about 0.02
BODY_CELL, CLOUD_CELL = 0.07, 0.05
#: what lies so far behind the scan's points is hidden; less is the slope of the surface
BEHIND = 0.06


class Views:
    """The cameras of a scan; ``directions`` (K, 3) point from the body to each."""

    def __init__(self, cloud: Tensor, directions: Tensor):
        """Of one cloud (1, N, 3)."""
        self.directions = directions
        self.buffers = [_DepthBuffer(cloud[0], direction) for direction in directions]

    def open(self, places: Tensor) -> Tensor:
        """Which places (B, N, 3) the scan's points do not hide from every camera: (B, N), 1 or 0.

        Where no camera was found, nothing is known to be hidden.
        """
        if not self.buffers:
            return torch.ones_like(places[..., 0])
        hidden = torch.stack([buffer.hides(places) for buffer in self.buffers]).all(0)
        return (~hidden).to(places.dtype)


class _DepthBuffer:
    """The nearest points of a cloud (N, 3), as seen from far away in one direction (3,)."""

    def __init__(self, cloud: Tensor, direction: Tensor):
        self.axes = camera_axes(direction[None])[0]
        across, depth = (cloud @ self.axes).split((2, 1), -1)
        self.low = across.amin(0)
        cell = self._cells(across)
        self.size = cell.amax(0) + 1
        nearest = torch.full((int(self.size.prod()),), -torch.inf, device=cloud.device)
        index = cell[:, 0] * self.size[1] + cell[:, 1]
        self.nearest = nearest.scatter_reduce(0, index, depth[:, 0], "amax")

    def hides(self, places: Tensor) -> Tensor:
        """Which of the places (..., 3) lie behind the points: (...) of bool."""
        across, depth = (places @ self.axes).split((2, 1), -1)
        cell = self._cells(across)
        within = ((cell >= 0) & (cell < self.size)).all(-1)
        cell = cell.clamp_min(0).minimum(self.size - 1)
        nearest = self.nearest[cell[..., 0] * self.size[1] + cell[..., 1]]
        hidden: Tensor = within & (nearest - depth[..., 0] > BEHIND)
        return hidden

    def _cells(self, across: Tensor) -> Tensor:
        cells: Tensor = ((across - self.low) / CLOUD_CELL).floor().long()
        return cells


def cameras(placed: Placed, near: Tensor) -> Tensor:
    """Directions (K, 3) that explain best which places of a body have points near: most first.

    ``near`` (N,) says so of each surface sample of the one ``placed`` body, from 0 to 1. A camera
    sees what faces it and nothing of the body hides. One after the other is taken that explains
    most of what those before it do not, as long as that is much. There are none where the scan goes
    all around the body: then what they would not see has points as well.
    """
    directions = sphere(DIRECTIONS).to(near.device)
    surface, normals = placed.surface[0], placed.normals[0]
    seen = visible_from(
        surface.expand(DIRECTIONS, -1, -1),
        normals.expand(DIRECTIONS, -1, -1),
        directions,
        BODY_CELL,
    )
    # what a place's being seen adds to the likelihood
    worth = near * math.log(SEEN / UNSEEN) + (1 - near) * math.log((1 - SEEN) / (1 - UNSEEN))
    covered, found = torch.zeros_like(seen[0]), []
    for _ in range(MOST):
        gain = (worth * (seen & ~covered)).mean(1)
        best = int(gain.argmax())
        if gain[best] < LEAST_GAIN:
            break
        found.append(best)
        covered |= seen[best]
    if near[~covered].mean() > AROUND * near[covered].mean():
        found = []
    return directions[found]


def sphere(count: int) -> Tensor:
    """Directions (count, 3) evenly spread (a Fibonacci lattice)."""
    step = torch.arange(count) + 0.5
    height = 1 - 2 * step / count
    angle = math.pi * (1 + 5**0.5) * step
    ring = (1 - height.square()).sqrt()
    return torch.stack([ring * angle.cos(), height, ring * angle.sin()], 1)
