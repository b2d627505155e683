"""Put a mesh's own surface back onto predicted vertex positions.

A network places every vertex roughly right, but smooths, shrinks and wrinkles the surface. The
restored positions x minimise

    weight / A * sum_i a_i |x_i - p_i|^2  +  sum_ij w_ij |x_i - x_j - (R_i + R_j)/2 (r_i - r_j)|^2

with the predictions p, the rest positions r, the cotangent weights w, the vertex areas a, their
sum A, and a rotation R_i a vertex, fitted to the prediction first and to x from then on
(as-rigid-as-possible, Sorkine & Alexa 2007). Dividing by A makes `weight` mean the same in any
unit and at any tessellation: the prediction rules over lengths above sqrt(A / weight), the mesh's
own surface below.

Rotations are averaged over that same length before they are used, or a fine mesh, whose edges are
shorter than the prediction's error, would fit them to that error. The average is a diffusion of
their covariances, whose matrix is the one of the positions: one Cholesky factorisation serves
both, in every round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from posetx.arrays import Floats, Indices, Mask
from posetx.geometry.mesh import connected_parts, vertex_areas, weld
from posetx.geometry.polar import fit_rigid_parts, nearest_rotations
from posetx.geometry.props import carry_props, find_props

#: Default pull to the prediction: sqrt(A / weight) is about 7 cm on a grown body.
WEIGHT = 400.0

#: A connected part below this share of the whole area may move as one rigid piece.
SMALL_AREA = 0.03

#: ... if its prediction is rigid to this share of sqrt(A): buttons and eyes, not sleeves.
SMALL_MISFIT = 0.02


#: A larger mesh's triangles are triangulated anew in slabs of so many: 2 KiB a triangle.
SLAB = 250_000

#: Vertices of the largest mesh whose factorisation is kept for the next prediction: 1 KiB each.
KEPT = 300_000

#: What leaves the prediction as it is, with a note; a solver that is not installed, too.
SOLVER_FAILURES = (RuntimeError, ValueError, np.linalg.LinAlgError, MemoryError, ImportError)


@dataclass(frozen=True)
class Restored:
    """Restored vertex positions, and what there is to say about how they came about.

    Attributes
    ----------
    vertices : (n, 3), in the unit and frame of the prediction, always finite
    notes : sentences for the user, empty when all went well
    rigid_parts : number of connected parts moved as rigid pieces, props among them
    """

    vertices: Floats
    notes: list[str] = field(default_factory=list)
    rigid_parts: int = 0


def restore_detail(
    rest: Floats,
    faces: Indices,
    predicted: Floats,
    *,
    weight: float = WEIGHT,
    iterations: int = 1,
    kept: Kept | None = None,
) -> Restored:
    """The target's own surface, where the prediction wants it.

    Parameters
    ----------
    rest : (n, 3), the target as it came, any unit
    faces : (m, 3), its triangles; zero-area, doubled and non-manifold ones are fine
    predicted : (n, 3), where each vertex should go, in the same unit as `rest`
    weight : pull to the prediction against stiffness of the surface, unit-free
    iterations : rounds of fitting rotations and solving for positions, at least 1; more draw the
        surface together away from a good prediction (PMD of 14 scans: 4.17 with one, 4.25 with 3)
    kept : of the same `rest` and `faces`, for the next prediction

    Returns
    -------
    Restored. Vertices at exactly the same rest position stay together; small separate parts, and
    props that the body carries, move rigidly; vertices without a triangle are where the prediction
    puts them.

    Raises
    ------
    ValueError : shapes that do not match, faces out of range, non-finite `rest`,
        weight <= 0 or iterations < 1
    """
    rest = np.asarray(rest, dtype=np.float64)
    predicted = np.asarray(predicted, dtype=np.float64)
    faces = np.asarray(faces, dtype=np.int64).reshape(-1, 3)
    _check(rest, faces, predicted, weight, iterations)
    if not len(faces):
        return Restored(np.where(np.isfinite(predicted), predicted, rest))

    notes: list[str] = []
    missing = np.logical_not(np.isfinite(predicted).all(axis=1))
    if missing.any():
        notes.append(
            f"{int(missing.sum())} vertices had no finite prediction and kept their rest place"
        )
        predicted = np.where(missing[:, None], rest, predicted)

    # Everything below happens on welded vertices; `group` takes the result back to all of them.
    first, group = weld(rest)
    points = rest[first]
    wanted = _mean_by_group(predicted, group, len(first))
    welded_faces = group[faces]
    a, b, c = welded_faces.T
    welded_faces = welded_faces[(a != b) & (b != c) & (c != a)]
    # One measure of size for all: unit-free from here on.
    areas = vertex_areas(points, welded_faces)
    size = np.sqrt(areas.sum())
    if not (np.isfinite(size) and size > 0.0):
        notes.append("the mesh has no area, so there is no surface to restore")
        return Restored(predicted, notes)
    centre, wanted_centre = points.mean(axis=0), wanted.mean(axis=0)
    points, wanted = (points - centre) / size, (wanted - wanted_centre) / size

    used = np.zeros(len(points), dtype=bool)
    used[welded_faces] = True
    solved = wanted.copy()
    areas = areas / size**2
    rigid, moved, rigid_parts = _rigid_parts(points, wanted, areas, welded_faces, used)
    solved[rigid] = moved[rigid]
    props = find_props(points, wanted, areas, welded_faces, rigid)

    soft = used & ~rigid
    for vertices, _ in props:
        soft[vertices] = False
    if soft.any():
        number = np.cumsum(soft) - 1
        soft_faces = number[welded_faces[soft[welded_faces].all(axis=1)]]
        try:
            system = (kept or Kept()).system(points[soft], soft_faces, weight, soft)
            solved[soft] = system.solved(wanted[soft], iterations)
        except SOLVER_FAILURES as error:
            notes.append(f"surface detail was not restored, the plain prediction stands ({error})")
    carry_props(points, areas, solved, props)
    # A vertex of its own follows each copy's own prediction; all others move with their group.
    result = (solved * size + wanted_centre)[group]
    alone = ~used[group]
    result[alone] = predicted[alone]
    return Restored(result, notes, rigid_parts + len(props))


def _check(rest: Floats, faces: Indices, predicted: Floats, weight: float, iterations: int) -> None:
    if rest.ndim != 2 or rest.shape[1] != 3 or rest.shape != predicted.shape:
        raise ValueError(f"rest {rest.shape} and predicted {predicted.shape} must both be (n, 3)")
    if not np.isfinite(rest).all():
        raise ValueError("rest has non-finite coordinates")
    if len(faces) and (faces.min() < 0 or faces.max() >= len(rest)):
        raise ValueError(f"faces refer to vertices outside 0..{len(rest) - 1}")
    if not weight > 0.0 or iterations < 1:
        raise ValueError(f"weight {weight} must be positive and iterations {iterations} at least 1")


def _mean_by_group(values: Floats, group: Indices, count: int) -> Floats:
    """Mean (count, 3) of the rows of values (n, 3) of each group."""
    if count == len(values):
        return values.copy()
    sizes = np.bincount(group, minlength=count)
    sums = [np.bincount(group, weights=values[:, k], minlength=count) for k in range(3)]
    return np.stack(sums, axis=1) / sizes[:, None]


def _rigid_parts(
    points: Floats, wanted: Floats, areas: Floats, faces: Indices, used: Mask
) -> tuple[Mask, Floats, int]:
    """Which vertices belong to small parts that move rigidly, and where all parts' fits go.

    Points are in units of sqrt(total area), areas sum to 1.
    """
    count, part = connected_parts(faces, len(points))
    # A little weight for every vertex, or a part of zero-area triangles had no fit.
    weights = np.where(used, areas + 1e-9, 0.0)
    share = np.bincount(part, weights=areas, minlength=count)
    rotations, from_centre, to_centre = fit_rigid_parts(points, wanted, weights, part, count)
    moved = np.einsum("nij,nj->ni", rotations[part], points - from_centre[part]) + to_centre[part]
    misfit = np.bincount(
        part, weights=weights * ((moved - wanted) ** 2).sum(axis=1), minlength=count
    )
    misfit = np.sqrt(
        misfit / np.maximum(np.bincount(part, weights=weights, minlength=count), 1e-300)
    )
    has_faces = np.bincount(part, weights=used, minlength=count) > 0
    small = has_faces & (share < SMALL_AREA) & (misfit < SMALL_MISFIT)
    return small[part] & used, moved, int(small.sum())


class Kept:
    """The last system of a mesh, as long as the same vertices are soft; it is not pickled."""

    def __init__(self) -> None:
        self._soft: Mask | None = None
        self._weight = 0.0
        self._system: _System | None = None

    def __reduce__(self) -> tuple[type[Kept], tuple[()]]:
        return Kept, ()

    def system(self, points: Floats, faces: Indices, weight: float, soft: Mask) -> _System:
        """Of the soft vertices' places and faces, ``soft`` being which these are."""
        known = self._system
        same = self._soft is not None and np.array_equal(self._soft, soft)
        if known is None or not same or weight != self._weight:
            known = _System(points, faces, weight)
            if len(points) <= KEPT:
                self._soft, self._weight, self._system = soft, weight, known
        return known


