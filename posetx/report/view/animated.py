"""The page of an animation: the target in motion, and beside or over it what the motion is of.

That are the scans, each where the target's pelvis is in its frame, or the skeleton of a clip. A
target that is moved by a new skeleton is one set of vertices that the page itself skins, so that
a frame costs a kilobyte; one that plays on its own skeleton has its vertices frame by frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from posetx.arrays import Floats, Indices
from posetx.bodies.skeleton import LEG_BONES
from posetx.cleaning.measured import measured_points
from posetx.files.scans import read_scan
from posetx.files.targets.gltf_skeleton import strongest
from posetx.geometry.axes import axis, upright
from posetx.geometry.triangles import distance_to_mesh
from posetx.pipeline.results import body_model
from posetx.report.posed import sticks
from posetx.report.view.files import subject_of_target
from posetx.report.view.page import write_page
from posetx.report.view.subject import Fact, Frame, Layer, Skin, Subject, View
from posetx.report.view.transfer import ADULT_MM, facts_of_confidence, metre_of

if TYPE_CHECKING:
    from posetx.files.scans import Scan
    from posetx.pipeline.animated import Animated
    from posetx.pipeline.motion import Motion
    from posetx.pipeline.sequence import Frame as ScanFrame
    from posetx.reading.start import Start

#: Moments of a page, at most: of a skeleton 3 MB; of scans 2,000 points each.
MOST_MOMENTS, MOST_SCANS = 2_000, 150

#: Points of all scans together, and of one, at most.
MOST_POINTS, EACH = 300_000, 8_000

#: Vertices of all moments together of a target that plays on its own skeleton: 8 MB.
MOST_VERTICES = 1_000_000

#: Who goes farther than this, in metres of an adult, is followed.
FAR = 0.7

#: What is farther from the body that was fitted, in metres of it, is not shown.
REACH = 0.25


def write_animated_view(
    path: Path,
    animated: Animated,
    scans: Sequence[ScanFrame] = (),
    name: str = "result",
    warnings: Sequence[str] = (),
) -> int:
    """Write the page of an animation, whole or not at all; returns its bytes.

    ``scans`` are the frames that its motion is of, none of a clip; ``name`` is what the result is
    called. Raises PosetxError where a scan can no longer be read, or the page cannot be written.
    """
    return write_page(path, view_of_animated(animated, scans, name, warnings))


def view_of_animated(
    animated: Animated,
    scans: Sequence[ScanFrame] = (),
    name: str = "result",
    warnings: Sequence[str] = (),
) -> View:
    """What that page shows."""
    told, motion, ready = list(warnings), animated.motion, animated.animator.ready
    layers: list[Layer] = []
    if scans:
        cloud, off, sure = _scans(animated, scans)
        layers.append(Layer("distance to the fitted body", ADULT_MM, {0: off}, ends=(0.0, 50.0)))
        if sure is not None:
            layers.append(Layer("confidence of each joint", "", {0: sure}, ends=(1.0, 0.0)))
    else:
        cloud = _skeleton(animated)
    target = _character(animated, told)
    target.name = name
    for subject in (cloud, target):
        subject.family, subject.rotation, subject.begin = 1, ready.rotation, 0.0
        subject.metre = metre_of(ready)
    seconds = len(motion) / motion.fps
    facts = facts_of_confidence([frame.confidence for frame in scans])
    facts.append(Fact("motion", f"{len(motion)} frames, {seconds:.1f} s"))
    gaps = sum(frame.body is None for frame in scans)
    if gaps:
        facts.append(Fact("filled from others", f"{gaps} frames", "doubtful"))
    title = f"{animated.name} on {ready.target.path.name}"
    view = View(title, [cloud, target], layers, facts, told, seconds=seconds)
    level = animated.track.places[spread(len(motion), MOST_MOMENTS), 0] * [1.0, 0.0, 1.0]
    view.way = ready.frame.unit * (level - level[0]) @ ready.rotation
    view.far = float(np.ptp(view.way, axis=0).max()) > FAR * metre_of(ready)
    return view


def spread(count: int, most: int) -> Indices:
    """At most so many of ``count`` moments, evenly, the first and the last of them."""
    return np.unique(np.linspace(0, count - 1, max(min(count, most), 1)).round().astype(int))


def _names(motion: Motion, frames: Indices) -> list[str]:
    return [f"{frame / motion.fps:.2f} s" for frame in frames]


def _character(animated: Animated, told: list[str]) -> Subject:
    """The target in all frames that are shown."""
    ready, motion = animated.animator.ready, animated.motion
    subject = subject_of_target(ready.target, told, "result")
    rest = ready.target.vertices
    if animated.rig is not None:
        frames = spread(len(motion), MOST_VERTICES // len(rest))
        names = _names(motion, frames)
        every = zip(names, frames.tolist(), strict=True)
        subject.frames = [Frame(name, animated.vertices(frame)) for name, frame in every]
        subject.note = "by its own skeleton"
        if len(frames) < len(motion):
            subject.note += f", {len(frames)} of the frames"
        return subject
    frames = spread(len(motion), MOST_MOMENTS)
    maps = animated.animator.maps(animated.track)[frames]
    still = np.broadcast_to(np.eye(3, 4), (len(frames), 1, 3, 4))
    joints, shares = strongest(animated.animator.weights)
    maps = np.concatenate([still, maps], axis=1)
    subject.skin = Skin(joints, shares.astype(float), maps, _names(motion, frames))
    return subject


def _skeleton(animated: Animated) -> Subject:
    """The joints that the clip moves, as sticks, where the target's are."""
    animator, motion, model = animated.animator, animated.motion, body_model()
    ready = animator.ready
    neutral = model.joint_template.double().numpy()
    bones = neutral[[end for _, end in LEG_BONES]] - neutral[[start for start, _ in LEG_BONES]]
    scale = 2 * animator.legs / np.linalg.norm(bones, axis=1).sum()
    points, faces, owner = sticks(animator.joints, animator.rest, scale)
    frames = spread(len(motion), MOST_MOMENTS)
    joints = np.zeros((len(points), 4), np.uint8)
    joints[:, 0] = owner
    shares = np.tile([1.0, 0.0, 0.0, 0.0], (len(points), 1))
    maps = animator.maps(animated.track)[frames]
    placed = ready.frame.from_normal(points @ ready.rotation)
    skin = Skin(joints, shares, maps, _names(motion, frames))
    name = "skeleton"
    return Subject(name, "scan", [Frame(name, placed)], faces, skin=skin)


