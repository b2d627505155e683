"""The whole product on one page: read, clean, orient, predict, restore, place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from posetx.arrays import Floats, Indices
from posetx.bodies.body import BodyModel
from posetx.cleaning.measured import check_measured, clean_measured, measured_points, stages_table
from posetx.errors import PosetxError
from posetx.files.scans import Scan
from posetx.files.targets import Target
from posetx.geometry.mesh import area_centroid, edge_distortion, flipped_share
from posetx.geometry.restore import restore_detail
from posetx.geometry.sampling import sample_surface
from posetx.models.checkpoint import load_model
from posetx.models.predictor import IdentityFrame, Predictor, pose_sample
from posetx.pipeline.confidence import confidence
from posetx.reading.floor import lies_on
from posetx.reading.orient import (
    Orientation,
    axis,
    check_axes,
    distance_to_prediction,
    orient,
    upright,
)
from posetx.reading.reader import PoseReader
from posetx.target.prepared import Prepared, TargetFit, give, prepared

#: points of a target's surface that its own orientation is found from
TARGET_SAMPLES = 4096
#: characters mostly face where their format's programs have the front: see `orient`
HABIT = 0.9
#: below this the result comes with a warning
DOUBTFUL = 0.5
#: a target that lies farther than this from what the model makes of it comes with a warning; a
#: hat or a skirt takes a character far from any bare body (the example's: 0.028, a cat: 0.040)
UNLIKE = 0.035


@dataclass
class Options:
    """What a user can set. Axes are "x", "-z", ... or "auto".

    ``refine`` fits the network's pose to the scan, ``restore`` brings the target's detail back.
    """

    up: str = "auto"
    front: str = "auto"
    target_up: str = "auto"
    target_front: str = "auto"
    heading: str = "target"
    clean: bool = True
    refine: bool = True
    restore: bool = True


@dataclass
class Transfer:
    """One finished transfer.

    ``vertices`` (n, 3) are in the target file's frame. ``scan_upright`` and the rotations are
    what a picture needs: y up, front +z (with the scan's heading, as the scan stands).
    """

    vertices: Floats
    report: dict[str, Any]
    scan_upright: Floats
    scan_kept: Indices
    target_rotation: Floats
    warnings: list[str] = field(default_factory=list)


@dataclass
class Stand:
    """A target as the model takes it, and the way back to its file's frame."""

    target: Target
    up: str
    rotation: Floats  # (3, 3) from the file's axes to upright, facing +z
    distance: float  # see Orientation
    frame: IdentityFrame
    ready: Prepared

    def to_file(self, vertices: Floats) -> Floats:
        """Vertices (n, 3) of the normalised frame in the file's."""
        return self.frame.from_normal(vertices @ self.rotation)


class Transferrer:
    """A loaded model, ready to move any number of scans onto any number of targets."""

    def __init__(self, model: str = "posemae", device: torch.device | None = None):
        self.device = device or torch.device("cpu")
        network, self.card = load_model(model, self.device)
        self.predictor = Predictor(network, self.device)
        self.body = BodyModel.load()
        self.swift = PoseReader(self.predictor, self.body, refine=False)
        self._last: tuple[tuple[str, str, bool], Stand] | None = None

    @cached_property
    def thorough(self) -> PoseReader:
        return PoseReader(self.predictor, self.body)

    @cached_property
    def targets(self) -> TargetFit:
        return TargetFit(self.predictor, self.body.to(self.device))

    def transfer(
        self,
        scan: Scan,
        target: Target,
        options: Options | None = None,
        on_stage: Callable[[str], None] = lambda name: None,
    ) -> Transfer:
        """Pose ``target`` like ``scan``.

        ``on_stage`` hears the name of each stage as it begins. Raises PosetxError when there is
        no body in the scan or no surface in the target, UsageError for impossible options.
        """
        options = options or Options()
        check_axes(options.up, options.front)
        check_axes(options.target_up, options.target_front, "--target-")
        seconds: dict[str, float] = {}

        @contextmanager
        def stage(name: str) -> Iterator[None]:
            on_stage(name)
            start = time.perf_counter()
            yield
            seconds[name] = round(time.perf_counter() - start, 3)

        warnings = [*scan.notes, *target.notes]
        with stage("target"):
            stand = self.stand(target, options)
            normal = stand.ready.vertices
        with stage("clean"):
            points, kept, stages, notes, up = self._clean(scan, options)
            warnings += notes
        reader = self.thorough if options.refine else self.swift
        read = reader.read(points, up, options.front, options.clean, stage)
        found = read.orientation
        if not read.of_body.all():
            left = int(read.of_body.sum())
            why = "far from the fitted body: furniture, or something held"
            stages.append({"stage": "fit", "in": len(points), "out": left, "why": why})
            points, kept = points[read.of_body], kept[read.of_body]
        with stage("give"):
            predicted = give(self.predictor, read.code, stand.ready)
        vertices, flipped = predicted, None
        if options.restore:
            with stage("restore"):
                restored = restore_detail(normal, target.faces, predicted)
                vertices = restored.vertices
                warnings += restored.notes
        with stage("measure"):
            edges = edge_distortion(normal, target.faces, vertices)
            flipped = flipped_share(normal, target.faces, vertices)

        shown = _shown(found, options.heading)
        vertices = vertices @ (found.rotation @ shown.T)
        vertices = _placed(vertices, normal, target.faces)
        vertices = stand.to_file(vertices)
        trust = confidence(self.card, read.distance, read.missed)
        if trust is not None and trust < DOUBTFUL:
            warnings.append(
                f"low confidence ({trust:.2f}): the pose is likely wrong somewhere, or this is no "
                "person; look at the result, try --up and --front, or crop the scan"
            )
        if stand.distance > UNLIKE:
            warnings.append(
                "the target does not look like a person: the result may be of no use; if it is "
                "one, try --target-up and --target-front"
            )
        report = {
            "scan": str(scan.path),
            "target": str(target.path),
            "points_in": len(scan.points),
            "points_used": len(points),
            "cleaning": stages,
            "scan_up": found.up,
            "scan_rotation": found.rotation,
            "fit_distance": read.distance,
            "orientation_margin": found.margin,
            "target_up": stand.up,
            "target_rotation": stand.rotation,
            "target_distance": stand.distance,
            "vertices": len(vertices),
            "edge_distortion": edges,
            "flipped_triangles": flipped,
            "confidence": trust,
            "seconds": seconds,
        }
        return Transfer(vertices, report, points @ shown.T, kept, stand.rotation, warnings)

    def _clean(self, scan: Scan, options: Options):
        points, origin = measured_points(scan)
        if not options.clean:
            check_measured(scan, points)
            return points, origin, [], [], options.up
        cleaned = clean_measured(scan, points)
        stages, notes, up = stages_table(cleaned.stages), list(cleaned.notes), options.up
        if up == "auto" and options.front == "auto":
            up = lies_on(cleaned.points, cleaned.planes) or up
            if up != "auto":
                notes.append(f"the person lies on something, so {up} is up; use --up if not")
        return cleaned.points, origin[cleaned.index], stages, notes, up

    def stand(self, target: Target, options: Options) -> Stand:
        """How a target stands, and what decoding it takes; the last one's is kept for the next."""
        wanted = (options.target_up, options.target_front, options.refine)
        if self._last is None or self._last[1].target is not target or self._last[0] != wanted:
            self._last = wanted, self._stand(target, options)
        return self._last[1]

    def _stand(self, target: Target, options: Options) -> Stand:
        try:
            frame = IdentityFrame.of(target.vertices, target.faces)
            surface, _, _ = sample_surface(target.vertices, target.faces, TARGET_SAMPLES)
        except (ValueError, PosetxError) as error:
            raise PosetxError(f"{target.path}: {error}") from None
        sample = pose_sample(surface, self.predictor.model.config.pose_points)
        up, front = options.target_up, options.target_front
        found = orient(
            self.predictor,
            self.swift.neutral,
            sample,
            up,
            front,
            headings=4,
            refine=False,
            habit=HABIT,
        )
        distance = found.distance
        if options.refine and found.rivals:
            found, _ = self.thorough.settled(sample, found)
            distance = distance_to_prediction(
                self.predictor, self.swift.neutral, sample, found.rotation
            )
        normal = frame.to_normal(target.vertices) @ found.rotation.T
        fit = self.targets if options.refine else None
        ready = prepared(self.predictor, fit, normal, target.faces)
        return Stand(target, found.up, found.rotation, distance, frame, ready)


def _shown(found: Orientation, heading: str) -> Floats:
    """The turn (3, 3) of a scan that has y up, as it stands or with the body to the front."""
    if heading == "scan":
        return upright(axis(found.up, "--up"))
    return found.tilt @ found.rotation


def _placed(vertices: Floats, rest: Floats, faces: Indices) -> Floats:
    """Moved so that it stands where the target stood: same ground, same middle from above."""
    used = np.unique(faces)
    shift = area_centroid(rest, faces) - area_centroid(vertices, faces)
    shift[1] = rest[used, 1].min() - vertices[used, 1].min()
    return vertices + shift
