"""Find and take out a scan's floor and walls without cutting off the feet that stand on them.

A body has flat stretches too, a back or a palm. What makes a plane a floor or a wall:

* it borders the cloud: nearly everything else lies on one side of it;
* it is wide: it covers more area than any flat stretch of a body of the remaining points' size;
* it is sharp: a curved back goes on a little above its best plane, a floor does not.

A wide plane with something on both sides that is very sharp on both is a table or a bench: only
its own points go, and not where something comes through it. But where all that is on the one side
hangs from the plane's outline, the plane is the top of a plinth, a crate or a turntable, which goes
with it; it need not be wide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import binary_closing, binary_dilation, binary_erosion, binary_fill_holes
from scipy.spatial import cKDTree

from posetx.arrays import Floats, Indices, Mask
from posetx.geometry.extent import robust_extent
from posetx.geometry.neighbours import spacing, working_set

RESOLUTION = 150.0
"""Planes are searched on a cloud thinned to the scene's extent over this."""
SAMPLE = 2500
"""Hypotheses are drawn from and counted on this many of its points."""
HYPOTHESES = 700

REACH = 0.006
"""First half-width of a plane, as a share of the scene's extent."""
THIN, THICK = 0.003, 0.012
"""Bounds of the half-width fitted to the plane's own noise, as shares of the extent of the rest."""
BEYOND = 0.04
"""At most this share of the rest lies behind the plane."""
WIDE = 0.09
"""The plane's area is at least this times the squared extent of the rest (a body's back: 0.05)."""
SHARP = 0.3
"""Points just above the plane per point in it; a cap of a sphere has 1, a cylinder 0.41."""
BOARD_SHARP = 0.4
"""The same for a plane amid the cloud, both sides counted together."""
CANDIDATES = 6
"""Planes that are looked at before there is none: four sides of a crate, its top, one more."""
TOP = 0.04
"""The top of a plinth has at least this times the squared extent of the rest (a slice through a
body's hips: 0.02); ..."""
RIM, WITHIN, ABOUT = 2, 0.3, 0.2
"""... what is below it is at most so many cells from its outline, but for these shares of it: the
first of what is farther inside, as all of a body is below its back, the second outside."""
LEAST, FILLED, STANDS = 0.05, 0.4, 0.4
"""Such a share of all points is on either side of a top, so much of it is seen, and such a share of
what is on it is farther inside."""
FACE = (0.02, 0.03)
"""A flat face has at least this times the squared extent of the scene, and this share of it."""
FOOT = 0.06
"""A point just above the plane is kept with body above it within this share of the extent."""
UNDER = 0.012
"""Within this share of the extent a point counts as right under something ..."""
SOLE = 0.4
"""... and stays if it is higher than this share of the plane's half-width."""


@dataclass(frozen=True)
class Plane:
    """Points x with |normal . x - offset| <= half_width; the body lies on the positive side.

    A board (a table top) has something on both sides. ``cover`` (c, 3) are places all over what of
    it was seen.
    """

    normal: Floats
    offset: float
    half_width: float
    extent: float  # of the points that are not on the plane
    area: float
    cover: Floats
    board: bool = False

    def heights(self, points: Floats) -> Floats:
        """Signed distance (n,) of points (n, 3), positive on the body's side."""
        return points @ self.normal - self.offset


def find_planes(points: Floats, seed: int = 0, most: int = 4) -> list[Plane]:
    """Floors and walls of a cloud (n, 3), the widest first; an empty list for a bare body.

    The points come in a canonical order (sorted), or the result depends on the order.
    """
    rng = np.random.default_rng(seed)
    origin = np.median(points, axis=0)
    index, _ = working_set(points, robust_extent(points) / RESOLUTION, 60_000)
    rest = points[index] - origin
    found: list[Plane] = []
    while len(found) < most:
        plane = _next_plane(rest, rng)
        if plane is None:
            break
        rest = rest[~plane_mask(rest, plane)]
        offset = plane.offset + float(plane.normal @ origin)
        found.append(replace(plane, offset=offset, cover=plane.cover + origin))
        if len(rest) < 50:
            return []  # nothing but planes: not for us to decide which of them is the body
    return found


def flat_faces(points: Floats, seed: int = 0, most: int = 8) -> Mask:
    """Which points (n,) lie in faces that are flat and sharp, such as the sides of a crate."""
    rng = np.random.default_rng(seed)
    flat = np.zeros(len(points), dtype=bool)
    scene = robust_extent(points)
    rest = points[working_set(points, scene / RESOLUTION, 60_000)[0]]
    gap, least = spacing(rest), FACE[1] * len(rest)
    for normal, offset, half_width in _flats(rest, scene, THIN, most, rng):
        height = np.abs(rest @ normal - offset)
        on = height <= half_width
        shell = (height > half_width) & (height <= 3.0 * half_width)
        sharp = on.sum() > least and shell.sum() < SHARP * on.sum()
        if sharp and _Patch(rest[on], normal, 2.0 * gap).area > FACE[0] * scene**2:
            flat |= np.abs(points @ normal - offset) <= 1.5 * half_width
    return flat


