"""Draws a character before and after the add-on gave it the pose of a scan, as Blender renders it.

    PYTHON_WITH_BPY examples/blender/picture.py SCAN CHARACTER.fbx|glb POSETX OUT.png

POSETX is the command. The picture goes into `docs/blender.md`.
"""

from __future__ import annotations

import os
import sys
import tempfile

import bpy
import numpy as np
from mathutils import Vector

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import posetx_blender

SIZE = 440, 600
SAMPLES = 12
BONE = 0.012  # radius in metres of what stands for a bone


def scene(character: str) -> bpy.types.Object:
    """The character alone, lit; returns its armature."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if character.lower().endswith(".fbx"):
        bpy.ops.import_scene.fbx(filepath=character, use_anim=False)
    else:
        bpy.ops.import_scene.gltf(filepath=character, disable_bone_shape=True)
    here = bpy.context.scene
    here.world = bpy.data.worlds.new("world")
    here.world.use_nodes = True
    here.world.node_tree.nodes["Background"].inputs[0].default_value = (0.8, 0.85, 0.9, 1)
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy, sun.rotation_euler = 3.0, (0.7, 0.2, 0.4)
    here.collection.objects.link(sun)
    bpy.ops.mesh.primitive_plane_add(size=20)
    bpy.context.object.name = "ground"
    armature = next(o for o in bpy.data.objects if o.pose)
    for part in bpy.data.objects:
        if part.type == "MESH" and part.name != "ground":
            part.data.materials.clear()
            part.data.materials.append(_material("skin", (0.75, 0.55, 0.4, 1)))
    return armature


def _material(name: str, color: tuple[float, ...]) -> bpy.types.Material:
    found = bpy.data.materials.get(name) or bpy.data.materials.new(name)
    found.use_nodes = True
    found.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = color
    return found


def render(armature: bpy.types.Object, path: str) -> np.ndarray:
    """The scene with its bones beside the character, as pixels (h, w, 4), the first row lowest."""
    here, made = bpy.context.scene, []
    aside = Vector((1.3, 0, 0))
    for bone in armature.pose.bones:
        head, tail = (armature.matrix_world @ end + aside for end in (bone.head, bone.tail))
        bpy.ops.mesh.primitive_cone_add(
            radius1=BONE, radius2=BONE / 4, depth=(tail - head).length, location=(head + tail) / 2
        )
        cone = bpy.context.object
        cone.rotation_euler = (tail - head).to_track_quat("Z", "Y").to_euler()
        cone.data.materials.append(_material("bone", (0.1, 0.2, 0.5, 1)))
        made.append(cone)
    here.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    here.collection.objects.link(here.camera)
    here.camera.location, here.camera.data.lens = (0.65, -6.2, 1.25), 60
    here.camera.rotation_euler = (1.53, 0, 0)
    here.render.engine, here.cycles.samples = "CYCLES", SAMPLES
    here.render.resolution_x, here.render.resolution_y = SIZE
    here.render.filepath = path
    bpy.ops.render.render(write_still=True)
    for cone in made:
        bpy.data.objects.remove(cone)
    image = bpy.data.images.load(path)
    return np.array(image.pixels[:]).reshape(SIZE[1], SIZE[0], 4)


def main() -> None:
    scan, character, command, output = map(os.path.abspath, sys.argv[1:5])
    posetx_blender.register()
    armature = scene(character)
    lowest = min((o.matrix_world @ Vector(c)).z for o in bpy.data.objects
                 if o.find_armature() == armature for c in o.bound_box)  # fmt: skip
    bpy.data.objects["ground"].location.z = lowest
    with tempfile.TemporaryDirectory() as folder:
        before = render(armature, os.path.join(folder, "before.png"))
        bpy.context.view_layer.objects.active = armature
        bpy.ops.posetx.transfer(filepath=scan, command=command, refine=False)
        after = render(armature, os.path.join(folder, "after.png"))
    both = bpy.data.images.new("both", 2 * SIZE[0], SIZE[1])
    both.pixels = np.concatenate([before, after], axis=1).ravel().tolist()
    both.filepath_raw, both.file_format = output, "PNG"
    both.save()


if __name__ == "__main__":
    main()
