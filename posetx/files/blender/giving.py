"""A pose given to the scene: bones turned, or vertices moved where they are stored."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from posetx.files.blender.protocol import Arrays, Refused
from posetx.files.blender.scene import (
    armatures,
    at_rest,
    bones,
    complete,
    coordinates,
    parts,
    shown_places,
    take_clips_off,
)

#: what of the size a vertex may be elsewhere than it was meant before it is said
OFF = 2e-3


def give(told: dict[str, Any], arrays: Arrays) -> list[str]:
    """Do what a task says; returns notes.

    Parameters
    ----------
    told : `parts` and `bones` as they were when the scene was looked at
    arrays : `vertices` (n, 3) in the world, `moved` (n,) bool which of them have come to other
        places in their mesh, `shown` (n, 3) where all should be in the end; and for a pose `bone`
        (k,) with their frames in the world, `frame` (k, 4, 4), parents first

    Raises Refused where the scene is another one by now, or cannot take it.
    """
    shown = parts()
    notes = complete(shown)
    skeletons = armatures(shown)
    every = bones(skeletons)
    if [[part.name, len(part.data.vertices)] for part in shown] != told["parts"] or [
        [skeleton.name, bone.name] for skeleton, bone in every
    ] != told["bones"]:
        raise Refused("it has changed since it was looked at; run it again")
    take_clips_off(skeletons)
    for skeleton in skeletons:
        skeleton.data.pose_position = "POSE"
        for bone in skeleton.pose.bones:
            bone.matrix_basis = Matrix.Identity(4)
    _move(shown, skeletons, arrays["vertices"], arrays["moved"])
    if "bone" in arrays:
        _turn(every, arrays["bone"].tolist(), arrays["frame"])
    return notes + _hold(shown, skeletons, arrays["shown"])


def _move(shown: list[Any], skeletons: list[Any], vertices: np.ndarray, moved: np.ndarray) -> None:
    """Store vertices (n, 3) of the world that have moved (n,); others keep their bits."""
    with at_rest(skeletons):
        graph = bpy.context.evaluated_depsgraph_get()
        frames = [np.array(part.evaluated_get(graph).matrix_world) for part in shown]
        old = shown_places(shown)
    begin = 0
    for part, frame in zip(shown, frames, strict=True):
        rows = slice(begin, begin + len(part.data.vertices))
        begin = rows.stop
        if not moved[rows].any():
            continue
        if part.data.users > 1 or part.data.library is not None:
            part.data = part.data.copy()
        linear = frame[:3, :3]
        if abs(np.linalg.det(linear)) < 1e-9 * np.abs(linear).max() ** 3:
            raise Refused(f"{part.name} is scaled to nothing; apply its scale first")
        added = (vertices[rows] - old[rows]) @ np.linalg.inv(linear).T
        added[~moved[rows]] = 0.0
        keys = part.data.shape_keys
        for points in [k.data for k in keys.key_blocks] if keys else []:
            _add(points, added)
        _add(part.data.vertices, added)
        part.data.update()


def _add(points: Any, added: np.ndarray) -> None:
    places = coordinates(points) + added
    points.foreach_set("co", places.astype(np.float32).ravel())


def _turn(every: list[tuple[Any, Any]], rows: list[int], frames: np.ndarray) -> None:
    """Have bones where frames (k, 4, 4) of the world say."""
    posed: dict[tuple[Any, str], Matrix] = {}
    for row, frame in zip(rows, frames, strict=True):
        skeleton, bone = every[row]
        matrix = skeleton.matrix_world.inverted() @ Matrix(frame.tolist())
        posed[skeleton, bone.name] = matrix
        above = {}
        if bone.parent is not None:
            # a parent that is not among them moves nothing, and is at rest
            parent = posed.get((skeleton, bone.parent.name), bone.parent.matrix_local)
            above = {"parent_matrix": parent, "parent_matrix_local": bone.parent.matrix_local}
        place = skeleton.pose.bones[bone.name]
        place.matrix_basis = bone.convert_local_to_pose(
            matrix, bone.matrix_local, invert=True, **above
        )
        place.scale = (1.0, 1.0, 1.0)


def _hold(shown: list[Any], skeletons: list[Any], wanted: np.ndarray) -> list[str]:
    """Let no constraint move bones away from where vertices are wanted (n, 3); returns notes."""
    off = _off(shown, wanted)
    if off < OFF:
        return []
    muted = []
    for skeleton in skeletons:
        for bone in skeleton.pose.bones:
            for constraint in [c for c in bone.constraints if not c.mute]:
                constraint.mute = True
                muted.append(bone.name)
    notes = []
    if muted:
        named = ", ".join(dict.fromkeys(muted[:3])) + (" and others" if len(muted) > 3 else "")
        notes.append(f"constraints of its bones are muted, as they had no part in this: {named}")
        off = _off(shown, wanted)
    if off >= OFF:
        notes.append(
            f"Blender shows vertices up to {100 * off:.1f} % of the size elsewhere: its skeleton "
            "has drivers, or a skin of another kind"
        )
    return notes


def _off(shown: list[Any], wanted: np.ndarray) -> float:
    """How far Blender has a vertex from where it is wanted, at most, as a share of the size."""
    found = shown_places(shown, but=("ARMATURE",))
    if found.shape != wanted.shape:
        return 0.0
    return float(np.linalg.norm(found - wanted, axis=1).max() / np.ptp(wanted, axis=0).max())
