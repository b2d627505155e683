"""How large a cloud is, whatever a few strays say: they lie a mile off, or at (0, 0, 0)."""

from __future__ import annotations

import numpy as np

from posetx.arrays import Floats, Mask

#: The border of the ball that holds most points lies at most this many times as far from the
#: median as half of them do: scans with wide floors and strays have up to 8 times.
FARTHEST = 30.0
#: A box that is this many times longer than the robust extent is one of strays that lie where no
#: scanner looks: scans with wide floors and near strays have up to 6 times.
STRETCHED = 100.0


def robust_extent(points: Floats, share: float = 0.97) -> float:
    """Diameter of the ball round the median that holds `share` of the points (n, 3).

    Where the ball's border lies among strays it is `FARTHEST` times the median distance.
    """
    away = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    middle, border = np.quantile(away, [0.5, share])
    if middle > 0.0:
        border = min(border, FARTHEST * middle)
    return 2.0 * float(border)


def box(points: Floats) -> tuple[Floats, float]:
    """The lowest corner (3,) of a cloud's box and its longest edge; strays lie outside of it."""
    low = points.min(axis=0)
    span = float((points.max(axis=0) - low).max())
    reach = STRETCHED * robust_extent(points)
    if span > reach > 0.0:
        return np.median(points, axis=0) - 0.5 * reach, reach
    return low, span


def within_sight(points: Floats) -> Mask:
    """Which points (n,) are no strays that lie where no scanner looks."""
    away = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    reach = 0.5 * STRETCHED * robust_extent(points)
    near: Mask = (away <= reach) | (reach == 0.0)
    return near
