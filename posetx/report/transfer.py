"""The picture of one transfer: the scan as cleaned, the target, the result, all upright."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from posetx.report.preview import render_preview

if TYPE_CHECKING:
    from posetx.pipeline.results import Transfer


def draw_transfer(path: Path, result: Transfer) -> None:
    """Write a PNG with scan, target and result from the front and the side."""
    report, reading, target = result.report, result.reading, result.target.target
    turn = report.target_rotation.T
    colors = reading.scan.colors
    render_preview(
        path,
        result.scan_upright,
        (target.vertices @ turn, target.faces),
        (result.vertices @ turn, target.faces),
        scan_colors=None if colors is None else colors[reading.kept],
        titles=(reading.scan.path.name, target.path.name, "result"),
        notes=(
            report.points,
            f"{report.vertices} vertices",
            f"edge lengths changed by {100 * report.edge_distortion:.1f} %",
        ),
    )