def plane_mask(points: Floats, plane: Plane) -> Mask:
    """Which points (n,) go with the plane: those in it, those behind it, and its loose fringe.

    The fringe are points up to twice as high. Of them stay those within a foot's length of
    something still higher, and, right under something higher, most of the plane's own band too:
    a foot hides the floor it stands on.
    """
    height = plane.heights(points)
    if plane.board:
        return _board_mask(points, plane, height)
    gone = height <= plane.half_width
    doubtful = np.flatnonzero(
        (height > SOLE * plane.half_width) & (height <= 2.0 * plane.half_width)
    )
    above = (height > 2.0 * plane.half_width) & (height <= 0.12 * plane.extent)
    if not len(doubtful):
        return gone
    distance = np.full(len(doubtful), np.inf)
    if above.any():
        flat = points - height[:, None] * plane.normal
        tree = cKDTree(_thinned(flat[above], plane.extent))
        distance, _ = tree.query(flat[doubtful], distance_upper_bound=FOOT * plane.extent)
    reach = np.where(height[doubtful] > plane.half_width, FOOT, UNDER) * plane.extent
    gone[doubtful] = distance > reach
    return gone


def _board_mask(points: Floats, plane: Plane, height: Floats) -> Mask:
    """Points in the plane, except where a limb or a trunk comes through or lies on it."""
    gone = np.abs(height) <= plane.half_width
    around = ~gone & (np.abs(height) <= 4.0 * plane.half_width)
    on = np.flatnonzero(gone)
    if around.any() and len(on):
        flat = points - height[:, None] * plane.normal
        tree = cKDTree(_thinned(flat[around], plane.extent))
        distance, _ = tree.query(flat[on], distance_upper_bound=UNDER * plane.extent)
        gone[on] = ~np.isfinite(distance)
    return gone


def _thinned(points: Floats, extent: float) -> Floats:
    return points[working_set(points, 0.005 * extent, 20_000)[0]]


def _next_plane(points: Floats, rng: np.random.Generator) -> Plane | None:
    """The widest acceptable plane."""
    if len(points) < 100:
        return None
    gap = spacing(points)
    for fitted in _flats(points, robust_extent(points), REACH, CANDIDATES, rng):
        plane = _judge(points, *fitted, gap)
        if plane is not None:
            return plane
    return None


def _flats(
    points: Floats, scene: float, reach: float, most: int, rng: np.random.Generator
) -> Iterator[tuple[Floats, float, float]]:
    """Normal, offset and half-width of what many points lie in, widest first.

    ``reach`` is a share of the extent ``scene``. What was found leaves the draw, not the cloud.
    """
    sample = points[np.sort(rng.permutation(len(points))[:SAMPLE])]
    for _ in range(most):
        if len(sample) < 60:
            return
        fitted = _refine(points, *_best_hypothesis(sample, reach * scene, rng), scene)
        if fitted is None:
            return
        yield fitted
        normal, offset, half_width = fitted
        on = np.abs(sample @ normal - offset) <= max(half_width, reach * scene)
        if not on.any():
            return
        sample = sample[~on]


