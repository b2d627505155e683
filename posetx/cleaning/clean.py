"""From a raw scan to the points of one body: strays, floor, walls and bystanders taken out.

The scan may be in any unit, any way up and anywhere: every length in here is a share of the
cloud's own extent or of the spacing of its points. Heavy statistics run on an evenly thinned
working set and are carried to all points by voxel. Points are put into a canonical order first,
so the result does not depend on the order they came in; huge scans are thinned by voxels even
before that, which does not depend on it either.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

from posetx.arrays import Floats, Indices, Mask
from posetx.cleaning.planes import Plane, find_planes, plane_mask
from posetx.errors import PosetxError
from posetx.files.checks import usable_rows
from posetx.geometry.extent import robust_extent
from posetx.geometry.neighbours import (
    gaps,
    neighbour_distances,
    pieces,
    spacing,
    working_set,
)
from posetx.geometry.sampling import voxel_groups

FEWEST = 50
"""Fewer points than this are no body."""
THINNEST = 0.02
"""Points that spread less than this to the side, as a share of their length, are a line."""
MOST = 400_000
"""Larger scans are thinned to about this before anything else."""
HUGE = 1_000_000
"""Scans larger than this are thinned before they are sorted, which would take most of the time."""

RESOLUTION = 150.0
"""Working sets are thinned to the extent over this (about 1 cm on a body), so that a densely
scanned face does not make sparsely scanned legs look like strays."""
WORKING_MOST = 60_000

NEIGHBOURS = 8
LONELY = 6.0
"""A stray is this many times farther from its neighbours than the median point ..."""
LONELY_HERE = 3.0
"""... or this many times farther than both the median point and its own neighbours are."""

JOIN = 2.0
"""Points of one piece are at most this many spacings apart."""
TINY = 0.0015
"""Pieces with a smaller share of the points are crumbs."""
GAP = 0.08
"""A gap within a body (a hidden elbow) is at most this share of the extent of what it joins."""
LIMB_GAP, LIMB_POINTS, LIMB_SIZE = 0.18, 0.3, 0.5
"""A limb or a head that is cut off (one camera, a hidden upper arm) is at most so far from the
body, and has at most these shares of its points and extent: a bystander has more."""
MOST_PIECES = 40


@dataclass(frozen=True)
class Stage:
    """One step of cleaning: how many points went in and came out, and why."""

    name: str
    points_in: int
    points_out: int
    why: str


@dataclass(frozen=True)
class Cleaned:
    """What is left of a scan.

    Attributes
    ----------
    points : (k, 3), the body's points, in the unit and frame of the scan
    index : (k,), where they stand in the input, ascending
    stages : what each step took out
    notes : what a user should look at, such as a second person who was left out
    planes : the floors and walls that were taken out
    """

    points: Floats
    index: Indices
    stages: list[Stage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    planes: list[Plane] = field(default_factory=list)


def clean_scan(
    points: Floats,
    *,
    outliers: bool = True,
    planes: bool = True,
    clusters: bool = True,
    most: int = MOST,
    whole: bool = False,
    seed: int = 0,
) -> Cleaned:
    """Take out of a raw scan whatever is not the (largest) body in it.

    Parameters
    ----------
    points : (n, 3), any unit, any axis up; NaN and duplicates allowed
    outliers, planes, clusters : leave a kind of stage out with False
    most : thin larger scans to about this many points
    whole : at the end bring back the points of a thinned scan that the kept ones stand for
    seed : of the draws of the plane search

    Returns
    -------
    Cleaned

    Raises
    ------
    ValueError : points is not (n, 3)
    PosetxError : no body in it: fewer than 50 points, at the start or after cleaning, or all of
        them in one place or on one line
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points must be (n, 3), not {points.shape}")
    stages: list[Stage] = []
    notes: list[str] = []
    flats: list[Plane] = []
    index = np.arange(len(points))
    stand: Indices | None = None  # of each point the one that stands for it, -1 for none

    def keep(name: str, mask: Mask, why: str) -> None:
        nonlocal index
        stages.append(Stage(name, len(index), int(mask.sum()), why))
        index = index[mask]
        if len(index) < FEWEST:
            raise PosetxError(
                f"{len(index)} points left after {name}; a body needs at least {FEWEST}"
            )

    def thin(fewest: float = 0) -> None:
        nonlocal stand
        representative, why = _thin(points[index], most)
        if (representative == np.arange(len(index))).sum() < fewest:
            return
        step = np.full(len(points), -1)
        step[index] = index[representative]
        stand = step if stand is None else np.where(stand >= 0, step[stand], -1)
        keep("thinning", representative == np.arange(len(index)), why)

    _check_count(points)
    if len(points) > max(most, HUGE):
        finite = usable_rows(points)
        if not finite.all():
            keep("not finite", finite, "points without usable coordinates")
        # Few voxels filled: the extent is that of many repeated points, which go first, then.
        thin(fewest=0.1 * most)
    index = index[np.lexsort(points[index].T[::-1])]
    keep("duplicates", *_distinct(points[index]))
    _check_place(points[index])
    if len(index) > most:
        thin()
    if outliers:
        keep("outliers", *_without_strays(points[index]))
    # Planes and clusters help each other: without its wall a body is a cluster of its own, and
    # once the bystanders are gone, a patch of floor is wide by comparison.
    for attempt in range(2):
        before = len(index)
        if planes:
            found = find_planes(points[index], seed)
            flats += found
            keep("planes", *_without_planes(points[index], found))
        if attempt and len(index) == before:
            break
        if clusters:
            mask, why, others = _one_body(points[index])
            notes += [n for n in others if n not in notes]
            keep("clusters", mask, why)
        if not planes:
            break
    if whole and stand is not None:
        kept = np.zeros(len(points), dtype=bool)
        kept[index] = True
        back = np.flatnonzero((stand >= 0) & kept[stand])
        back = back[_first_of_equals(points[back])]
        why = "back again: the points that those kept stood for"
        stages.append(Stage("full density", len(index), len(back), why))
        index = back
    index = np.sort(index)
    check_body(points[index])
    return Cleaned(points[index], index, stages, notes, flats)


