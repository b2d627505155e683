"""The points that a reading begins with: a scan's, or its surface's, less what is no body."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from posetx.arrays import Floats, Indices
from posetx.cleaning.clean import Cleaned
from posetx.cleaning.measured import check_measured, clean_measured, measured_points, stages_table
from posetx.cleaning.others import other_bodies
from posetx.cleaning.planes import Plane
from posetx.files.scans import Scan
from posetx.geometry.extent import within_sight


@dataclass
class Measured:
    """Points (k, 3) of a scan, and which of its points (k,) each is, or stands for.

    ``count`` is how many cleaning began with, ``cleaning`` what each step took out, ``planes`` the
    walls and floors among that, ``notes`` what a user should know. The ``others`` are found as they
    are asked for: what else may be the body, see :mod:`posetx.cleaning.others`.
    """

    points: Floats
    kept: Indices
    count: int
    cleaning: list[dict[str, Any]] = field(default_factory=list)
    planes: list[Plane] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    others: Iterable[Measured] = ()


def measured(scan: Scan, clean: bool = True) -> Measured:
    """What of a scan may be the body; all that is not far away without ``clean``.

    Raises PosetxError where there is no body in it.
    """
    points, kept = measured_points(scan)
    if clean:
        cleaned = clean_measured(scan, points)
        found = _measured(points, kept, cleaned)
        found.others = (_measured(points, kept, other) for other in other_bodies(points, cleaned))
        return found
    check_measured(scan, points)
    near = within_sight(points)
    if near.all():
        return Measured(points, kept, len(points))
    # The scan as it is; but of one that is a dot beside a stray there is no pose.
    note = f"{int(np.sum(~near))} points far from all others were left out"
    return Measured(points[near], kept[near], len(points), notes=[note])


def _measured(points: Floats, kept: Indices, cleaned: Cleaned) -> Measured:
    """A cleaning of points (n, 3) that stand for these of a scan's (n,)."""
    table = stages_table(cleaned.stages)
    which, notes = kept[cleaned.index], list(cleaned.notes)
    return Measured(cleaned.points, which, len(points), table, cleaned.planes, notes)