class _System:
    """The energy of the module's docstring, whatever is predicted; unit-free, every vertex used."""

    def __init__(self, points: Floats, faces: Indices, weight: float):
        laplacian, areas = _stiffness(points, faces)
        self.points, self.degree = points, laplacian.diagonal()
        self.neighbours = (sp.diags_array(self.degree, format="csr") - laplacian).tocsr()
        self.pull = weight * areas / areas.sum()
        self.solve = _factorised((laplacian + sp.diags_array(self.pull, format="csr")).tocsr())
        self.mixed = self.neighbours @ points
        ring = _trace(_covariances(self.neighbours, self.degree, points, self.mixed, points))
        self.ring = np.maximum(ring, 1e-12 * ring.max())

    def solved(self, wanted: Floats, iterations: int) -> Floats:
        """Where the energy is least for these predictions."""
        points, neighbours, solved = self.points, self.neighbours, wanted
        points_bent = self.degree[:, None] * points - self.mixed  # L r
        for _ in range(iterations):
            covariance = _covariances(neighbours, self.degree, points, self.mixed, solved)
            # Over the ring's own size, or large rings would outvote small ones in the average.
            covariance *= (self.pull / self.ring)[:, None]
            rotations = nearest_rotations(self.solve(covariance).reshape(-1, 3, 3))
            # sum_j w_ij (R_i + R_j)/2 (r_i - r_j), without ever forming an array over edges.
            bent = np.einsum("nij,nj->ni", rotations, points_bent)
            bent -= neighbours @ np.einsum("nij,nj->ni", rotations, points)
            rotations = (neighbours @ rotations.reshape(-1, 9)).reshape(-1, 3, 3)
            bent += np.einsum("nij,nj->ni", rotations, points)
            solved = self.solve(self.pull[:, None] * wanted + 0.5 * bent)
        if not np.isfinite(solved).all():
            raise RuntimeError("the solver broke down")
        return solved


