"""Best-fit rotations: the rotation nearest to a 3x3 matrix, and between matched points, in batches.

All of it runs without a Python loop over the batch. No result is ever a reflection.
"""

from __future__ import annotations

import numpy as np

from posetx.arrays import Floats, Indices


def nearest_rotations(matrices: Floats) -> Floats:
    """The proper rotations R (n, 3, 3) with the largest trace(R^T A) for each A of (n, 3, 3).

    For A = sum w x r^T this is the R that best carries the vectors r onto the vectors x. A zero
    or non-finite matrix gives the identity. A matrix of rank 1 or 0 leaves a free turn; whatever
    comes back is a rotation still.
    """
    matrices = np.asarray(matrices, dtype=np.float64)
    size = np.abs(matrices).max(axis=(1, 2), initial=0.0)
    usable = np.isfinite(size) & (size > 0.0)
    safe = np.where(usable[:, None, None], matrices, np.eye(3))
    u, _, vt = np.linalg.svd(safe / np.where(usable, size, 1.0)[:, None, None])
    # Singular values come sorted, so the reflection is taken out of the least certain direction.
    # det by the triple product: np.linalg.det over a batch costs as much as the SVD.
    sign = _triple(u) * _triple(vt)
    u[:, :, 2] *= np.where(sign < 0.0, -1.0, 1.0)[:, None]
    rotations: Floats = u @ vt
    return rotations


def fit_rigid_parts(
    rest: Floats, posed: Floats, weights: Floats, parts: Indices, count: int
) -> tuple[Floats, Floats, Floats]:
    """Best rigid motion of each part, weighted least squares, without reflection.

    Parameters
    ----------
    rest, posed : (n, 3), matched points
    weights : (n,), positive
    parts : (n,), values 0..count-1
    count : number of parts

    Returns
    -------
    rotations : (count, 3, 3)
    rest_centres : (count, 3)
    posed_centres : (count, 3); a point r of part k goes to posed + R_k (r - rest_centre)
    """
    total = np.maximum(np.bincount(parts, weights=weights, minlength=count), 1e-300)

    def centres(points: Floats) -> Floats:
        sums = [
            np.bincount(parts, weights=weights * points[:, i], minlength=count) for i in range(3)
        ]
        return np.stack(sums, axis=1) / total[:, None]

    rest_centres, posed_centres = centres(rest), centres(posed)
    before, after = rest - rest_centres[parts], posed - posed_centres[parts]
    covariance = np.empty((count, 3, 3))
    for i in range(3):
        for j in range(3):
            covariance[:, i, j] = np.bincount(
                parts, weights=weights * after[:, i] * before[:, j], minlength=count
            )
    return nearest_rotations(covariance), rest_centres, posed_centres


def _triple(matrices: Floats) -> Floats:
    """Determinant (n,) of (n, 3, 3) by the triple product of its rows."""
    determinants: Floats = np.einsum(
        "ni,ni->n", matrices[:, 0], np.cross(matrices[:, 1], matrices[:, 2])
    )
    return determinants
