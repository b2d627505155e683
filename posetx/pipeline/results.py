"""What the pipeline hands out: a scan read, a transfer done, and the report on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posetx.arrays import Floats, Indices
from posetx.files.scans import Scan
from posetx.models.pose_mae import PoseCode
from posetx.reading.orient import Orientation
from posetx.target.ready import ReadyTarget

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
    code : the pose, as the network and the fits have it
    joints : (19, 3) the body's joints in the scan's frame and unit, named in
        :data:`posetx.bodies.skeleton.JOINTS`
    rotations : (19, 3, 3) global rotation of each body part from the neutral body's, which stands
        upright with y up, facing +z, into the scan's frame
    distance : of the scan to the network's prediction, see `Orientation`
    metre : an adult's metre in the scan's unit
    missed : the share of the fitted body that is far from the scan; None where nothing was fitted
    noise : of the points about the fitted body (standard deviation, metres of an adult); None where
        nothing was fitted
    confidence : the likelihood that the pose is right, 0 to 1; None of an uncalibrated model
    notes : what a user should know of how it was read; of its file, see the scan's notes
    seconds : how long reading took, by stage
    """

    scan: Scan
    points: Floats
    kept: Indices
    measured: int
    cleaning: list[dict[str, Any]]
    orientation: Orientation
    code: PoseCode
    joints: Floats
    rotations: Floats
    distance: float
    metre: float
    missed: float | None
    noise: float | None
    confidence: float | None
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


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
    ``edge_distortion`` the mean change of the edges' lengths, as a share.
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
        """Write the target with its new vertices, whole or not at all; returns notes.

        Raises UsageError for a format that is not written, PosetxError where it cannot be.
        """
        return self.target.target.save(Path(path), self.vertices)
