"""Measures how far standing feet slide on a target, let go and held.

    python -m examples.make.feet CLIP.bvh... [--target FILE] [--jitter DEGREES]

The table goes into `docs/animate.md`. With `--jitter` the clips' parts jitter by so many degrees,
and are smoothed as motions of scans are.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from posetx.files.targets import read_target
from posetx.pipeline.animation import Animator
from posetx.pipeline.motion import Motion
from posetx.pipeline.pipeline import Pipeline
from posetx.studies.feet import slides, table


def jittering(motion: Motion, degrees: float) -> Motion:
    """A motion whose parts jitter, smoothed."""
    rng = np.random.default_rng(0)
    count = motion.rotations.shape[0] * motion.rotations.shape[1]
    turns = Rotation.from_rotvec(np.radians(degrees) * rng.normal(size=(count, 3))).as_matrix()
    turned = turns.reshape(motion.rotations.shape) @ motion.rotations
    return replace(motion, rotations=turned).smoothed()


def main() -> None:
    parser = argparse.ArgumentParser("python -m examples.make.feet")
    parser.add_argument("clips", type=Path, nargs="+", help="BVH files")
    parser.add_argument("--target", type=Path, default=Path("examples/target.obj"))
    parser.add_argument("--jitter", type=float, default=0.0, help="degrees")
    arguments = parser.parse_args()
    pipeline = Pipeline.load()
    animator = Animator(pipeline.predictor, pipeline.prepare(read_target(arguments.target)))
    rows = []
    for clip in arguments.clips:
        motion = Motion.of_bvh(clip)
        if arguments.jitter:
            motion = jittering(motion, arguments.jitter)
        rows.append((clip.stem, *slides(animator, motion)))
    sys.stdout.write(table(rows) + "\n")


if __name__ == "__main__":
    main()
