"""Which part of a scan may be no body: the network reads it without each, and says what fits best.

Something large that is touched draws the network's own reading, and with it the body that is
fitted from there; what is far from that body is then not the thing. So the scan is cut into compact
pieces, and those without which the rest looks most like a body are worth a try.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.cluster.vq import ClusterError, kmeans2
from scipy.spatial import cKDTree

from posetx.arrays import Floats, Mask
from posetx.models.predictor import Predictor
from posetx.reading.orient import COARSE_SETS, NeutralBody, explain_many

#: A scan is cut into so many.
PIECES = 10
#: A piece is left out alone, or with one of so many next to it.
BESIDE = 3


def without_pieces(
    predictor: Predictor,
    neutral: NeutralBody,
    points: Floats,
    samples: Floats,
    rotation: Floats,
    count: int,
) -> list[Mask]:
    """The `count` best ways to leave a part of a scan out.

    Parameters
    ----------
    points, samples : (n, 3) and (P, 3), the scan and an even sample of it, see `pose_sample`
    rotation : (3, 3), from the scan's frame to upright and facing +z

    Returns
    -------
    Which points (n,) are kept, best first; fewer than `count` where there are not so many pieces.
    """
    try:
        centres, piece = kmeans2(samples, PIECES, seed=0, minit="++", missing="raise")
    except ClusterError:  # hardly any points
        return []
    near = np.argsort(np.linalg.norm(centres[:, None] - centres[None], axis=2), axis=1)
    parts: set[tuple[int, ...]] = {(k,) for k in range(PIECES)}
    parts |= {(min(a, b), max(a, b)) for a in range(PIECES) for b in near[a, 1 : BESIDE + 1]}
    size = COARSE_SETS * predictor.model.config.pose_points
    kept = {part: samples[~np.isin(piece, part)][:size] for part in sorted(parts)}
    kept = {part: some for part, some in kept.items() if len(some) == size}
    if not kept:
        return []
    clouds = np.stack([(some - some.mean(0)) @ rotation.T for some in kept.values()])
    distance, _ = explain_many(predictor, neutral, torch.as_tensor(clouds, dtype=torch.float32))
    order = distance.argsort()[:count]
    place = piece[cKDTree(samples).query(points)[1]]
    return [~np.isin(place, list(kept)[k]) for k in order]
