"""Which way the surface below a cloud's points looks, so that they can be lit as a surface is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from posetx.arrays import Floats

#: Neighbours that a point's plane is laid through.
NEAREST = 14

#: Points that planes are laid through at once.
BLOCK = 50_000


def cloud_normals(points: Floats) -> Floats:
    """Unit normals (n, 3) of points (n, 3), either way along them; 0 of a cloud of fewer than 3.

    The least axis of each point's nearest neighbours.
    """
    normals = np.zeros_like(points)
    near = min(NEAREST, len(points))
    if near < 3:
        return normals
    tree = cKDTree(points)
    for begin in range(0, len(points), BLOCK):
        _, index = tree.query(points[begin : begin + BLOCK], k=near)
        offsets = points[index] - points[index].mean(axis=1, keepdims=True)
        covariance = np.einsum("nki,nkj->nij", offsets, offsets)
        normals[begin : begin + BLOCK] = np.linalg.eigh(covariance)[1][:, :, 0]
    return normals


def signs_of(normals: Floats) -> NDArray[np.uint8]:
    """Unit vectors as bytes: 128 is 0, 255 is 1."""
    return np.round(127 * normals + 128).astype(np.uint8)
