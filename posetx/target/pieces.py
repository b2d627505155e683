"""The connected pieces of a target's surface: a skin, a hat, an eye, a base, another figure.

Vertices at exactly the same place are one, or every seam of a texture would cut a piece in two.
What a piece is to the figure is asked in :mod:`posetx.target.belonging`, which of them look like
a person in :mod:`posetx.target.person`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import coo_array

from posetx.arrays import Floats, Indices, Mask
from posetx.files.targets import Target
from posetx.geometry.mesh import connected_parts, face_areas
from posetx.geometry.sampling import GOLDEN, curve_order

#: samples of every piece, and so many more over all of them by area and by triangles
FEWEST_SAMPLES, MORE_SAMPLES = 24, 12_000
#: things that a note names
NAMED = 6


@dataclass
class Pieces:
    """A target's pieces.

    Attributes
    ----------
    target : what is in pieces
    of_vertex : (n,) the piece of each vertex; those of no triangle are pieces without area
    of_face : (m,) the piece of each triangle
    area : (p,) of each piece, in the file's unit
    faces : (p,) how many triangles each has
    """

    target: Target
    of_vertex: Indices
    of_face: Indices
    area: Floats
    faces: Indices

    @classmethod
    def of(cls, target: Target) -> Pieces:
        """The pieces of a target, in the order of their first vertices."""
        first, place = target.welds()
        count, label = connected_parts(place[target.faces], len(first))
        of_vertex = label[place]
        of_face = of_vertex[target.faces[:, 0]]
        areas = face_areas(target.vertices, target.faces)
        area = np.bincount(of_face, weights=areas, minlength=count).astype(np.float64)
        return cls(target, of_vertex, of_face, area, np.bincount(of_face, minlength=count))

    @cached_property
    def samples(self) -> tuple[Floats, Indices]:
        """Points (s, 3) of the surface, evenly spread over each piece, and their pieces (s,).

        Ascending by piece. A piece without area has none.
        """
        real = self.area > 0
        share = 0.5 * (self.area / self.area.sum() + self.faces / self.faces.sum())
        number = np.where(real, FEWEST_SAMPLES + (MORE_SAMPLES * share).astype(np.int64), 0)
        faces, of_face = self.target.faces, self.of_face
        order = curve_order(self.target.vertices[faces].mean(axis=1))
        order = order[np.argsort(of_face[order], kind="stable")]
        corners = self.target.vertices[faces[order]]
        areas = face_areas(self.target.vertices, faces[order])
        ends = np.cumsum(areas)
        piece = np.repeat(np.arange(len(number)), number)
        step = np.arange(len(piece)) - np.repeat(np.cumsum(number) - number, number)
        begin = np.cumsum(self.area) - self.area
        along = begin[piece] + (step + 0.5) / number[piece] * self.area[piece]
        slot = np.minimum(np.searchsorted(ends, along), len(ends) - 1)
        part = np.clip(1 - (ends[slot] - along) / np.maximum(areas[slot], 1e-300), 0, 1)
        root, across = np.sqrt(part), (step * GOLDEN) % 1.0
        shares = np.stack([1 - root, root * (1 - across), root * across], axis=1)
        points: Floats = np.einsum("kc,kci->ki", shares, corners[slot])
        return points, piece

    @cached_property
    def extents(self) -> Floats:
        """(p, 3): the length, width and thickness of each piece: four standard deviations.

        Of an even plate that is 1.15 times its edge; 0 of a piece without area.
        """
        points, piece = self.samples
        count = np.maximum(np.bincount(piece, minlength=len(self.area)), 1)
        sums = [np.bincount(piece, weights=axis, minlength=len(self.area)) for axis in points.T]
        centred = points - (np.stack(sums, 1) / count[:, None])[piece]
        outer = (centred[:, :, None] * centred[:, None, :]).reshape(-1, 9)
        spread = np.stack(
            [np.bincount(piece, weights=x, minlength=len(self.area)) for x in outer.T], 1
        )
        values = np.linalg.eigvalsh((spread / count[:, None]).reshape(-1, 3, 3))
        widths: Floats = 4 * np.sqrt(np.maximum(values[:, ::-1], 0))
        return widths

    def points_of_one(self, piece: int | np.integer[Any]) -> Floats:
        """The samples of one piece."""
        points, of_point = self.samples
        begin, end = np.searchsorted(of_point, [int(piece), int(piece) + 1])
        return points[begin:end]

    def points_of(self, pieces: Mask) -> Floats:
        """The samples of some pieces (p,)."""
        points, piece = self.samples
        return points[pieces[piece]]

    @cached_property
    def skeleton(self) -> Indices | None:
        """(p,) the skeleton that moves most of each piece, -1 none; None in files without."""
        of_face = self.target.face_skeleton
        return None if of_face is None else self._most(of_face)

    def names(self, pieces: Mask) -> list[str]:
        """What the file calls some pieces (p,), or how large they are; the largest first."""
        some = np.flatnonzero(pieces & (self.area > 0))
        some = some[np.argsort(-self.area[some], kind="stable")]
        found: dict[str, None] = {}
        for k, called in zip(some, self._most(self.target.face_object)[some], strict=True):
            name = self.target.object_name(int(called)) if called >= 0 else ""
            found[f'"{name}"' if name else f"a piece of {self.faces[k]:,} triangles"] = None
        named = list(found)
        if len(named) > NAMED:
            named = [*named[: NAMED - 1], f"{len(named) - NAMED + 1} other things"]
        return named

    def _most(self, values: Indices) -> Indices:
        """The value (p,), -1 or more, that most triangles of each piece have, of (m,)."""
        kinds = int(values.max(initial=-1)) + 2
        table = coo_array(
            (np.ones(len(values)), (self.of_face, values + 1)), shape=(len(self.area), kinds)
        )
        most: Indices = table.tocsr().argmax(axis=1).ravel() - 1
        return most
