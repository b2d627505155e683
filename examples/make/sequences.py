"""Measures `posetx animate` on simulated scan sequences.

    python -m examples.make.sequences CLIP.bvh... [--frames 100] [--seed 3]
    python -m examples.make.sequences CLIP.bvh... --jitter 0.1 1

Bodies move as the clips say, at 30 frames a second, and two depth cameras measure 20,000 points of
each frame, with noise; a frame takes some two seconds. With `--jitter` there are no scans: the
clips' own turns jitter by so many degrees. The tables go into `docs/animate.md`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from posetx.bodies.body import BodyModel
from posetx.pipeline.pipeline import Pipeline
from posetx.studies.sequences import jittered, measure, table
from posetx.system.console import progress_bar, say


def main() -> None:
    parser = argparse.ArgumentParser("python -m examples.make.sequences")
    parser.add_argument("clips", type=Path, nargs="+", help="BVH files")
    parser.add_argument("--frames", type=int, default=100, help="of each")
    parser.add_argument("--seed", type=int, default=3, help="of the first one's body and cameras")
    parser.add_argument("--jitter", type=float, nargs="+", default=[], help="degrees")
    arguments = parser.parse_args()
    if arguments.jitter:
        body = BodyModel.load()
        told = [
            jittered(body, clip, arguments.frames, degrees)
            for clip in arguments.clips
            for degrees in arguments.jitter
        ]
        sys.stdout.write(table(told) + "\n")
        return
    pipeline = Pipeline.load()
    rows = []
    with progress_bar() as bar:
        task = bar.add_task("frames", total=arguments.frames * len(arguments.clips))
        for index, clip in enumerate(arguments.clips):
            seed = arguments.seed + index
            rows.append(measure(pipeline, clip, arguments.frames, seed, lambda: bar.advance(task)))
            each = rows[-1].seconds / rows[-1].frames
            say(f"{clip.stem}: {each:.2f} s of processor a frame, the first ones too")
    sys.stdout.write(table(rows) + "\n")


if __name__ == "__main__":
    main()
