"""A piece of an outfit as a mesh over the template at rest, and the shapes pieces are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from posetx.bodies.skeleton import JOINTS
from posetx.data.surface import Anchors
from posetx.data.wardrobe.chart import Chart

#: points around a closed shape
AROUND = 24


@dataclass
class Piece:
    """A mesh at rest (metres, y up, A-pose): V points, F triangles that look outward."""

    points: Tensor  # (V, 3)
    faces: Tensor  # (F, 3)
    weights: Tensor  # (V, 19) skinning weights
    anchors: Anchors  # (V,)

    def to(self, device: torch.device) -> Piece:
        """The same there."""
        hung = Anchors(*(getattr(self.anchors, field.name).to(device) for field in fields(Anchors)))
        points, faces = self.points.to(device), self.faces.to(device)
        return Piece(points, faces, self.weights.to(device), hung)


#: points (V, 3) and faces (F, 3)
Shape = tuple[Tensor, Tensor]


def joined(pieces: Sequence[Piece]) -> Piece:
    """All of them as one mesh."""
    starts = torch.tensor([0] + [len(p.points) for p in pieces]).cumsum(0)
    together = [p.faces + start for p, start in zip(pieces, starts[:-1], strict=True)]
    names = [field.name for field in fields(Anchors)]
    return Piece(
        torch.cat([p.points for p in pieces]),
        torch.cat(together),
        torch.cat([p.weights for p in pieces]),
        Anchors(*(torch.cat([getattr(p.anchors, name) for p in pieces]) for name in names)),
    )


def grid(points: Tensor, *, closed: bool, top: bool = False, end: bool = False) -> Shape:
    """Rows of points (L, M, 3) as a surface; ``closed`` joins the last column to the first.

    It looks to where rows x columns does: outward where rows go down and columns to the left hand
    of a body (+x at its front). With ``top`` the first row, with ``end`` the last one is but its
    middle: a ring of a pole's tiny edges would weigh as much as all others in a loss of edges.
    """
    columns = points.shape[1]
    first, last = points[0].mean(0, keepdim=True), points[-1].mean(0, keepdim=True)
    points = points[int(top) : len(points) - int(end)]
    i = torch.arange(len(points) - 1).unsqueeze(1) * columns
    j = torch.arange(columns if closed else columns - 1)
    k = (j + 1) % columns
    a, b, c, d = (i + j), (i + columns + j), (i + k), (i + columns + k)
    faces = [torch.stack([a, b, c], -1), torch.stack([c, b, d], -1)]
    made, count = [points.reshape(-1, 3)], points.shape[0] * columns
    if top:
        made.append(first)
        faces.append(torch.stack([torch.full_like(j, count), j, k], -1))
        count += 1
    if end:
        made.append(last)
        low = (len(points) - 1) * columns
        faces.append(torch.stack([low + j, torch.full_like(j, count), low + k], -1))
    return torch.cat(made), torch.cat([f.reshape(-1, 3) for f in faces])


def two_sided(shape: Shape, thickness: float) -> Shape:
    """The same with a lining ``thickness`` inside, as cloth that is seen from both sides."""
    points, faces = shape
    a, b, c = points[faces].unbind(1)
    flat = torch.cross(b - a, c - a, dim=-1)
    normals = torch.zeros_like(points)
    for corner in range(3):
        normals.index_add_(0, faces[:, corner], flat)
    inner = points - thickness * F.normalize(normals, dim=1)
    return torch.cat([points, inner]), torch.cat([faces, faces.flip(1) + len(points)])


def around(angles: tuple[float, float] | None, count: int = AROUND) -> Tensor:
    """Angles (M,) about the upright, 0 at the front and +x at a quarter; None is all around."""
    if angles is None:
        return torch.arange(count) * (6.2832 / count)
    return torch.linspace(angles[0], angles[1], count)


def ring(angle: Tensor, y: Tensor, width: Tensor, middle: Tensor, depth: Tensor) -> Tensor:
    """Points (L, M, 3) of ellipses of half ``width`` and ``depth`` about (0, y, middle).

    ``angle`` is (M,) or (L, M), the others (L,) or (L, M).
    """
    given = (y, width, middle, depth)
    y, width, middle, depth = (x if x.ndim == 2 else x.unsqueeze(1) for x in given)
    x, z = width * angle.sin(), middle + depth * angle.cos()
    return torch.stack([x, y.expand_as(x), z], -1)


def ball(
    centre: Tensor, radii: Sequence[float], square: float = 1.0, turn: Tensor | None = None
) -> Shape:
    """An ellipsoid, with ``square`` towards 0 more and more a box; ``turn`` (3, 3) turns it."""
    down = torch.linspace(0.001, 3.1406, 12).unsqueeze(1)
    angle = around(None, 18)

    def bent(values: Tensor) -> Tensor:
        return values.sign() * values.abs().clamp_min(1e-6).pow(square)

    high, flat = bent(down.cos()), bent(down.sin())
    points = torch.stack(
        [flat * bent(angle.sin()), high.expand(-1, len(angle)), flat * bent(angle.cos())], -1
    )
    points = points * torch.tensor(radii)
    if turn is not None:
        points = points @ turn.T
    return grid(points + centre, closed=True, top=True, end=True)


def tube(path: Tensor, radii: Tensor, count: int = 10) -> Shape:
    """A round surface about a path (L, 3) of radii (L,), as a ponytail or a horn."""
    ends = torch.cat([path[:1], path, path[-1:]])
    ahead = F.normalize(ends[2:] - ends[:-2], dim=1)
    helper = torch.zeros_like(ahead)
    helper[:, int(ahead.abs().mean(0).argmin())] = 1
    side = F.normalize(torch.cross(helper, ahead, dim=1), dim=1)
    other = torch.cross(ahead, side, dim=1)
    angle = around(None, count).view(1, -1, 1)
    circle = side.unsqueeze(1) * angle.cos() + other.unsqueeze(1) * angle.sin()
    # rows go ahead and columns from side to other: their product looks inward
    points, faces = grid(path.unsqueeze(1) + circle * radii.view(-1, 1, 1), closed=True)
    return points, faces.flip(1)


def mixed(count: int, **shares: float) -> Tensor:
    """Weights (count, 19), the same at all points, by the joints' names (``.`` is ``_``)."""
    weights = torch.zeros(count, len(JOINTS))
    for name, share in shares.items():
        weights[:, JOINTS.index(name.replace("_", "."))] = share
    return weights


def rigid(chart: Chart, shape: Shape, parts: Sequence[int], **shares: float) -> Piece:
    """A thing that moves with some joints as one, and hangs on the skin of ``parts``."""
    points, faces = shape
    weights = mixed(len(points), **shares)
    return Piece(points, faces, weights, chart.anchors(points, parts))
