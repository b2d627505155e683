"""Whether the body of a scan lies: a floor, a bed or a table under it says so.

Of a body alone nobody can tell whether it stood; it is taken to have stood. What it lies on is a
plane that it is flat along, near and touching, and that is under all of it, with nothing else that
carries it. The side of a plinth is beside its figure, not under it; a wall that somebody stands at
is as near as a bed, but ends where the feet are.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from posetx.arrays import Floats
from posetx.cleaning.planes import Plane
from posetx.geometry.axes import AXES
from posetx.geometry.extent import robust_extent
from posetx.reading.orient import is_flat

#: a body begins within these shares of its length above what carries it; cameras above a body that
#: lies do not see where it touches
TOUCH = (-0.03, 0.06)
#: the middle of a body that lies is at most this high
NEAR = 0.25
#: cosine of the angle within which a plane's normal is one of the file's axes
ALONG = np.cos(np.radians(30))
#: share of a body that is above what it lies on; the whole floor need not be seen
ABOVE = 0.7
#: a plane ends at the feet if it goes on beyond them by no more than this share of the body's
#: length, in a direction that is within this angle (radians) of the body's own
ENDS, LEANS = 0.03, 0.5


def lies_on(points: Floats, planes: list[Plane]) -> str | None:
    """The axis that is up for a body (n, 3) that lies on one of the scan's planes; else None."""
    up = None
    extent = robust_extent(points)
    for plane in planes:
        for normal in (plane.normal, -plane.normal)[: 1 + plane.board]:
            height = (points @ normal - plane.offset * (normal @ plane.normal)) / extent
            if not TOUCH[0] < np.quantile(height, 0.005) < TOUCH[1]:
                continue
            if not is_flat(points, normal):
                return None  # stands on it
            near, name = max((float(normal @ axis), name) for name, axis in AXES.items())
            if (
                up is None
                and near > ALONG
                and np.median(height) < NEAR
                and _is_under(points, plane)
            ):
                up = name
    return up


def _is_under(points: Floats, plane: Plane) -> bool:
    """Whether a plane is below most of a body (n, 3) that is flat along it, and no wall behind."""
    axes = np.linalg.svd(plane.normal[None])[2][1:]
    body, cover = points @ axes.T, plane.cover @ axes.T
    try:
        edges = ConvexHull(cover).equations
    except QhullError:  # hardly any cells
        return False
    inside = (body @ edges[:, :2].T + edges[:, 2] < 0).all(axis=1)
    if inside.mean() < ABOVE:
        return False
    long = np.linalg.eigh(np.cov(body.T))[1][:, -1]
    ends = np.quantile(body @ long, [0.002, 0.5, 0.998])
    if ends[1] < ends[[0, 2]].mean():  # trunk, arms and head have more surface than legs
        long = -long
    lean = np.linspace(-LEANS, LEANS, 13)
    along = np.outer(np.cos(lean), long) + np.outer(np.sin(lean), [-long[1], long[0]])
    low, high = np.quantile(body @ along.T, [0.002, 0.998], axis=0)
    beyond = (low - (cover @ along.T).min(axis=0)) / (high - low)
    return bool(beyond.min() > ENDS)
