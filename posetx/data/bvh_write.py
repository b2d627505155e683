"""Poses written as BVH, the format of motion capture that every animation program reads.

The hierarchy's zero pose is the body at rest, upright, y up and facing +z. Each joint turns in the
order z, x, y about its own axes, which is what most writers of BVH do; the root moves, too.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.spatial.transform import Rotation

from posetx.arrays import Floats
from posetx.bodies.skeleton import BVH_WRITTEN, PARENTS

#: digits of lengths, which may be of scans that stand far off, and decimals of degrees
LENGTH, ANGLE = "%.12g", "%.7f"
CHANNELS = "Zrotation Xrotation Yrotation"


def encode_bvh(
    offsets: Floats, tips: dict[int, Floats], local: Floats, roots: Floats, seconds: float
) -> bytes:
    """A BVH file of F frames.

    Parameters
    ----------
    offsets : (19, 3) from each joint's parent to it, in a body at rest, y up; the root's is nought
    tips : from the joints that end a chain to the chain's end (3,), likewise
    local : (F, 19, 3, 3) rotations of the joints relative to their parents', the root's global
    roots : (F, 3) places of the root
    seconds : between frames
    """
    children: list[list[int]] = [[] for _ in PARENTS]
    for joint, parent in enumerate(PARENTS[1:], 1):
        children[parent].append(joint)
    lines = ["HIERARCHY"]
    order: list[int] = []

    def write(joint: int, depth: int) -> None:
        pad, inner = "\t" * depth, "\t" * (depth + 1)
        order.append(joint)
        lines.append(f"{pad}{'JOINT' if depth else 'ROOT'} {BVH_WRITTEN[joint]}")
        lines.append(f"{pad}{{")
        lines.append(f"{inner}OFFSET {_row(offsets[joint], LENGTH)}")
        place = "" if depth else "Xposition Yposition Zposition "
        lines.append(f"{inner}CHANNELS {3 if depth else 6} {place}{CHANNELS}")
        for child in children[joint]:
            write(child, depth + 1)
        if joint in tips:
            tip = f"{inner}\tOFFSET {_row(tips[joint], LENGTH)}"
            lines.extend([f"{inner}End Site", f"{inner}{{", tip, f"{inner}}}"])
        lines.append(f"{pad}}}")

    write(0, 0)
    angles = euler_angles(local)[:, order].reshape(len(local), -1)
    lines += ["MOTION", f"Frames: {len(local)}", f"Frame Time: {seconds:.9g}"]
    for root, turned in zip(roots, angles, strict=True):
        lines.append(f"{_row(root, LENGTH)} {_row(turned, ANGLE)}")
    return ("\n".join(lines) + "\n").encode("ascii")


def euler_angles(local: Floats) -> Floats:
    """Degrees (F, J, 3) about z, x and y, in this order, of rotations (F, J, 3, 3).

    An angle takes the shortest way from frame to frame, so that programs may interpolate.
    """
    with warnings.catch_warnings():
        # where two axes coincide one of many answers is taken, which is as good as the others
        warnings.filterwarnings("ignore", message="Gimbal lock")
        turns = Rotation.from_matrix(local.reshape(-1, 3, 3)).as_euler("ZXY", degrees=True)
    angles: Floats = np.unwrap(turns.reshape(*local.shape[:2], 3), axis=0, period=360.0)
    return angles


def _row(values: Floats, number: str) -> str:
    # adding nought makes of -0 a 0
    return " ".join(number % (value + 0.0) for value in values)
