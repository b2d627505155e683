"""The whole product on one page: a target made ready, a scan read, the pose given.

ready = pipeline.prepare(target)         once a target
reading = pipeline.read(scan)            once a scan
result = pipeline.give(reading, ready)   any reading to any target
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch

from posetx.arrays import Floats, Indices
from posetx.bodies.body import BodyModel
from posetx.errors import PosetxError
from posetx.files.scans import Scan
from posetx.files.targets import Target
from posetx.geometry.axes import axis, check_axes, upright
from posetx.geometry.mesh import area_centroid, edge_distortion, flipped_share
from posetx.geometry.restore import restore_detail
from posetx.models.checkpoint import load_model
from posetx.models.predictor import Predictor
from posetx.pipeline.confidence import check_curves, confidence, doubts
from posetx.pipeline.measured import Measured, measured
from posetx.pipeline.options import Heading, Options
from posetx.pipeline.results import Reading, Report, Transfer
from posetx.pipeline.stages import OnStage, Stages, unheard
from posetx.reading.floor import lies_on
from posetx.reading.orient import Orientation
from posetx.reading.reader import PoseReader
from posetx.reading.start import Start
from posetx.system.paths import find_model
from posetx.target.prepared import TargetFit, give
from posetx.target.ready import ReadyTarget, ready_target
from posetx.target.skeleton import by_skeleton
from posetx.target.skeleton import doubts as far_from

#: a target that lies farther than this from what the model makes of it comes with a warning; a
#: hat or a skirt takes a character far from any bare body (the example's: 0.028, a cat: 0.040)
UNLIKE = 0.035
#: ... where a body was fitted to it, one with more than this, times the share of that body that is
#: far from it: 11 of 28 `characters` are UNLIKE, of these one has more; a cat has 0.0017. (With the
#: weights before it had 0.0037, and a dog, a stool, a table, a pillar, a ball and a cube 0.0024 to
#: 0.05.)
UNEXPLAINED = 0.00165


class Pipeline:
    """A loaded 3D-PoseMAE, ready to move any number of scans onto any number of targets.

    ``card`` is the model's, whose curve makes the confidence.
    """

    def __init__(self, predictor: Predictor, card: Mapping[str, Any] | None = None):
        self.predictor, self.card = predictor, dict(card or {})
        self.device = predictor.device
        self.body = BodyModel.load()
        self.swift = PoseReader(predictor, self.body, refine=False)

    @classmethod
    def load(cls, model: str = "posemae", device: torch.device | None = None) -> Pipeline:
        """The pipeline of a model by name or path. Raises as :func:`load_model`."""
        device = device or torch.device("cpu")
        network, card = load_model(model, device)
        try:
            check_curves(card)
        except ValueError as error:
            path = find_model(model).with_suffix(".json")
            raise PosetxError(f"{path}: a damaged card ({error}); calibrate the model") from None
        return cls(Predictor(network, device), card)

    @cached_property
    def thorough(self) -> PoseReader:
        """The reader that also fits a body."""
        return PoseReader(self.predictor, self.body)

    @cached_property
    def targets(self) -> TargetFit:
        """What fits a body to targets."""
        return TargetFit(self.predictor, self.body.to(self.device))

    def prepare(
        self,
        target: Target,
        up: str = "auto",
        front: str = "auto",
        refine: bool = True,
        on_stage: OnStage = unheard,
    ) -> ReadyTarget:
        """Make a target ready: which way it stands, its own pose, its parts.

        ``refine`` fits a body to it. Raises PosetxError for a surface without area, UsageError
        for impossible axes.
        """
        stages = Stages(on_stage)
        with stages("target"):
            thorough, fit = (self.thorough, self.targets) if refine else (None, None)
            ready = ready_target(self.swift, thorough, fit, target, up, front)
        ready.seconds = stages.seconds
        return ready

    def read(
        self,
        scan: Scan,
        up: str = "auto",
        front: str = "auto",
        clean: bool = True,
        refine: bool = True,
        on_stage: OnStage = unheard,
        start: Start | None = None,
        seen: Measured | None = None,
    ) -> Reading:
        """Read the pose that a scan shows.

        ``clean`` takes out what is no body, ``refine`` fits a body to the rest. With a ``start``
        the body is known, and was there a moment ago: axes and ``refine`` have no say. ``seen`` is
        what :func:`measured` made of the scan, if that is done. Raises PosetxError where there is
        no body in the scan, UsageError for impossible axes.
        """
        check_axes(up, front)
        stages = Stages(on_stage)
        with stages("clean"):
            seen = seen or measured(scan, clean)
        if start is not None:
            read = self.thorough.follow(seen.points, start, stages)
        else:
            reader = self.thorough if refine else self.swift
            tried = [(seen, _up(seen, up, front))]

            def others(first: Measured) -> Iterator[tuple[Floats, str]]:
                for other in first.others:
                    tried.append((other, _up(other, up, front)))
                    yield other.points, tried[-1][1]

            read = reader.read(seen.points, tried[0][1], front, clean, stages, others(seen))
            seen, found_up = tried[read.chosen]
            seen.notes += _choices(read.chosen, None if found_up == up else found_up)
        points, kept, cleaning, notes = seen.points, seen.kept, seen.cleaning, seen.notes
        if not read.of_body.all():
            left = int(read.of_body.sum())
            why = "far from the fitted body: furniture, or something held"
            cleaning.append({"stage": "fit", "in": len(points), "out": left, "why": why})
            points, kept = points[read.of_body], kept[read.of_body]
        trust = confidence(self.card, read.distance, read.missed)
        return Reading(
            scan, points, kept, seen.count, cleaning, read.orientation, read.samples, read.code,
            read.joints, read.rotations, read.fitted, read.distance, read.metre, read.missed,
            read.noise, trust, notes, stages.seconds, read.misfit,
        )  # fmt: skip

    def give(
        self,
        reading: Reading,
        ready: ReadyTarget,
        heading: Heading = "target",
        restore: bool = True,
        bake: bool = False,
        on_stage: OnStage = unheard,
    ) -> Transfer:
        """Give the pose that was read to a target; the result stands where the target stood.

        A target with a skeleton of its own takes the pose by that, unless ``bake``.
        """
        stages, target = Stages(on_stage), ready.target
        normal, faces = ready.ready.vertices, ready.faces
        warnings = [*reading.scan.notes, *target.notes, *ready.notes, *reading.notes]
        with stages("give"):
            predicted = give(self.predictor, reading.code, ready.ready, reading.noise)
            predicted[~ready.moves] = normal[~ready.moves]
        vertices, restored = predicted, None
        if restore:
            with stages("restore"):
                done = restore_detail(normal, faces, predicted, kept=ready.kept)
                vertices = restored = done.vertices
                warnings += done.notes
        found = reading.orientation
        shown = _shown(found, heading)
        vertices = vertices @ (found.rotation @ shown.T)
        vertices = ready.to_file(_placed(vertices, normal, faces))
        posed = None
        if not bake:
            with stages("skeleton"):
                if ready.rig is not None:
                    posed = by_skeleton(ready, ready.rig, vertices)
                    warnings += far_from(posed.report)
                elif ready.no_rig:
                    warnings.append(f"its vertices are moved, not its joints: {ready.no_rig}")
        if posed is not None:
            vertices = posed.vertices
        with stages("measure"):
            edges = edge_distortion(target.vertices, faces, vertices)
            flipped = flipped_share(target.vertices, faces, vertices)
        report = Report(
            scan=str(reading.scan.path),
            target=str(target.path),
            points_in=len(reading.scan.points),
            points_measured=reading.measured,
            points_used=len(reading.points),
            cleaning=reading.cleaning,
            scan_up=found.up,
            scan_rotation=found.rotation,
            scan_metre=reading.metre,
            fit_distance=reading.distance,
            orientation_margin=found.margin,
            target_up=ready.up,
            target_rotation=ready.rotation,
            target_distance=ready.distance,
            vertices=len(vertices),
            edge_distortion=edges,
            flipped_triangles=flipped,
            skeleton=None if posed is None else posed.report,
            confidence=reading.confidence,
            seconds={**ready.seconds, **reading.seconds, **stages.seconds},
        )
        warnings += _doubts(reading, ready)
        upright_points = reading.points @ shown.T
        return Transfer(
            reading, ready, vertices, predicted, restored, upright_points, shown, report, warnings,
            posed,
        )  # fmt: skip

    def transfer(
        self,
        scan: Scan,
        target: Target,
        options: Options | None = None,
        on_stage: OnStage = unheard,
    ) -> Transfer:
        """Pose ``target`` like ``scan``: prepare, read and give in one.

        ``on_stage`` hears the name of each stage as it begins, those of :meth:`Options.stages`.
        Raises PosetxError when there is no body in the scan or no surface in the target,
        UsageError for impossible options.
        """
        o = options or Options()
        o.check()
        ready = self.prepare(target, o.target_up, o.target_front, o.refine, on_stage)
        reading = self.read(scan, o.up, o.front, o.clean, o.refine, on_stage)
        return self.give(reading, ready, o.heading, o.restore, o.bake, on_stage)


def _up(seen: Measured, up: str, front: str) -> str:
    """The axis that is up: as asked for, or of somebody who lies on something that of the floor."""
    return lies_on(seen.points, seen.planes) or up if up == front == "auto" else up


def _choices(chosen: int, lying: str | None) -> list[str]:
    """What a user should know of how the points that were read were chosen and turned.

    ``lying`` is the axis that is up for somebody who lies.
    """
    notes = []
    if chosen:
        notes.append(
            "what cleaning kept at first does not look like a person, other points of the scan "
            "were read; crop the scan if they are the wrong ones"
        )
    if lying is not None:
        notes.append(f"the person lies on something, so {lying} is up; use `up` if not")
    return notes


def _doubts(reading: Reading, ready: ReadyTarget) -> list[str]:
    """What is to be said of a reading or a target that is likely of no use."""
    warnings = doubts(reading.confidence)
    missed = ready.ready.missed
    if ready.distance > UNLIKE and (missed is None or ready.distance * missed > UNEXPLAINED):
        warnings.append(
            "the target does not look like a person: the result may be of no use; if it is "
            "one, try `target_up` and `target_front`"
        )
    return warnings


def _shown(found: Orientation, heading: Heading) -> Floats:
    """The turn (3, 3) of a scan that has y up, as it stands or with the body to the front."""
    if heading == "scan":
        return upright(axis(found.up, "up"))
    return found.tilt @ found.rotation


def _placed(vertices: Floats, rest: Floats, faces: Indices) -> Floats:
    """Moved so that it stands where the target stood: same ground, same middle from above."""
    used = np.unique(faces)
    shift = area_centroid(rest, faces) - area_centroid(vertices, faces)
    shift[1] = rest[used, 1].min() - vertices[used, 1].min()
    return vertices + shift
