"""The picture of one cleaning: the raw scan with what went in another colour, and what is left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posetx.arrays import Indices
from posetx.report.preview import Column, render_meshes
from posetx.report.stage import POINT_LIMIT

if TYPE_CHECKING:
    from posetx.cleaning.measured import CleanedScan
    from posetx.files.scans import Scan

KEPT_COLOR = (44, 132, 150)
GONE_COLOR = (236, 138, 72)

#: For each axis that may be up, where programs with that axis up have the front.
FRONTS = {0: (0.0, 0.0, 1.0), 1: (0.0, 0.0, 1.0), 2: (0.0, -1.0, 0.0)}


def draw_cleaned(path: Path, scan: Scan, body: CleanedScan) -> None:
    """Write a PNG of the scan before and after, from the front and the side.

    The way up is not known here: the axis along which the body is longest is drawn upright.

    Raises
    ------
    MissingError
        If pyvista is not here, or cannot draw on this machine.
    """
    kept = np.zeros(len(scan.points), dtype=bool)
    kept[body.kept] = True
    shown = drawn(len(scan.points))
    colors = np.where(kept[shown, None], np.array(KEPT_COLOR), np.array(GONE_COLOR)).astype(
        np.uint8
    )
    axis = int(np.argmax(np.ptp(body.scan.points, axis=0)))
    result = body.scan
    render_meshes(
        path,
        [
            Column(
                scan.path.name,
                scan.points[shown],
                colors=colors,
                note=f"{len(scan.points):,} points; what went is orange",
            ),
            Column(
                "cleaned",
                result.points,
                faces=result.faces,
                colors=result.colors,
                note=f"{len(result.points):,} points",
            ),
        ],
        up=tuple(np.eye(3)[axis]),
        front=FRONTS[axis],
    )


def drawn(count: int) -> Indices:
    """Which of `count` points to draw, so that a huge scan is not turned and coloured in full."""
    if count <= POINT_LIMIT:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, POINT_LIMIT, replace=False))
