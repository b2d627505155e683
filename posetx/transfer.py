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
from numpy.typing import NDArray

from posetx.bodies.body import BodyModel
from posetx.errors import PosetxError
from posetx.files.scans import Scan
from posetx.files.targets import Target
from posetx.fit.cloud import BodyFit
from posetx.fit.target import Prepared, TargetFit, give
from posetx.geometry.mesh import area_centroid, edge_distortion, flipped_share
from posetx.geometry.restore import restore_detail
from posetx.geometry.sampling import sample_surface
from posetx.models.checkpoint import load_model
from posetx.models.predictor import IdentityFrame, Predictor, pose_sample
from posetx.scan.clean import check_body, clean_scan
from posetx.scan.orient import NeutralBody, Orientation, axis, orient, upright

Floats = NDArray[np.float64]

#: points of a target's surface that its own orientation is found from
TARGET_SAMPLES = 4096
#: points that a scan which is a mesh is sampled at
SCAN_SAMPLES = 60_000
#: below this the result comes with a warning
DOUBTFUL = 0.5
#: the same of a target; lower, because a hat or a skirt takes a character far from any bare body
#: (the example's: 0.26, an animal 0.02)
UNLIKE = 0.05


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
    what a picture needs: y up, front +z.
    """

    vertices: Floats
    report: dict[str, Any]
    scan_upright: Floats
    scan_kept: NDArray[np.int64]
    target_rotation: Floats
    warnings: list[str] = field(default_factory=list)


class Transferrer:
    """A loaded model, ready to move any number of scans onto any number of targets."""

    def __init__(self, model: str = "posemae", device: torch.device | None = None):
        self.device = device or torch.device("cpu")
        network, self.card = load_model(model, self.device)
        self.predictor = Predictor(network, self.device)
        self.body = BodyModel.load()
        self.neutral = NeutralBody(self.body, self.predictor)

    @cached_property
    def fit(self) -> BodyFit:
        return BodyFit(self.body.to(self.device))

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
        seconds: dict[str, float] = {}

        @contextmanager
        def stage(name: str) -> Iterator[None]:
            on_stage(name)
            start = time.perf_counter()
            yield
            seconds[name] = round(time.perf_counter() - start, 3)

        warnings = [*scan.notes, *target.notes]
        with stage("clean"):
            points, kept, stages, notes = self._clean(scan, options)
            warnings += notes
        with stage("orient"):
            samples = pose_sample(points, self.predictor.model.config.pose_points)
            found = orient(self.predictor, self.neutral, samples, options.up, options.front)
            stands = self._orient_target(target, options)
        upright_samples = (samples @ found.rotation.T)[None]
        with stage("predict"):
            code = self.predictor.encode_pose(upright_samples)
        if options.refine:
            with stage("refine"):
                code = self.fit.improve(self.predictor.normalised(upright_samples), code)
        with stage("give"):
            normal, frame = self._normal_target(target, stands.rotation)
            if options.refine:
                ready = self.targets.prepare(normal, target.faces)
            else:
                ready = Prepared(normal, self.predictor.identity_sample(normal, target.faces))
            predicted = give(self.predictor, code, ready)
        vertices, flipped = predicted, None
        if options.restore:
            with stage("restore"):
                restored = restore_detail(normal, target.faces, predicted)
                vertices = restored.vertices
                warnings += restored.notes
        with stage("measure"):
            edges = edge_distortion(normal, target.faces, vertices)
            flipped = flipped_share(normal, target.faces, vertices)

        if options.heading == "scan":
            vertices = vertices @ _heading_of(found)
        vertices = _placed(vertices, normal, target.faces)
        vertices = frame.from_normal(vertices @ stands.rotation)
        confidence = self.confidence(found.distance)
        if confidence is not None and confidence < DOUBTFUL:
            warnings.append(
                f"low confidence ({confidence:.2f}): the scan is far from every pose the model "
                "knows; look at the result, try --up and --front, or crop the scan"
            )
        likeness = self.confidence(stands.distance)
        if likeness is not None and likeness < UNLIKE:
            warnings.append(
                f"the target does not look like a person ({likeness:.2f}): the result may be of no "
                "use; if it is one, try --target-up and --target-front"
            )
        report = {
            "scan": str(scan.path),
            "target": str(target.path),
            "points_in": len(scan.points),
            "points_used": len(points),
            "cleaning": stages,
            "scan_up": found.up,
            "scan_rotation": found.rotation,
            "fit_distance": found.distance,
            "orientation_margin": found.margin,
            "target_up": stands.up,
            "target_rotation": stands.rotation,
            "target_confidence": likeness,
            "vertices": len(vertices),
            "edge_distortion": edges,
            "flipped_triangles": flipped,
            "confidence": confidence,
            "seconds": seconds,
        }
        return Transfer(
            vertices, report, points @ found.rotation.T, kept, stands.rotation, warnings
        )

    def confidence(self, distance: float) -> float | None:
        """From 1 (as close as the middle simulated scan, or closer) down to 0.

        0.5 is as far as the worst twentieth of the ``scan`` protocol; None for a model whose
        card has no calibration.
        """
        calibration = self.card.get("confidence")
        if not isinstance(calibration, dict):
            return None
        usual, poor = calibration["median"], calibration["p95"]
        return float(0.5 ** max(0.0, (distance - usual) / (poor - usual)))

    def _clean(self, scan: Scan, options: Options):
        points, origin = _measured_points(scan)
        try:
            if not options.clean:
                check_body(points)
                return points, origin, [], []
            cleaned = clean_scan(points)
        except PosetxError as error:
            raise PosetxError(f"{scan.path}: {error}; give a scan of a person") from None
        stages = [
            {"stage": s.name, "in": s.points_in, "out": s.points_out, "why": s.why}
            for s in cleaned.stages
        ]
        return cleaned.points, origin[cleaned.index], stages, cleaned.notes

    def _orient_target(self, target: Target, options: Options) -> Orientation:
        try:
            surface, _, _ = sample_surface(target.vertices, target.faces, TARGET_SAMPLES)
        except ValueError as error:
            raise PosetxError(f"{target.path}: {error}; give a mesh with a surface") from None
        sample = pose_sample(surface, self.predictor.model.config.pose_points)
        return orient(
            self.predictor,
            self.neutral,
            sample,
            options.target_up,
            options.target_front,
            headings=4,
            refine=False,
        )

    def _normal_target(self, target: Target, rotation: Floats) -> tuple[Floats, IdentityFrame]:
        """The target upright in its normalised frame, and the way back (before the rotation)."""
        try:
            frame = IdentityFrame.of(target.vertices, target.faces)
        except PosetxError as error:
            raise PosetxError(f"{target.path}: {error}") from None
        return frame.to_normal(target.vertices) @ rotation.T, frame


def _measured_points(scan: Scan) -> tuple[Floats, NDArray[np.int64]]:
    """The scan's points and which of its vertices each stands for.

    A mesh's vertices may be sparse where it is flat, so its surface is sampled instead.
    """
    every = np.arange(len(scan.points))
    if scan.faces is None or len(np.unique(scan.faces)) < 0.9 * len(every):
        return scan.points, every
    try:
        points, face, barycentric = sample_surface(scan.points, scan.faces, SCAN_SAMPLES)
    except ValueError:  # all triangles are degenerate
        return scan.points, every
    return points, scan.faces[face, barycentric.argmax(1)]


def _heading_of(found: Orientation) -> Floats:
    """The turn about y that was taken off the scan; row vectors times it get it back."""
    return found.rotation @ upright(axis(found.up, "--up")).T


def _placed(vertices: Floats, rest: Floats, faces: NDArray[np.int64]) -> Floats:
    """Moved so that it stands where the target stood: same ground, same middle from above."""
    used = np.unique(faces)
    shift = area_centroid(rest, faces) - area_centroid(vertices, faces)
    shift[1] = rest[used, 1].min() - vertices[used, 1].min()
    return vertices + shift