def check_body(points: Floats) -> None:
    """Raises PosetxError for finite points (n, 3) that are no body: too few, or on one line."""
    _check_count(points)
    _check_place(points)
    # Without the farthest ones: two strays a mile away make a line of anything.
    distance = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    near = points[distance <= np.quantile(distance, 0.95)]
    spread = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(near.T)), 0.0))
    if spread[1] <= THINNEST * spread[2]:
        raise PosetxError("all points lie on one line; a body needs an extent")


def _check_count(points: Floats) -> None:
    if len(points) < FEWEST:
        raise PosetxError(f"has {len(points)} points; a body needs at least {FEWEST}")


def _check_place(points: Floats) -> None:
    if not robust_extent(points) > 0.0:
        raise PosetxError("all points lie in one place; a body needs an extent")


def _distinct(points: Floats) -> tuple[Mask, str]:
    """Finite points, each position once; the points come sorted."""
    finite = np.isfinite(points).all(axis=1)
    new = np.ones(len(points), dtype=bool)
    new[1:] = (points[1:] != points[:-1]).any(axis=1)
    bad = int((~finite).sum())
    doubled = int((finite & ~new).sum())
    return finite & new, f"{bad} without finite coordinates, {doubled} repeated"


def _first_of_equals(points: Floats) -> Mask:
    """Which finite points (n,) are no repeats of earlier ones, without sorting by three columns."""
    bits = np.ascontiguousarray(points + 0.0).view(np.uint64)  # + 0.0: -0.0 is the same place
    odd = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
    mixed = bits[:, 0] * odd[0] + bits[:, 1] * odd[1] + bits[:, 2] * odd[2]
    order = np.argsort(mixed, kind="stable")
    mixed = mixed[order]
    again = np.flatnonzero(mixed[1:] == mixed[:-1])
    here, before = order[again + 1], order[again]
    first = np.ones(len(points), dtype=bool)
    first[here] = (points[here] != points[before]).any(axis=1)
    return first


def _thin(points: Floats, most: int) -> tuple[Indices, str]:
    """Which point (n,) stands for each: one a voxel, at most `most` in all."""
    size = robust_extent(points) / (2.0 * np.sqrt(most))
    if not size > 0.0:
        return np.zeros(len(points), dtype=np.int64), ""
    if len(points) > HUGE:  # coarser voxels take their points from the first ones, not from all
        fine, place = voxel_groups(points, size)
        index, group = working_set(points[fine], size, most)
        index, group = fine[index], group[place]
    else:
        index, group = working_set(points, size, most)
    return index[group], f"more than {most:,} points: one a voxel kept"


def _without_strays(points: Floats) -> tuple[Mask, str]:
    """Remove points far from all others, measured against their surroundings and the whole."""
    index, group = working_set(points, robust_extent(points) / RESOLUTION, WORKING_MOST)
    distances, neighbours = neighbour_distances(points[index], NEIGHBOURS)
    lonely = distances.mean(axis=1)
    typical = float(np.median(lonely))
    here = np.median(lonely[neighbours], axis=1)
    stray = lonely > LONELY * typical
    stray |= lonely > LONELY_HERE * np.maximum(typical, here)
    mask = ~stray[group]
    return mask, f"{int((~mask).sum())} strays far from their nearest {NEIGHBOURS} neighbours"


