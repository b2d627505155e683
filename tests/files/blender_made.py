"""Characters that Blender makes, for tests, and what it shows of files: by scripts that it runs.

``POSETX_BPY_PYTHON`` names the Python that has it. ``python -m tests.files.blender_made OUT.fbx``
writes the character of `docs/blender.md`, as Mixamo has them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from examples.make.rigged import write_skinned

PYTHON = os.environ.get("POSETX_BPY_PYTHON", "")

#: A skinned GLB as it comes from `examples.make.rigged` becomes a character with all that files
#: have: a picture, texture coordinates, a shape key, other objects, modifiers, a constraint.
MAKE = """
import json, os, sys
import bpy

source, output, picture, how = sys.argv[1:4] + [set(sys.argv[4].split())]
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.context.scene.render.fps = 24
bpy.ops.import_scene.gltf(filepath=source, disable_bone_shape=True)
rig = next((o for o in bpy.data.objects if o.pose), None)
meshes = [o for o in bpy.data.objects if o.type == "MESH"]
material = bpy.data.materials.new("skin")
material.use_nodes = True
image = material.node_tree.nodes.new("ShaderNodeTexImage")
image.image = bpy.data.images.load(picture)
shader = material.node_tree.nodes["Principled BSDF"]
material.node_tree.links.new(image.outputs["Color"], shader.inputs["Base Color"])
for part in meshes:
    layer = part.data.uv_layers.new(name="UVMap")
    size = max(part.dimensions) or 1
    for loop, uv in zip(part.data.loops, layer.data):
        x, y, z = part.data.vertices[loop.vertex_index].co
        uv.uv = (x / size % 1, y / size % 1)
    part.data.materials.clear()
    part.data.materials.append(material)
if "key" in how:
    for part in meshes[:1]:
        part.shape_key_add(name="Basis")
        key = part.shape_key_add(name="smile")
        key.data[0].co.x += 0.01
if "lamp" in how:
    lamp = bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "POINT"))
    lamp.location = (3, 3, 3)
    bpy.context.collection.objects.link(lamp)
if "subdivided" in how:
    meshes[0].modifiers.new("finer", "SUBSURF").levels = 1
if "held" in how:
    bone = next(b for b in rig.pose.bones if b.name.endswith("LeftHand"))
    held = bone.constraints.new("LIMIT_ROTATION")
    held.use_limit_x = held.use_limit_y = held.use_limit_z = True
    held.owner_space = "WORLD"
if "twice" in how:
    twin = bpy.data.objects.new("twin", meshes[0].data)
    twin.location.x = 3
    bpy.context.collection.objects.link(twin)
if "half" in how:
    rig = None
    for o in [o for o in bpy.data.objects if o.type != "MESH"]:
        bpy.data.objects.remove(o)
    part = meshes[0]
    part.modifiers.clear()
    import bmesh
    bm = bmesh.new()
    bm.from_mesh(part.data)
    every = bm.verts[:] + bm.edges[:] + bm.faces[:]
    bmesh.ops.bisect_plane(bm, geom=every, plane_co=(0, 0, 0), plane_no=(1, 0, 0),
                           clear_inner=True)
    bm.to_mesh(part.data)
    part.modifiers.new("other side", "MIRROR").use_clip = True
bpy.context.scene.frame_set(1)
suffix = os.path.splitext(output)[1]
if suffix == ".fbx":
    bpy.ops.export_scene.fbx(filepath=output, path_mode="COPY", embed_textures=True,
                             use_mesh_modifiers=False)
elif suffix == ".blend":
    bpy.ops.wm.save_as_mainfile(filepath=output)
else:
    bpy.ops.wm.usd_export(filepath=output, export_animation=False)
"""

#: What Blender shows of a file, its clips off: places by part, names, pictures; and at the frames
#: asked for with its first clip on.
LOOK = """
import json, os, sys
import bpy

source, answer, *frames = sys.argv[1:]
suffix = os.path.splitext(source)[1]
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.context.scene.render.fps = 24

