"""What is told of a pose that was read off a scan: the report of `posetx pose`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from posetx.arrays import Floats
from posetx.bodies.skeleton import JOINTS
from posetx.pipeline.confidence import doubts
from posetx.pipeline.registration import Distances
from posetx.pipeline.results import Reading, points_told


@dataclass(frozen=True)
class PoseReport:
    """What was read off one scan; fields that `Report` has too mean the same.

    ``unit`` is "m", "cm", "mm" or None where the body has none of these sizes, and millimetres are
    then an adult's; ``joint_confidence`` is by name, ``body_to_scan`` and ``scan_to_body`` are
    distances in mm, and None where the body was not asked for.
    """

    scan: str
    points_in: int
    points_measured: int
    points_used: int
    cleaning: list[dict[str, Any]]
    scan_up: str
    scan_rotation: Floats
    scan_metre: float
    unit: str | None
    fit_distance: float
    orientation_margin: float
    confidence: float | None
    joint_confidence: dict[str, float]
    body_to_scan: Distances | None
    scan_to_body: Distances | None
    seconds: dict[str, float]
    warnings: list[str]

    @classmethod
    def of(cls, reading: Reading, distances: bool) -> PoseReport:
        """The report on a reading; with ``distances`` also how far the body is from the scan."""
        found, body = reading.orientation, reading.registration
        return cls(
            scan=str(reading.scan.path),
            points_in=len(reading.scan.points),
            points_measured=reading.measured,
            points_used=len(reading.points),
            cleaning=reading.cleaning,
            scan_up=found.up,
            scan_rotation=found.rotation,
            scan_metre=reading.metre,
            unit=body.unit.name,
            fit_distance=reading.distance,
            orientation_margin=found.margin,
            confidence=reading.confidence,
            joint_confidence=dict(zip(JOINTS, reading.pose.confidence.tolist(), strict=True)),
            body_to_scan=body.of_body if distances else None,
            scan_to_body=body.of_points if distances else None,
            seconds=reading.seconds,
            warnings=[*reading.scan.notes, *reading.notes, *doubts(reading.confidence)],
        )

    @property
    def points(self) -> str:
        """How many points were used, of how many of what."""
        return points_told(self.points_used, self.points_measured, self.points_in)

    def to_json(self) -> dict[str, Any]:
        """The fields by name, arrays as nested lists."""
        plain = asdict(self)
        plain["scan_rotation"] = self.scan_rotation.tolist()
        return plain
