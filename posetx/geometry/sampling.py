"""Even, repeatable samples: of a surface by area, of a point cloud by farthest points or voxels.

None of them draws independent random points: the same number of samples covers the shape more
evenly, and the same input gives the same samples on every machine.
"""

from __future__ import annotations

import numpy as np

from posetx.arrays import Floats, Indices
from posetx.geometry.extent import box
from posetx.geometry.mesh import face_areas

#: Clouds with more points than this (or four times the wanted count) are thinned first.
FARTHEST_POOL = 20_000

#: Voxels of larger clouds are filled in parts of this many points: less memory, and faster.
CHUNK = 2_000_000

#: Voxels along an axis, at most: 20 bits an axis fit one integer key.
CELLS = 2**20 - 1

GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)


def sample_surface(
    vertices: Floats, faces: Indices, count: int, seed: int = 0
) -> tuple[Floats, Indices, Floats]:
    """Points spread over a triangle mesh in proportion to area, evenly and repeatably.

    The triangles are laid out along a space-filling curve and the curve is walked in steps of
    equal area, so each sample stands for one patch of (nearly) the same area wherever triangle
    borders run; inside a large triangle the samples form a golden-ratio lattice.

    Parameters
    ----------
    vertices : (n, 3)
    faces : (m, 3)
    count : number of samples
    seed : shifts the samples along the curve and inside the triangles

    Returns
    -------
    points : (count, 3)
    face_index : (count,)
    barycentric : (count, 3), rows sum to 1; points == sum of barycentric * corners

    Raises
    ------
    ValueError : the mesh has no surface (no face, or all of zero area), or count < 0
    """
    vertices = np.asarray(vertices, dtype=np.float64)
    faces = np.asarray(faces, dtype=np.int64).reshape(-1, 3)
    if count < 0:
        raise ValueError(f"count is {count}, must not be negative")
    areas = face_areas(vertices, faces)
    areas = np.where(np.isfinite(areas), areas, 0.0)
    if not areas.sum() > 0.0:
        raise ValueError("the mesh has no surface to sample: no triangle with an area")
    order = np.flatnonzero(areas > 0.0)
    order = order[curve_order(vertices[faces[order]].mean(axis=1))]

    shift_along, shift_inside = np.random.default_rng(seed).random(2)
    ends = np.cumsum(areas[order])
    along = (np.arange(count) + shift_along) * (ends[-1] / max(count, 1))
    slot = np.minimum(np.searchsorted(ends, along, side="right"), len(order) - 1)
    face_index = order[slot]

    # How far along its own triangle a step fell, and a golden-ratio sequence across: together a
    # lattice in the unit square, carried to the triangle by the map that keeps areas.
    part = np.clip(1.0 - (ends[slot] - along) / areas[face_index], 0.0, 1.0)
    across = (np.arange(count) * GOLDEN + shift_inside) % 1.0
    root = np.sqrt(part)
    barycentric = np.stack([1.0 - root, root * (1.0 - across), root * across], axis=1)
    points = np.einsum("kc,kci->ki", barycentric, vertices[faces[face_index]])
    return points, face_index, barycentric


def curve_order(points: Floats) -> Indices:
    """Order (n,) of points along a Hilbert curve: neighbours on the curve are near in space."""
    points = np.asarray(points, dtype=np.float64)
    if not len(points):
        return np.zeros(0, dtype=np.int64)
    low, span = box(points)
    bits = 16
    grid = np.clip((points - low) / max(span, 1e-300) * 2**bits, 0, 2**bits - 1).astype(np.int64)
    # Exact ties (stacked triangles) fall back to their coordinates, then to their index.
    return np.argsort(_hilbert(grid, bits), kind="stable")


