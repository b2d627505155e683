"""What an attack did, to look at: the points it moved, and the damage on the target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posetx.arrays import Floats, Indices
from posetx.files.atomic import write_bytes_atomic
from posetx.files.scan_write import encode_ply
from posetx.geometry.ramp import SCALAR_COLORS, palette
from posetx.report.cleaned import drawn
from posetx.report.preview import render_meshes
from posetx.report.stage import MESH_COLOR, Column

if TYPE_CHECKING:
    from posetx.files.targets import Target
    from posetx.pipeline.adversary import Adversarial


def draw_attacked(path: Path, target: Target, result: Adversarial) -> None:
    """Write a PNG: the scan by how far points moved, the result before, and after by its damage.

    Raises MissingError if pyvista is not here, or cannot draw on this machine.
    """
    turn = result.before.report.target_rotation.T
    rotation = result.before.report.scan_rotation
    shown = drawn(len(result.scan.points))
    before, after = result.before.vertices @ turn, result.after.vertices @ turn
    scan = (result.scan.points[shown] - result.scan.points[shown].mean(0)) @ rotation.T
    scan *= np.ptp(before[:, 1]) / max(np.ptp(scan[:, 1]), 1e-12)
    mm = 1000 * result.perturbation[shown]
    sizes = result.report["transfer"]
    render_meshes(
        path,
        [
            Column("scan", scan, scalars=mm, note="moved by, mm of an adult"),
            Column("before", before, target.faces, color=MESH_COLOR, note="transferred"),
            Column(
                "after",
                after,
                target.faces,
                scalars=1000 * result.damage,
                note=f"PMD {1e4 * sizes['pmd']:.1f}e-4; off by, mm",
            ),
        ],
    )


def write_heat(path: Path, points: Floats, values: Floats, faces: Indices | None) -> None:
    """A PLY of points (n, 3) coloured by values (n,), from blue (none) to red (the most)."""
    share = values / max(float(values.max(initial=0.0)), 1e-12)
    write_bytes_atomic(path, encode_ply(points, faces, None, palette(SCALAR_COLORS, share)))
