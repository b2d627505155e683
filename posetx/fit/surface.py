"""The surface of a fitted body: where on its triangles points are nearest, and how it moves there.

The early fit is by samples of the surface (:mod:`posetx.fit.figure`); it ends some millimetres
off, since no sample is where the point is. Here points are matched with places on triangles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from posetx.arrays import Floats, Indices
from posetx.bodies.body import BodyModel, forward_kinematics, skin
from posetx.fit.figure import JOINT_COUNT, Figure, carries
from posetx.geometry.mesh import vertex_normals
from posetx.geometry.sampling import sample_surface
from posetx.geometry.triangles import nearest_on_triangles, triangles_around

#: mean cosine of a mesh's normals to the body's, below which they tell no side from the other
LEAST_WOUND = 0.5


@dataclass
class Contacts:
    """Places on a posed body's surface, N of them."""

    faces: Indices  # (N,) the triangles
    shares: Floats  # (N, 3) of their corners
    where: Floats  # (N, 3)
    normals: Floats  # (N, 3) of unit length, outward


@dataclass
class Skin:
    """A posed body's vertices (V, 3) and their normals, in the cloud's frame."""

    vertices: Floats
    normals: Floats

    @cached_property
    def tree(self) -> cKDTree:
        """Of the vertices; it is asked a few thousand times, so it need not be balanced."""
        return cKDTree(self.vertices, balanced_tree=False, compact_nodes=False)


class BodySurface:
    """A body model's triangles in any of its poses and shapes, on the CPU.

    ``components`` are free, as in :class:`FreeBody`, whose columns are those of :meth:`across`;
    ``samples`` places are spread evenly over the body.
    """

    def __init__(self, body: BodyModel, components: int, samples: int):
        self.template, self.weights = body.template, body.weights
        self.components = body.components[:components]
        self.rows = self.components.transpose(0, 1).flatten(1).contiguous()  # (V, S * 3)
        self.joint_template = body.joint_template
        self.joint_components = body.joint_components[:components]
        self.faces = body.faces.numpy()
        self.around = triangles_around(self.faces, len(body.template))
        self.carries = carries()
        _, self.even_faces, self.even_shares = sample_surface(
            body.template.double().numpy(), self.faces, samples
        )

    def skin(self, figure: Figure) -> Skin:
        """The figure (1) as it stands."""
        rest = self.template + torch.einsum("s,svi->vi", figure.shape[0], self.components)
        joints = self._joints(figure)
        placed = forward_kinematics(joints, figure.rotations)
        stands = skin(rest.unsqueeze(0), self.weights, joints, placed, figure.rotations)
        vertices = (figure.size * stands + figure.where)[0].double().numpy()
        return Skin(vertices, vertex_normals(vertices, self.faces))

    def nearest(self, skin: Skin, points: Floats) -> Contacts:
        """Where the surface is nearest to each of the points (N, 3).

        Looked for on the triangles round the nearest vertex.
        """
        triangles = self.around[skin.tree.query(points)[1]]  # (N, T)
        corners = skin.vertices[self.faces[triangles]]
        shares = nearest_on_triangles(points[:, None], corners)
        apart = np.einsum("ntk,ntki->nti", shares, corners) - points[:, None]
        best = (apart**2).sum(-1).argmin(1)
        every = np.arange(len(points))
        return self.contacts(skin, triangles[every, best], shares[every, best])

    def even(self, skin: Skin) -> Contacts:
        """Places spread evenly over the body, the same in every pose."""
        return self.contacts(skin, self.even_faces, self.even_shares)

    def contacts(self, skin: Skin, faces: Indices, shares: Floats) -> Contacts:
        """The places with these shares (N, 3) of the corners of these triangles (N,)."""
        corners = self.faces[faces]
        where = np.einsum("nk,nki->ni", shares, skin.vertices[corners])
        normals = np.einsum("nk,nki->ni", shares, skin.normals[corners])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
        return Contacts(faces, shares, where, normals)

    def across(self, figure: Figure, contacts: Contacts) -> Tensor:
        """How each contact moves along its normal with each free quantity of the figure: (N, P)."""
        corners = torch.as_tensor(self.faces[contacts.faces])
        shares = torch.as_tensor(contacts.shares).float().unsqueeze(-1)
        normals = torch.as_tensor(contacts.normals).float()

        def at_contacts(values: Tensor) -> Tensor:
            a, b, c = (values[corners[:, k]] * shares[:, k] for k in range(3))
            return a + b + c

        weights = at_contacts(self.weights)
        by_shape = at_contacts(self.rows).unflatten(1, (-1, 3))  # (N, S, 3) at rest
        rest = at_contacts(self.template) + torch.einsum("nsi,s->ni", by_shape, figure.shape[0])
        joints, turns, size = self._joints(figure), figure.rotations[0], figure.size[0]
        placed = forward_kinematics(joints, figure.rotations)[0]
        shift = placed - (turns @ joints[0].unsqueeze(-1)).squeeze(-1)
        # each contact as each joint alone would place it, times that joint's weight
        parts = (rest @ turns.flatten(0, 1).T).unflatten(1, (JOINT_COUNT, 3)) + shift
        parts = weights.unsqueeze(-1) * parts
        surface = parts.sum(1)
        levers = torch.einsum("ak,nki->nai", self.carries, parts)
        levers = levers - (weights @ self.carries.T).unsqueeze(-1) * placed
        by_turns = size * torch.cross(levers, normals.unsqueeze(1).expand_as(levers), dim=-1)
        # the samples move with the skin and with the joints that carry them
        blended = (weights @ turns.flatten(1)).unflatten(-1, (3, 3))
        local = normals.unsqueeze(1) @ blended
        by_skin = (by_shape @ local.transpose(1, 2)).squeeze(-1)
        count = len(self.joint_components)
        moved = forward_kinematics(self.joint_components, turns.expand(count, -1, -1, -1))
        moved = moved - (turns @ self.joint_components.unsqueeze(-1)).squeeze(-1)
        pulled = (weights @ moved.transpose(0, 1).flatten(1)).unflatten(1, (count, 3))
        by_joints = (pulled @ normals.unsqueeze(-1)).squeeze(-1)
        by_size = size * (surface * normals).sum(1, keepdim=True)
        return torch.cat([by_turns.flatten(1), normals, by_size, size * (by_skin + by_joints)], 1)

    def _joints(self, figure: Figure) -> Tensor:
        """(1, 19, 3) of the figure's shape at rest."""
        moved = torch.einsum("bs,sji->bji", figure.shape, self.joint_components)
        return moved + self.joint_template


def outward(normals: Floats, of_body: Floats) -> Floats | None:
    """Normals (N, 3) at unit length and turned outward, as the body's next to them are.

    None if no side is out: the triangles of many meshes are wound both ways.
    """
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    unit: Floats = normals / np.maximum(length, 1e-300)
    cosine = float((unit * of_body).sum(1).mean()) if len(unit) else 0.0
    return unit * np.sign(cosine) if abs(cosine) > LEAST_WOUND else None
