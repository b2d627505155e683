"""Polygons as flat lists, and their triangles."""

from __future__ import annotations

import numpy as np


def fan(corners: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Triangles of polygons, as a fan from each polygon's first corner.

    Parameters
    ----------
    corners : (c,) int64
        one value per corner, polygon after polygon
    counts : (p,) int64
        corners of each polygon; those with fewer than three give no triangle

    Returns
    -------
    (t, 3) int64
        positions in `corners`: index any per-corner array with it
    """
    starts = np.cumsum(counts) - counts
    triangles = np.maximum(counts - 2, 0)
    first = np.repeat(starts, triangles)
    step = np.arange(len(first)) - np.repeat(np.cumsum(triangles) - triangles, triangles)
    return np.stack([first, first + step + 1, first + step + 2], axis=1)


def strip(corners: np.ndarray) -> np.ndarray:
    """(t, 3) int64 triangles of (c,) triangle strips, where -1 starts a new strip."""
    if len(corners) < 3:
        return np.zeros((0, 3), dtype=np.int64)
    triangles = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1).astype(np.int64)
    restarts = np.flatnonzero(corners == -1)
    place = np.arange(len(triangles))
    since = np.searchsorted(restarts, place, side="right")
    begin = np.concatenate([[0], restarts + 1])[since]
    odd = (place - begin) % 2 == 1
    triangles[odd] = triangles[odd][:, [1, 0, 2]]
    a, b, c = triangles.T
    kept: np.ndarray = triangles[(triangles >= 0).all(axis=1) & (a != b) & (b != c) & (c != a)]
    return kept
