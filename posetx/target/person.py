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
from posetx.geometry.sampling import farthest_points, sample_surface
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
HABIT = 0.9
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
CLOSER, TRIED = 0.85, 4
#: the less of a target is taken for a person, the less is that believed: by this power of its share
SCARCE = 0.25
#: how badly some pieces are explained, as a share of the whole: from which on they are the core,
#: and from which on the body is measured by them alone. Figures on bases have 0.36, dressed ones
#: with a whole body below 0.2 to 0.4, without one more than 0.6
CORE, ALONE = 0.8, 0.5
#: what is explained as well as this, relative to the best, is of the core too; another figure that
#: is may be meant as well: then the larger one is, and of two alike the one at the file's origin
RIVAL, LIKE = 1.4, 0.8
#: a piece is of the figure whose points the network takes for a body's by this share, and on which
#: this share of its shins or feet are: of things below or beside a figure it says 0.1 to 0.5, of
#: legs in a piece of their own, below clothes, 0.99
BODY, LEGS = 0.75, 0.25
SHINS_AND_FEET = (14, 15, 17, 18)


@dataclass
class Person:
    """What of a target looks like a person.

    Attributes
    ----------
    core : (p,) those pieces
    measured : (p,) those of them by which the body is measured: layers of clothes are not among
        them where the body below is whole
    found : how they stand
    """

    core: Mask
    measured: Mask
    found: Orientation


@dataclass
class _Look:
    """Some pieces (p,), and how they stand if they are a person.

    ``less`` grows from 1, the less of all the surface and of all its triangles they are.
    """

    pieces: Mask
    rotation: Floats
    distance: float
    less: float = 1.0
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

    def person(self, pieces: Pieces, among: Mask) -> Person:
        """The pieces that look most like a person, ``among`` (p,) some, and how they stand.

        Raises UsageError for an axis that is none, or the same axis twice.
        """
        every = _upright_pieces(pieces, among)
        large = _large(pieces, every)
        found = self.orientation(self.sample(pieces, every))
        if len(large) < 2:
            return Person(every, every, found)
        whole = _Look(every, found.rotation, found.distance)
        near = self._nearest(pieces, whole, large)
        if not near:
            return Person(every, every, found)
        core = np.logical_or.reduce([look.pieces for look in near])
        if near[0].badness > ALONE * whole.badness:
            return Person(core, core, self.orientation(self.sample(pieces, core)))
        found = self.orientation(self.sample(pieces, near[0].pieces))
        return Person(core, near[0].pieces, found)

    def sample(self, pieces: Pieces, some: Mask) -> Floats:
        """Even samples (P, 3) of the surface of some pieces (p,)."""
        target = pieces.target
        faces = target.faces[some[pieces.of_face]]
        points, _, _ = sample_surface(target.vertices, faces, SAMPLES)
        return pose_sample(points, self.swift.predictor.model.config.pose_points)

    def legs(self, pieces: Pieces, person: Person) -> Mask:
        """Which pieces (p,) of the core are a person's legs, by the network's word on its points.

        In clothes they are often a piece of their own, which stands on the ground and is below all
        the rest, as a base is.
        """
        network, rotation = self.swift.predictor, person.found.rotation
        points, piece = pieces.samples
        points, piece = points[person.core[piece]], piece[person.core[piece]]
        few = pose_sample(points, network.model.config.pose_points)
        of = piece[cKDTree(points).query(few)[1]]
        word = network.encode_pose((few @ rotation.T)[None]).features.shares[0].double()
        body, low = word.sum(1), word[:, SHINS_AND_FEET]

        def of_pieces(values: Floats) -> Floats:
            return np.bincount(of, values, len(person.core)).astype(np.float64)

        said = of_pieces(body.cpu().numpy()) / np.maximum(of_pieces(np.ones(len(of))), 1)
        shares = [of_pieces(x) / max(x.sum(), 1e-9) for x in low.T.cpu().numpy()]
        found: Mask = (said > BODY) & (np.max(shares, axis=0) > LEGS)
        return found

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

    def _nearest(self, pieces: Pieces, whole: _Look, large: list[int]) -> list[_Look]:
        """What looks more like a person than the whole, the best first; and what does so as well.

        None where nothing does. Another figure is not among them.
        """
        looks = [self._look(pieces, some, whole) for some in _others(pieces, whole.pieces, large)]
        closer = [look for look in looks if look.distance < CLOSER * whole.distance]
        tried = sorted(closer, key=lambda look: look.distance * look.less)[:TRIED]
        for look in (whole, *tried) if tried else ():
            look.badness = look.less * look.distance * self._misfit(pieces, look)
        tried = [look for look in tried if look.badness < CORE * whole.badness]
        if not tried:
            return []
        best = min(tried, key=lambda look: look.badness)
        as_good = [look for look in tried if look.badness < RIVAL * best.badness]
        apart = [look for look in as_good if not (look.pieces & best.pieces).any()]
        most = max(float(pieces.area[look.pieces].sum()) for look in (best, *apart))
        alike = [look for look in (best, *apart) if pieces.area[look.pieces].sum() > LIKE * most]
        best = min(alike, key=lambda look: _from_origin(pieces, look.pieces))
        others = [
            look for look in as_good if look is not best and (look.pieces & best.pieces).any()
        ]
        return [best, *others]

    def _look(self, pieces: Pieces, some: Mask, whole: _Look) -> _Look:
        """At some pieces (p,): as the whole stands, or in all usual directions if it is unlike."""
        network, neutral = self.swift.predictor, self.swift.neutral
        few = _thinned(pieces.points_of(some), network.model.config.pose_points)
        rotations = whole.rotation[None]
        if whole.distance > UNLIKE:
            every, names = directions(self.up, self.front, headings=4)
            usual = [k for k, name in enumerate(names) if name in ("y", "z")]
            rotations = every[usual] if usual else every
        clouds = np.einsum("nij,pj->npi", rotations, few - few.mean(0))
        distance, _ = explain_many(network, neutral, torch.as_tensor(clouds, dtype=torch.float32))
        k = int(distance.argmin())
        share = max(x[some].sum() / x[whole.pieces].sum() for x in (pieces.area, pieces.faces))
        return _Look(some, rotations[k], float(distance[k]), float(share) ** -SCARCE)

    def _misfit(self, pieces: Pieces, look: _Look) -> float:
        """How badly a fitted body explains what is looked at; 1 without fits."""
        if self.thorough is None:
            return 1.0
        few = self.sample(pieces, look.pieces)[:FITTED]
        return self.thorough.misfit(few, look.rotation)