def _best_hypothesis(
    sample: Floats, reach: float, rng: np.random.Generator
) -> tuple[Floats, float]:
    """RANSAC: the plane through three points with the most points within `reach` of it.

    Half of the triples are neighbours of each other, so that a plane with a small share of the
    points is hit as well.
    """
    count = len(sample)
    triples = rng.integers(count, size=(HYPOTHESES, 3))
    near = triples[: HYPOTHESES // 2]
    k = min(max(count // 25, 12), count - 1)
    _, neighbours = cKDTree(sample).query(sample[near[:, 0]], k=k + 1)
    picks = rng.integers(1, k + 1, size=(len(near), 2))
    near[:, 1:] = np.take_along_axis(neighbours, picks, axis=1)
    a, b, c = sample[triples].transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    size = np.linalg.norm(normals, axis=1)
    real = size > 1e-12 * max(float(size.max()), 1e-300)
    if not real.any():
        return np.array([0.0, 0.0, 1.0]), float(sample[0, 2])
    normals = normals[real] / size[real][:, None]
    offsets = (normals * a[real]).sum(axis=1)
    votes = np.zeros(len(normals), dtype=np.int64)
    for start in range(0, len(normals), 100):
        some = slice(start, start + 100)
        votes[some] = (np.abs(sample @ normals[some].T - offsets[some]) <= reach).sum(axis=0)
    best = int(np.argmax(votes))
    return normals[best], float(offsets[best])


def _refine(
    points: Floats, normal: Floats, offset: float, scene: float
) -> tuple[Floats, float, float] | None:
    """Least squares on the points of the plane, and a half-width from their own scatter."""
    half_width = REACH * scene
    for _ in range(5):
        on = np.abs(points @ normal - offset) <= half_width
        if on.sum() < 30:
            return None
        centre = points[on].mean(axis=0)
        normal = np.linalg.svd(points[on] - centre, full_matrices=False)[2][2]
        offset = float(normal @ centre)
        residual = np.abs((points[on] - centre) @ normal)
        noise = 1.4826 * float(np.median(residual))
        half_width = float(np.clip(3.5 * noise, THIN * scene, REACH * scene * 1.5))
    return normal, offset, half_width


def _judge(
    points: Floats, normal: Floats, offset: float, half_width: float, gap: float
) -> Plane | None:
    """The plane, turned towards the body, if it is a floor or a wall; else None."""
    height = points @ normal - offset
    on = np.abs(height) <= half_width
    rest = height[~on]
    if len(rest) < 50:
        return None
    if (rest > 0).mean() < 0.5:
        normal, offset, height, rest = -normal, -offset, -height, -rest
    extent = robust_extent(points[~on])
    half_width = float(np.clip(half_width, THIN * extent, max(THICK * extent, THIN * extent)))
    on = np.abs(height) <= half_width
    behind = float((height < -2.0 * half_width).sum()) / max(int((~on).sum()), 1)
    # Area: occupied cells of a grid on the plane, coarse enough to have no holes by chance.
    patch = _Patch(points[on], normal, 2.0 * gap)
    top = False
    if patch.area >= TOP * extent**2:
        sides = [points[sign * height > 2.0 * half_width] for sign in (1.0, -1.0)]
        if min(map(len, sides)) > LEAST * len(points):
            top = patch.is_top_of(sides[1], sides[0])
            if not top and patch.is_top_of(sides[0], sides[1]):
                normal, offset, height, top = -normal, -offset, -height, True
    if not top and patch.area < WIDE * extent**2:
        return None
    board = behind > BEYOND and not top
    beside = np.abs(height) if board else height
    shell = (beside > half_width) & (beside <= 3.0 * half_width)
    if shell.sum() > (BOARD_SHARP if board else SHARP) * on.sum():
        return None
    return Plane(normal, float(offset), half_width, extent, patch.area, patch.cover, board)


class _Patch:
    """What is seen of a plane: its points (n, 3), in cells of a grid."""

    def __init__(self, points: Floats, normal: Floats, cell: float):
        self.axes, self.cell = np.linalg.svd(normal[None])[2][1:], cell
        cells = self._cells(points)
        self.low = cells.min(axis=0) - 2 * RIM
        size = cells.max(axis=0) - self.low + 2 * RIM + 1
        self.counts = np.zeros(size, dtype=np.int64)
        np.add.at(self.counts, tuple((cells - self.low).T), 1)
        filled = np.argwhere(self.counts)
        self.area = len(filled) * cell**2
        # one point in a cell is as likely in the air
        flat = (np.argwhere(self.counts > 1) + self.low + 0.5) * cell
        self.cover: Floats = flat @ self.axes + np.median(points @ normal) * normal

    def _cells(self, points: Floats) -> Indices:
        cells: Indices = np.floor(points @ self.axes.T / self.cell).astype(np.int64)
        return cells

    def is_top_of(self, below: Floats, above: Floats) -> bool:
        """Whether points (n, 3) below hang from the outline, and those above (k, 3) stand on it."""
        # what stands on the top hides some of it
        solid = binary_fill_holes(binary_closing(self.counts > 1, iterations=RIM))
        inner, outer = (
            binary_erosion(solid, iterations=RIM),
            binary_dilation(solid, iterations=RIM),
        )
        if not inner.any() or (self.counts > 1).sum() < FILLED * solid.sum():
            return False

        def share(points: Floats, where: Mask) -> float:
            cells = self._cells(points) - self.low
            there = ((cells >= 0) & (cells < where.shape)).all(axis=1)
            return float(where[tuple(cells[there].T)].sum()) / len(points)

        hangs = share(below, inner) < WITHIN and share(below, outer) > 1 - ABOUT
        return hangs and share(above, inner) > STANDS