def load(**more):
    if suffix == ".fbx":
        bpy.ops.import_scene.fbx(filepath=source, **more)
    elif suffix == ".blend":
        bpy.ops.wm.open_mainfile(filepath=source, use_scripts=False)
    elif suffix == ".glb":
        bpy.ops.import_scene.gltf(filepath=source, disable_bone_shape=True)
    elif suffix == ".obj":
        bpy.ops.wm.obj_import(filepath=source)
    else:
        bpy.ops.wm.usd_import(filepath=source)

def places():
    graph = bpy.context.evaluated_depsgraph_get()
    found = {}
    for part in bpy.data.objects:
        if part.type == "MESH":
            for modifier in part.modifiers:
                modifier.show_viewport = modifier.type == "ARMATURE"
    bpy.context.view_layer.update()
    for part in bpy.data.objects:
        if part.type == "MESH" and part.data.polygons:
            shown = part.evaluated_get(graph)
            found[part.name] = [list(shown.matrix_world @ v.co) for v in shown.to_mesh().vertices]
    return found

moving = {}
if frames:
    load()
    for frame in map(float, frames):
        bpy.context.scene.frame_set(int(frame), subframe=frame % 1)
        moving[frame] = places()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 24
load()
names = [a.name for a in bpy.data.actions]
if suffix == ".fbx":
    bpy.ops.wm.read_factory_settings(use_empty=True)
    load(use_anim=False)
active = [o.name for o in bpy.data.objects if o.animation_data and o.animation_data.action]
told = {
    "places": places(),
    "moving": list(moving.values()),
    "clips": names,
    "active": active,
    "objects": {o.name: o.type for o in bpy.data.objects},
    "bones": [b.name for o in bpy.data.objects if o.pose for b in o.pose.bones],
    "scales": [max(o.scale) for o in bpy.data.objects if o.pose],
    "rolls": [list(sum(map(list, b.matrix_local.to_3x3()), []))
              for o in bpy.data.objects if o.pose for b in o.data.bones],
    # those that move something, as formats keep no others
    "groups": sum(len({g.group for v in o.data.vertices for g in v.groups if g.weight > 0})
                  for o in bpy.data.objects if o.type == "MESH"),
    "keys": sum(len(m.shape_keys.key_blocks) - 1 for m in bpy.data.meshes if m.shape_keys),
    "uvs": sum(len(m.uv_layers) for m in bpy.data.meshes),
    "pictures": [list(i.size) for i in bpy.data.images if i.size[0] and i.source == "FILE"],
    "modifiers": [m.type for o in bpy.data.objects for m in o.modifiers],
    "polygons": sum(len(m.polygons) for m in bpy.data.meshes),
}
with open(answer, "w") as stream:
    stream.write(json.dumps(told))
"""


#: The end of a script: Blender's own hangs where the scene has a driver that is a script.
END = "\nimport os; os._exit(0)\n"


def blender(script: str, *arguments: object) -> None:
    """Run a script in Blender."""
    command = [PYTHON, "-c", script + END, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def make(source: Path, output: Path, picture: Path, how: str = "") -> Path:
    """A character of a skinned GLB, see `MAKE`."""
    blender(MAKE, source, output, picture, how)
    return output


def shown(path: Path, *frames: float) -> dict[str, Any]:
    """What Blender shows of a file, see `LOOK`; `places` by part as arrays (n, 3)."""
    answer = path.with_suffix(".json")
    blender(LOOK, path, answer, *frames)
    told: dict[str, Any] = json.loads(answer.read_text())
    told["places"] = {name: np.array(places) for name, places in told["places"].items()}
    told["moving"] = [
        np.concatenate([np.array(places[name]) for name in sorted(places)])
        for places in told["moving"]
    ]
    return told


def main() -> None:
    from tests.pipeline.test_own_skeleton import HOW, of_body

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Image.new("RGB", (32, 16), (200, 150, 120)).save(folder / "skin.png")
        write_skinned(folder / "hero.glb", of_body(), HOW)
        make(folder / "hero.glb", Path(sys.argv[1]).resolve(), folder / "skin.png", "key lamp")


if __name__ == "__main__":
    main()