def _without_planes(points: Floats, found: list[Plane]) -> tuple[Mask, str]:
    """Remove floor and walls, and whatever is behind them."""
    mask = np.ones(len(points), dtype=bool)
    for plane in found:
        mask[mask] = ~plane_mask(points[mask], plane)
    if not found:
        return mask, "no floor or wall found"
    widths = ", ".join(f"{np.sqrt(plane.area) / plane.extent:.1f}" for plane in found)
    return mask, f"{len(found)} plane(s), {widths} times as wide as the rest is tall"


def _one_body(points: Floats) -> tuple[Mask, str, list[str]]:
    """Keep the largest body: pieces joined over small gaps; crumbs and other objects go.

    Third is what to tell the user: that there is another body, perhaps a second person.
    """
    index, group = working_set(points, robust_extent(points) / RESOLUTION, WORKING_MOST)
    work = points[index]
    count, labels = pieces(work, JOIN * spacing(work, NEIGHBOURS))
    sizes = np.bincount(labels, minlength=count)
    large = int((sizes >= max(6, TINY * len(work))).sum())
    large = min(max(large, 1), MOST_PIECES)
    parts = [work[labels == k] for k in range(large)]
    body_of = _joined(parts)
    scores = np.zeros(large)
    sheet = np.zeros(large, dtype=bool)
    for k in range(large):
        whole = np.concatenate([parts[i] for i in np.flatnonzero(body_of == body_of[k])])
        sheet[k] = _is_sheet(whole, robust_extent(whole))
        scores[k] = len(whole) * (0.2 if sheet[k] else 1.0)
    chosen = body_of[int(np.argmax(scores))]
    kept_labels = np.zeros(count, dtype=bool)
    kept_labels[:large] = _with_limbs(parts, body_of == chosen)
    mask = kept_labels[labels][group]
    others: list[str] = []
    notes: list[str] = []
    for other in np.unique(body_of[~kept_labels[:large]]):
        share = sizes[:large][body_of == other].sum() / sizes[:large][body_of == chosen].sum()
        if share > 0.3:
            others.append(f"{share:.0%}")
            if not sheet[body_of == other].any():
                notes.append(
                    f"another large object, perhaps a second person ({share:.0%} of the points of "
                    "the body), was left out; crop the scan if that is the one you want"
                )
    why = f"{int(kept_labels.sum())} of {count} pieces are the body"
    if others:
        why += f"; other large objects left out, of {', '.join(others)} of its size"
    return mask, why, notes


def _joined(parts: list[Floats]) -> Indices:
    """Which body each piece belongs to (p,): nearest pieces join first, over small gaps only.

    A gap is small against the extent of the two bodies it would join. Sheets (what is left of a
    floor) join nothing.
    """
    body_of = np.arange(len(parts))
    if len(parts) == 1:
        return body_of
    # Never more than GAP of the whole scene, so no need to look farther.
    scene = _extent(np.concatenate(parts))
    table = gaps(parts, GAP * scene)
    main = _extent(parts[0])
    for i in range(1, len(parts)):
        if _is_sheet(parts[i], main):
            table[i, :] = table[:, i] = np.inf
    rows, columns = np.nonzero(np.tril(np.isfinite(table), -1))
    for pick in np.argsort(table[rows, columns], kind="stable"):
        i, j = rows[pick], columns[pick]
        if body_of[i] == body_of[j]:
            continue
        union = (body_of == body_of[i]) | (body_of == body_of[j])
        together = np.concatenate([parts[k] for k in np.flatnonzero(union)])
        if table[i, j] <= GAP * _extent(together):
            body_of[union] = min(body_of[i], body_of[j])
    return body_of


def _with_limbs(parts: list[Floats], of_body: Mask) -> Mask:
    """Which pieces are of the body (p,), with those that are of the size and where limbs are."""
    of_body = of_body.copy()
    body = np.concatenate([part for part, mine in zip(parts, of_body, strict=True) if mine])
    extent, most = _extent(body), LIMB_POINTS * len(body)
    limbs = [
        k
        for k, part in enumerate(parts)
        if not of_body[k] and len(part) < most and _extent(part) < LIMB_SIZE * extent
    ]
    limbs = [k for k in limbs if not _is_sheet(parts[k], extent)]
    while limbs:
        near = cKDTree(body).query
        gap = [float(near(parts[k])[0].min()) for k in limbs]
        nearest = int(np.argmin(gap))
        if gap[nearest] > LIMB_GAP * extent:
            break
        k = limbs.pop(nearest)
        of_body[k] = True
        body = np.concatenate([body, parts[k]])
    return of_body


def _extent(points: Floats) -> float:
    """Twice the largest distance from the centroid."""
    return 2.0 * float(np.linalg.norm(points - points.mean(axis=0), axis=1).max())


def _is_sheet(points: Floats, extent: float) -> bool:
    """Flat, and wide in both other directions: no limb and no torso, even seen from one side."""
    spread = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(points.T)), 0.0))
    return bool(spread[0] < 0.12 * spread[1] and spread[1] > 0.06 * extent)
