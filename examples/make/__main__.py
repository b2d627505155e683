"""Makes the two example files, the same bytes each time.

    python -m examples.make --mocap FOLDER_WITH_13_31.bvh [--truth truth.obj]

``scan.ply`` is what three depth cameras would leave of a person: partial, noisy, with floor, flying
pixels, a hole and stray points. ``target.obj`` is a textured character of another build, on another
mesh. Both come from the body model of anny (``pip install 'posetx[train]'``).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from posetx.bodies.body import global_rotations
from posetx.data.bvh import read_bvh
from posetx.data.poses import PoseBank
from posetx.system.console import console

from .body import load_body
from .paint import Painter
from .scan import make_scan
from .target import make_target

EXAMPLES = Path(__file__).resolve().parents[1]
CLIP, FRAME = "13_31.bvh", 96  # subject 13: no training sees it. Legs wide, right arm up


def main() -> None:
    parser = argparse.ArgumentParser("python -m examples.make", description=__doc__.splitlines()[0])
    parser.add_argument("--mocap", type=Path, required=True, help=f"folder with {CLIP}")
    parser.add_argument("--out", type=Path, default=EXAMPLES, help="folder to write into")
    parser.add_argument(
        "--truth", type=Path, help="also write the target in the scan's true pose, facing +z (OBJ)"
    )
    arguments = parser.parse_args()
    body = load_body()
    painter = Painter(body)
    clip = torch.from_numpy(read_bvh(arguments.mocap / CLIP, body.joints))
    rotations = global_rotations(PoseBank.from_global(clip[FRAME : FRAME + 1]).local)
    points = make_scan(painter, rotations, arguments.out / "scan.ply")
    console.print(f"scan.ply: {points:,} points")
    vertices = make_target(painter, rotations, arguments.out, arguments.truth)
    console.print(f"target.obj: {vertices:,} vertices")


if __name__ == "__main__":
    main()
