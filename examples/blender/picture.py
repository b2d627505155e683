"""Draws a character, its posed file, and the same by the add-on, as Blender renders them.

    PYTHON_WITH_BPY examples/blender/picture.py CHARACTER.fbx POSED.fbx SCAN POSETX OUT.png

POSETX is the command. The picture is in `docs/blender.md`.
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
SAMPLES = 8
WAY = Vector((0.34, -0.94, 0.15))  # to the camera


def load(path: str) -> None:
    """A scene with what an FBX has."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.fbx(filepath=path, use_anim=False)
    for other in [o for o in bpy.data.objects if o.type in ("LIGHT", "CAMERA")]:
        bpy.data.objects.remove(other)
    bpy.context.view_layer.update()


def points() -> np.ndarray:
    """(n, 3) the vertices as they are shown."""
    graph = bpy.context.evaluated_depsgraph_get()
    seen = [o.evaluated_get(graph) for o in bpy.data.objects if o.type == "MESH"]
    return np.array([o.matrix_world @ v.co for o in seen for v in o.to_mesh().vertices])


def render(path: str) -> np.ndarray:
    """The whole figure on its ground, as pixels (h, w, 4), the first row lowest."""
    here, places = bpy.context.scene, points()
    low, high = places.min(axis=0), places.max(axis=0)
    middle, size = Vector((low + high) / 2), float((high - low).max())
    here.world = bpy.data.worlds.new("world")
    here.world.use_nodes = True
    here.world.node_tree.nodes["Background"].inputs[0].default_value = (0.55, 0.58, 0.62, 1)
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy, sun.rotation_euler = 2.0, (0.7, 0.2, 0.4)
    here.collection.objects.link(sun)
    bpy.ops.mesh.primitive_plane_add(size=20 * size, location=(middle.x, middle.y, low[2]))
    here.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    here.collection.objects.link(here.camera)
    here.camera.data.type, here.camera.data.ortho_scale = "ORTHO", 1.15 * size
    here.camera.location = middle + 5 * size * WAY
    here.camera.rotation_euler = WAY.to_track_quat("Z", "Y").to_euler()
    here.render.engine, here.cycles.samples = "CYCLES", SAMPLES
    here.cycles.use_denoising = False
    here.view_settings.view_transform = "Standard"
    here.render.resolution_x, here.render.resolution_y = SIZE
    here.render.filepath = path
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(path)
    return np.array(image.pixels[:]).reshape(SIZE[1], SIZE[0], 4)


def main() -> None:
    character, posed, scan, command, output = map(os.path.abspath, sys.argv[1:6])
    posetx_blender.register()
    with tempfile.TemporaryDirectory() as folder:
        drawn = []
        for number, path in enumerate((character, posed, character)):
            load(path)
            if number == 2:
                armature = next(o for o in bpy.data.objects if o.pose)
                bpy.context.view_layer.objects.active = armature
                bpy.ops.posetx.transfer(filepath=scan, command=command)
            drawn.append(render(os.path.join(folder, f"{number}.png")))
    row = bpy.data.images.new("row", len(drawn) * SIZE[0], SIZE[1])
    row.pixels = np.concatenate(drawn, axis=1).ravel().tolist()
    row.filepath_raw, row.file_format = output, "PNG"
    row.save()
    posetx_blender.unregister()  # or `bpy` hangs at its end


if __name__ == "__main__":
    main()
