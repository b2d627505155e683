"""Files into Blender: no script of theirs runs, and nothing that lies elsewhere comes with them."""

from __future__ import annotations

import json
import os
import re
import struct
from typing import Any

import bpy

from posetx.files.blender.protocol import Refused

#: files that a file may bring along
IMAGES = (
    ".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tga", ".tif", ".tiff", ".hdr", ".exr",
    ".dds", ".psd", ".jp2",
)  # fmt: skip
#: what names files, relative to the .blend
NAMING = ("images", "libraries", "fonts", "sounds", "movieclips", "volumes", "cache_files")
USD = (".usd", ".usda", ".usdc", ".usdz")
#: images whose name stands for many
MANY_FILES = ("SEQUENCE", "MOVIE", "TILED")
#: where bones are from their rest, by the names of armature and bone: matrices
Pose = dict[tuple[str, str], Any]
#: layers that a USD may be made of, at most
MOST_LAYERS = 200


def open_file(path: str) -> Pose:
    """Have a file as Blender's scene; returns the pose of its skeletons, if its clips hide one.

    Raises Refused, or what Blender raises.
    """
    pose: Pose = {}
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.preferences.filepaths.use_scripts_auto_execute = False
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".blend":
        bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=False)
    elif suffix == ".fbx":
        # not searched for in all folders below
        bpy.ops.import_scene.fbx(filepath=path, use_image_search=False)
    elif suffix in USD:
        _check_layers(path)
        # what is in a package has no name of its own on the disk
        textures = "IMPORT_PACK" if suffix == ".usdz" else "IMPORT_NONE"
        bpy.ops.wm.usd_import(filepath=path, import_textures_mode=textures)
    elif suffix == ".obj":
        bpy.ops.wm.obj_import(filepath=path)
    elif suffix == ".ply":
        bpy.ops.wm.ply_import(filepath=path)
    elif suffix == ".stl":
        bpy.ops.wm.stl_import(filepath=path)
    else:
        pose = _import_gltf(path)
    if bpy.context.object is not None and bpy.context.object.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    _check_libraries(os.path.dirname(path))
    _without_readers()
    return pose


def _import_gltf(path: str) -> Pose:
    """Of a GLB with clips Blender shows a frame, so it is read without them first, for its pose."""
    pose: Pose = {}
    with open(path, "rb") as stream:
        header = stream.read(20)
        document = json.loads(stream.read(struct.unpack_from("<I", header, 12)[0]))
        rest = stream.read()
    if document.pop("animations", None):
        text = json.dumps(document).encode()
        text += b" " * (-len(text) % 4)
        still = f"{path}.still.glb"
        with open(still, "wb") as stream:
            stream.write(struct.pack("<4sII", b"glTF", 2, 20 + len(text) + len(rest)))
            stream.write(struct.pack("<I4s", len(text), b"JSON") + text + rest)
        bpy.ops.import_scene.gltf(filepath=still, disable_bone_shape=True)
        for skeleton in [o for o in bpy.data.objects if o.pose]:
            for bone in skeleton.pose.bones:
                pose[skeleton.name, bone.name] = bone.matrix_basis.copy()
        bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=path, disable_bone_shape=True)
    return pose


def lies_beside(folder: str, path: str) -> bool:
    """Whether a path, links followed, is at or below a folder and not hidden there."""
    root, found = os.path.realpath(folder), os.path.realpath(path)
    try:
        inside = os.path.commonpath([root, found]) == root
    except ValueError:  # another drive
        return False
    parts = os.path.relpath(found, root).split(os.sep)
    return inside and not any(part.startswith(".") for part in parts)


def _check_layers(path: str) -> set[str]:
    """The layers that a USD is made of; refuses it where one lies elsewhere."""
    if hasattr(bpy.utils, "expose_bundled_modules"):
        bpy.utils.expose_bundled_modules()
    from pxr import Sdf, UsdUtils

    folder, left = os.path.dirname(path), [path]
    seen: set[str] = set()
    while left:
        name = left.pop()
        if name in seen or len(seen) > MOST_LAYERS:
            continue
        seen.add(name)
        layer = Sdf.Layer.FindOrOpen(name)
        if layer is None:
            if name == path:
                raise Refused("it is no USD, or damaged")
            continue
        for named in layer.GetCompositionAssetDependencies():
            found = layer.ComputeAbsolutePath(named)
            if found.startswith(f"{path}["):  # within a package
                left.append(found)
                continue
            if not lies_beside(folder, found) or not found.lower().endswith(USD):
                raise Refused(f"it is made of {named} as well, which lies outside its folder")
            left.append(found)
    if path.lower().endswith(".usdz"):
        for asset in UsdUtils.ComputeAllDependencies(path)[1]:
            if not str(asset).startswith(f"{path}["):
                raise Refused(f"it names {asset}, which is not in the package")
    return seen


def _check_libraries(folder: str) -> None:
    """Refuse a .blend that links others which lie elsewhere."""
    for library in bpy.data.libraries:
        if not lies_beside(folder, bpy.path.abspath(library.filepath)):
            raise Refused(
                f"it links {library.filepath}, which lies outside its folder; in Blender make all "
                "local first"
            )


def _without_readers() -> None:
    """Take out nodes that read files as a mesh is shown, from wherever they like."""
    for group in bpy.data.node_groups:
        for node in [n for n in group.nodes if n.bl_idname.startswith("GeometryNodeImport")]:
            group.nodes.remove(node)


def leave_out(folder: str) -> list[str]:
    """Take out what is read from elsewhere, as writing would copy it; returns notes.

    An image that is missing is a name, and stays.
    """
    notes = []
    for kind in (bpy.data.cache_files, bpy.data.volumes):
        for item in list(kind):
            if not lies_beside(folder, bpy.path.abspath(item.filepath, library=item.library)):
                notes.append(f"{item.filepath}, which it names, lies outside its folder: left out")
                kind.remove(item)
    for image in list(bpy.data.images):
        if image.source not in (*MANY_FILES, "FILE") or len(image.packed_files):
            continue
        found = bpy.path.abspath(image.filepath, library=image.library)
        right = lies_beside(folder, found) and found.lower().endswith(IMAGES)
        if right or not image.filepath:
            continue
        if os.path.lexists(found) or image.source in MANY_FILES:
            notes.append(f"{image.filepath}, which it names, lies outside its folder: left out")
            bpy.data.images.remove(image)
    return notes


def files_named(path: str) -> list[str]:
    """Other files that the scene from `path` is made of, in full."""
    found = _check_layers(path) - {path} if path.lower().endswith(USD) else set()
    for kind in NAMING:
        for item in getattr(bpy.data, kind):
            if item.filepath and getattr(item, "packed_file", None) is None:
                library = getattr(item, "library", None)
                found.add(os.path.normpath(bpy.path.abspath(item.filepath, library=library)))
    return sorted(found)


def unpacked_names() -> list[tuple[Any, str]]:
    """The images that are inside the file, and what each is called once it is beside one."""
    found: list[tuple[Any, str]] = []
    for number, image in enumerate(i for i in bpy.data.images if i.packed_file is not None):
        named = (image.filepath or image.name).replace("\\", "/").rpartition("/")[2]
        stem, suffix = os.path.splitext(named)
        stem = re.sub(r"\W+", "_", stem)[:60] or "image"
        name = f"{stem}{suffix if suffix in IMAGES else '.png'}"
        taken = any(name == other for _, other in found)
        found.append((image, f"{number}_{name}" if taken else name))
    return found
