"""What the pipeline hands out: a scan read, a transfer done, and the report on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posetx.arrays import Floats, Indices
from posetx.bodies.body import BodyModel
from posetx.files.scans import Scan
from posetx.files.targets.base import check_output_suffix, holds_skeleton
from posetx.geometry.axes import axis, upright
from posetx.geometry.units import unit_of
from posetx.models.pose_mae import PoseCode
from posetx.pipeline.joint_confidence import Word, evidence, joint_confidence
from posetx.pipeline.pose import Pose
from posetx.pipeline.registration import Registration
from posetx.reading.fitted import Fitted
from posetx.reading.orient import Orientation
from posetx.reading.start import Start
from posetx.target.ready import ReadyTarget
from posetx.target.skeleton import Posed, SkeletonReport

if TYPE_CHECKING:
    import trimesh


@dataclass
class Reading:
    """What a scan shows.

    Attributes
    ----------
    scan : the scan as it was read from its file
    points : (k, 3) those that were taken for the body, in the scan's frame and unit
    kept : (k,) which of the scan's points each of them is, or stands for
    measured : how many points cleaning began with: the scan's, or samples of a mesh's surface
    cleaning : what each step of cleaning took out, as JSON has it
    orientation : how the scan is turned
    samples : (P, 3) an even sample of the points, which the features of ``code`` are of
    code : the pose, as the network and the fits have it
    joints : (19, 3) the body's joints in the scan's frame and unit, named in
        :data:`posetx.bodies.skeleton.JOINTS`
    rotations : (19, 3, 3) global rotation of each body part from the neutral body's, which stands
        upright with y up, facing +z, into the scan's frame
    distance : of the scan to the network's prediction, see `Orientation`
    metre : an adult's metre in the scan's unit
    missed : the share of the fitted body that is far from the scan; None where nothing was fitted
    fitted : the body that was fitted; the neutral one in this pose where nothing was
    noise : of the points about the fitted body (standard deviation, metres of an adult); None where
        nothing was fitted
    confidence : the likelihood that the pose is right, 0 to 1; None of an uncalibrated model
    notes : what a user should know of how it was read; of its file, see the scan's notes
    seconds : how long reading took, by stage
    misfit : how badly the fitted body explains the scan, and the scan it, 0 to 1.6; None where
        nothing was fitted
    """

    scan: Scan
    points: Floats
    kept: Indices
    measured: int
    cleaning: list[dict[str, Any]]
    orientation: Orientation
    samples: Floats
    code: PoseCode
    joints: Floats
    rotations: Floats
    fitted: Fitted
    distance: float
    metre: float
    missed: float | None
    noise: float | None
    confidence: float | None
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    misfit: float | None = None

    @property
    def start(self) -> Start:
        """Where the reading of the same body's next scan may begin."""
        found, fitted = self.orientation, self.fitted
        return Start(
            found.rotation, found.up, self.rotations, self.joints[0], fitted.shape, fitted.scale
        )

    @cached_property
    def registration(self) -> Registration:
        """The fitted body in the scan's frame, and how far from the scan it is."""
        body, turn = body_model(), self.orientation.rotation
        return Registration(
            self.fitted.vertices(body, self.rotations, turn),
            body.faces.numpy(),
            self.points,
            unit_of(self.fitted.scale),
            upright(axis(self.orientation.up, "up")),
        )

    @property
    def body(self) -> trimesh.Trimesh:
        """The fitted body, coloured by its distance to the scan: see `Registration`."""
        return self.registration.mesh

    @cached_property
    def pose(self) -> Pose:
        """The pose by itself, with a confidence for each joint, to be saved."""
        word = Word.of(self.samples, self.code)
        vertices = self.registration.vertices
        seen = evidence(body_model(), word, vertices, self.points, self.metre)
        return Pose(
            self.joints,
            self.rotations,
            joint_confidence(seen, self.confidence, self.missed is not None),
            self.confidence,
            self.fitted.scale,
            self.registration.unit,
            self.orientation.up,
            self.scan.path,
        )


