"""The points that a reading begins with: a scan's, or its surface's, less what is no body."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from posetx.arrays import Floats, Indices
from posetx.cleaning.measured import check_measured, clean_measured, measured_points, stages_table
from posetx.cleaning.planes import Plane
from posetx.files.scans import Scan
from posetx.geometry.extent import within_sight


@dataclass
class Measured:
    """Points (k, 3) of a scan, and which of its points (k,) each is, or stands for.

    ``count`` is how many cleaning began with, ``cleaning`` what each step took out, ``planes`` the
    walls and floors among that, ``notes`` what a user should know.
    """

    points: Floats
    kept: Indices
    count: int
    cleaning: list[dict[str, Any]] = field(default_factory=list)
    planes: list[Plane] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def measured(scan: Scan, clean: bool = True) -> Measured:
    """What of a scan may be the body; all that is not far away without ``clean``.

    Raises PosetxError where there is no body in it.
    """
    points, kept = measured_points(scan)
    if clean:
        cleaned = clean_measured(scan, points)
        return Measured(
            cleaned.points,
            kept[cleaned.index],
            len(points),
            stages_table(cleaned.stages),
            cleaned.planes,
            list(cleaned.notes),
        )
    check_measured(scan, points)
    near = within_sight(points)
    if near.all():
        return Measured(points, kept, len(points))
    # The scan as it is; but of one that is a dot beside a stray there is no pose.
    note = f"{int(np.sum(~near))} points far from all others were left out"
    return Measured(points[near], kept[near], len(points), notes=[note])
