"""Dressed and stylised figures for the protocols: half of them have a cartoon's proportions.

Each comes from a seed of its own, so that a pair does not depend on how many are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from posetx.data.identities import Identity, stylised_scales
from posetx.data.plinth import add_plinths
from posetx.data.scanner import ScannerSettings, cell_of, simulate_scans
from posetx.data.surface import Figure, area_samples, posed
from posetx.data.wardrobe.wardrobe import Wardrobe

#: of the figures, how many are stylised, and how many stand on a base
STYLISED, ON_BASE = 0.5, 0.15
#: what lies further off the skin (m) says nothing of where a joint is
FAR = 0.05


@dataclass
class Dressed:
    """A dressed figure in one body's shape."""

    figure: Figure
    identity: Identity  # of one
    generator: torch.Generator

    def pose(self, rotations: Tensor) -> Tensor:
        """Its vertices (V, 3) in global rotations (19, 3, 3)."""
        figure, who = self.figure, self.identity
        surface = figure.at(torch.arange(len(figure.points)))
        joints = figure.body.rest_joints(who.coefficients)
        return posed(surface.rest(who), figure.weights, joints, rotations[None], who)[0][0]

    @property
    def joint_weights(self) -> Tensor:
        """Skinning weights (V, 19), zero where cloth or hair is far off the skin."""
        return self.figure.weights * (self.figure.lift < FAR).unsqueeze(1)


def dressed(wardrobe: Wardrobe, coefficients: Tensor, seed: int) -> Dressed:
    """The body of a shape (S,) in an outfit and proportions that follow from the seed."""
    generator = torch.Generator().manual_seed(seed)
    figure = wardrobe.figure(generator)
    scales = torch.ones(1, 19, 3)
    if float(torch.rand((), generator=generator)) < STYLISED:
        scales = stylised_scales(1, generator)
    still = torch.zeros(1, 4, 3)
    identity = Identity(coefficients[None], scales, still, still[..., 0], still)
    return Dressed(figure, identity, generator)


def seen(who: Dressed, vertices: Tensor, samples: int, points: int, views: int) -> Tensor:
    """(``points``, 3) of a posed figure's surface: as many views see it, or with 0 all of it.

    Some stand on a base.
    """
    figure, generator = who.figure, who.generator
    a, b, c = vertices[figure.faces].unbind(1)
    cross = torch.cross(b - a, c - a, dim=-1)
    area = cross.norm(dim=-1) / 2
    faces, places = area_samples(area, samples, generator)
    cloud = (vertices[figure.faces[faces]] * places.unsqueeze(-1)).sum(1)[None]
    normals = torch.nn.functional.normalize(cross[faces], dim=-1)[None]
    height = cloud[..., 1].amax(1) - cloud[..., 1].amin(1)
    cloud, normals, _ = add_plinths(cloud, normals, height, ON_BASE, generator)
    if not views:
        kept = torch.randperm(samples, generator=generator)[:points]
        return cloud[0, kept]
    settings = ScannerSettings((views, views))
    cell = cell_of(samples, float(area.sum()))
    scans, _ = simulate_scans(cloud, normals, points, generator, cell=cell, settings=settings)
    return scans[0]
