"""A target's own skeleton in the pose of a result: what animators and engines can go on with.

The result is where the target's vertices should be. Its joints are turned so that the file's own
skinning brings them there as nearly as it can; how near is told, as no skinning can do what its
weights do not provide for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posetx.arrays import Floats
from posetx.geometry.axes import axis
from posetx.geometry.mesh import vertex_areas
from posetx.geometry.rig import Rig, RigPose
from posetx.geometry.rig_fit import fit_rig
from posetx.target.ready import ReadyTarget

#: mean distance, as a share of the height, from which on there is a warning: a body that sits down
#: is off by 0.034 where its skeleton has no knees, by 0.00002 where it has
FAR = 0.03
#: what a vertex without a triangle counts, as a share of the mean: a little, as all may be such
LEAST = 1e-6
#: the share of the surface that stands on the ground: soles have more; less has the tip of a sword,
#: which may hang elsewhere than in the result without a skeleton
LOWEST = 0.01
#: an adult's height, in millimetres: what the share is told in as well
ADULT = 1750.0


@dataclass(frozen=True)
class SkeletonReport:
    """How a target's own skeleton took the pose.

    ``joints`` are those that can turn. The distances are of the figure's surface, skinned by the
    file, from the result without a skeleton: the mean by area as a share of the target's height
    and in millimetres of an adult of that shape, and the largest of any vertex as a share.
    """

    joints: int
    distance: float
    distance_mm: float
    largest: float


@dataclass(frozen=True)
class Posed:
    """A skeleton's pose, where it puts all vertices (n, 3), and how near to where they are wanted.

    Both in the file's frame; what follows no node of the rig is where it is wanted.
    """

    rig: Rig
    pose: RigPose
    vertices: Floats
    wanted: Floats
    report: SkeletonReport


def by_skeleton(
    ready: ReadyTarget, rig: Rig, wanted: Floats, begin: RigPose | None = None
) -> Posed:
    """Pose a target's rig so that its skin is where ``wanted`` (n, 3) is, in the file's frame.

    ``begin`` is a pose near by, such as that of the frame before; looked for without. What is
    lowest is as high as it is wanted, so that who stands on the ground still does.
    """
    target, up = ready.target, axis(ready.up, "up")
    areas = vertex_areas(target.vertices, ready.faces)
    areas = np.where(ready.moves, areas + LEAST * areas.mean(), 0.0)
    pose = fit_rig(rig, wanted, areas, begin)
    shown = np.where(rig.moved[:, None], rig.skinned(rig.worlds(pose)), wanted)
    used = np.unique(ready.faces)
    lift = up * (_low(wanted @ up, areas) - _low(shown @ up, areas))
    worlds = rig.worlds(pose)
    for row in np.flatnonzero(rig.roots).tolist():
        pose.shifts[row] += np.linalg.solve(rig.above(row, worlds), lift)
    shown[rig.moved] += lift
    off = np.linalg.norm(shown - wanted, axis=1)
    counted = areas * rig.moved
    height = float(np.ptp(target.vertices[used] @ up))
    mean = float(counted @ off / counted.sum() / height)
    report = SkeletonReport(
        int(rig.joints.sum()), mean, ADULT * mean, float(off[counted > 0].max() / height)
    )
    return Posed(rig, pose, shown, wanted, report)


def _low(heights: Floats, areas: Floats) -> float:
    """The height (n,) below which the lowest of the surface is."""
    order = np.argsort(heights)
    below = np.cumsum(areas[order])
    return float(heights[order][np.searchsorted(below, LOWEST * below[-1])])


def doubts(report: SkeletonReport) -> list[str]:
    """What is to be said of a skeleton that does not come near."""
    if report.distance <= FAR:
        return []
    return [
        f"the target's own skeleton comes only within {100 * report.distance:.1f} % of its height "
        "of the pose, on average: with `bake` the vertices are moved instead"
    ]