def _hilbert(grid: Indices, bits: int) -> Indices:
    """Position on the Hilbert curve of integer cells (n, 3), by Skilling's transform (2004)."""
    x = [grid[:, i].copy() for i in range(3)]
    bit = 1 << (bits - 1)
    while bit > 1:
        low = bit - 1
        for i in range(3):
            high = (x[i] & bit) != 0
            swap = np.where(high, 0, (x[0] ^ x[i]) & low)
            x[0] = np.where(high, x[0] ^ low, x[0] ^ swap)
            x[i] = x[i] ^ swap
        bit >>= 1
    x[1] ^= x[0]
    x[2] ^= x[1]
    flip = np.zeros_like(x[0])
    bit = 1 << (bits - 1)
    while bit > 1:
        flip = np.where((x[2] & bit) != 0, flip ^ (bit - 1), flip)
        bit >>= 1
    x = [value ^ flip for value in x]
    code = np.zeros_like(x[0])
    for position in range(bits - 1, -1, -1):
        for i in range(3):
            code = (code << 1) | ((x[i] >> position) & 1)
    return code


def voxel_thin(points: Floats, size: float) -> Indices:
    """One point of each occupied voxel: the one nearest to the voxel's centre.

    Parameters
    ----------
    points : (n, 3)
    size : edge length of a voxel, in the unit of the points; <= 0 keeps everything

    Returns
    -------
    index : (k,) into points, ascending. Which points stay does not depend on their order.
        Strays that are farther away than there are voxels share the outermost ones.
    """
    return voxel_groups(points, size)[0]


def voxel_groups(points: Floats, size: float) -> tuple[Indices, Indices]:
    """As `voxel_thin`, and for every point (n,) which of the kept ones stands for its voxel."""
    points = np.asarray(points, dtype=np.float64)
    if len(points) == 0 or not size > 0.0:
        every = np.arange(len(points))
        return every, every
    low, size = points.min(axis=0), float(size)
    if float((points.max(axis=0) - low).max()) > size * (CELLS - 1):
        # Not by the whole cloud's box: one stray a thousand miles away would leave one voxel for
        # everything else.
        low, span = box(points)
        size = max(size, span / (CELLS - 1))
    if len(points) <= 2 * CHUNK:
        return _fill_voxels(points, low, size)
    # The best point of a voxel is the best of the best of its parts: the same choice.
    winners, group, count = [], np.empty(len(points), dtype=np.int64), 0
    for begin in range(0, len(points), CHUNK):
        best, place = _fill_voxels(points[begin : begin + CHUNK], low, size)
        winners.append(begin + best)
        group[begin : begin + CHUNK] = count + place
        count += len(best)
    finalists = np.concatenate(winners)
    best, place = _fill_voxels(points[finalists], low, size)
    return finalists[best], place[group]


def _fill_voxels(points: Floats, low: Floats, size: float) -> tuple[Indices, Indices]:
    """As `voxel_groups`, for the grid of `size` that begins at `low`."""
    cells, squares = [], []
    for axis in range(3):  # one at a time: rows of three are slow to work on
        scaled = (points[:, axis] - low[axis]) / size
        cell = np.clip(np.floor(scaled), 0, CELLS - 1)
        squares.append((scaled - cell - 0.5) ** 2)
        cells.append(cell.astype(np.int64))
    off = squares[0] + squares[1] + squares[2]
    y_cells, z_cells = int(cells[1].max()) + 1, int(cells[2].max()) + 1
    key = (cells[0] * y_cells + cells[1]) * z_cells + cells[2]
    sorted_key, order = _sorted_with_order(key)
    start = np.flatnonzero(np.concatenate([[True], sorted_key[1:] != sorted_key[:-1]]))
    voxel_of_sorted = np.cumsum(np.concatenate([[0], sorted_key[1:] != sorted_key[:-1]]))
    best = np.minimum.reduceat(off[order], start)
    winners = order[off[order] == best[voxel_of_sorted]]
    voxel = np.empty(len(points), dtype=np.int64)
    voxel[order] = voxel_of_sorted
    if len(winners) > len(start):
        # Points equally near to the centre (duplicates, mostly): the lexicographically first one.
        winners = winners[np.lexsort((*points[winners].T[::-1], voxel[winners]))]
        winners = winners[np.unique(voxel[winners], return_index=True)[1]]
    chosen = winners
    rank = np.argsort(chosen, kind="stable")
    place = np.empty(len(chosen), dtype=np.int64)
    place[rank] = np.arange(len(chosen))
    return chosen[rank], place[voxel]


