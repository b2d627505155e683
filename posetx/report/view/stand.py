"""Which axis of a file is up, told from its points alone: enough to look at it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetx.arrays import Floats
from posetx.geometry.axes import axis, upright
from posetx.report.stage import without_far

#: Of files that do not say.
UP: Floats = np.array([0.0, 1.0, 0.0])

#: Formats that say which axis is up.
Y_UP = (".glb", ".gltf", ".vrm")

#: An axis less long than the longest by this share may be the one that is up: arms reach as wide.
AS_LONG = 0.12

#: Share of a cloud's extent that is looked at for a floor, and of the points that are one.
SLAB, FLOOR = 0.04, 0.25

#: Where axes are about as long, which of them is likelier to be up.
LIKELY = (1, 2, 0)


def standing(points: Floats, path: Path, up: str = "auto", front: str = "auto") -> Floats:
    """The rotation (3, 3) from a file's axes to upright, facing +z.

    Parameters
    ----------
    points : (n, 3)
    path : its format may say which axis is up
    up, front : an axis such as "z" or "-y"; "auto" guesses up, and takes the front that files with
        that axis up have

    Raises
    ------
    FieldError
        an axis that is none
    UsageError
        the same axis twice
    """
    way = likely_up(points, path) if up == "auto" else axis(up, "up")
    return upright(way, None if front == "auto" else axis(front, "front"))


def likely_up(points: Floats, path: Path) -> Floats:
    """The unit vector (3,) that is likely up: across a floor, else along the body's length."""
    if path.suffix.lower() in Y_UP:
        return UP
    body = without_far(points[:: len(points) // 100_000 + 1])
    if not len(body):
        return UP
    low, high = body.min(axis=0), body.max(axis=0)
    extent = high - low
    # Of a floor many points have one coordinate, the lowest along the axis up.
    share = (body - low) / np.where(extent > 0, extent, 1.0)
    ends = np.stack([(share < SLAB).mean(axis=0), (share > 1 - SLAB).mean(axis=0)])
    side, place = np.unravel_index(int(ends.argmax()), ends.shape)
    others = np.delete(ends, place, axis=1).max()
    if ends[side, place] > FLOOR and ends[side, place] > 2 * others:
        across: Floats = np.eye(3)[place] * (1.0 if side == 0 else -1.0)
        return across
    long = [place for place in LIKELY if extent[place] >= (1 - AS_LONG) * extent.max()]
    along: Floats = np.eye(3)[long[0]]
    return along
