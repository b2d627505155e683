"""Makes the picture of a pose in docs, the same each time: of the example's scan, less a forearm.

    python -m examples.make.pose [docs/pose.png]

The right forearm and hand, the lifted ones, are taken out of the scan by the body that was fitted
to the whole of it.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree

from posetx.bodies.body import BodyModel
from posetx.bodies.skeleton import JOINTS
from posetx.files.scans import Scan, read_scan
from posetx.pipeline.pipeline import Pipeline
from posetx.report.posed import draw_pose

ROOT = Path(__file__).resolve().parents[2]
GONE = [JOINTS.index(name) for name in ("forearm.R", "hand.R")]


def without_forearm(pipeline: Pipeline, scan: Scan) -> Scan:
    """The scan less the points next to the fitted body's forearm and hand."""
    body = pipeline.read(scan).registration.vertices
    part = BodyModel.load().weights.argmax(1).numpy()
    kept = ~np.isin(part[cKDTree(body).query(scan.points)[1]], GONE)
    colors = None if scan.colors is None else scan.colors[kept]
    return replace(scan, points=scan.points[kept], colors=colors)


def main() -> None:
    torch.manual_seed(0)
    pipeline = Pipeline.load()
    scan = without_forearm(pipeline, read_scan(ROOT / "examples" / "scan.ply"))
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pose.png"
    draw_pose(path, pipeline.read(scan))


if __name__ == "__main__":
    main()
