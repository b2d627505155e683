"""Measures how near the skeleton that posetx gives a target comes to the true one.

    python -m examples.make.rigs [--count 40] [--details FILE.json]

Dressed figures, half of them with the proportions of cartoons, are read as targets. Their joints
and weights are known. The table goes into `docs/animate.md`. A figure takes some 10 s.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posetx.bodies.skeleton import JOINTS
from posetx.files.targets import read_target
from posetx.pipeline.animation import Animator
from posetx.pipeline.pipeline import Pipeline
from posetx.system.console import progress_bar

from .rigged import CONVENTIONS, write_skinned
from .skeletons import SEED, cases

#: millimetres of an adult's height
ADULT = 1750.0


@dataclass
class Row:
    """A figure: its kind, how far each joint is off (19,), mm of an adult, and its weights' error.

    That is the mean over vertices of the share of weight that is with a wrong joint.
    """

    kind: str
    joints: np.ndarray
    weights: float
    noise: float


def rows(pipeline: Pipeline, count: int, seed: int) -> Iterator[Row]:
    """Dressed figures as targets."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "figure.glb"
        for case in cases(count, seed, bare=False):
            write_skinned(path, case.who, CONVENTIONS[0])
            ready = pipeline.prepare(read_target(path), up="y", front="z")
            found = Animator(pipeline.predictor, ready).skeleton()
            height = float(np.ptp(case.who.vertices[:, 1]))
            off = np.linalg.norm(found.places - case.who.joints, axis=1) * ADULT / height
            wrong = 0.5 * np.abs(found.weights - case.who.weights).sum(1)
            yield Row(case.kind, off, float(wrong.mean()), ready.ready.noise or 0.0)


def main() -> None:
    parser = argparse.ArgumentParser("python -m examples.make.rigs")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--details", type=Path, help="each figure's joints, as JSON")
    arguments = parser.parse_args()
    found: list[Row] = []
    with progress_bar() as bar:
        task = bar.add_task("figures", total=arguments.count)
        for row in rows(Pipeline.load(), arguments.count, arguments.seed):
            found.append(row)
            bar.advance(task)
    if arguments.details:
        told = [{"kind": r.kind, "weights": r.weights, "noise": r.noise,
                 "joints": dict(zip(JOINTS, r.joints.round(1).tolist(), strict=True))}
                for r in found]  # fmt: skip
        arguments.details.write_text(json.dumps(told, indent=1))
    lines = ["| figures | | joints, mean mm | median | worst figure | weights, mean % |"]
    lines.append("|---|" + "---:|" * 5)
    for kind in ("dressed", "cartoon", "all"):
        some = [row for row in found if kind in (row.kind, "all")]
        if not some:
            continue
        means = np.array([row.joints.mean() for row in some])
        weights = 100 * np.mean([row.weights for row in some])
        lines.append(
            f"| {kind} | {len(some)} | {means.mean():.1f} | {np.median(means):.1f} "
            f"| {means.max():.1f} | {weights:.1f} |"
        )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
