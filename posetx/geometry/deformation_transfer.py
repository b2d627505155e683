"""Deformation transfer (Sumner & Popović 2004): a source mesh's change of pose, on another mesh.

Each source triangle's change from rest to pose is an affine map, whose linear part is (eq. 3, 4)

    S = V~ V^-1,   V = [v2 - v1, v3 - v1, v4 - v1],   v4 = v1 + N / sqrt|N|,   N the cross product

and the target's vertices are those whose own such maps T_j come nearest to the S of the source
triangles they correspond to: min sum_j a_j |S_s(j) - T_j|_F^2 (eq. 6). A target's v4 belongs to
its triangle alone, and the best one makes T_j and S agree along the normal, wherever the others
are. So v4 drops out, exactly; within the triangle's plane T_j = sum_k x_k g_k^T with the gradients
g_k of its three hat functions, and the normal equations are

    sum_j a_j sum_l (g_k . g_l) x_l = sum_j a_j S_s(j) g_k          for every target vertex k,

one symmetric matrix for all three coordinates. The paper counts every triangle as 1; here a_j is
its area (Botsch et al. 2006, "Deformation transfer for detail-preserving surface editing"), or
the answer would hang on how finely each place is triangulated, and tiny triangles would rule it.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import laplacian
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from posetx.arrays import Floats, Indices
from posetx.geometry.mesh import connected_parts, cross_of_faces, face_areas, weld

#: A triangle less high than this share of its longest edge is degenerate: it has no map.
SLIVER = 1e-5

#: Parts touch within this length, in roots of the target's area; beyond, distance^-4 counts ...
CONTACT = 0.01

#: ... but never less than this.
FAR = 1e-6


def deformation_transfer(
    source_rest: Floats,
    source_posed: Floats,
    source_faces: Indices,
    target_rest: Floats,
    target_faces: Indices,
    correspondence: Indices,
) -> Floats:
    """The target's vertices in the source's pose.

    Parameters
    ----------
    source_rest, source_posed : (n_source, 3), the source before and after, in one unit
    source_faces : (m_source, 3)
    target_rest : (n_target, 3), in the unit and frame of `source_rest`
    target_faces : (m_target, 3)
    correspondence : (m_target,), a source triangle for each target triangle

    Returns
    -------
    (n_target, 3) posed vertices, in the frame of `source_posed`.

    Place: the target's centroid (by area) follows the mean displacement of the source triangles it
    corresponds to, each taken where the target's triangle is, by the source triangle's affine map,
    so that a rigid motion is carried over whole. Several connected parts share it; each moves as
    its source triangles do *against* those of the surface it touches or is nearest to, or the eyes
    of a target taller than the source would leave its head.

    Vertices at exactly the same rest position stay together, so seams do not open. A degenerate
    target triangle has no equation; a degenerate source triangle has no map, and the regular one
    with the nearest centroid stands in for it. A vertex without a regular triangle follows the
    nearest vertex that has one, turned by the mean map of the triangles round that.

    Raises
    ------
    ValueError : shapes or counts that do not match, indices out of range, non-finite coordinates,
        or no regular triangle in the source or in the target
    """
    source_rest, source_faces = _mesh("source", source_rest, source_faces)
    target_rest, target_faces = _mesh("target", target_rest, target_faces)
    source_posed, _ = _mesh("posed source", source_posed, source_faces)
    wanted = np.asarray(correspondence, dtype=np.int64)
    if source_posed.shape != source_rest.shape:
        raise ValueError(f"source rest {source_rest.shape} and posed {source_posed.shape} differ")
    if wanted.shape != (len(target_faces),):
        raise ValueError(f"correspondence {wanted.shape} must be ({len(target_faces)},)")
    if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(source_faces):
        raise ValueError(f"correspondence refers to faces outside 0..{len(source_faces) - 1}")

    # Everything below happens on welded vertices; `group` takes the result back to all of them.
    first, group = weld(target_rest)
    rest, faces, count = target_rest[first], group[target_faces], len(first)
    regular = _regular("target", rest, faces)
    faces = faces[regular]
    maps, before, after = _affine_maps(source_rest, source_posed, source_faces, wanted[regular])
    areas = face_areas(rest, faces)
    gradients = _gradients(rest, faces)
    blocks = areas[:, None, None] * np.einsum("mki,mli->mkl", gradients, gradients)
    places = (np.repeat(faces, 3, axis=1).ravel(), np.tile(faces, 3).ravel())
    matrix = sp.coo_array((blocks.ravel(), places), shape=(count, count))
    right = np.einsum("mij,mkj->mki", areas[:, None, None] * maps, gradients)
    _, part = connected_parts(faces, count)
    posed = _solve(matrix, _sums(right.reshape(-1, 3), faces.ravel(), count), part)
    off, lack = rest[faces].mean(axis=1) - before, after - posed[faces].mean(axis=1)
    posed += _shifts(rest, faces, part, maps, off, lack)[part]
    own = np.unique(faces)
    loose = np.setdiff1d(np.arange(count), own)
    anchor = own[cKDTree(rest[own]).query(rest[loose])[1]]
    turns = _vertex_means(maps.reshape(-1, 9), areas, faces, count)[anchor].reshape(-1, 3, 3)
    posed[loose] = posed[anchor] + np.einsum("nij,nj->ni", turns, rest[loose] - rest[anchor])
    return posed[group]


def _affine_maps(
    rest: Floats, posed: Floats, faces: Indices, wanted: Indices
) -> tuple[Floats, Floats, Floats]:
    """S (k, 3, 3) of the wanted (k,) triangles, and their centroids (k, 3) before and after."""
    regular = _regular("source", rest, faces)
    stand_in = np.full(len(faces), -1)
    stand_in[regular] = np.arange(len(regular))
    bad = np.flatnonzero(stand_in < 0)
    centres = rest[faces].mean(axis=1)
    stand_in[bad] = cKDTree(centres[regular]).query(centres[bad])[1]
    faces, centres, corners = faces[regular], centres[regular], posed[faces[regular]]
    # V^-1 in closed form: the gradients of the hat functions, and v4 - v1 over its square.
    normals, posed_normals = cross_of_faces(rest, faces), cross_of_faces(posed, faces)
    inverse = normals / np.linalg.norm(normals, axis=1, keepdims=True) ** 1.5
    size = np.sqrt(np.linalg.norm(posed_normals, axis=1, keepdims=True))
    fourth = np.divide(posed_normals, size, out=np.zeros_like(size * normals), where=size > 0.0)
    after, wanted = corners.mean(axis=1), stand_in[wanted]
    maps = np.einsum("mki,mkj->mij", corners - after[:, None], _gradients(rest, faces))
    maps += fourth[:, :, None] * inverse[:, None, :]
    return maps[wanted], centres[wanted], after[wanted]


def _solve(matrix: sp.coo_array, right: Floats, part: Indices) -> Floats:
    """Solve for (n, 3), holding at 0 the first of each `part` (n,), whose place is open."""
    free = np.ones(len(right), dtype=bool)
    free[np.unique(part, return_index=True)[1]] = False
    result = np.zeros_like(right)
    # Positive definite without those: no pivoting. MMD_AT_PLUS_A hangs on some subdivided meshes.
    solver = splu(matrix.tocsc()[free][:, free], "COLAMD", diag_pivot_thresh=0.0)
    result[free] = solver.solve(right[free])
    return result


def _shifts(
    rest: Floats, faces: Indices, part: Indices, maps: Floats, off: Floats, lack: Floats
) -> Floats:
    """How each part moves (parts, 3).

    A triangle's centroid is `off` (m, 3) its source triangle's at rest, and `lack` short of it now.
    """
    own, count, areas = part[faces[:, 0]], int(part.max()) + 1, face_areas(rest, faces)
    total = _sums(areas[:, None], own, count)[:, 0]
    short = areas[:, None] * (lack + np.einsum("mij,mj->mi", maps, off))
    shifts = _sums(short, own, count) / np.where(total > 0.0, total, 1.0)[:, None]
    # Two neighbours in different parts shall end as far apart as their source triangles, plus the
    # difference of `off`, for which they share a map: each its own, a large `off` would part them.
    one, other, distance = _links(rest, part, total)
    if not len(one):
        return shifts
    near = np.concatenate([maps.reshape(-1, 9), off, lack - shifts[own]], axis=1)
    near = _vertex_means(near, areas, faces, len(rest))
    turn = 0.5 * (near[one, :9] + near[other, :9]).reshape(-1, 3, 3)
    apart = near[one, 9:] - near[other, 9:]
    weight = np.maximum((1.0 + distance**2 / (CONTACT**2 * areas.sum())) ** -2, FAR)
    pull = weight[:, None] * (apart[:, 3:] + np.einsum("kij,kj->ki", turn, apart[:, :3]))
    a, b = part[one], part[other]
    matrix = laplacian(sp.csr_array((weight, (a, b)), shape=(count, count)), symmetrized=True)
    right = _sums(np.concatenate([pull, -pull]), np.concatenate([a, b]), count)
    shifts += _solve(matrix, right, np.where(total > 0.0, -1, np.arange(count)))
    result: Floats = shifts + (short.sum(axis=0) - total @ shifts) / areas.sum()
    return result


def _links(rest: Floats, part: Indices, total: Floats) -> tuple[Indices, Indices, Floats]:
    """Vertices (k,), the nearest of any part larger in area (`total`) than theirs, and how far.

    The largest part's vertices have no such link, the loose ones (parts of area 0) no link at all.
    """
    # Among equal areas by place; in single precision, or rounding would tell left from right.
    key = np.column_stack([_sums(rest, part, len(total)), -total / total.max()])
    rank = np.argsort(np.lexsort(key.astype(np.float32).T))[part]
    order = np.argsort(rank, kind="stable")
    starts = np.searchsorted(rank[order], np.arange(np.count_nonzero(total) + 1))
    points, nearest, distance = rest[order], np.zeros_like(order), np.full(len(order), np.inf)
    # The smaller half of the parts looks into the larger, then each half goes on within itself:
    # a vertex meets every larger part once, in a logarithmic number of trees.
    halves = [(0, len(starts) - 1)]
    while halves:
        low, high = halves.pop()
        if high - low > 1:
            middle = (low + high) // 2
            halves += [(low, middle), (middle, high)]
            a, b, c = starts[[low, middle, high]]
            away, index = cKDTree(points[a:b]).query(points[b:c])
            nearest[b:c] = np.where(away < distance[b:c], a + index, nearest[b:c])
            distance[b:c] = np.minimum(away, distance[b:c])
    linked = slice(starts[1], starts[-1])
    return order[linked], order[nearest[linked]], distance[linked]


def _mesh(name: str, vertices: Floats, faces: Indices) -> tuple[Floats, Indices]:
    """Vertices (n, 3) and faces (m, 3) as arrays. Raises ValueError where they are no mesh."""
    vertices, faces = np.asarray(vertices, dtype=np.float64), np.asarray(faces, dtype=np.int64)
    if vertices.shape[1:] != (3,) or faces.shape[1:] != (3,) or not np.isfinite(vertices).all():
        raise ValueError(f"{name}: finite (n, 3) and (m, 3), not {vertices.shape}, {faces.shape}")
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise ValueError(f"{name}: faces refer to vertices outside 0..{len(vertices) - 1}")
    return vertices, faces


def _regular(name: str, vertices: Floats, faces: Indices) -> Indices:
    """Indices (k,) of the triangles that have a map. Raises ValueError where there is none."""
    edges = vertices[faces] - vertices[np.roll(faces, 1, axis=1)]
    longest = (edges**2).sum(axis=2).max(axis=1, initial=0.0)
    doubled = np.linalg.norm(cross_of_faces(vertices, faces), axis=1)
    regular = np.flatnonzero(doubled > SLIVER * longest)
    if not len(regular):
        raise ValueError(f"the {name} has no triangle with an area")
    return regular


def _gradients(vertices: Floats, faces: Indices) -> Floats:
    """Gradients (m, 3, 3) of the hat functions of a triangle's corners (one a row), in its plane.

    For positions x_k of the corners, sum_k x_k g_k^T maps the triangle's plane onto theirs.
    """
    normals = cross_of_faces(vertices, faces)
    opposite = vertices[np.roll(faces, 1, axis=1)] - vertices[np.roll(faces, -1, axis=1)]
    gradients: Floats = (
        np.cross(normals[:, None], opposite) / (normals**2).sum(axis=1)[:, None, None]
    )
    return gradients


def _sums(values: Floats, group: Indices, count: int) -> Floats:
    """Sums (count, k) of the rows of values (n, k) of each group."""
    return np.stack([np.bincount(group, column, minlength=count) for column in values.T], axis=1)


def _vertex_means(values: Floats, areas: Floats, faces: Indices, count: int) -> Floats:
    """Mean (count, k) by area of the values (m, k) of the triangles round each vertex, or 0."""
    areas = np.repeat(areas, 3)[:, None]
    sums = _sums(areas * np.repeat(values, 3, axis=0), faces.ravel(), count)
    total = _sums(areas, faces.ravel(), count)
    return np.divide(sums, total, out=sums, where=total > 0.0)
