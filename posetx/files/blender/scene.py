"""What of Blender's scene is a character: meshes that are shown, and the skeletons that move them.

All of it at rest: that is the pose in which a character was bound, and in which its vertices are
stored. Both looking and writing go by the order in which things are found here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy
import numpy as np


def parts() -> list[Any]:
    """The shown objects with triangles that belong to the file, not to one that it links."""
    shapes = {b.custom_shape for o in bpy.data.objects if o.pose for b in o.pose.bones}
    return [
        o
        for o in bpy.context.view_layer.objects
        if o.type == "MESH"
        and o.visible_get()
        and o.library is None
        and o not in shapes
        and len(o.data.polygons)
    ]


def complete(shown: list[Any]) -> list[str]:
    """Make mirrored halves whole meshes, as a pose has two sides; returns what is to be said."""
    notes = []
    for part in shown:
        for modifier in [m for m in part.modifiers if m.type == "MIRROR" and m.show_viewport]:
            if part.data.shape_keys is not None:
                notes.append(
                    f"{part.name} is mirrored and has shape keys: only its half is looked at"
                )
                continue
            if part.data.users > 1:
                part.data = part.data.copy()
            with bpy.context.temp_override(object=part, active_object=part):
                bpy.ops.object.modifier_apply(modifier=modifier.name)
            notes.append(f"the mirror of {part.name} was made part of its mesh")
    return notes


def linked() -> list[str]:
    """Names of shown meshes that belong to other files."""
    shown = [o for o in bpy.context.view_layer.objects if o.visible_get()]
    collections = [o for o in shown if o.type == "EMPTY" and o.instance_collection is not None]
    return [o.name for o in [*(o for o in shown if o.type == "MESH" and o.library), *collections]]


def skeleton_of(part: Any) -> Any:
    """The armature whose bones move a part's vertices; None without."""
    for modifier in part.modifiers:
        if (
            modifier.type == "ARMATURE"
            and modifier.object is not None
            and modifier.use_vertex_groups
            and modifier.show_viewport
        ):
            return modifier.object
    if part.parent_type == "ARMATURE" and part.parent is not None and part.parent.pose:
        return part.parent
    return None


def carrier_of(part: Any) -> tuple[Any, str] | None:
    """The armature and the name of its bone that a part hangs on as a whole."""
    seen = set()
    while part is not None and part not in seen:
        seen.add(part)
        if part.parent_type == "BONE" and part.parent is not None and part.parent_bone:
            bones = part.parent.data.bones if part.parent.pose else {}
            return (part.parent, part.parent_bone) if part.parent_bone in bones else None
        part = part.parent
    return None


def armatures(shown: list[Any]) -> list[Any]:
    """Those that move the parts, each once."""
    found: dict[Any, None] = {}
    for part in shown:
        carrier = carrier_of(part)
        for one in (skeleton_of(part), carrier[0] if carrier else None):
            if one is not None and one.library is None:
                found[one] = None
    return list(found)


def bones(skeletons: list[Any]) -> list[tuple[Any, Any]]:
    """Armature and bone, parents first."""
    found = []
    for skeleton in skeletons:
        left = [bone for bone in skeleton.data.bones if bone.parent is None]
        while left:
            bone = left.pop(0)
            found.append((skeleton, bone))
            left += list(bone.children)
    return found


def take_clips_off(skeletons: list[Any]) -> None:
    """Let no clip move the skeletons, and keep the clips with the file."""
    for skeleton in skeletons:
        moved = skeleton.animation_data
        if moved is None:
            continue
        for track in moved.nla_tracks:
            track.mute = True
        action = moved.action
        if action is None:
            continue
        if not any(s.action == action for track in moved.nla_tracks for s in track.strips):
            track = moved.nla_tracks.new()
            track.name, track.mute = action.name, True
            strip = track.strips.new(action.name, int(action.frame_range[0]), action)
            if hasattr(strip, "action_slot") and strip.action_slot is None:
                strip.action_slot = moved.action_slot
        moved.action = None


@contextmanager
def at_rest(skeletons: list[Any]) -> Iterator[None]:
    """While it holds, skeletons are in the pose in which their meshes are stored."""
    before = {skeleton.data: skeleton.data.pose_position for skeleton in skeletons}
    for data in before:
        data.pose_position = "REST"
    bpy.context.view_layer.update()
    try:
        yield
    finally:
        for data, position in before.items():
            data.pose_position = position
        bpy.context.view_layer.update()


def shown_places(shown: list[Any], but: tuple[str, ...] = ()) -> np.ndarray:
    """(n, 3) where the parts' vertices are in the world, without modifiers but some kinds."""
    hidden = [m for part in shown for m in part.modifiers if m.type not in but and m.show_viewport]
    for modifier in hidden:
        modifier.show_viewport = False
    bpy.context.view_layer.update()
    graph = bpy.context.evaluated_depsgraph_get()
    found = [np.zeros((0, 3))]
    for part in shown:
        seen = part.evaluated_get(graph)
        matrix = np.array(seen.matrix_world)
        found.append(coordinates(seen.data.vertices) @ matrix[:3, :3].T + matrix[:3, 3])
    for modifier in hidden:
        modifier.show_viewport = True
    bpy.context.view_layer.update()
    return np.concatenate(found)


def coordinates(points: Any) -> np.ndarray:
    """(n, 3) of vertices, or of a shape key's points."""
    values = np.empty(3 * len(points), dtype=np.float32)
    points.foreach_get("co", values)
    return values.reshape(-1, 3).astype(np.float64)
