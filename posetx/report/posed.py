"""The picture of a pose: the scan, the skeleton read off it, the body fitted to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from posetx.arrays import Floats, Indices
from posetx.bodies.skeleton import PARENTS, TIPS
from posetx.geometry.ramp import SCALAR_COLORS, palette
from posetx.pipeline.registration import FARTHEST
from posetx.report.preview import Column, render_meshes
from posetx.report.stage import POINT_LIMIT

if TYPE_CHECKING:
    from posetx.pipeline.pose import Pose
    from posetx.pipeline.results import Reading

#: radius of a joint's ball and of a bone where it is thickest, in metres of the body model
BALL, BONE = 0.028, 0.018
#: where along a bone it is thickest, and corners round it
THICKEST, CORNERS = 0.15, 8


def draw_pose(path: Path, reading: Reading) -> None:
    """Write a PNG with scan, skeleton and body from the front and the side.

    Raises MissingError if pyvista is not here, or cannot draw on this machine.
    """
    found, body, scan = reading.orientation, reading.registration, reading.scan
    turn = found.tilt @ found.rotation
    shown = np.arange(len(reading.points))[:: max(len(reading.points) // POINT_LIMIT, 1)]
    colors = None if scan.colors is None else scan.colors[reading.kept[shown]]
    vertices, faces, doubts = skeleton_mesh(reading.pose)
    trust = reading.confidence
    render_meshes(
        path,
        [
            Column(
                scan.path.name,
                reading.points[shown] @ turn.T,
                colors=colors,
                note=f"{len(reading.points):,} points of the body",
            ),
            Column(
                "pose",
                vertices @ turn.T,
                faces,
                colors=doubts,
                note="blue is sure, red is not" + (f"; all of it {trust:.2f}" if trust else ""),
            ),
            Column(
                "body",
                body.vertices @ turn.T,
                body.faces,
                scalars=body.distance,
                scalar_range=(0.0, FARTHEST),
                note=f"mm from the scan; of its points half are within {body.of_points.median:.1f}",
            ),
        ],
    )


def skeleton_mesh(pose: Pose) -> tuple[Floats, Indices, NDArray[np.uint8]]:
    """A ball for each joint and a spindle for each bone: (V, 3), (F, 3), and colours (V, 3).

    The colours say how sure a joint is, and a bone that begins there: from red for not at all to
    blue.
    """
    vertices, faces, owner = sticks(pose.joints, pose.rotations, pose.scale)
    return vertices, faces, palette(SCALAR_COLORS, 1 - pose.confidence[owner])


def sticks(joints: Floats, rotations: Floats, scale: float) -> tuple[Floats, Indices, Indices]:
    """The same of joints (19, 3) and global rotations (19, 3, 3), and whose each vertex is (V,).

    ``scale`` is how many units of the joints a metre of the body model takes.
    """
    parts: list[tuple[Floats, Indices]] = []
    owner: list[int] = []
    ends = [(parent, joints[joint]) for joint, parent in enumerate(PARENTS) if parent >= 0]
    ends += [
        (joint, joints[joint] + rotations[joint] @ (scale * np.array(tip)))
        for joint, tip in TIPS.items()
    ]
    for joint, end in ends:
        parts.append(_spindle(joints[joint], end, BONE * scale))
        owner.append(joint)
    for joint, place in enumerate(joints):
        parts.append(_ball(place, BALL * scale))
        owner.append(joint)
    counts = [len(vertices) for vertices, _ in parts]
    starts = np.cumsum([0, *counts[:-1]])
    faces = np.concatenate([f + start for (_, f), start in zip(parts, starts, strict=True)])
    return np.concatenate([vertices for vertices, _ in parts]), faces, np.repeat(owner, counts)


def _spindle(begin: Floats, end: Floats, radius: float) -> tuple[Floats, Indices]:
    """Two cones, one on the other."""
    along = end - begin
    aside = np.cross(along, np.eye(3)[np.abs(along).argmin()])
    aside /= max(float(np.linalg.norm(aside)), 1e-300)
    other = np.cross(along, aside)
    other /= max(float(np.linalg.norm(other)), 1e-300)
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)[:, None]
    ring = begin + THICKEST * along + radius * (np.cos(angle) * aside + np.sin(angle) * other)
    here = np.arange(CORNERS)
    there = (here + 1) % CORNERS
    near, far = np.full(CORNERS, CORNERS), np.full(CORNERS, CORNERS + 1)
    faces = np.concatenate([np.stack([near, there, here], 1), np.stack([far, here, there], 1)])
    return np.concatenate([ring, begin[None], end[None]]), faces


def _ball(place: Floats, radius: float) -> tuple[Floats, Indices]:
    import trimesh  # here, because its start-up time is felt

    ball = trimesh.creation.icosphere(subdivisions=2, radius=radius)
    return np.asarray(ball.vertices) + place, np.asarray(ball.faces, np.int64)
