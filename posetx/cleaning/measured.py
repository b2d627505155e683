"""What cleaning looks at in a scan, and what it leaves of the file: normals, colours, faces.

A cloud is cleaned as it is. Of a mesh the surface is sampled, since its vertices may be sparse
where it is flat, and a vertex goes where the samples next to it go.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from posetx.arrays import Floats, Indices
from posetx.cleaning.clean import Cleaned, Stage, check_body, clean_scan
from posetx.cleaning.settings import CleanSettings, Sampling
from posetx.errors import PosetxError
from posetx.files.scans import Scan
from posetx.geometry.extent import robust_extent
from posetx.geometry.sampling import farthest_points, sample_surface, voxel_points

#: Points that a scan which is a mesh is sampled at.
SCAN_SAMPLES = 60_000
#: A triangle this many times longer than the scan's robust extent is a spike to a stray vertex:
#: its area would take all samples.
SPIKE = 10.0


@dataclass(frozen=True)
class CleanedScan:
    """A scan less what is not the body.

    Attributes
    ----------
    scan : Scan
        the kept points with their normals, colours and faces, in the frame and unit of the file
    kept : (k,), which points of the input they are, ascending
    stages : what each step took out; each goes on with what the one before it left
    notes : what a user should look at
    """

    scan: Scan
    kept: Indices
    stages: list[Stage]
    notes: list[str]


def measured_points(scan: Scan) -> tuple[Floats, Indices]:
    """The scan's points (n, 3) and which of its vertices (n,) each stands for."""
    every = np.arange(len(scan.points))
    if scan.faces is None or len(np.unique(scan.faces)) < 0.9 * len(every):
        return scan.points, every
    faces = _without_spikes(scan.points, scan.faces)
    try:
        points, face, barycentric = sample_surface(scan.points, faces, SCAN_SAMPLES)
    except ValueError:  # all triangles are degenerate
        return scan.points, every
    return points, faces[face, barycentric.argmax(1)]


def _without_spikes(points: Floats, faces: Indices) -> Indices:
    """The triangles (m, 3) without those that are far longer than the scan is large."""
    corners = points[faces]
    longest = np.linalg.norm(corners - corners[:, [1, 2, 0]], axis=2).max(axis=1)
    short: Indices = faces[longest <= SPIKE * robust_extent(points)]
    return short


def clean_measured(scan: Scan, points: Floats, **options: Any) -> Cleaned:
    """`clean_scan` of the points measured on a scan; its errors name the file."""
    with _named(scan):
        return clean_scan(points, **options)


def check_measured(scan: Scan, points: Floats) -> None:
    """`check_body` of the points measured on a scan; its errors name the file."""
    with _named(scan):
        check_body(points)


@contextmanager
def _named(scan: Scan) -> Iterator[None]:
    try:
        yield
    except PosetxError as error:
        raise PosetxError(
            f"{scan.path}: no body found: {error}; look at the scan, or crop it to the person"
        ) from None


def body_of(scan: Scan, settings: CleanSettings | None = None) -> CleanedScan:
    """The part of a scan that is the body, as `posetx transfer` would take it.

    Raises PosetxError where there is no body in the scan.
    """
    chosen = settings or CleanSettings()
    measured, _ = measured_points(scan)
    cleaned = clean_measured(
        scan,
        measured,
        outliers=chosen.outliers,
        planes=chosen.planes,
        clusters=chosen.clusters,
        whole=True,
        seed=chosen.seed,
    )
    kept, stages = cleaned.index, list(cleaned.stages)
    if measured is not scan.points:
        kept = _vertices(scan, measured, cleaned)
        sampled = Stage("surface", len(scan.points), len(measured), "a mesh: its surface sampled")
        back = Stage("vertices", len(cleaned.index), len(kept), "vertices of the kept surface")
        stages = [sampled, *stages, back]
    if chosen.points is not None:
        before = len(kept)
        kept = np.sort(kept[_sampled(scan.points[kept], chosen.points, chosen.sampling)])
        stages.append(
            Stage(
                "sampling",
                before,
                len(kept),
                f"at most {chosen.points:,} points: {chosen.sampling}",
            )
        )
    return CleanedScan(part(scan, kept), kept, stages, cleaned.notes)


def _vertices(scan: Scan, measured: Floats, cleaned: Cleaned) -> Indices:
    """The vertices (k,) of a mesh whose nearest surface sample was kept; ascending."""
    assert scan.faces is not None  # its surface was sampled
    kept = np.zeros(len(measured), dtype=bool)
    kept[cleaned.index] = True
    used = np.unique(scan.faces)
    _, nearest = cKDTree(measured).query(scan.points[used])
    of_body: Indices = used[kept[nearest]]
    return of_body


def _sampled(points: Floats, count: int, sampling: Sampling) -> Indices:
    if len(points) <= count:
        return np.arange(len(points))
    if sampling == "farthest":
        return np.unique(farthest_points(points, count))
    return voxel_points(points, count)


def part(scan: Scan, kept: Indices) -> Scan:
    """The points `kept` (k,) of a scan, with what else it says of them and the faces among them."""
    faces = scan.faces
    if faces is not None:
        place = np.full(len(scan.points), -1)
        place[kept] = np.arange(len(kept))
        faces = place[faces]
        faces = faces[(faces >= 0).all(axis=1)]
    return Scan(
        scan.points[kept],
        None if scan.normals is None else scan.normals[kept],
        None if scan.colors is None else scan.colors[kept],
        faces if faces is not None and len(faces) else None,
        scan.path,
        list(scan.notes),
    )


def stages_table(stages: list[Stage]) -> list[dict[str, Any]]:
    """The stages as JSON has them."""
    return [{"stage": s.name, "in": s.points_in, "out": s.points_out, "why": s.why} for s in stages]