@lru_cache(maxsize=1)
def body_model() -> BodyModel:
    """The body model on the CPU, for what is asked of readings."""
    return BodyModel.load()


def points_told(used: int, measured: int, came: int) -> str:
    """How many points were used, of how many of what; see :class:`Report`."""
    if measured == came:
        return f"{used:,} of {came:,} points"
    return f"{used:,} of {measured:,} samples of a mesh of {came:,} vertices"


@dataclass(frozen=True)
class Report:
    """What was done in one transfer; distances and rotations as `Orientation` has them.

    Of the scan's ``points_in`` points or vertices, ``points_measured`` are what cleaning began with
    (of a mesh they are samples of its surface), and ``points_used`` were taken for the body.
    ``scan_metre`` is an adult's metre in the scan's unit.

    Rotations (3, 3) take the files' axes to upright, facing +z; ``flipped_triangles`` is a share,
    ``edge_distortion`` the mean change of the edges' lengths, as a share. ``skeleton`` is how the
    target's own took the pose; None where the vertices were moved.
    """

    scan: str
    target: str
    points_in: int
    points_measured: int
    points_used: int
    cleaning: list[dict[str, Any]]
    scan_up: str
    scan_rotation: Floats
    scan_metre: float
    fit_distance: float
    orientation_margin: float
    target_up: str
    target_rotation: Floats
    target_distance: float
    vertices: int
    edge_distortion: float
    flipped_triangles: float
    skeleton: SkeletonReport | None
    confidence: float | None
    seconds: dict[str, float]

    @property
    def points(self) -> str:
        """How many points were used, of how many of what."""
        return points_told(self.points_used, self.points_measured, self.points_in)

    def to_json(self) -> dict[str, Any]:
        """The fields by name, arrays as nested lists."""
        plain = asdict(self)
        for name in ("scan_rotation", "target_rotation"):
            plain[name] = plain[name].tolist()
        return plain


@dataclass
class Transfer:
    """One finished transfer.

    Attributes
    ----------
    reading, target : what was given to what
    vertices : (n, 3) the result, in the target file's frame, unit and place
    predicted : (n, 3) the same before detail restoration, in the target's normalised frame,
        upright, the body to the front
    restored : (n, 3) after it; None where nothing was restored
    scan_upright : (k, 3) the body's points, y up, facing +z, or with the scan's heading
    scan_turn : (3, 3) the rotation that takes the scan's axes there
    report : what was done
    warnings : what a user should look at
    posed : the target's own skeleton in the pose, which puts the vertices where they are; None
        where they were moved
    """

    reading: Reading
    target: ReadyTarget
    vertices: Floats
    predicted: Floats
    restored: Floats | None
    scan_upright: Floats
    scan_turn: Floats
    report: Report
    warnings: list[str] = field(default_factory=list)
    posed: Posed | None = None

    @property
    def confidence(self) -> float | None:
        """The likelihood that the result is right, 0 to 1; None of an uncalibrated model."""
        return self.report.confidence

    @property
    def mesh(self) -> trimesh.Trimesh:
        """The result's vertices and triangles, in the order of the target's."""
        import trimesh  # here, because its start-up time is felt

        return trimesh.Trimesh(self.vertices, self.target.target.faces, process=False)

    def save(self, path: str | Path) -> list[str]:
        """Write the target in its new pose, whole or not at all; returns notes.

        By its own skeleton where that took the pose and the format holds one. Raises UsageError
        for a format that is not written, PosetxError where it cannot be.
        """
        path, target = Path(path), self.target.target
        if self.posed is None or not holds_skeleton(path):
            return target.save(path, self.vertices)
        check_output_suffix(path, target.path)
        return target.save_posed(path, self.vertices, self.posed.rig, self.posed.pose)
