"""The picture of one transfer: the scan as cleaned, the target, the result, all upright."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from posetx.report.preview import render_preview

if TYPE_CHECKING:
    from posetx.files.scans import Scan
    from posetx.files.targets import Target
    from posetx.pipeline.transfer import Transfer


def draw_transfer(path: Path, scan: Scan, target: Target, result: Transfer) -> None:
    """Write a PNG with scan, target and result from the front and the side."""
    turn = result.target_rotation.T
    report = result.report
    distortion = report["edge_distortion"]
    render_preview(
        path,
        result.scan_upright,
        (target.vertices @ turn, target.faces),
        (result.vertices @ turn, target.faces),
        scan_colors=None if scan.colors is None else scan.colors[result.scan_kept],
        titles=(Path(report["scan"]).name, Path(report["target"]).name, "result"),
        notes=(
            f"{report['points_used']} of {report['points_in']} points",
            f"{report['vertices']} vertices",
            f"edge lengths changed by {100 * distortion:.1f} %",
        ),
    )
