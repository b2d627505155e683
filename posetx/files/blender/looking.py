"""A scene as arrays: where the vertices of a character are at rest, and which bones move them."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import bpy
import numpy as np

from posetx.files.blender.opening import files_named, unpacked_names
from posetx.files.blender.protocol import Arrays, Refused
from posetx.files.blender.scene import (
    armatures,
    at_rest,
    bones,
    carrier_of,
    complete,
    linked,
    parts,
    shown_places,
    skeleton_of,
)


def look(path: str, posed: bool) -> tuple[dict[str, Any], Arrays]:
    """What :mod:`posetx.files.codecs.blender` hands on of the scene from a file at `path`.

    At rest, or `posed` as the file shows it.

    Raises Refused where there is no mesh.
    """
    shown = parts()
    if not shown:
        others = ", ".join(linked()[:3])
        raise Refused(
            f"its meshes belong to other files ({others}); in Blender make them local first"
            if others
            else "no mesh with faces is shown in it"
        )
    notes = complete(shown)
    skeletons = armatures(shown)
    every = bones(skeletons)
    row = {(skeleton.name, bone.name): number for number, (skeleton, bone) in enumerate(every)}
    with nullcontext() if posed else at_rest(skeletons):
        arrays: Arrays = {"points": shown_places(shown, but=("ARMATURE",) if posed else ())}
        worlds = [s.matrix_world @ bone.matrix_local for s, bone in every]
        frames = [s.matrix_world for s in skeletons]
    arrays["bones"] = np.array(worlds, dtype=np.float64).reshape(-1, 4, 4)
    arrays["armatures"] = np.array(frames, dtype=np.float64).reshape(-1, 4, 4)
    arrays["bone_parent"] = np.array(
        [row[s.name, bone.parent.name] if bone.parent else -1 for s, bone in every], dtype=np.int64
    )
    arrays["bone_armature"] = np.array([skeletons.index(s) for s, _ in every], dtype=np.int64)
    arrays |= _triangles(shown)
    arrays |= _weights(shown, row)
    told = {
        "parts": [[part.name, len(part.data.vertices)] for part in shown],
        "bones": [[skeleton.name, bone.name] for skeleton, bone in every],
        "skeletons": [_number(skeletons, part) for part in shown],
        "notes": [*notes, *_notes(shown)],
        "clips": [action.name for action in bpy.data.actions],
        "files": files_named(path),
        "packed": [name for _, name in unpacked_names()],
    }
    return told, arrays


def _number(skeletons: list[Any], part: Any) -> int:
    """Which armature moves a part; -1 none."""
    carrier = carrier_of(part)
    one = skeleton_of(part) or (carrier[0] if carrier else None)
    return skeletons.index(one) if one in skeletons else -1


def _triangles(shown: list[Any]) -> Arrays:
    """Triangles (m, 3) of all parts' vertices, and the part (m,) that each is of."""
    faces, of_part, begin = [], [], 0
    for number, part in enumerate(shown):
        mesh = part.data
        mesh.calc_loop_triangles()
        corners = np.empty(3 * len(mesh.loop_triangles), dtype=np.int32)
        mesh.loop_triangles.foreach_get("vertices", corners)
        faces.append(corners.reshape(-1, 3).astype(np.int64) + begin)
        of_part.append(np.full(len(faces[-1]), number))
        begin += len(mesh.vertices)
    return {"faces": np.concatenate(faces), "face_part": np.concatenate(of_part)}


def _weights(shown: list[Any], row: dict[tuple[str, str], int]) -> Arrays:
    """Which vertex (e,) follows which bone (e,) by how much (e,)."""
    vertex: list[int] = []
    bone: list[int] = []
    weight: list[float] = []
    begin = 0
    for part in shown:
        skeleton, carrier = skeleton_of(part), carrier_of(part)
        if skeleton is not None:
            rows = {
                group.index: row[skeleton.name, group.name]
                for group in part.vertex_groups
                if (skeleton.name, group.name) in row and skeleton.data.bones[group.name].use_deform
            }
            for point in part.data.vertices:
                for entry in point.groups:
                    if entry.weight > 0 and entry.group in rows:
                        vertex.append(begin + point.index)
                        bone.append(rows[entry.group])
                        weight.append(entry.weight)
        elif carrier is not None and (carrier[0].name, carrier[1]) in row:
            count = len(part.data.vertices)
            vertex += range(begin, begin + count)
            bone += [row[carrier[0].name, carrier[1]]] * count
            weight += [1.0] * count
        begin += len(part.data.vertices)
    return {
        "vertex": np.array(vertex, dtype=np.int64),
        "bone": np.array(bone, dtype=np.int64),
        "weight": np.array(weight, dtype=np.float64),
    }


def _notes(shown: list[Any]) -> list[str]:
    notes = []
    others = linked()
    if others:
        named = ", ".join(others[:3]) + (" and others" if len(others) > 3 else "")
        notes.append(f"belongs to other files or is an instance, and stays as it is: {named}")
    if any(o.library for part in shown for o in (skeleton_of(part),) if o is not None):
        notes.append("a skeleton belongs to another file: make it local to have it posed")
    return notes
