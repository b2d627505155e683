"""A clip of a glTF's own skeleton: tracks for the joints that turn, and all else as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from posetx.arrays import Floats, Mask
from posetx.files.targets.clip import RigClip
from posetx.files.targets.gltf_edit import GltfEdit
from posetx.files.targets.gltf_rig import UNMOVED, quaternion
from posetx.files.targets.gltf_tracks import Channel, add_animation, continuous

#: axes of a matrix that are off the perpendicular by a greater cosine are slanted
SLANT = 1e-4


def add_rig_clip(edit: GltfEdit, clip: RigClip) -> list[str]:
    """Put the clip into the file, before its own; returns notes."""
    rig, nodes = clip.rig, edit.document["nodes"]
    turns = np.stack([pose.turns for pose in clip.poses])  # (F, k, 3, 3)
    shifts = np.stack([pose.shifts for pose in clip.poses])  # (F, k, 3)
    size = float(np.ptp(rig.place, axis=0).max())
    tracks, slanted = [], 0
    for row in np.flatnonzero(rig.joints).tolist():
        turn = Rotation.from_matrix(turns[:, row])
        turned = bool(turn.magnitude().max() > UNMOVED)
        moved = bool(np.abs(shifts[:, row]).max() > UNMOVED * size)
        if not (turned or moved):
            continue
        number = int(rig.numbers[row])
        if not _taken_apart(nodes[number]):
            slanted += 1
            continue
        if turned:
            values = (turn * Rotation.from_quat(quaternion(nodes[number]))).as_quat()
            tracks.append(Channel(number, "rotation", continuous(values)))
        if moved:
            tracks.append(Channel(number, "translation", rig.local[row, :3, 3] + shifts[:, row]))
    if not tracks:  # a clip in which nothing moves is one all the same
        first = int(rig.numbers[np.flatnonzero(rig.joints & ~_slanted(rig.local))[0]])
        still = np.tile(quaternion(nodes[first]), (len(turns), 1))
        tracks.append(Channel(first, "rotation", still))
    add_animation(edit, clip.name, clip.fps, tracks)
    return (
        [f"{slanted} joints with slanted axes, which cannot be animated, stay"] if slanted else []
    )


def _slanted(frames: Floats) -> Mask:
    """Whether the axes of frames (..., 4, 4) are off the perpendicular, or mirrored."""
    linear = frames[..., :3, :3]
    length = np.linalg.norm(linear, axis=-2, keepdims=True)
    unit = linear / np.where(length > 0, length, 1.0)
    cosines = np.abs(unit.swapaxes(-1, -2) @ unit - np.eye(3)).max(axis=(-1, -2))
    slanted: Mask = (cosines > SLANT) | (np.linalg.det(unit) <= 0)
    return slanted


def _taken_apart(node: dict[str, Any]) -> bool:
    """Give a node rotation, translation and scale for its matrix, as animated ones need; if any."""
    if "matrix" not in node:
        return True
    frame = np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    if _slanted(frame):
        return False
    scale = np.linalg.norm(frame[:3, :3], axis=0)
    del node["matrix"]
    node["translation"] = frame[:3, 3].tolist()
    node["rotation"] = Rotation.from_matrix(frame[:3, :3] / scale).as_quat().tolist()
    node["scale"] = scale.tolist()
    return True