def _sorted_with_order(key: Indices) -> tuple[Indices, Indices]:
    """Keys (n,), not negative, sorted, and the order that sorts them; the order of equal ones kept.

    Key and place in one number, where they fit: sorting numbers is several times faster than
    sorting places by number.
    """
    bits = len(key).bit_length()
    if int(key.max()).bit_length() + bits > 63:
        order = np.argsort(key, kind="stable")
        return key[order], order
    packed = (key << bits) | np.arange(len(key))
    packed.sort()
    return packed >> bits, packed & ((1 << bits) - 1)


def farthest_points(points: Floats, count: int, seed: int = 0) -> Indices:
    """Farthest-point sampling: each next point is the one farthest from all chosen before.

    Starts from the point farthest from the centroid (`seed` > 0: from another point), so the
    chosen set does not depend on the order of the input, apart from exact ties. Large clouds are
    thinned to about `FARTHEST_POOL` points by voxels first.

    Parameters
    ----------
    points : (n, 3), finite
    count : number of points wanted

    Returns
    -------
    index : (count,) into points, in the order of choice, so any prefix is a coarser sampling.
        With fewer different points than `count` the choice repeats itself.

    Raises
    ------
    ValueError : there are no points
    """
    points = np.asarray(points, dtype=np.float64)
    if not len(points):
        raise ValueError("no points to choose from")
    pool = _thin_to(points, max(FARTHEST_POOL, 4 * count))
    pool = pool[np.lexsort(points[pool].T[::-1])]
    # Columns apart: the loop below then runs on contiguous memory.
    x, y, z = np.ascontiguousarray((points[pool] - points[pool[0]]).T)
    centre = np.array([x.mean(), y.mean(), z.mean()])
    if seed > 0:
        current = int(np.random.default_rng(seed).integers(len(pool)))
    else:
        away = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
        current = int(np.argmax(away))
    chosen = np.empty(count, dtype=np.int64)
    nearest = np.full(len(pool), np.inf)
    work, term = np.empty(len(pool)), np.empty(len(pool))
    for step in range(count):
        chosen[step] = current
        np.subtract(x, x[current], out=work)
        np.multiply(work, work, out=work)
        for column in (y, z):
            np.subtract(column, column[current], out=term)
            np.multiply(term, term, out=term)
            np.add(work, term, out=work)
        np.minimum(nearest, work, out=nearest)
        current = int(np.argmax(nearest))
        if nearest[current] <= 0.0:
            chosen = chosen[np.arange(count) % (step + 1)]
            break
    return pool[chosen]


def voxel_points(points: Floats, count: int) -> Indices:
    """One point a voxel, of the smallest voxels that give at most `count` points (and nearly that).

    Parameters
    ----------
    points : (n, 3), finite
    count : at least 1

    Returns
    -------
    index : (k,) into points, k <= count, ascending. Does not depend on the order of the points.
    """
    points = np.asarray(points, dtype=np.float64)
    pool = _thin_to(points, 4 * count)
    if len(pool) <= count:
        return pool
    span = box(points)[1]
    best, fine, coarse = pool[voxel_thin(points[pool], 2.0 * span)], 0.0, 2.0 * span
    size = span / np.sqrt(count)
    for _ in range(12):
        index = voxel_thin(points[pool], size)
        if len(index) <= count:
            coarse = size
            best = pool[index] if len(index) >= len(best) else best
        else:
            fine = size
        if 0.98 * count <= len(best):
            break
        size = np.sqrt(fine * coarse) if fine else 0.5 * coarse
    return best


def _thin_to(points: Floats, target: int) -> Indices:
    """Voxel-thinned index with at least `target` points, and not much more (or all there are)."""
    index = np.arange(len(points))
    if len(points) <= 2 * target:
        return index
    # On a surface the number of occupied voxels goes with 1 / size^2: three corrections suffice.
    size = box(points)[1] / np.sqrt(target)
    best = index
    for _ in range(4):
        kept = voxel_thin(points[best], size)
        if len(kept) >= target:
            best = best[kept]
            if len(best) <= 1.5 * target:
                break
            size *= np.sqrt(len(kept) / (1.2 * target))
        else:
            size *= 0.95 * np.sqrt(max(len(kept), 1) / (1.2 * target))
    return best
