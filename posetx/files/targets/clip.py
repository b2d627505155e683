"""A clip of a target, in its file's frame: of a new skeleton, of its file's own, or of shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetx.arrays import Floats
from posetx.geometry.rig import Rig, RigPose


@dataclass(frozen=True)
class Skeleton:
    """J joints, parents first, and which vertices each moves; in the target's own frame and unit.

    Attributes
    ----------
    names : of the joints
    parents : the index of each one's parent, -1 of the one root
    rotations : (J, 3, 3) their axes as the target stands, in its file's frame
    places : (J, 3) where they are then
    weights : (n, J) of the target's vertices; who has none stays where it is
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    rotations: Floats
    places: Floats
    weights: Floats


@dataclass(frozen=True)
class SkeletonClip:
    """A skeleton in F frames.

    Attributes
    ----------
    rotations : (F, J, 3, 3) of each joint relative to its parent; the root's in the file's frame
    roots : (F, 3) places of the root, in the file's frame and unit
    """

    name: str
    fps: float
    skeleton: Skeleton
    rotations: Floats
    roots: Floats


@dataclass(frozen=True)
class RigClip:
    """The file's own skeleton in F poses."""

    name: str
    fps: float
    rig: Rig
    poses: list[RigPose]


@dataclass(frozen=True)
class MorphClip:
    """K shapes, mixed anew in each of F frames.

    Attributes
    ----------
    shapes : (K, n, 3) what each adds to the target's vertices, in its file's frame and unit
    weights : (F, K) how much of each is in a frame
    """

    name: str
    fps: float
    shapes: NDArray[np.float32]
    weights: Floats


#: whatever moves a target
Clip = SkeletonClip | RigClip | MorphClip
