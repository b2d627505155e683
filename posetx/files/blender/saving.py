"""A scene as a file: FBX, BLEND, USD, GLB or OBJ, with all that the format holds."""

from __future__ import annotations

import os
from typing import Any

import bpy

from posetx.files.blender.giving import give
from posetx.files.blender.inside import Arrays, Refused
from posetx.files.blender.opening import USD, leave_out_images
from posetx.files.blender.scene import take_clips_off

#: what names files, relative to the .blend
NAMING = ("images", "libraries", "fonts", "sounds", "movieclips", "volumes", "cache_files")


def save(told: dict[str, Any], arrays: Arrays) -> dict[str, Any]:
    """Give the scene what `arrays` say, if anything, and write it to `told["output"]`.

    `told["final"]` is the folder in which it will lie. Of a GLB with clips there is a second one
    beside, `still.glb`, which has its pose. Returns notes.
    """
    source, output = told["path"], told["output"]
    suffix = os.path.splitext(output)[1].lower()
    notes = [] if suffix == ".blend" else leave_out_images(os.path.dirname(source))
    if arrays:
        notes += give(told, arrays)
    elif suffix != ".glb":
        take_clips_off([o for o in bpy.data.objects if o.pose and o.library is None])
    if suffix == ".blend":
        _save_blend(output, told["final"])
    elif suffix == ".fbx":
        notes += _save_fbx(output, source.lower().endswith(".fbx"))
    elif suffix in USD:
        notes += _save_usd(output)
    elif suffix == ".obj":
        bpy.ops.wm.obj_export(filepath=output, path_mode="COPY", export_object_groups=True)
    else:
        _save_glb(output)
    if not os.path.isfile(output):
        raise Refused(f"Blender wrote no {suffix}")
    return {"notes": notes}


def _save_blend(output: str, final: str) -> None:
    """The names of other files lead there from the folder in which it will lie."""
    for kind in NAMING:
        for item in getattr(bpy.data, kind):
            if item.filepath.startswith("//"):
                found = bpy.path.abspath(item.filepath, library=item.library)
                item.filepath = bpy.path.relpath(found, start=final)
    if bpy.data.use_autopack:
        bpy.ops.file.autopack_toggle()
    bpy.ops.wm.save_as_mainfile(filepath=output, copy=True, relative_remap=False)


def _save_fbx(output: str, from_fbx: bool) -> list[str]:
    """With its images in it. Shape keys and modifiers cannot both be written."""
    keys = any(o.type == "MESH" and o.data.shape_keys is not None for o in bpy.data.objects)
    others = {"ARMATURE", "SUBSURF"} if from_fbx else {"ARMATURE"}
    shaped = [
        o.name
        for o in bpy.data.objects
        if o.type == "MESH" and any(m.type not in others for m in o.modifiers)
    ]
    if from_fbx:
        _short_names()
    bpy.ops.export_scene.fbx(
        filepath=output,
        add_leaf_bones=False,
        bake_anim_use_nla_strips=False,
        bake_anim_simplify_factor=0.0,
        path_mode="COPY",
        embed_textures=True,
        use_mesh_modifiers=not keys,
        use_custom_props=True,
    )
    if keys and shaped:
        named = ", ".join(shaped[:3]) + (" and others" if len(shaped) > 3 else "")
        return [f"an FBX with shape keys has no modifiers: left out are those of {named}"]
    return []


def _short_names() -> None:
    """Clips as they were called in the FBX: reading and writing each put names before them."""
    for action in bpy.data.actions:
        words = action.name.split("|")
        if len(words) > 1:
            action.name = words[1 if len(words) > 2 else -1]


def _save_usd(output: str) -> list[str]:
    bpy.ops.wm.usd_export(
        filepath=output,
        visible_objects_only=False,
        export_animation=False,
        export_textures_mode="NEW",
        overwrite_textures=True,
        relative_paths=True,
    )
    clips = [action.name for action in bpy.data.actions]
    return [f"a USD has the pose, not the clips: {', '.join(clips[:3])}"] if clips else []


def _save_glb(output: str) -> None:
    """Blender writes skeletons in the last frame of their clips, so the pose is written apart."""
    options = {
        "export_format": "GLB",
        "export_rest_position_armature": False,
        "export_all_influences": True,
        "export_extras": True,
        "export_cameras": True,
        "export_lights": True,
    }
    if bpy.data.actions:
        still = os.path.join(os.path.dirname(output), "still.glb")
        bpy.ops.export_scene.gltf(filepath=still, export_animations=False, **options)
    bpy.ops.export_scene.gltf(filepath=output, **options)
