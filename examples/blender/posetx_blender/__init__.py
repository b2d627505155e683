"""Gives the pose of a scan to a character in the scene, by the `posetx` command.

An armature takes the pose itself, bone by bone, so it can be edited, keyed and undone; a mesh
without one gets a shape key. The command runs beside Blender, which goes on meanwhile.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import tempfile

import bpy
import numpy as np
from bpy.props import BoolProperty, EnumProperty, StringProperty
from bpy_extras.io_utils import ImportHelper
from mathutils import Matrix, Quaternion, Vector

bl_info = {
    "name": "posetx",
    "author": "The posetx authors",
    "version": (0, 1, 0),
    "blender": (4, 2, 0),
    "location": "3D View > Sidebar > posetx",
    "description": "The pose of a raw scan on a character",
    "category": "Animation",
}

KEY = "posetx"
"""The shape key that has the pose of a mesh without an armature."""

SECONDS = 0.25
"""How often a running command is looked after."""

UPRIGHT = Matrix(((1, 0, 0, 0), (0, 0, -1, 0), (0, 1, 0, 0), (0, 0, 0, 1)))
"""From glTF's axes, y up, to Blender's."""


class Trouble(Exception):
    """One line for the user."""


def character(active):
    """The armature, or None, and the meshes of the character that an object is of."""
    if active is None or active.type not in ("MESH", "ARMATURE"):
        raise Trouble("make a mesh or an armature the active object")
    armature = active if active.type == "ARMATURE" else active.find_armature()
    if armature is None:
        return None, [active]
    meshes = [
        o
        for o in bpy.context.view_layer.objects
        if o.type == "MESH" and o.visible_get() and _moved_by(o, armature)
    ]
    if not meshes:
        raise Trouble(f"{armature.name} moves no mesh that is shown")
    return armature, meshes


def _moved_by(part, armature):
    while part is not None:
        if armature in (part.find_armature(), part.parent):
            return True
        part = part.parent
    return False


class Job:
    """One run of the command: started, looked after, and its result given to the scene."""

    def __init__(self, command, scan, active, options=()):
        program = shutil.which(os.path.expanduser(command))
        if program is None:
            raise Trouble(f"there is no command {command!r}; set its path in the preferences")
        if not os.path.isfile(scan):
            raise Trouble(f"{scan}: there is no such scan")
        self.armature, self.meshes = character(active)
        self.folder = tempfile.TemporaryDirectory(prefix="posetx-")
        suffix = "ply" if self.armature is None else "glb"
        self.given, self.made = (self._file(f"{name}.{suffix}") for name in ("given", "made"))
        self.said = open(self._file("said"), "w+b")
        self.told = open(self._file("told"), "w+b")
        if self.armature is None:
            write_ply(self.given, self.meshes[0])
        else:
            export_at_rest(self.given, self.armature, self.meshes)
        words = [program, "transfer", scan, self.given, "-o", self.made, "--json", *options]
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=self.told, stderr=self.said
        )

    def _file(self, name):
        return os.path.join(self.folder.name, name)

    def running(self):
        return self.process.poll() is None

    def finish(self, keyframe=False):
        """Give the scene what came out; returns what the command says of it."""
        self.process.wait()
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").splitlines()
        if self.process.returncode != 0 or not os.path.isfile(self.made):
            errors = [line for line in lines if line.startswith("error: ")] or lines[-1:]
            raise Trouble(errors[-1] if errors else f"exit code {self.process.returncode}")
        self.told.seek(0)
        report = json.loads(self.told.read())
        if self.armature is None:
            shape_mesh(self.meshes[0], read_ply(self.made))
        elif report["skeleton"] is None:
            why = [w for w in report["warnings"] if "not its joints" in w]
            raise Trouble(why[0] if why else f"{self.armature.name} cannot take a pose")
        else:
            pose_armature(self.armature, worlds(self.given), worlds(self.made), keyframe)
        return report

    def end(self):
        """Stop what runs, and leave no file."""
        if self.running():
            self.process.terminate()
            self.process.wait()
        self.said.close()
        self.told.close()
        self.folder.cleanup()


# --- characters with an armature: there and back as GLB ---------------------------------------


def export_at_rest(path, armature, meshes):
    """A GLB of a character in its rest pose; the selection is as before."""
    selected, active = list(bpy.context.selected_objects), bpy.context.view_layer.objects.active
    if bpy.context.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    for item in bpy.context.view_layer.objects:
        item.select_set(item in meshes or item == armature)
    try:
        bpy.ops.export_scene.gltf(
            filepath=path,
            export_format="GLB",
            use_selection=True,
            export_animations=False,
            export_materials="NONE",
            export_rest_position_armature=True,
            export_all_influences=True,
            export_morph=False,
        )
    finally:
        for item in bpy.context.view_layer.objects:
            item.select_set(item in selected)
        bpy.context.view_layer.objects.active = active


def worlds(path):
    """The frames in the world of a GLB's joints, by their names, in Blender's axes."""
    with open(path, "rb") as stream:
        size = struct.unpack("<12xI4x", stream.read(20))[0]
        document = json.loads(stream.read(size))
    nodes = document["nodes"]
    parent = {child: i for i, node in enumerate(nodes) for child in node.get("children", [])}
    joints = {joint for skin in document.get("skins", []) for joint in skin["joints"]}
    found = {}
    for joint in joints:
        frame, at = Matrix.Identity(4), joint
        while at is not None:
            frame, at = _local(nodes[at]) @ frame, parent.get(at)
        found[nodes[joint]["name"]] = UPRIGHT @ frame
    return found


def _local(node):
    if "matrix" in node:
        return Matrix([node["matrix"][row::4] for row in range(4)])
    x, y, z, w = node.get("rotation", (0, 0, 0, 1))
    return Matrix.LocRotScale(
        Vector(node.get("translation", (0, 0, 0))),
        Quaternion((w, x, y, z)),
        Vector(node.get("scale", (1, 1, 1))),
    )


def pose_armature(armature, before, after, keyframe):
    """Take each bone where the same joint of the GLB went."""
    armature.data.pose_position = "POSE"
    own = {}  # bones' frames in the armature
    into = armature.matrix_world.inverted()
    left = [bone for bone in armature.data.bones if bone.parent is None]
    while left:
        bone = left.pop(0)
        left += list(bone.children)
        above = {}
        if bone.parent is not None:
            above["parent_matrix"] = own[bone.parent.name]
            above["parent_matrix_local"] = bone.parent.matrix_local
        place = armature.pose.bones[bone.name]
        if bone.name in before and bone.name in after:
            moved = after[bone.name] @ before[bone.name].inverted()
            frame = into @ moved @ armature.matrix_world @ bone.matrix_local
            place.matrix_basis = bone.convert_local_to_pose(
                frame, bone.matrix_local, invert=True, **above
            )
            place.scale = (1, 1, 1)
            if keyframe:
                turn = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}
                place.keyframe_insert(turn.get(place.rotation_mode, "rotation_euler"))
                place.keyframe_insert("location")
        own[bone.name] = bone.convert_local_to_pose(place.matrix_basis, bone.matrix_local, **above)
    bpy.context.view_layer.update()


# --- meshes without one: there and back as PLY -------------------------------------------------


def write_ply(path, part):
    """A mesh's vertices, in their order, in the world, and its triangles."""
    part.data.calc_loop_triangles()
    places = np.empty(3 * len(part.data.vertices), dtype=np.float32)
    part.data.vertices.foreach_get("co", places)
    matrix = np.array(part.matrix_world)
    places = places.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
    corners = np.empty(3 * len(part.data.loop_triangles), dtype=np.int32)
    part.data.loop_triangles.foreach_get("vertices", corners)
    faces = np.empty(len(corners) // 3, dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, corners.reshape(-1, 3)
    header = (
        "ply\nformat binary_little_endian 1.0\n"
        f"element vertex {len(places)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    with open(path, "wb") as stream:
        stream.write(header.encode() + places.astype("<f4").tobytes() + faces.tobytes())


def read_ply(path):
    """The vertices (n, 3) of what was written as :func:`write_ply` does, by posetx as well."""
    with open(path, "rb") as stream:
        data = stream.read()
    header, _, rest = data.partition(b"end_header\n")
    count = int(header.split(b"element vertex ")[1].split()[0])
    return np.frombuffer(rest, dtype="<f4", count=3 * count).reshape(-1, 3)


def shape_mesh(part, places):
    """A shape key, shown, with the vertices where they are in the world (n, 3)."""
    matrix = np.linalg.inv(np.array(part.matrix_world))
    places = places @ matrix[:3, :3].T + matrix[:3, 3]
    if part.data.shape_keys is None:
        part.shape_key_add(name="Basis", from_mix=False)
    key = part.data.shape_keys.key_blocks.get(KEY) or part.shape_key_add(name=KEY, from_mix=False)
    key.data.foreach_set("co", places.astype(np.float32).ravel())
    key.value = 1.0
    part.data.update()


# --- what Blender shows ------------------------------------------------------------------------


class Preferences(bpy.types.AddonPreferences):
    bl_idname = __package__ or __name__

    command: StringProperty(
        name="posetx command",
        description="The path of `posetx`, such as .venv/bin/posetx in its folder",
        default="posetx",
        subtype="FILE_PATH",
    )

    def draw(self, context):
        self.layout.prop(self, "command")


class POSETX_OT_transfer(bpy.types.Operator, ImportHelper):
    """Give the pose of a scan to the active character"""

    bl_idname = "posetx.transfer"
    bl_label = "Pose by a Scan"
    bl_options = {"REGISTER", "UNDO"}

    filter_glob: StringProperty(
        default="*.ply;*.obj;*.stl;*.off;*.xyz;*.txt;*.csv;*.pts;*.pcd;*.glb;*.npy;*.npz;*.las;"
        "*.laz;*.e57",
        options={"HIDDEN"},
    )
    heading: EnumProperty(
        name="Heading",
        items=(
            ("target", "Character", "Face as the character does"),
            ("scan", "Scan", "Turned as the scan stands"),
        ),
    )
    refine: BoolProperty(name="Fit", description="Fit a body: seconds, and nearer", default=True)
    keyframe: BoolProperty(name="Keyframe", description="Key the bones in this frame")
    command: StringProperty(
        name="Command", description="Empty for the one in the preferences", options={"HIDDEN"}
    )

    def execute(self, context):
        options = ["--heading", self.heading, *([] if self.refine else ["--no-refine"])]
        try:
            self._job = Job(
                self.command or preferred_command(context),
                bpy.path.abspath(self.filepath),
                context.view_layer.objects.active,
                options,
            )
        except Trouble as trouble:
            self.report({"ERROR"}, str(trouble))
            return {"CANCELLED"}
        except RuntimeError as error:  # the exporter's
            self.report({"ERROR"}, str(error).splitlines()[0])
            return {"CANCELLED"}
        if bpy.app.background:  # there are no events to wait for
            self._job.process.wait()
            return self._finish(context)
        self._timer = context.window_manager.event_timer_add(SECONDS, window=context.window)
        context.window_manager.modal_handler_add(self)
        context.workspace.status_text_set("posetx: the scan is read. Esc stops it")
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        if event.type == "ESC":
            self._stop(context)
            self.report({"INFO"}, "posetx: stopped")
            return {"CANCELLED"}
        if event.type == "TIMER" and not self._job.running():
            return self._finish(context)
        return {"PASS_THROUGH"}

    def cancel(self, context):
        if getattr(self, "_job", None) is not None:
            self._stop(context)

    def _finish(self, context):
        try:
            report = self._job.finish(self.keyframe)
        except Trouble as trouble:
            self.report({"ERROR"}, str(trouble))
            return {"CANCELLED"}
        except ReferenceError:
            self.report({"ERROR"}, "the character is no longer in the scene")
            return {"CANCELLED"}
        finally:
            self._stop(context)
        for warning in report["warnings"]:
            self.report({"WARNING"}, warning)
        trust = report["confidence"]
        told = "" if trust is None else f", confidence {trust:.2f}"
        self.report({"INFO"}, f"posetx: {os.path.basename(self.filepath)} done{told}")
        return {"FINISHED"}

    def _stop(self, context):
        self._job.end()
        if getattr(self, "_timer", None) is not None:
            context.window_manager.event_timer_remove(self._timer)
            context.workspace.status_text_set(None)
            self._timer = None


def preferred_command(context):
    addon = context.preferences.addons.get(__package__ or __name__)
    return addon.preferences.command if addon and addon.preferences else "posetx"


class POSETX_PT_panel(bpy.types.Panel):
    bl_label = "posetx"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "posetx"

    def draw(self, context):
        active = context.view_layer.objects.active
        self.layout.label(text=active.name if active else "no active object")
        self.layout.operator_context = "INVOKE_DEFAULT"
        self.layout.operator(POSETX_OT_transfer.bl_idname, icon="ARMATURE_DATA")


CLASSES = (Preferences, POSETX_OT_transfer, POSETX_PT_panel)


def register():
    for one in CLASSES:
        bpy.utils.register_class(one)


def unregister():
    for one in reversed(CLASSES):
        bpy.utils.unregister_class(one)