def _upright_pieces(pieces: Pieces, among: Mask) -> Mask:
    """Of some pieces (p,) those with an area, without grounds and backdrops where there is more."""
    real: Mask = among & (pieces.area > 0)
    if real.sum() < 2:
        return real
    _, width, thickness = pieces.extents.T
    solid: Mask = real & (thickness >= SHEET * width)
    if not solid.any():
        return real
    upright: Mask = real & (solid | (pieces.area < LARGE * pieces.area[solid].max()))
    return upright


def _large(pieces: Pieces, every: Mask) -> list[int]:
    """The large ones of some pieces (p,), the largest first."""
    area = np.where(every, pieces.area, 0.0)
    faces = np.where(every, pieces.faces, 0)
    share = np.maximum(area / area.max(), faces / faces.max())
    return [int(k) for k in np.argsort(-share, kind="stable")[:MOST] if share[k] > LARGE]


def _others(pieces: Pieces, whole: Mask, large: list[int]) -> list[Mask]:
    """What else (p,) may be the person: what hangs together, that without one, or one alone.

    Each small piece goes with the large one that is nearest.
    """
    points, piece = pieces.samples
    place = np.full(len(whole), -1)
    place[large] = np.arange(len(large))
    of_large = place[piece] >= 0
    tree, owner = cKDTree(points[of_large]), place[piece[of_large]]
    small = whole[piece] & ~of_large
    distance, nearest = tree.query(points[small])
    by_distance = np.argsort(-distance, kind="stable")
    place[piece[small][by_distance]] = owner[nearest[by_distance]]  # the nearest is written last

    own = [pieces.points_of_one(k) for k in large]
    joined = np.eye(len(large), dtype=bool)
    for i in range(len(large)):
        tree = cKDTree(own[i])
        for j in range(i):
            near = TOUCH * min(pieces.extents[large[i], 0], pieces.extents[large[j], 0])
            touch = tree.query(own[j], distance_upper_bound=near)[0].min() < near
            joined[i, j] = joined[j, i] = touch
    _, cluster = connected_components(joined, directed=False)
    groups = [set(np.flatnonzero(cluster == c).tolist()) for c in range(cluster.max() + 1)]
    sets = [group for group in groups if len(groups) > 1]
    sets += [group - {k} for group in groups for k in sorted(group) if len(group) > 2]
    sets += [{k} for k in range(len(large))]
    different = {frozenset(some): None for some in sets}
    return [whole & np.isin(place, list(some)) for some in different]


def _from_origin(pieces: Pieces, some: Mask) -> float:
    """How far the middle of some pieces (p,) is from where things are made in a file."""
    return float(np.linalg.norm(pieces.points_of(some).mean(0)))


def _thinned(points: Floats, count: int) -> Floats:
    """Points (count, 3) that are spread over points (n, 3)."""
    pool = points[:: max(len(points) // (8 * count), 1)]
    return pool[farthest_points(pool, count)]
