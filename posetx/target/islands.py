"""Vertices that would follow a part which the surface does not join to theirs.

Hands at rest hang beside a skirt or lie along trousers, so that a patch of these is taken for a
hand. When the arm is raised it would be torn out of the cloth. But across a mesh from a forearm to
a hand or an upper arm is one step, and from a forearm to a thigh there is none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from posetx.arrays import Floats, Indices, Mask
from posetx.bodies.skeleton import PARENTS
from posetx.geometry.mesh import connected_parts, unique_edges

#: bones from one part to another that a surface may join: a thigh to the other one or the abdomen,
#: a collar to the neck. With 1 a fifth of some figures is taken for islands, few of them rightly
BONES = 2


def without_islands(
    weights: NDArray[np.float32], place: Indices, faces: Indices
) -> NDArray[np.float32]:
    """Skinning weights (n, 19) in which each piece of a surface follows parts that hang together.

    ``place`` (n,) is where vertices are, the same for those at the same place; ``faces`` (m, 3).
    Of each piece the largest share that the skeleton joins keeps its weights, and the rest gets
    those of what surrounds it, blended in between (they are harmonic on the graph of the edges).
    """
    count = int(place.max()) + 1
    each = np.arange(len(place))
    total = csr_array((np.ones(len(place)), (place, each)), shape=(count, len(place)))
    own = total @ weights.astype(np.float64) / np.maximum(total.sum(axis=1), 1)[:, None]
    corners = place[faces]
    edges = unique_edges(corners)
    part = own.argmax(1)
    joined = _near()[tuple(part[edges].T)]
    if joined.all():
        return weights
    _, piece = connected_parts(corners, count)
    island = _islands(_graph(edges[joined], count), piece)
    if not island.any():
        return weights
    own[island] = _blended(_graph(edges, count), own, island)
    out, changed = weights.copy(), island[place]
    out[changed] = own[place[changed]]
    return out


def _graph(edges: Indices, count: int) -> csr_array:
    """(n, n) with a one for each of the edges (e, 2), in both directions."""
    a, b = edges.T
    ones = np.ones(2 * len(edges))
    return coo_array((ones, (np.r_[a, b], np.r_[b, a])), shape=(count, count)).tocsr()


def _islands(joined: csr_array, piece: Indices) -> Mask:
    """Which vertices (n,) are not joined to most of their ``piece`` (n,)."""
    count, group = connected_components(joined, directed=False)
    size, of = np.bincount(group, minlength=count), np.zeros(count, dtype=np.int64)
    of[group] = piece
    largest = np.zeros(piece.max() + 1, dtype=np.int64)
    order = np.argsort(size, kind="stable")
    largest[of[order]] = order  # the largest is written last
    found: Mask = largest[piece] != group
    return found


def _near() -> Mask:
    """(19, 19) whether two parts are at most :data:`BONES` apart along the skeleton."""
    step = np.eye(len(PARENTS), dtype=bool)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            step[joint, parent] = step[parent, joint] = True
    near: Mask = np.linalg.matrix_power(step.astype(np.int64), BONES) > 0
    return near


def _blended(edges: csr_array, own: Floats, island: Mask) -> Floats:
    """Weights (i, 19) of the islands' vertices that are the mean of their neighbours'."""
    rows = edges[island]
    inner, outer = rows[:, island], rows[:, ~island]
    matrix = diags_array(rows.sum(axis=1)) - inner
    blended = splu(matrix.tocsc()).solve(outer @ own[~island])
    found: Floats = blended / blended.sum(1, keepdims=True)
    return found
