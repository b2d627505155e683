"""Motions to make pages of: a body in centimetres with z up, scans of it, poses of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import posetx
from posetx.bodies.body import BodyModel
from posetx.pipeline.animated import Animated
from posetx.pipeline.animation import Animator
from posetx.pipeline.sequence import Frame, motion_of
from tests.pipeline.test_motion import walked

#: Frames a second of the scans.
FPS = 10.0


def person() -> np.ndarray:
    """The mean body's vertices (V, 3) in centimetres, z up, facing -y, off the origin."""
    body = BodyModel.load().template.double().numpy()
    return 100 * body[:, [0, 2, 1]] * [1, -1, 1] + [40.0, -300.0, 7.0]


def of_clip(poser: posetx.Poser) -> Animated:
    """That body, moved by a clip of 12 frames."""
    hero = poser.prepare((person(), BodyModel.load().faces.numpy()), up="z", front="-y")
    return Animated(Animator(poser.pipeline.predictor, hero), walked(), "walk", restore=False)


def readings(poser: posetx.Poser, folder: Path) -> list[posetx.api.Reading]:
    """Three scans of different counts, in metres, of who goes 2 m in all, x up; read, and kept."""
    body = BodyModel.load().template.double().numpy()[:, [1, 2, 0]]
    found = []
    for index, step in enumerate((9, 8, 7)):
        path = folder / f"scan_{index}.npy"
        np.save(path, body[::step] + [3.0, 1.0 * index, 0.0])
        found.append(poser.read(path, up="x", front="y"))
    return found


def of_scans(poser: posetx.Poser, folder: Path) -> tuple[Animated, list[Frame]]:
    """That body, moved by those scans; the second of four frames is a gap."""
    found = readings(poser, folder)
    frames = [Frame(r.scan.path, r.start, 0.9, 0.1, joints=r.pose.confidence) for r in found]
    frames.insert(1, Frame(folder / "gap.npy", error="no body"))
    clip = of_clip(poser)
    motion = motion_of(poser.pipeline.body, frames, FPS).faced("target")
    return Animated(clip.animator, motion, "scans", restore=False), frames
