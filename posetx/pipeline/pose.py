"""The pose that a scan shows, by itself: joints, rotations, lengths and how sure each is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from posetx.arrays import Floats
from posetx.bodies.body import relative_rotations
from posetx.bodies.skeleton import JOINTS, PARENTS
from posetx.geometry.axes import axis, upright
from posetx.geometry.units import Unit


@dataclass
class Pose:
    """One scan's pose, in the scan's frame and unit.

    ``joints[j] = joints[p] + rotations[p] @ offsets[j]`` where ``p`` is the parent of ``j``.

    Attributes
    ----------
    joints : (19, 3) places
    rotations : (19, 3, 3) global, of each part from the neutral body's, which stands upright with
        y up, facing +z, arms in an A, into the scan's frame
    confidence : (19,) the likelihood that a joint and the bones from it on are within 5 cm of the
        truth, 0 to 1; see :mod:`posetx.pipeline.joint_confidence`
    overall : that the pose as a whole is right; None of an uncalibrated model
    scale : the scan's units that a metre of the body model takes
    unit : the scan's
    up : which of the scan's axes is up
    scan : what was read
    """

    joints: Floats
    rotations: Floats
    confidence: Floats
    overall: float | None
    scale: float
    unit: Unit
    up: str
    scan: Path

    #: of the joints, and the index of each one's parent, -1 of the root
    names = JOINTS
    parents = PARENTS

    @property
    def local(self) -> Floats:
        """(19, 3, 3) rotation of each joint relative to its parent; the root's is global."""
        rotations: Floats = relative_rotations(torch.as_tensor(self.rotations)).numpy()
        return rotations

    @property
    def offsets(self) -> Floats:
        """(19, 3) from each joint's parent to it in the body at rest; the root's is nought."""
        parents = list(PARENTS[1:])
        bones = self.joints[1:] - self.joints[parents]
        offsets = np.zeros_like(self.joints)
        offsets[1:] = np.einsum("jba,jb->ja", self.rotations[parents], bones)
        return offsets

    @property
    def turn(self) -> Floats:
        """(3, 3) from the scan's frame to one with y up: the axes change names, no more.

        Of a scan with z up it is what programs with z up undo when they read a file with y up.
        """
        return upright(axis(self.up, "up"))

    def save(self, path: str | Path) -> None:
        """Write it as BVH, JSON or NPZ: see :func:`posetx.pipeline.pose_files.write_poses`."""
        from posetx.pipeline.pose_files import write_poses

        write_poses(Path(path), [self])
