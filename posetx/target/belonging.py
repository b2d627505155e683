"""Which of a target's pieces belong to its figure: worn, held, or another thing that is beside it.

The core is what looks like a person (:mod:`posetx.target.person`). A piece that lies along it is
worn, one that touches it is held; but what is under its soles, or stands on the ground beside it,
is a base, a crate or somebody else. Where a file has skeletons, it says itself what moves together.

Lengths are shares of the core's extent, about 1.75 m on a grown body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from posetx.arrays import Floats, Indices, Mask
from posetx.geometry.extent import robust_extent
from posetx.target.pieces import Pieces

#: what is so near lies along the core; with such a share of its area a piece is worn, with the
#: larger one also if much of it is below the soles, as of high heels
ALONG, WORN, CLOSELY_WORN = 0.09, 0.5, 0.8
#: a wide gown stands off the legs by more, though all around them, and a shoe is so near to a shin
GOWN = 0.2
#: what is so near touches
TOUCH = 0.025
#: below this over the soles everything is under them; what is near to them there is a shoe's sole
UNDER, SOLE = 0.03, 0.045
#: this near to the height of the soles a thing stands on the ground, and with such a share of its
#: area below that it reaches into it
GROUND, SUNK = 0.02, 0.3
#: what stands as a staff does has a foot no wider than this, as a broom does no longer than that
STAFF, BROOM = 0.06, 0.3
#: nobody carries what is longer, or as thick
LONGEST, THICKEST = 2.5, 0.6
#: what hovers next to the core, as a halo does, is at most so large
HOVERING = 0.4
#: shoes are no longer than this, below the body, and alike to this share of their size: a core
#: without them ends above them, as it does above a base, but there are two
SHOE, ALIKE = 0.35, 0.15
#: what stands on the ground and ends so much of the height below the top may be another thing
TALL = 0.25
#: so many pieces of a core are doubted, the largest
DOUBTED = 8
#: rounds in which things are found that hang on things, as a tassel on a sword
ROUNDS = 4


@dataclass
class _Measures:
    """Of each piece (p,), over its samples; heights are above the soles."""

    gap: Floats  # least distance from the core
    distance: Floats  # mean distance
    along: Floats  # share that is near
    at_soles: Floats  # share that is as near as a sole
    low: Floats
    high: Floats
    sunk: Floats  # share below the ground


def belonging(pieces: Pieces, core: Mask, up: Floats, legs: Mask | None = None) -> Mask:
    """Which pieces (p,) belong to the figure, those of the ``core`` (p,) among them.

    ``up`` (3,) is in the target's frame; ``legs`` (p,) of the core belong to it wherever they are.
    """
    real = pieces.area > 0
    if real.sum() < 2:
        return np.ones(len(core), dtype=bool)
    mine = core & ~_strangers(pieces, core, up)
    if legs is not None:
        mine |= core & legs
    for _ in range(2):  # a second time from where the soles are, if the core had no feet
        mine = _around_core(pieces, mine, up)
    mine = _as_rigged(pieces, core, mine)
    mine[~real] = True  # vertices of no triangle go along, as they always have
    return mine


def _around_core(pieces: Pieces, core: Mask, up: Floats) -> Mask:
    """The core (p,) with what it wears and holds."""
    body = pieces.points_of(core)
    extent = robust_extent(body)
    points, piece = pieces.samples
    heights = points @ up
    heights -= heights[core[piece]].min()
    distance = cKDTree(body).query(points)[0] / extent
    m = _measured(distance, heights / extent, piece, len(core))
    size = pieces.extents / extent

    loose = (pieces.area > 0) & ~core
    stands = loose & (m.low < GROUND)
    stands &= ~_as_a_staff(pieces, stands, up, extent)
    carried = loose & ~stands & (size[:, 0] < LONGEST) & (size[:, 2] < THICKEST)
    hovers = loose & (size[:, 0] < HOVERING) & (m.low > GROUND)
    gown = (m.gap < TOUCH) & (m.distance < GOWN) & _around(pieces, body, up)
    worn = (m.along > CLOSELY_WORN) | ((m.along > WORN) | gown) & (m.sunk < SUNK)
    under = m.high < UNDER
    mine = core | loose & np.where(under, m.at_soles > CLOSELY_WORN, worn)
    mine |= ~under & (carried & (m.gap < TOUCH) | hovers & (m.gap < ALONG))
    shoes = _shoes(loose & (size[:, 0] < SHOE) & (m.gap < GOWN), size, m.low)
    mine |= shoes & _below(pieces, body, shoes, up, extent)
    return _hung(pieces, mine, ~under & loose, carried, hovers, extent)


def _below(pieces: Pieces, body: Floats, some: Mask, up: Floats, extent: float) -> Mask:
    """Which of ``some`` pieces (p,) are, seen from above, all where the body (n, 3) is."""
    flat = cKDTree(body @ _level(up).T)
    below = some.copy()
    for k in np.flatnonzero(some):
        beside = flat.query(pieces.points_of_one(k) @ _level(up).T)[0]
        below[k] = np.quantile(beside, CLOSELY_WORN) < SOLE * extent
    return below


def _shoes(maybe: Mask, size: Floats, low: Floats) -> Mask:
    """Which of some pieces (p,) come in pairs of the same size at the same height."""
    found = np.zeros(len(maybe), dtype=bool)
    few = np.flatnonzero(maybe & (low < GROUND))
    alike = (np.abs(size[few, None] - size[few]) < ALIKE * size[few]).all(axis=2)
    alike &= np.abs(low[few, None] - low[few]) < GROUND
    np.fill_diagonal(alike, False)
    found[few] = alike.any(axis=1)
    return found


def _strangers(pieces: Pieces, core: Mask, up: Floats) -> Mask:
    """Which pieces (p,) of a core stand on the ground beside or below all the rest of it."""
    points, piece = pieces.samples
    heights, extent = points @ up, robust_extent(points[core[piece]])
    low = np.full(len(core), np.inf)
    np.minimum.at(low, piece, heights)
    high = np.full(len(core), -np.inf)
    np.maximum.at(high, piece, heights)
    ground, top = low[core].min(), high[core].max()
    stands = core & (low < ground + GROUND * extent) & (high < top - TALL * (top - ground))
    stands &= ~_shoes(stands, pieces.extents / extent, (low - ground) / extent)
    found = np.zeros(len(core), dtype=bool)
    largest = np.argsort(np.where(stands, -pieces.area, 0.0), kind="stable")[:DOUBTED]
    for k in largest[stands[largest]]:
        rest = core & ~found
        rest[k] = False
        if rest.any():
            found[k] = not _around_core(pieces, rest, up)[k]
    return found


def _measured(distance: Floats, heights: Floats, piece: Indices, count: int) -> _Measures:
    number = np.maximum(np.bincount(piece, minlength=count), 1)

    def share(mask: Mask) -> Floats:
        return np.bincount(piece[mask], minlength=count) / number

    def extreme(values: Floats, over: np.ufunc, begin: float) -> Floats:
        out = np.full(count, begin)
        over.at(out, piece, values)
        return out

    return _Measures(
        gap=extreme(distance, np.minimum, np.inf),
        distance=np.bincount(piece, weights=distance, minlength=count) / number,
        along=share(distance < ALONG),
        at_soles=share(distance < SOLE),
        low=extreme(heights, np.minimum, np.inf),
        high=extreme(heights, np.maximum, -np.inf),
        sunk=share(heights < GROUND),
    )


def _level(up: Floats) -> Floats:
    """Two axes (2, 3) across ``up``."""
    axes: Floats = np.linalg.svd(up[None])[2][1:]
    return axes


def _as_a_staff(pieces: Pieces, standing: Mask, up: Floats, extent: float) -> Mask:
    """Which of the pieces (p,) that stand on the ground have a foot like a staff's or a broom's."""
    slender = np.zeros(len(standing), dtype=bool)
    for k in np.flatnonzero(standing):
        own = pieces.points_of_one(k)
        height = own @ up
        foot = own[height < height.min() + ALONG * extent] @ _level(up).T
        widths = (
            np.sort(2 * np.sqrt(np.linalg.eigvalsh(np.cov(foot.T)))) if len(foot) > 2 else [0, 0]
        )
        slender[k] = widths[0] < STAFF * extent and widths[1] < BROOM * extent
    return slender


def _around(pieces: Pieces, body: Floats, up: Floats) -> Mask:
    """Which pieces (p,) lie around the middle of the body, seen from above."""
    points, piece = pieces.samples
    flat = (points - np.median(body, axis=0)) @ _level(up).T
    around = np.ones(len(pieces.area), dtype=bool)
    for axis in (*flat.T, *(-flat.T)):
        reach = np.full(len(around), -np.inf)
        np.maximum.at(reach, piece, axis)
        around &= reach > 0
    return around


def _hung(
    pieces: Pieces, mine: Mask, loose: Mask, carried: Mask, hovers: Mask, extent: float
) -> Mask:
    """With the pieces that hang on pieces which belong to the figure."""
    points, piece = pieces.samples
    for _ in range(ROUNDS):
        left = loose & ~mine & (carried | hovers)
        if not left.any():
            break
        distance = cKDTree(points[mine[piece]]).query(points[left[piece]])[0] / extent
        gap = np.full(len(mine), np.inf)
        np.minimum.at(gap, piece[left[piece]], distance)
        more = left & (carried & (gap < TOUCH) | hovers & (gap < ALONG))
        if not more.any():
            break
        mine = mine | more
    return mine


def _as_rigged(pieces: Pieces, core: Mask, mine: Mask) -> Mask:
    """What the file's skeletons say goes before what the pieces look like."""
    skeleton = pieces.skeleton
    if skeleton is None:
        return mine
    of_core = skeleton[core & (skeleton >= 0)]
    if not len(of_core):
        return mine
    return (mine & (skeleton < 0)) | np.isin(skeleton, of_core)
