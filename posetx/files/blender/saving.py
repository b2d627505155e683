"""A scene as a file: FBX, BLEND, USD, GLB or OBJ, with all that the format holds."""

from __future__ import annotations

import os
import re
from typing import Any

import bpy

from posetx.files.blender.giving import give
from posetx.files.blender.opening import NAMING, USD, Pose, leave_out, unpacked_names
from posetx.files.blender.protocol import Arrays, Refused
from posetx.files.blender.scene import take_clips_off

#: what an FBX calls the layers of a clip, which Blender puts behind its name
LAYER = re.compile(r"(Base)?Layer\d*")
#: what a compressed .blend begins with
ZSTANDARD = b"\x28\xb5\x2f\xfd"
#: formats that hold clips beside a pose
WITH_CLIPS = (".fbx", ".blend", ".glb")


def save(told: dict[str, Any], arrays: Arrays, pose: Pose) -> dict[str, Any]:
    """Give the scene what `arrays` say, or else a `pose`, and write it to `told["output"]`.

    `told["final"]` is the folder in which it will lie. Of a GLB with clips there is a second one
    beside, `still.glb`, which has its pose. Returns notes.
    """
    source, output = told["path"], told["output"]
    suffix = os.path.splitext(output)[1].lower()
    own = suffix == ".blend" == os.path.splitext(source)[1].lower()  # which goes on naming files
    notes = [] if own else leave_out(os.path.dirname(source))
    if arrays:
        notes += give(told, arrays)
    else:
        take_clips_off([o for o in bpy.data.objects if o.pose and o.library is None])
        for (skeleton, bone), matrix in pose.items():
            bpy.data.objects[skeleton].pose.bones[bone].matrix_basis = matrix
    if source.lower().endswith(".fbx"):
        _short_names()
    notes += _of_clips(suffix)
    if suffix == ".blend":
        if not own:
            bpy.ops.file.pack_all()
        _save_blend(source, output, told["final"])
    elif suffix == ".fbx":
        notes += _save_fbx(output)
    elif suffix in USD:
        bpy.ops.wm.usd_export(
            filepath=output,
            visible_objects_only=False,
            export_textures_mode="NEW",
            overwrite_textures=True,
            relative_paths=True,
        )
    elif suffix == ".obj":
        _unpack(os.path.dirname(output))
        bpy.ops.wm.obj_export(filepath=output, path_mode="COPY", export_object_groups=True)
    else:
        _save_glb(output)
    if not os.path.isfile(output):
        raise Refused(f"Blender wrote no {suffix}")
    return {"notes": notes}


def _of_clips(suffix: str) -> list[str]:
    clips = [action.name for action in bpy.data.actions]
    named = ", ".join(clips[:3]) + (" and others" if len(clips) > 3 else "")
    if not clips or suffix == ".obj":
        return []
    if suffix == ".blend":
        return [f"clips are kept, and off, as the pose would not be seen otherwise: {named}"]
    if suffix in WITH_CLIPS:
        return [f"clips are kept, and a viewer that plays one shows that and not the pose: {named}"]
    return [f"clips are lost, this format has one motion or none: {named}"]


def _save_blend(source: str, output: str, final: str) -> None:
    """The names of other files lead there from the folder in which it will lie."""
    with open(source, "rb") as stream:
        packed = stream.read(4) == ZSTANDARD
    for kind in NAMING:
        for item in getattr(bpy.data, kind):
            if item.filepath.startswith("//"):
                found = bpy.path.abspath(item.filepath, library=item.library)
                item.filepath = bpy.path.relpath(found, start=final)
    if bpy.data.use_autopack:
        bpy.ops.file.autopack_toggle()
    bpy.ops.wm.save_as_mainfile(filepath=output, copy=True, relative_remap=False, compress=packed)


def _save_fbx(output: str) -> list[str]:
    """With its images in it. Shape keys and modifiers cannot both be written."""
    keys = any(o.type == "MESH" and o.data.shape_keys is not None for o in bpy.data.objects)
    shaped = [
        o.name
        for o in bpy.data.objects
        if o.type == "MESH" and any(m.type not in ("ARMATURE", "SUBSURF") for m in o.modifiers)
    ]
    bpy.ops.export_scene.fbx(
        filepath=output,
        add_leaf_bones=False,
        bake_anim_use_nla_strips=False,
        bake_anim_simplify_factor=0.0,
        path_mode="COPY",
        embed_textures=True,
        use_mesh_modifiers=not keys,
        use_subsurf=True,
        use_custom_props=True,
    )
    if keys and shaped:
        named = ", ".join(shaped[:3]) + (" and others" if len(shaped) > 3 else "")
        return [f"an FBX with shape keys has no modifiers: left out are those of {named}"]
    return []


def _short_names() -> None:
    """Clips as they were called in the FBX: reading and writing each put the skeleton's before."""
    for action in bpy.data.actions:
        owner, *words = action.name.split("|")
        while words and words[0] == owner:
            words.pop(0)
        if len(words) > 1 and LAYER.fullmatch(words[-1]):
            words.pop()
        action.name = "|".join(words) or owner


def _unpack(folder: str) -> None:
    """Put images that are in the file into a folder, from which an OBJ's are copied."""
    folder = os.path.join(folder, "packed")
    os.mkdir(folder)
    for image, name in unpacked_names():
        path = os.path.join(folder, name)
        with open(path, "wb") as stream:
            stream.write(image.packed_file.data)
        image.filepath = path
        image.unpack(method="REMOVE")


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
