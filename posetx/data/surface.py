"""Figures as batches need them: a mesh whose points follow the body's shape, and samples of it.

The bare body is one, a dressed figure another (`wardrobe`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from posetx.bodies.body import BodyModel, forward_kinematics, skin
from posetx.data.identities import Identity
from posetx.geometry.triangles import barycentric

#: faces by which the area of a figure in its own shape is estimated
AREA_FACES = 192
#: corners whose places lie further than this (m) from their middle are of different parts; the
#: template's own triangles reach 3 cm
ONE_PLACE = 0.04


@dataclass
class Surface:
    """N points of a figure: at rest on the template, and what moves them."""

    points: Tensor  # (N, 3)
    weights: Tensor  # (N, 19) skinning weights
    components: Tensor  # (S, N, 3) of the shape
    places: Tensor  # (N, 3) the skin under them on the template at rest, metres
    lifts: Tensor  # (N,) how far they lie off it, metres
    normals: Tensor  # (N, 3)

    def __getitem__(self, picked: Tensor) -> Surface:
        return Surface(
            self.points[picked],
            self.weights[picked],
            self.components[:, picked],
            self.places[picked],
            self.lifts[picked],
            self.normals[picked],
        )

    def rest(self, identity: Identity) -> Tensor:
        """Rest positions (B, N, 3) in each identity's shape, soft offsets not included."""
        moved = identity.coefficients @ self.components.flatten(1)
        rest: Tensor = self.points + moved.unflatten(1, (-1, 3))
        return rest


@dataclass
class Anchors:
    """What of the template's skin points (V, 3) hang on."""

    place: Tensor  # (V,) the vertex under each
    follows: Tensor  # (V, K) vertices whose shape components move it
    shares: Tensor  # (V, K) of each, rows sum to 1
    lift: Tensor  # (V,) metres from the vertex under it


class Figure:
    """A mesh over the template at rest: V points (metres, y up, A-pose) and F triangles."""

    def __init__(
        self, body: BodyModel, points: Tensor, faces: Tensor, weights: Tensor, hung: Anchors
    ):
        self.body, self.points, self.faces, self.weights = body, points, faces, weights
        self.follows, self.shares, self.lift = hung.follows, hung.shares, hung.lift
        self.places = body.template[hung.place]
        a, b, c = points[faces].unbind(1)
        self.cross = torch.cross(b - a, c - a, dim=-1)
        self.face_area = self.cross.norm(dim=-1) / 2

    @classmethod
    def bare(cls, body: BodyModel) -> Figure:
        """The body with nothing on."""
        own = torch.arange(len(body.template), device=body.template.device)
        nothing = torch.zeros_like(body.template[:, 0])
        ones = torch.ones_like(nothing).unsqueeze(1)
        hung = Anchors(own, own.unsqueeze(1), ones, nothing)
        return cls(body, body.template, body.faces, body.weights, hung)

    def components(self, corners: Tensor, shares: Tensor) -> Tensor:
        """Shape components (S, N, 3) of means of points ``corners`` (N, C), ``shares`` (N, C)."""
        follows = self.follows[corners].flatten(1)
        weights = (self.shares[corners] * shares.unsqueeze(-1)).flatten(1)
        rows = F.embedding_bag(
            follows, self.body.component_rows, mode="sum", per_sample_weights=weights
        )
        components: Tensor = rows.unflatten(1, (-1, 3)).transpose(0, 1)
        return components

    def sample(self, faces: Tensor, bary: Tensor) -> Surface:
        """The points of ``faces`` (N,) at barycentric places (N, 3)."""
        corners = self.faces[faces]

        def mean(values: Tensor) -> Tensor:
            return (values[corners] * bary.view(-1, 3, *[1] * (values.ndim - 1))).sum(1)

        # a triangle between the legs hangs on either, not on what is between them
        places, around = mean(self.places), self.places[corners]
        apart = (around - places.unsqueeze(1)).norm(dim=-1).amax(1, keepdim=True) > ONE_PLACE
        nearest = self.places[corners.gather(1, bary.argmax(1, keepdim=True)).squeeze(1)]
        return Surface(
            mean(self.points),
            mean(self.weights),
            self.components(corners, bary),
            torch.where(apart, nearest, places),
            mean(self.lift),
            F.normalize(self.cross[faces], dim=-1),
        )

    def at(self, vertices: Tensor) -> Surface:
        """Of its own points those that are asked for (N,); they have no normals."""
        ones = torch.ones_like(self.lift[vertices]).unsqueeze(1)
        points = self.points[vertices]
        return Surface(
            points,
            self.weights[vertices],
            self.components(vertices.unsqueeze(1), ones),
            self.places[vertices],
            self.lift[vertices],
            torch.zeros_like(points),
        )

    def unit(self, identity: Identity, joints: Tensor, generator: torch.Generator) -> Tensor:
        """Square root of the surface area (B,), estimated from a few faces at rest."""
        picked = torch.multinomial(self.face_area, AREA_FACES, True, generator=generator)
        corners = self.at(self.faces[picked].flatten())
        straight = torch.eye(3, device=joints.device).expand(len(joints), 19, 3, 3)
        rest, _ = posed(corners.rest(identity), corners.weights, joints, straight, identity)
        a, b, c = rest.unflatten(1, (AREA_FACES, 3)).unbind(2)
        area = torch.cross(b - a, c - a, dim=-1).norm(dim=-1) / 2
        # faces were drawn by template area: the mean ratio times the template's whole area
        unit: Tensor = ((area / self.face_area[picked]).mean(1) * self.face_area.sum()).sqrt()
        return unit


def area_samples(area: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Faces (count,) drawn by ``area`` (F,), and places in them (count, 3)."""
    faces = torch.multinomial(area, count, True, generator=generator)
    uniform = torch.rand(2, count, generator=generator, device=area.device)
    return faces, barycentric(uniform)


def posed(
    rest: Tensor, weights: Tensor, joints: Tensor, rotations: Tensor, identity: Identity
) -> tuple[Tensor, Tensor]:
    """Points (B, N, 3) and joints (B, 19, 3) in global rotations, parts in an identity's scales."""
    placed = forward_kinematics(joints, rotations, identity.scales)
    linear = rotations * identity.scales.unsqueeze(-2)
    return skin(rest, weights, joints, placed, linear), placed
