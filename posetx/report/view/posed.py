"""The page of poses: of each scan its points, the skeleton read off it, the body fitted to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from posetx.arrays import Floats
from posetx.geometry.ramp import SCALAR_COLORS, palette
from posetx.geometry.triangles import distance_to_mesh
from posetx.pipeline.pose import to_first_unit
from posetx.pipeline.registration import FARTHEST
from posetx.pipeline.results import body_model
from posetx.report.posed import skeleton_mesh, sticks
from posetx.report.view.animated import FAR
from posetx.report.view.page import write_page
from posetx.report.view.subject import Fact, Frame, Layer, Subject, View
from posetx.report.view.transfer import facts_of_confidence

if TYPE_CHECKING:
    from posetx.pipeline.pose import Pose
    from posetx.pipeline.results import Reading

#: Scans that a page shows, at most: their bodies have a million vertices, and are 9 MB.
MOST_SCANS = 72

#: Points of all scans together, at most.
MOST_POINTS = 300_000

#: Pelvises that are farther apart than this, in metres of an adult, are of no one motion.
APART = 15.0


@dataclass
class _Shown:
    """What is shown of one reading, in its scan's frame and unit."""

    pose: Pose
    upright: Floats
    points: Floats
    colors: NDArray[np.uint8] | None
    off: Floats
    body: Floats
    distance: Floats
    metre: float


class PosePage:
    """Takes readings, in the order of their ``count`` scans, and makes one page of them.

    Of more than MOST_SCANS scans it shows as many, evenly spread.
    """

    def __init__(self, count: int) -> None:
        spread = np.linspace(0, count - 1, min(count, MOST_SCANS)).round().astype(int)
        self.taken, self.count = set(spread.tolist()), count
        self.shown: list[_Shown] = []

    def add(self, index: int, reading: Reading) -> None:
        """Take what is shown of scan number ``index``."""
        if index not in self.taken:
            return
        body, found, scan = reading.registration, reading.orientation, reading.scan
        most = MOST_POINTS // len(self.taken)
        some = np.random.default_rng(0).permutation(len(reading.points))[:most]
        points = reading.points[some]
        off = distance_to_mesh(points, body.vertices, body.faces) * body.unit.millimetres
        colors = None if scan.colors is None else scan.colors[reading.kept[some]]
        upright = found.tilt @ found.rotation
        here = _Shown(
            reading.pose, upright, points, colors, off, body.vertices, body.distance, reading.metre
        )
        self.shown.append(here)

    def write(self, path: Path, warnings: Sequence[str] = (), seconds: float | None = None) -> int:
        """Write the page, whole or not at all; returns its bytes.

        ``seconds`` is how long the slider plays. Raises PosetxError where it cannot be written.
        """
        return write_page(path, self.view(warnings, seconds))

    def view(self, warnings: Sequence[str] = (), seconds: float | None = None) -> View:
        """What that page shows; at least one reading was taken."""
        shown, model = self.shown, body_model()
        names = [one.pose.scan.name for one in shown]
        clouds, skeletons, bodies, doubts = [], [], [], []
        places = self._places()
        for one, place in zip(shown, places, strict=True):
            clouds.append(place(one.points))
            joined, _, own = skeleton_mesh(one.pose)
            skeletons.append(place(joined))
            doubts.append(own)
            bodies.append(place(one.body))
        first = shown[0]
        _, bones, owner = sticks(first.pose.joints, first.pose.rotations, first.pose.scale)
        colored = all(one.colors is not None for one in shown)
        many = len(shown) > 1
        scan = Subject("scan" if many else names[0], "scan", _frames(names, clouds))
        if colored:
            scan.colors = np.concatenate([one.colors for one in shown if one.colors is not None])
        scan.note = "points taken for the body" + (", some of them" if many else "")
        skeleton = Subject("pose", "target", _frames(names, skeletons), bones)
        skeleton.colors = np.concatenate(doubts)
        skeleton.note = "blue is sure, red is not"
        body = Subject("body", "result", _frames(names, bodies), model.faces.numpy())
        body.colors = palette(
            SCALAR_COLORS, np.concatenate([one.distance for one in shown]) / FARTHEST
        )
        body.note = "blue is near the scan"
        subjects = [scan, skeleton, body]
        for subject in subjects:
            subject.apart, subject.family, subject.begin = True, 1, 0.0
            subject.metre = first.metre
        weights = model.weights.double().numpy()
        sure = Layer("confidence of each joint", "", ends=(1.0, 0.0))
        sure.values[1] = np.concatenate([one.pose.confidence[owner] for one in shown])
        sure.values[2] = np.concatenate([weights @ one.pose.confidence for one in shown])
        far = Layer("distance between scan and body", "mm", ends=(0.0, FARTHEST))
        far.values[0] = np.concatenate([one.off for one in shown])
        far.values[2] = np.concatenate([one.distance for one in shown])
        facts = facts_of_confidence([one.pose.overall for one in shown])
        if many:
            facts.append(Fact("scans", f"{len(shown)} of {self.count}"))
        title = f"{names[0]} … {names[-1]}" if many else names[0]
        view = View(f"The pose of {title}", subjects, [sure, far], facts, [*warnings])
        if many:
            level = np.stack(
                [place(one.pose.joints[:1])[0] for place, one in zip(places, shown, strict=True)]
            )
            view.seconds, view.way = seconds, (level - level[0]) * [1.0, 0.0, 1.0]
            view.far = float(np.ptp(view.way, axis=0).max()) > FAR * first.metre
        return view

    def _places(self) -> list[_Place]:
        """What takes each scan's frame to the page's: that of the first one, upright.

        Place and heading stay, unless the scans are far from each other.
        """
        poses, first = [one.pose for one in self.shown], self.shown[0]
        ratios = to_first_unit(poses)
        face = first.upright @ first.pose.turn.T
        turns = [r * face @ pose.turn for r, pose in zip(ratios, poses, strict=True)]
        roots = np.stack([t @ pose.joints[0] for t, pose in zip(turns, poses, strict=True)])
        level = roots * [1.0, 0.0, 1.0]
        if np.ptp(level, axis=0).max() <= APART * first.metre:
            level = np.tile(level[:1], (len(level), 1))
        return [_Place(turn, shift) for turn, shift in zip(turns, level, strict=True)]


@dataclass
class _Place:
    """From a scan's frame to the page's."""

    turn: Floats
    shift: Floats

    def __call__(self, points: Floats) -> Floats:
        placed: Floats = points @ self.turn.T - self.shift
        return placed


def _frames(names: list[str], points: list[Floats]) -> list[Frame]:
    return [Frame(name, at) for name, at in zip(names, points, strict=True)]
