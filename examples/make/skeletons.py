"""Measures how near a target's own skeleton comes to the result without one.

    python -m examples.make.skeletons [--count 20] [--keep FOLDER] [--picture FILE.png]

Bare and dressed figures in turn are written as skinned GLBs in the conventions of `rigged.py`, and
take the poses of bodies that no training saw. The table goes into `docs/skeleton.md`, and so does
the picture of the last one's target and result.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from posetx.bodies.body import BodyModel
from posetx.data.identities import draw_rest_poses
from posetx.data.splits import unseen_poses
from posetx.data.surface import Figure, posed
from posetx.data.wardrobe.wardrobe import Wardrobe
from posetx.evaluation.dressed import Dressed, dressed
from posetx.evaluation.protocols import eligible_bodies
from posetx.files.sources import array_scan
from posetx.files.targets import read_target
from posetx.pipeline.pipeline import Pipeline
from posetx.pipeline.results import Transfer
from posetx.system.console import progress_bar

from .rigged import CONVENTIONS, Character, Convention, write_skinned

SEED = 7


@dataclass
class Case:
    """A figure near an A- or a T-pose, what shows the pose to take, and where it should come."""

    who: Character
    kind: str  # "bare", "dressed", or "cartoon": dressed, and of such proportions
    points: np.ndarray  # (p, 3) of another, bare body
    truth: np.ndarray  # (n, 3)


def cases(count: int, seed: int = SEED, bare: bool = True) -> Iterator[Case]:
    """Bare and dressed figures in turn, or dressed ones alone, in poses that no training saw."""
    body = BodyModel.load()
    rows, bank, wardrobe = eligible_bodies(body), unseen_poses(body, None), Wardrobe(body)
    generator = torch.Generator().manual_seed(seed)
    for number in range(count):
        pick = rows[torch.randint(len(rows), (2,), generator=generator)]
        source, own = body.bank[pick]
        rest = draw_rest_poses(body, 1, generator)
        who = dressed(wardrobe, own, seed + number)
        undressed = bare and number % 2 == 0
        cartoon = bool((who.identity.scales != 1).any())
        kind = "bare" if undressed else "cartoon" if cartoon else "dressed"
        if undressed:
            who.identity.scales[:] = 1
            who = Dressed(Figure.bare(body), who.identity, generator)
        figure, identity = who.figure, who.identity
        surface = figure.at(torch.arange(len(figure.points))).rest(identity)
        joints = body.rest_joints(identity.coefficients)
        vertices, placed = posed(surface, figure.weights, joints, rest, identity)
        turns = bank.draw(1, generator)
        truth, _ = posed(surface, figure.weights, joints, turns, identity)
        character = Character(
            vertices[0].double().numpy(),
            figure.faces.numpy(),
            figure.weights.double().numpy(),
            placed[0].double().numpy(),
        )
        points = body.pose(source[None], turns)[0].double().numpy()
        yield Case(character, kind, points, truth[0].double().numpy())


def transfers(
    pipeline: Pipeline, count: int, folder: Path
) -> Iterator[tuple[Convention, Transfer]]:
    """Results for the GLBs, which are left in a folder as in_N.glb, and out_N.glb as saved."""
    for number, case in enumerate(cases(count)):
        how = CONVENTIONS[number // 2 % len(CONVENTIONS)]
        path = folder / f"in_{number}.glb"
        write_skinned(path, case.who, how)
        reading = pipeline.read(array_scan(case.points), up="y", front="z", clean=False)
        ready = pipeline.prepare(read_target(path), up="y", front="z")
        result = pipeline.give(reading, ready)
        result.save(folder / f"out_{number}.glb")
        yield how, result


def draw(path: Path, result: Transfer) -> None:
    """A picture of a target and its result, and through their skins the bones."""
    import pyvista

    posed = result.posed
    assert posed is not None
    rig, target = posed.rig, result.target.target
    triangles = np.insert(target.faces, 0, 3, axis=1)
    plotter = pyvista.Plotter(off_screen=True, shape=(1, 2), border=False, window_size=(1200, 700))
    bones = np.flatnonzero(rig.joints & ~rig.roots)
    states = (rig.still, target.vertices), (posed.pose, result.vertices)
    for column, (pose, vertices) in enumerate(states):
        plotter.subplot(0, column)
        plotter.add_mesh(pyvista.PolyData(vertices, triangles), color="tan", opacity=0.45)
        joints = rig.worlds(pose)[:, :3, 3]
        ends = np.stack([joints[rig.parents[bones]], joints[bones]], axis=1)
        lines = pyvista.line_segments_from_points(ends.reshape(-1, 3))
        plotter.add_mesh(lines, color="navy", line_width=4)
        plotter.add_points(joints[rig.joints], color="crimson", point_size=9.0,
                           render_points_as_spheres=True)  # fmt: skip
        plotter.view_xy()
        plotter.camera.azimuth = 20
        plotter.camera.zoom(1.35)
    plotter.screenshot(path)


def main() -> None:
    parser = argparse.ArgumentParser("python -m examples.make.skeletons")
    parser.add_argument("--count", type=int, default=2 * len(CONVENTIONS))
    parser.add_argument("--keep", type=Path, help="a folder for the GLBs")
    parser.add_argument("--picture", type=Path, help="a PNG of the last one")
    arguments = parser.parse_args()
    rows: dict[str, list[tuple[float, ...]]] = {}
    with tempfile.TemporaryDirectory() as made, progress_bar() as bar:
        folder = arguments.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        task = bar.add_task("targets", total=arguments.count)
        for how, result in transfers(Pipeline.load(), arguments.count, folder):
            report = result.report.skeleton
            assert report is not None, result.warnings
            seconds = result.report.seconds["skeleton"]
            figures = 100 * report.distance, report.distance_mm, 100 * report.largest, seconds
            rows.setdefault(how.name, []).append((report.joints, *figures))
            bar.advance(task)
        if arguments.picture:
            draw(arguments.picture, result)
    every = [row for some in rows.values() for row in some]
    lines = ["| convention | joints | mean, % | mean, mm | largest, % | s |", "|---|" + "---:|" * 5]
    for name, some in [*rows.items(), ("all", every)]:
        joints, share, mm, largest, seconds = np.mean(some, axis=0)
        lines.append(
            f"| {name} | {joints:.0f} | {share:.2f} | {mm:.1f} | {largest:.1f} | {seconds:.1f} |"
        )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
