"""Makes the picture of a pose in docs, the same each time: of the example's scan.

python -m examples.make.pose [docs/pose.png]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from posetx.files.scans import read_scan
from posetx.pipeline.pipeline import Pipeline
from posetx.report.posed import draw_pose

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    torch.manual_seed(0)
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pose.png"
    draw_pose(path, Pipeline.load().read(read_scan(ROOT / "examples" / "scan.ply")))


if __name__ == "__main__":
    main()
