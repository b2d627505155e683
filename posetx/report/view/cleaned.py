"""The page of one cleaning: the raw scan with what went in another colour, and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posetx.report.cleaned import GONE_COLOR, KEPT_COLOR
from posetx.report.view.page import write_page
from posetx.report.view.stand import standing
from posetx.report.view.subject import Fact, Frame, Subject, View

if TYPE_CHECKING:
    from posetx.cleaning.measured import CleanedScan
    from posetx.files.scans import Scan


def write_cleaned_view(
    path: Path, scan: Scan, body: CleanedScan, name: str, warnings: Sequence[str] = ()
) -> int:
    """Write the page of a scan before and after, whole or not at all; returns its bytes.

    ``name`` is what the result is called on it. Raises PosetxError where it cannot be written.
    """
    return write_page(path, view_of_cleaned(scan, body, name, warnings))


def view_of_cleaned(scan: Scan, body: CleanedScan, name: str, warnings: Sequence[str] = ()) -> View:
    """What that page shows; the way up is guessed."""
    kept = np.zeros(len(scan.points), dtype=bool)
    kept[body.kept] = True
    left = body.scan
    turn = standing(left.points, scan.path)
    colors = np.where(kept[:, None], KEPT_COLOR, GONE_COLOR).astype(np.uint8)
    raw = Subject(
        scan.path.name,
        "scan",
        [Frame(scan.path.name, scan.points)],
        faces=scan.faces,
        colors=colors,
        rotation=turn,
        note="what went is orange",
    )
    clean = Subject(
        name,
        "result",
        [Frame(name, left.points)],
        faces=left.faces,
        colors=left.colors,
        rotation=turn,
    )
    facts = [Fact("kept", f"{len(body.kept):,} of {len(scan.points):,} points")]
    facts += [
        Fact(stage.name, f"-{stage.points_in - stage.points_out:,}")
        for stage in body.stages
        if stage.points_in > stage.points_out
    ]
    return View(f"{scan.path.name}, cleaned", [raw, clean], facts=facts, warnings=[*warnings])
