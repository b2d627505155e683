"""The body as a tailor sees it: normals, places along the limbs, girths, the skull.

All of it is of the template at rest, in metres, and is made once a body model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from posetx.bodies.body import BodyModel
from posetx.bodies.skeleton import BONE_END, FEET, JOINTS, LEGS
from posetx.data.surface import Anchors
from posetx.geometry.sampling import farthest_points

PELVIS, ABDOMEN, CHEST, NECK, HEAD = range(5)
#: vertices of the head that things may hang on; the template has 4,220, most in the face
SKULL_ANCHORS = 900
#: points of the skin that things follow as the body's shape changes, and how many each follows
FOLLOWED, FOLLOWS = 300, 4
#: how often weights and normals are averaged with the neighbours' (an edge is about 2 cm)
SMOOTHED = 12
#: the same for the places themselves, until feet have no toes
ROUNDED = 40


class Chart:
    """Made from a body model on any device; lives on the CPU."""

    def __init__(self, body: BodyModel):
        self.body = body = body.to("cpu")
        self.rest, self.faces, self.joints = body.template, body.faces, body.joint_template
        self.owner = body.weights.argmax(1)
        self.foot = (self.owner == FEET[0]) | (self.owner == FEET[1])
        self.share = {
            "arm": body.weights[:, [6, 7, 8, 10, 11, 12]].sum(1),
            "leg": body.weights[:, list(LEGS)].sum(1),
        }
        self._smooth()
        self._measure_limbs()
        self._measure_trunk()
        self._choose_anchors()

    def _smooth(self) -> None:
        """Vertex normals, skinning weights and places, each averaged over rings of neighbours."""
        a, b, c = self.rest[self.faces].unbind(1)
        flat = torch.cross(b - a, c - a, dim=-1)
        normals = torch.zeros_like(self.rest)
        for corner in range(3):
            normals.index_add_(0, self.faces[:, corner], flat)
        count = len(self.rest)
        ends = torch.cat([self.faces, self.faces.roll(1, 1)], 1).flatten()
        other = torch.cat([self.faces.roll(1, 1), self.faces], 1).flatten()
        own = torch.arange(count)
        where = torch.stack([torch.cat([ends, own]), torch.cat([other, own])])
        ones = torch.ones(where.shape[1])
        near = torch.sparse_coo_tensor(where, ones, (count, count), check_invariants=False)
        near = near.coalesce()
        total = torch.sparse.sum(near, 1).to_dense().unsqueeze(1)
        self.normals = F.normalize(normals, dim=1)
        smooth, weights, rest = self.normals, self.body.weights, self.rest
        for _ in range(SMOOTHED):
            smooth, weights = near @ smooth / total, near @ weights / total
        for _ in range(ROUNDED):
            rest = near @ rest / total
        self.outward, self.weights, self.rounded = F.normalize(smooth, dim=1), weights, rest

    def _measure_limbs(self) -> None:
        """How far along its limb each vertex lies: 0 at shoulder or hip, 1 elbow or knee, 2 ..."""
        self.along = torch.zeros(len(self.rest))
        self.radial = torch.zeros_like(self.rest)
        for first in (6, 10, 13, 16):
            bone = self.joints[BONE_END[first]] - self.joints[first]
            for step in range(3):
                joint = first + step
                start = self.joints[joint]
                if joint in BONE_END:
                    bone = self.joints[BONE_END[joint]] - start
                else:  # hands and feet go on where forearm and shin point, half as far
                    bone = bone / 2
                mine = self.owner == joint
                share = (self.rest - start) @ bone / (bone @ bone)
                self.along = torch.where(mine, step + share.clamp(0, 1), self.along)
                from_axis = self.rest - start - share.unsqueeze(1) * bone
                mine = mine.unsqueeze(1)
                self.radial = torch.where(mine, F.normalize(from_axis, dim=1), self.radial)

    def _measure_trunk(self) -> None:
        """Half widths and front and back of trunk and legs at LEVELS heights, and the skull."""
        trunk = self.rest[(self.share["arm"] < 0.3) & (self.owner != HEAD)]
        self.sole, self.crown = float(self.rest[:, 1].min()), float(self.rest[:, 1].max())
        levels = torch.linspace(self.sole, 0.7, 61)
        rows = []
        for level in levels:
            band = trunk[(trunk[:, 1] - level).abs() < 0.03]
            rows.append(torch.stack([band[:, 0].max(), band[:, 2].min(), band[:, 2].max()]))
        self.levels, self.girths = levels, torch.stack(rows)
        skull = self.rest[(self.owner == HEAD) & (self.rest[:, 1] > 0.82)]
        back, front = float(skull[:, 2].min()), float(skull[:, 2].quantile(0.995))
        self.skull = torch.tensor([0.0, self.crown - 0.095, (front + back) / 2])
        self.skull_radii = torch.tensor([0.076, 0.095, (front - back) / 2])

    def girth(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Half width, middle and half depth (L,) of trunk and legs together at heights ``y``."""
        step = float(self.levels[1] - self.levels[0])
        at = ((y - self.levels[0]) / step).clamp(0, len(self.levels) - 1.001)
        low = at.long()
        rows = self.girths[low] + (at - low).unsqueeze(-1) * (
            self.girths[low + 1] - self.girths[low]
        )
        width, back, front = rows.unbind(-1)
        return width, (front + back) / 2, (front - back) / 2

    def _choose_anchors(self) -> None:
        rest = self.rest.double().numpy()
        head = (self.owner == HEAD).nonzero().squeeze(1)
        some = torch.as_tensor(farthest_points(rest[head.numpy()], SKULL_ANCHORS)).long()
        self.fine = torch.cat([(self.owner != HEAD).nonzero().squeeze(1), head[some]])
        self.coarse = torch.as_tensor(farthest_points(rest, FOLLOWED)).long()

    def cut(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """The template's faces where ``kept`` (F,): their vertices, and the faces of those."""
        faces = self.faces[kept]
        used = torch.zeros(len(self.rest), dtype=torch.bool)
        used[faces.flatten()] = True
        return used.nonzero().squeeze(1), (used.cumsum(0) - 1)[faces]

    def own(self, vertices: Tensor, lift: Tensor) -> Anchors:
        """Anchors of a shell: each of its points hangs on one vertex (N,), ``lift`` (N,) off it."""
        follows = vertices.unsqueeze(1).expand(-1, FOLLOWS)
        shares = torch.zeros(follows.shape)
        shares[:, 0] = 1
        return Anchors(vertices, follows, shares, lift)

    def anchors(self, points: Tensor, parts: Sequence[int]) -> Anchors:
        """Anchors of points (N, 3) among the skin of some joints.

        The nearest vertex is the place; what it follows is a mean of wider surroundings, so that
        a skirt between two legs changes smoothly from one to the other.
        """
        allowed = torch.zeros(len(JOINTS), dtype=torch.bool)
        allowed[list(parts)] = True
        fine = self.fine[allowed[self.owner[self.fine]]]
        coarse = self.coarse[allowed[self.owner[self.coarse]]]
        lift, nearest = torch.cdist(points, self.rest[fine]).min(1)
        few = min(FOLLOWS + 1, len(coarse))
        distance, index = torch.cdist(points, self.rest[coarse]).topk(few, largest=False)
        # the last one's share is zero, so that nothing jumps where it becomes another
        weight = 1 / (distance + 0.02) - 1 / (distance[:, -1:] + 0.02) + 1e-6
        weight = weight[:, :FOLLOWS]
        return Anchors(
            fine[nearest],
            coarse[index[:, :FOLLOWS]],
            weight / weight.sum(1, keepdim=True),
            lift,
        )
