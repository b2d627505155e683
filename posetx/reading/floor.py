"""Whether the body of a scan lies: a floor, a bed or a table under it says so.

Of a body alone nobody can tell whether it stood; it is taken to have stood. What it lies on is a
plane that it is flat along, near and touching, and nothing else carries it: a wall that somebody
stands at is as near, but then there is mostly a floor as well.
"""

from __future__ import annotations

import numpy as np

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


def lies_on(points: Floats, planes: list[Plane]) -> str | None:
    """The axis that is up for a body (n, 3) that lies on one of the scan's planes; else None."""
    up = None
    extent = robust_extent(points)
    for plane in planes:
        height = plane.heights(points) / extent
        if not TOUCH[0] < np.quantile(height, 0.005) < TOUCH[1]:
            continue
        if not is_flat(points, plane.normal):
            return None  # stands on it
        near, name = max((float(plane.normal @ axis), name) for name, axis in AXES.items())
        if up is None and near > ALONG and np.median(height) < NEAR:
            up = name
    return up
