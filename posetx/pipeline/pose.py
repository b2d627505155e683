"""The pose that a scan shows, by itself: joints, rotations, lengths, how sure each is; and files.

JSON and NPZ are in the scans' frames and units. BVH is in the first scan's unit, and has y up, as
its readers expect: the scan's own axis that is up becomes y. Place and heading stay, so that
Blender, which makes z of y as it reads, shows the pose of a scan with z up where the scan is.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posetx.arrays import Floats
from posetx.bodies.body import relative_rotations
from posetx.bodies.skeleton import JOINTS, PARENTS, TIPS
from posetx.data.bvh_write import encode_bvh
from posetx.errors import FieldError, UsageError
from posetx.files.atomic import write_bytes_atomic
from posetx.geometry.axes import axis, upright
from posetx.geometry.units import Unit

FPS = 30.0
#: of the JSON file, for whoever reads it
VERSION = 1


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
        """Write it as BVH, JSON or NPZ: see :func:`write_poses`."""
        write_poses(Path(path), [self])


def check_pose_suffix(path: Path) -> None:
    """Refuse a pose's file that is in no format that is written. Raises UsageError."""
    if path.suffix.lower() not in _ENCODERS:
        known = " ".join(_ENCODERS)
        raise UsageError(f"{path}: a pose is written as one of {known}; choose one of them")


def write_poses(path: Path, poses: Sequence[Pose], fps: float = FPS) -> None:
    """Write poses, a frame each, whole or not at all; the suffix says in which format.

    Parameters
    ----------
    path : BVH, JSON or NPZ; an existing file is replaced
    poses : at least one; of several BVH has the mean of their bodies, whose bones have one length
    fps : frames a second, which BVH alone tells

    Raises
    ------
    UsageError : the suffix is none of these
    FieldError : impossible ``fps``
    PosetxError : the file cannot be written
    """
    check_pose_suffix(path)
    check_fps(fps)
    write_bytes_atomic(path, _ENCODERS[path.suffix.lower()](poses, fps))


def check_fps(fps: float) -> None:
    """Raises FieldError for a rate that no film has."""
    if not 1e-3 <= fps <= 1e6:
        raise FieldError("fps", fps, "give frames a second, such as 30")


def to_first_unit(poses: Sequence[Pose]) -> Floats:
    """(F,) what lengths of each pose are multiplied with to be in the first one's unit.

    Only units that are known are told apart: a body twice as large is a larger body.
    """
    known = [pose.unit.name is not None for pose in poses]
    first = poses[0].unit.metre
    ratios = [
        first / pose.unit.metre if known[0] and here else 1.0
        for pose, here in zip(poses, known, strict=True)
    ]
    return np.array(ratios)


def _bvh(poses: Sequence[Pose], fps: float) -> bytes:
    ratios = to_first_unit(poses)
    offsets = np.mean([r * p.offsets for r, p in zip(ratios, poses, strict=True)], axis=0)
    scale = float(np.mean([r * p.scale for r, p in zip(ratios, poses, strict=True)]))
    tips = {joint: scale * np.array(tip) for joint, tip in TIPS.items()}
    roots = np.stack([r * p.turn @ p.joints[0] for r, p in zip(ratios, poses, strict=True)])
    local = np.stack([pose.local for pose in poses])
    local[:, 0] = np.stack([pose.turn @ pose.rotations[0] for pose in poses])
    return encode_bvh(offsets, tips, local, roots, 1.0 / fps)


def _json(poses: Sequence[Pose], fps: float) -> bytes:
    frames = [
        {
            "scan": str(pose.scan),
            "up": pose.up,
            "unit": pose.unit.name,
            "units_a_metre": pose.unit.metre,
            "overall": pose.overall,
            **{name: values.tolist() for name, values in _arrays(pose).items()},
        }
        for pose in poses
    ]
    document: dict[str, Any] = {
        "format": "posetx pose", "version": VERSION, "fps": fps,
        "names": JOINTS, "parents": PARENTS, "frames": frames,
    }  # fmt: skip
    text = json.dumps(document, ensure_ascii=False)
    # bytes of a file's name that are no UTF-8: as JSON spells them
    return (text + "\n").encode("utf-8", "backslashreplace")


def _npz(poses: Sequence[Pose], fps: float) -> bytes:
    each = [_arrays(pose) for pose in poses]
    overall = [np.nan if pose.overall is None else pose.overall for pose in poses]
    arrays: dict[str, Any] = {name: np.stack([a[name] for a in each]) for name in each[0]}
    arrays |= {
        "names": np.array(JOINTS),
        "parents": np.array(PARENTS),
        "scan": np.array([str(pose.scan).encode("utf-8", "replace").decode() for pose in poses]),
        "up": np.array([pose.up for pose in poses]),
        "unit": np.array([pose.unit.name or "" for pose in poses]),
        "units_a_metre": np.array([pose.unit.metre for pose in poses]),
        "overall": np.array(overall),
        "fps": np.array(fps),
    }
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _arrays(pose: Pose) -> dict[str, Floats]:
    return {
        "joints": pose.joints,
        "rotations": pose.rotations,
        "local": pose.local,
        "offsets": pose.offsets,
        "confidence": pose.confidence,
    }


_ENCODERS: dict[str, Callable[[Sequence[Pose], float], bytes]] = {
    ".bvh": _bvh,
    ".json": _json,
    ".npz": _npz,
}
