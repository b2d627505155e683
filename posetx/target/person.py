"""Which pieces of a target look like a person: the network says it first, a fitted body decides.

All pieces together do, as a rule, in clothes and with what they hold. But a ground, a crate, a base
or another figure beside hide a person from the network, and layers of clothes hide the body that
is whole below them. So the target is looked at without each, too, and what is explained far better
is believed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from posetx.arrays import Floats, Mask
from posetx.geometry.sampling import sample_surface
from posetx.models.predictor import pose_sample
from posetx.reading.orient import (
    Orientation,
    directions,
    distance_to_prediction,
    explain_many,
    orient,
)
from posetx.reading.reader import PoseReader
from posetx.target.pieces import Pieces

#: points of a surface that its direction is found from; of them, those that bodies are fitted to
SAMPLES, FITTED = 4096, 256
#: characters mostly stand upright and face where their format's programs have the front: see
#: `orient`
HABIT = 0.8
#: pieces are large that have this share of the largest one's area, or of its triangles; at most so
#: many are told apart
LARGE, MOST = 0.1, 10
#: thickness of a ground or a backdrop, as a share of its width
SHEET = 0.01
#: pieces hang together that are nearer than this share of the shorter one's length
TOUCH = 0.04
#: a person is at most so far from what the network makes of one, or its direction is open
UNLIKE = 0.035
#: what is looked at by the fit has at most this share of the whole's distance; at most so many
CLOSER, TRIED = 0.85, 3
#: how badly some pieces are explained, as a share of the whole: from which on they are the core,
#: and from which on the body is measured by them alone. Figures on bases have 0.36, dressed ones
#: with a whole body below 0.2 to 0.4, without one more than 0.6
CORE, ALONE = 0.8, 0.5
#: another figure that is explained as well as this is as likely meant: then the larger one is
RIVAL = 1.5


@dataclass
class Person:
    """What of a target looks like a person.

    Attributes
    ----------
    core : (p,) those pieces
    alone : whether they do far more so than with all the others
    found : how they stand
    """

    core: Mask
    alone: bool
    found: Orientation


@dataclass
class _Look:
    """Some pieces (p,), samples (P, 3) of them, and how they stand if they are a person."""

    pieces: Mask
    sample: Floats
    rotation: Floats
    distance: float
    badness: float = np.inf


class Watcher:
    """Looks for the person in a target.

    Parameters
    ----------
    swift, thorough : readers without and with fits; the latter None for the network alone
    up, front : an axis of the target's file such as "z" or "-y", or "auto"
    """

    def __init__(self, swift: PoseReader, thorough: PoseReader | None, up: str, front: str):
        self.swift, self.thorough, self.up, self.front = swift, thorough, up, front

    def person(self, pieces: Pieces) -> Person:
        """The pieces that look most like a person, and how they stand.

        Raises UsageError for an axis that is none, or the same axis twice.
        """
        every = _upright_pieces(pieces)
        large = _large(pieces, every)
        sample = self.sample(pieces, every)
        found = self.orientation(sample)
        if len(large) < 2:
            return Person(every, False, found)
        whole = _Look(every, sample, found.rotation, found.distance)
        core, alone = self._core(pieces, whole, large)
        if core is not whole:
            found = self.orientation(core.sample)
        return Person(core.pieces, alone, found)

    def sample(self, pieces: Pieces, some: Mask) -> Floats:
        """Even samples (P, 3) of the surface of some pieces (p,)."""
        target = pieces.target
        faces = target.faces[some[pieces.of_face]]
        points, _, _ = sample_surface(target.vertices, faces, SAMPLES)
        return pose_sample(points, self.swift.predictor.model.config.pose_points)

    def orientation(self, sample: Floats) -> Orientation:
        """How a person stands of whom there are samples (P, 3)."""
        network, neutral = self.swift.predictor, self.swift.neutral
        found = orient(
            network, neutral, sample, self.up, self.front, headings=4, refine=False, habit=HABIT
        )
        if self.thorough is None or not found.rivals:
            return found
        best, _ = self.thorough.settled(sample, found)
        distance = distance_to_prediction(network, neutral, sample, best.rotation)
        return replace(best, distance=distance)

    def _core(self, pieces: Pieces, whole: _Look, large: list[int]) -> tuple[_Look, bool]:
        """What of the whole looks most like a person, and whether it does so far more."""
        looks = [self._look(pieces, some, whole) for some in _others(pieces, whole.pieces, large)]
        closer = [look for look in looks if look.distance < CLOSER * whole.distance]
        tried = sorted(closer, key=lambda look: look.distance)[:TRIED]
        if not tried:
            return whole, False
        for look in (whole, *tried):
            look.badness = look.distance * self._misfit(look)
        best = min(tried, key=lambda look: look.badness)
        if best.badness > CORE * whole.badness:
            return whole, False
        rivals = [
            look
            for look in tried
            if look.badness < RIVAL * best.badness and not (look.pieces & best.pieces).any()
        ]
        chosen = max([best, *rivals], key=lambda look: float(pieces.area[look.pieces].sum()))
        return chosen, chosen.badness < ALONE * whole.badness

    def _look(self, pieces: Pieces, some: Mask, whole: _Look) -> _Look:
        """At some pieces (p,): as the whole stands, or in all usual directions if it is unlike."""
        network, neutral = self.swift.predictor, self.swift.neutral
        sample = self.sample(pieces, some)
        rotations = whole.rotation[None]
        if whole.distance > UNLIKE:
            every, names = directions(self.up, self.front, headings=4)
            usual = [k for k, name in enumerate(names) if name in ("y", "z")]
            rotations = every[usual] if usual else every
        few = sample[: network.model.config.pose_points]
        clouds = np.einsum("nij,pj->npi", rotations, few - few.mean(0))
        distance, _ = explain_many(network, neutral, torch.as_tensor(clouds, dtype=torch.float32))
        k = int(distance.argmin())
        return _Look(some, sample, rotations[k], float(distance[k]))

    def _misfit(self, look: _Look) -> float:
        """How badly a fitted body explains what is looked at; 1 without fits."""
        if self.thorough is None:
            return 1.0
        return self.thorough.misfit(look.sample[:FITTED], look.rotation)


def _upright_pieces(pieces: Pieces) -> Mask:
    """The pieces (p,) that have an area, without grounds and backdrops where there is more."""
    real = pieces.area > 0
    if real.sum() < 2:
        return real
    _, width, thickness = pieces.extents.T
    solid: Mask = real & (thickness >= SHEET * width)
    if not solid.any():
        return real
    return real & (solid | (pieces.area < LARGE * pieces.area[solid].max()))


def _large(pieces: Pieces, every: Mask) -> list[int]:
    """The large ones of some pieces (p,), the largest first."""
    area = np.where(every, pieces.area, 0.0)
    faces = np.where(every, pieces.faces, 0)
    share = np.maximum(area / area.max(), faces / faces.max())
    return [int(k) for k in np.argsort(-share, kind="stable")[:MOST] if share[k] > LARGE]


def _others(pieces: Pieces, whole: Mask, large: list[int]) -> list[Mask]:
    """What else (p,) may be the person: what hangs together, that without one, or one alone."""
    points = [pieces.points_of(_only(whole, [k])) for k in large]
    joined = np.eye(len(large), dtype=bool)
    for i, own in enumerate(points):
        tree = cKDTree(own)
        for j in range(i):
            near = TOUCH * min(pieces.extents[large[i], 0], pieces.extents[large[j], 0])
            touch = tree.query(points[j], distance_upper_bound=near)[0].min() < near
            joined[i, j] = joined[j, i] = touch
    _, cluster = connected_components(joined, directed=False)
    groups = [[k for k, c in zip(large, cluster, strict=True) if c == x] for x in set(cluster)]
    sets = [set(group) for group in groups if len(groups) > 1]
    sets += [set(group) - {k} for group in groups for k in group if len(group) > 2]
    sets += [{k} for k in large]
    return [_only(whole, sorted(some)) for some in {frozenset(s): None for s in sets}]


def _only(whole: Mask, some: list[int]) -> Mask:
    mask: Mask = np.zeros(len(whole), dtype=bool)
    mask[some] = True
    return mask
