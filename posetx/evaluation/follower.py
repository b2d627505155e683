"""The ideal follower: how wrong whoever just follows the attacked points has to be.

Points that an attack moves show, up to a point, another pose, and a network that follows them is no
worse than they are. This follower knows of each point which place of the body it is: every part
goes where the least squares of its own points take it (Kabsch), and the target's skin with the
parts. It knows neither bones nor likely poses, so better ones may be thought of; it is a yardstick.
"""

from __future__ import annotations

import numpy as np

from posetx.arrays import Floats
from posetx.bodies.skeleton import PARENTS
from posetx.geometry.polar import nearest_rotations

#: A part with fewer points (their weights' sum) goes along with its parent. Three tell a motion,
#: but points that are off by 8 cm say little of how a hand of 5 cm is turned until there are more.
#: A whole body has more on all parts but the collars: `seen` under FGM 0.08 is at 116e-4 either way
#: (12 pairs). From one view (`front`) it is at 137e-4; with three points at 186e-4, without at 221.
FEWEST = 10.0


def followed(
    clean: Floats,
    attacked: Floats,
    places: Floats,
    weights: Floats,
    vertices: Floats,
    vertex_weights: Floats,
) -> Floats:
    """A target's vertices (V, 3), each part moved as the attack moved its points.

    Parameters
    ----------
    clean, attacked : (S, 3), a cloud before and after the attack, point for point
    places : (S, 3), where on the target the place of the body is that a point is of. Lengths are
        the target's: a displacement counts as large as it is beside the clean cloud.
    weights : (S, J), skinning weights of the points; zeros for what is of no body
    vertices : (V, 3), the target in the pose that the clean cloud shows
    vertex_weights : (V, J), its skinning weights, rows sum to 1
    """
    known = weights.sum(1) > 0
    if not known.any():
        return vertices
    scale = _spread(places[known]) / max(_spread(clean[known]), 1e-12)
    after = places + scale * (attacked - clean)
    # behind the parts the whole body: who has no parent, the pelvis, goes along with it
    each = np.concatenate([weights, weights.sum(1, keepdims=True)], 1)
    rotations, shifts = _motions(places, after, each)
    enough = each.sum(0) >= FEWEST
    for part, parent in enumerate(PARENTS):  # a parent stands before its children
        if not enough[part]:
            rotations[part], shifts[part] = rotations[parent], shifts[parent]
    turned = np.einsum("vj,jab,vb->va", vertex_weights, rotations[:-1], vertices, optimize=True)
    moved: Floats = turned + vertex_weights @ shifts[:-1]
    return moved


def _spread(points: Floats) -> float:
    """Root mean square distance of points (S, 3) from their middle."""
    return float(np.sqrt(points.var(0).sum()))


def _motions(before: Floats, after: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Rotations (J, 3, 3) and shifts (J, 3) that best take points to points, for each column."""
    total = np.maximum(weights.sum(0), 1e-12)[:, None]
    first, second = weights.T @ before / total, weights.T @ after / total
    products = np.einsum("sj,sa,sb->jab", weights, after, before, optimize=True)
    rotations = nearest_rotations(products - total[..., None] * second[:, :, None] * first[:, None])
    return rotations, second - np.einsum("jab,jb->ja", rotations, first)
