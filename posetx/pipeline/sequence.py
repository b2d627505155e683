"""Scans that are the frames of one motion: the body is known once, and followed from then on.

A few frames are read from scratch, as single scans are, and the body's shape and size is the mean
of theirs. Each frame then begins where the last one ended. Where that explains a scan much worse
than those before, it is read from scratch, too; what is then still no pose is a gap, which the
frames about it fill.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from posetx.arrays import Floats
from posetx.bodies.body import BodyModel
from posetx.bodies.skeleton import LEG_BONES
from posetx.errors import FieldError, PosetxError
from posetx.files.scans import Scan, read_scan
from posetx.geometry.axes import axis, upright
from posetx.pipeline.measured import Measured, measured
from posetx.pipeline.motion import Motion
from posetx.pipeline.options import Options
from posetx.pipeline.pipeline import Pipeline
from posetx.pipeline.results import Reading
from posetx.reading.start import Start

#: frames that the body's shape is the mean of
ANCHORS = 3
#: a frame is read from scratch too where its misfit is so many times the median of the last ones,
#: and is so much more
WORSE, MORE, RECENT = 1.25, 0.02, 7
#: what is read from scratch is taken where its misfit is at most this share
BETTER = 0.95
#: a frame with this many times the median misfit, and less than this confidence, is a gap
LOST, DOUBTFUL = 1.6, 0.5


@dataclass(frozen=True)
class Frame:
    """What became of one scan: where the body is, or an ``error`` and nothing.

    ``joints`` (19,) is how likely each joint is right.
    """

    scan: Path
    body: Start | None = None
    confidence: float | None = None
    misfit: float | None = None
    restarted: bool = False
    error: str | None = None
    joints: Floats | None = None


class Follower:
    """Reads the scans of a sequence in turn.

    ``explain`` makes a line of what is wrong with one, ``load`` reads its file.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        options: Options,
        explain: Callable[[Exception], str] = str,
        load: Callable[[Path], Scan] = read_scan,
    ):
        self.pipeline, self.options, self.explain, self.load = pipeline, options, explain, load
        self.body: Start | None = None  # its shape and size are the body's
        self.last: Start | None = None
        self.misfits: list[float] = []
        self.anchors: dict[Path, Reading] = {}

    def know(self, scans: Sequence[Path], on_scan: Callable[[], None] = lambda: None) -> None:
        """Learn the body's shape and size from up to ANCHORS of the scans, evenly spread.

        One that is much less likely right than another has no say. Raises PosetxError where none of
        them shows a body.
        """
        picked = np.unique(np.linspace(0, len(scans) - 1, ANCHORS).round().astype(int))
        found: list[Reading] = []
        error: Exception | None = None
        for index in picked:
            try:
                found.append(self._anew(self.load(scans[index])))
            except PosetxError as problem:
                error = problem
            else:
                self.anchors[scans[index]] = found[-1]
                self.body = self.body or found[0].start  # which says what is up
            on_scan()
        if not found:
            raise error or PosetxError("no scans")
        sure = [1.0 if r.confidence is None else r.confidence for r in found]
        good = [r for r, s in zip(found, sure, strict=True) if s >= DOUBTFUL * max(sure)]
        shapes = np.mean([reading.fitted.shape for reading in good], axis=0)
        scale = float(np.exp(np.mean([np.log(reading.fitted.scale) for reading in good])))
        self.body = replace(good[0].start, shape=shapes, scale=scale)
        self.misfits = [r.misfit for r in good if r.misfit is not None]

    def frames(self, scans: Sequence[Path]) -> Iterator[Frame]:
        """A frame of each scan, in turn; the next scan is cleaned meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            ahead: Future[tuple[Scan, Measured]] | None = None
            for index, scan in enumerate(scans):
                mine = ahead or pool.submit(self._look, scan)
                later = scans[index + 1 : index + 2]
                ahead = pool.submit(self._look, later[0]) if later else None
                yield self._frame(scan, mine)

    def go_on(self, frame: Frame) -> None:
        """Begin the next frame where this one, of an earlier run, ended."""
        if frame.body is not None:
            self.last, self.body = frame.body, self.body or frame.body
            self.misfits += [frame.misfit] if frame.misfit is not None else []

    def _look(self, path: Path) -> tuple[Scan, Measured]:
        scan = self.load(path)
        return scan, measured(scan, self.options.clean)

    def _frame(self, path: Path, ahead: Future[tuple[Scan, Measured]]) -> Frame:
        try:
            scan, seen = ahead.result()
            reading, restarted = self._read(scan, seen)
        except Exception as error:
            return Frame(path, error=self.explain(error))
        sure, misfit = reading.confidence, reading.misfit
        usual = self._usual()
        if misfit is not None and misfit > LOST * usual and (sure or 0.0) < DOUBTFUL:
            what = f"{misfit / usual:.1f} times as far from the body as the frames before"
            return Frame(path, None, sure, misfit, restarted, f"{path}: {what}")
        if misfit is not None:
            self.misfits.append(misfit)
        self.last = reading.start
        self.body = self.body or self.last
        joints = reading.pose.confidence
        return Frame(path, self.last, sure, misfit, restarted, joints=joints)

    def _read(self, scan: Scan, seen: Measured) -> tuple[Reading, bool]:
        """The frame, and whether it was begun from scratch."""
        body = self.body
        if not self.options.refine or body is None:
            return self._anew(scan, seen), False
        last = self.last
        if last is None:
            anew = self._anew(scan, seen).start
            last = replace(anew, shape=body.shape, scale=body.scale)
        reading = self.pipeline.read(scan, start=last, seen=seen)
        usual = self._usual()
        assert reading.misfit is not None  # as a body was fitted
        if reading.misfit < max(WORSE * usual, usual + MORE):
            return reading, self.last is None
        anew = self._anew(scan, seen).start
        start = replace(anew, shape=body.shape, scale=body.scale)
        other = self.pipeline.read(scan, start=start, seen=seen)
        assert other.misfit is not None
        return (other, True) if other.misfit < BETTER * reading.misfit else (reading, False)

    def _anew(self, scan: Scan, seen: Measured | None = None) -> Reading:
        """A scan read by itself; what is up is known from the first one on."""
        if scan.path in self.anchors:
            return self.anchors[scan.path]
        o = self.options
        up = o.up if self.body is None else self.body.up
        return self.pipeline.read(scan, up, o.front, o.clean, o.refine, seen=seen)

    def _usual(self) -> float:
        """The median misfit of the last frames."""
        return float(np.median(self.misfits[-RECENT:])) if self.misfits else np.inf


def motion_of(body: BodyModel, frames: Sequence[Frame], fps: float) -> Motion:
    """The motion that frames show, y up, in the unit of their scans.

    Frames without a body are filled: turned evenly from the one before to the one after. Raises
    PosetxError where none has one.
    """
    there = [index for index, frame in enumerate(frames) if frame.body is not None]
    bodies = [frame.body for frame in frames if frame.body is not None]
    if not bodies:
        raise PosetxError(f"{frames[0].scan}: no body in this scan, nor in any other of the clip")
    turn = upright(axis(bodies[0].up, "up"))
    rotations = turn @ np.stack([b.rotations for b in bodies])
    roots = np.stack([b.root for b in bodies]) @ turn.T
    every = np.arange(len(frames))
    rotations, roots = _filled(every, np.array(there), rotations, roots)
    legs = bodies[0].scale * _legs(body, bodies[0].shape)
    return Motion(rotations, roots, legs, fps)


def _filled(
    every: np.ndarray, there: np.ndarray, rotations: Floats, roots: Floats
) -> tuple[Floats, Floats]:
    """Rotations and roots of ``every`` frame, from those that are ``there``."""
    if len(there) == 1:
        return rotations.repeat(len(every), 0), roots.repeat(len(every), 0)
    inside = every.clip(there[0], there[-1])
    filled = np.empty((len(every), *rotations.shape[1:]))
    for joint in range(rotations.shape[1]):
        turns = Slerp(there, Rotation.from_matrix(rotations[:, joint]))
        filled[:, joint] = turns(inside).as_matrix()
    places = np.stack([np.interp(every, there, roots[:, i]) for i in range(3)], axis=1)
    return filled, places


def _legs(body: BodyModel, shape: Floats) -> float:
    """Mean length of the legs of a shape (S,), hip to ankle, in metres."""
    components = body.joint_components[: len(shape)].double().numpy()
    joints = body.joint_template.double().numpy() + np.tensordot(shape, components, 1)
    bones = [joints[end] - joints[start] for start, end in LEG_BONES]
    return float(np.linalg.norm(bones, axis=1).sum()) / 2


def check_smooth(smooth: float) -> None:
    """Raises FieldError for an impossible window."""
    if not 0 <= smooth <= 10:
        raise FieldError("smooth", smooth, "give seconds from 0, which is not at all, to 10")