def _scans(animated: Animated, scans: Sequence[ScanFrame]) -> tuple[Subject, Floats, Floats | None]:
    """The scans about the bodies fitted to them; of their points how far they are off these.

    That is in mm of an adult. The last is how sure the joints are that move the body next to each,
    None where a frame does not say it.

    Each scan is put where the target's pelvis is in its frame, as large as the target.
    """
    there = [index for index, frame in enumerate(scans) if frame.body is not None]
    there = [there[place] for place in spread(len(there), MOST_SCANS)]
    animator, track, ready = animated.animator, animated.track, animated.animator.ready
    ratio = animator.legs / animated.motion.legs
    face = _heading(animated.motion, scans)
    most = min(MOST_POINTS // len(there), EACH)
    frames, colors, off, joints = list[Frame](), [], [], []
    for index in there:
        frame = scans[index]
        body = frame.body
        assert body is not None
        scan = read_scan(frame.scan)
        points, kept, away, weights = _about(scan, body, most)
        if frame.joints is not None:
            joints.append(weights @ frame.joints)
        turn = face @ upright(axis(body.up, "up"))
        placed = ratio * (points - body.root) @ turn.T + track.places[index, 0]
        sure = "" if frame.confidence is None else f", confidence {frame.confidence:.2f}"
        place = ready.frame.from_normal(placed @ ready.rotation)
        frames.append(Frame(f"{frame.scan.name}{sure}", place))
        if scan.colors is not None:
            colors.append(scan.colors[kept])
        off.append(1000 * away / body.scale)
    subject = Subject("scans", "scan", frames, apart=True)
    subject.times = [index / max(len(animated.motion) - 1, 1) for index in there]
    subject.note = f"{len(there)} of {len(scans)}" if len(there) < len(scans) else ""
    if len(colors) == len(frames):
        subject.colors = np.concatenate(colors)
    known = len(joints) == len(frames)
    return subject, np.concatenate(off), np.concatenate(joints) if known else None


def _about(scan: Scan, body: Start, most: int) -> tuple[Floats, Indices, Floats, Floats]:
    """Some of a scan's points (k, 3) near a body, which of its own they are, how far they are.

    And the skinning weights (k, 19) of the body next to them.
    """
    model = body_model()
    vertices = body.fitted(model).vertices(model, body.rotations, body.turn)
    points, kept = measured_points(scan)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    reach = REACH * body.scale
    near = ((points > low - reach) & (points < high + reach)).all(axis=1)
    some = np.random.default_rng(0).permutation(np.flatnonzero(near if near.any() else ~near))
    some = some[:most]
    away = distance_to_mesh(points[some], vertices, model.faces.numpy())
    close = away < max(
        reach, away.min() + reach
    )  # all may be, of a file that is another one by now
    there = some[close]
    nearest = cKDTree(vertices).query(points[there])[1]
    weights = model.weights.double().numpy()[nearest]
    return points[there], kept[there], away[close], weights


def _heading(motion: Motion, scans: Sequence[ScanFrame]) -> Floats:
    """The turn (3, 3) about y that takes the scans, upright, to the motion."""
    cosine = sine = 0.0
    for frame, turned in zip(scans, motion.rotations[:, 0], strict=False):
        if frame.body is not None:
            own = upright(axis(frame.body.up, "up")) @ frame.body.rotations[0]
            both = turned @ own.T
            cosine, sine = cosine + both[0, 0] + both[2, 2], sine + both[0, 2] - both[2, 0]
    size = float(np.hypot(cosine, sine)) or 1.0
    c, s = cosine / size, sine / size
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