def _stiffness(points: Floats, faces: Indices) -> tuple[sp.csr_array, Floats]:
    """Cotangent Laplacian (n, n), positive semi-definite, and vertex areas (n,).

    Of the intrinsic Delaunay triangulation of the surface (Sharp & Crane 2020), which exists for
    non-manifold and degenerate input too and has no negative weight.
    """
    import robust_laplacian

    count = len(points)
    laplacian, areas = sp.csr_array((count, count)), np.zeros(count)
    along = np.ptp(points, axis=0).argmax()
    order = points[faces[:, 0], along].argsort() if len(faces) > SLAB else np.arange(len(faces))
    for slab in np.array_split(order, len(faces) // SLAB + 1):
        used, own = np.unique(faces[slab], return_inverse=True)
        stiff, mass = robust_laplacian.mesh_laplacian(points[used], own.reshape(-1, 3))
        stiff = sp.coo_array(stiff)
        place = (used[stiff.row], used[stiff.col])
        laplacian = laplacian + sp.csr_array((stiff.data, place), shape=(count, count))
        areas[used] += mass.diagonal()
    if not (np.isfinite(laplacian.data).all() and np.isfinite(areas).all()):
        raise RuntimeError("the mesh has no finite cotangent weights")
    # Rounding can leave weights of -1e-17; and no vertex may hang on nothing at all.
    links = laplacian - sp.diags_array(laplacian.diagonal(), format="csr")
    links.data = np.minimum(links.data, 0.0)
    laplacian = links + sp.diags_array(-np.asarray(links.sum(axis=1)).ravel(), format="csr")
    return laplacian.tocsr(), np.maximum(areas, 1e-6 * areas.mean())


def _covariances(
    neighbours: sp.csr_array, degree: Floats, points: Floats, points_mixed: Floats, posed: Floats
) -> Floats:
    """sum_j w_ij (x_i - x_j)(r_i - r_j)^T for every vertex, (n, 9), by sparse products.

    points are the r (n, 3), points_mixed is neighbours @ points, posed are the x (n, 3).
    """
    outer = (posed[:, :, None] * points[:, None, :]).reshape(-1, 9)
    result: Floats = neighbours @ outer
    outer *= degree[:, None]
    result += outer
    result -= (posed[:, :, None] * points_mixed[:, None, :]).reshape(-1, 9)
    result -= ((neighbours @ posed)[:, :, None] * points[:, None, :]).reshape(-1, 9)
    return result


def _trace(matrices: Floats) -> Floats:
    return matrices[:, 0] + matrices[:, 4] + matrices[:, 8]


def _factorised(system: sp.csr_array) -> Callable[[Floats], Floats]:
    """A function that solves a symmetric positive definite system for all columns of (n, k)."""
    import cholespy

    system.sort_indices()
    solver = cholespy.CholeskySolverD(
        system.shape[0],
        system.indptr.astype(np.int32),
        system.indices.astype(np.int32),
        system.data.astype(np.float64),
        cholespy.MatrixType.CSR,
    )

    def solve(right: Floats) -> Floats:
        solution = np.zeros_like(right)
        solver.solve(np.ascontiguousarray(right), solution)
        return solution

    return solve
