"""How far feet that stand slide on a target, and what holding them does to how its joints move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posetx.arrays import Floats, Mask
from posetx.bodies.skeleton import FEET
from posetx.pipeline.animation import Animator, Track
from posetx.pipeline.feet import standing
from posetx.pipeline.motion import Motion
from posetx.studies.sequences import acceleration

#: the leg of an adult of 1.75 m, from hip to ankle, mm
LEG = 830.0


@dataclass(frozen=True)
class Slide:
    """Of a motion on a target.

    Attributes
    ----------
    stands : share of frames in which a foot stands, mean of both
    moved_mm : mean distance of standing ankles from where they are on average in each stand,
        millimetres of an adult
    farthest_mm : the largest
    jerked : mean acceleration of all joints, as a share of what it is with feet that are let go
    """

    stands: float
    moved_mm: float
    farthest_mm: float
    jerked: float


def slides(animator: Animator, motion: Motion) -> tuple[Slide, Slide]:
    """With feet that are let go, and with feet that are held."""
    free, held = animator.track(motion, hold_feet=False), animator.track(motion)
    stands = [standing(motion.joints[:, foot], motion.legs, motion.fps) for foot in FEET]
    least = np.linalg.norm(acceleration(free.places), axis=-1).mean()
    both = [_slide(animator, track, stands, float(least)) for track in (free, held)]
    return both[0], both[1]


def _slide(animator: Animator, track: Track, stands: Sequence[Mask], least: float) -> Slide:
    away: list[Floats] = [np.zeros(0)]
    for foot, stand in zip(FEET, stands, strict=True):
        ends = np.flatnonzero(np.diff(stand.astype(int), prepend=0, append=0))
        for begin, end in ends.reshape(-1, 2).tolist():
            places = track.places[begin:end, foot]
            away.append(np.linalg.norm(places - places.mean(0), axis=1))
    moved = LEG / animator.legs * np.concatenate(away)
    jerked = np.linalg.norm(acceleration(track.places), axis=-1).mean()
    return Slide(
        float(np.mean(stands)),
        float(moved.mean()) if len(moved) else 0.0,
        float(moved.max(initial=0.0)),
        float(jerked) / least,
    )


def table(rows: Sequence[tuple[str, Slide, Slide]]) -> str:
    """The rows, each with its name, as the documents show them."""
    lines = [
        "| clip | frames that stand, % | let go: moved, mm | farthest | held: moved, mm | farthest "
        "| acceleration, of what it was |",
        "|---|" + "---:|" * 6,
    ]
    for name, free, held in rows:
        cells = [100 * free.stands, free.moved_mm, free.farthest_mm, held.moved_mm]
        told = [f"{cell:.1f}" for cell in (*cells, held.farthest_mm)]
        lines.append(f"| {name} | " + " | ".join(told) + f" | {held.jerked:.2f} |")
    return "\n".join(lines)
