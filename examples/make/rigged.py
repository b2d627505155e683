"""Skinned characters as programs export them, made of a figure whose skeleton is known.

A convention says what the skeleton is like: names, further joints, joints that lack, how the bones'
own axes lie, which nodes stand above and in which unit and frame the mesh is stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from posetx.bodies.skeleton import BVH_WRITTEN, JOINTS, PARENTS
from posetx.files.codecs.glb import encode_glb
from posetx.geometry.mesh import connected_parts, vertex_normals

#: weights of a vertex that files keep
INFLUENCES = 4
#: z up to y up
UPRIGHT = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
CODES = {"f4": 5126, "u1": 5121, "u2": 5123, "u4": 5125}


@dataclass
class Character:
    """A figure at rest in metres, y up, and its joints: any number, parents first."""

    vertices: np.ndarray  # (n, 3)
    faces: np.ndarray  # (m, 3)
    weights: np.ndarray  # (n, j)
    joints: np.ndarray  # (j, 3)
    names: list[str] = field(default_factory=lambda: list(BVH_WRITTEN))
    parents: list[int] = field(default_factory=lambda: list(PARENTS))
    frames: np.ndarray | None = None  # (j, 3, 3) the bones' axes; the world's without

    def split(self, joint: int, name: str, to: np.ndarray, share: np.ndarray) -> Character:
        """With a joint at a place (3,) that takes a share (n,) of another one's weights."""
        taken = self.weights[:, joint] * share
        weights = self.weights.copy()
        weights[:, joint] -= taken
        return replace(
            self,
            weights=np.column_stack([weights, taken]),
            joints=np.vstack([self.joints, to]),
            names=[*self.names, name],
            parents=[*self.parents, joint],
        )

    def along(self, joint: int, end: np.ndarray) -> np.ndarray:
        """How far (n,) vertices are from a joint, 0, to a place, 1."""
        bone = end - self.joints[joint]
        return np.asarray(
            np.clip((self.vertices - self.joints[joint]) @ bone / (bone @ bone), 0, 1)
        )


@dataclass(frozen=True)
class Convention:
    """How a program writes skeletons."""

    name: str
    prefix: str = ""
    unit: float = 1.0  # metres of the stored mesh and of the joints' shifts
    z_up: bool = False  # stored so, below a node that turns it
    twist: bool = False  # joints along upper arms and thighs
    fingers: bool = False  # joints of fingers and toes, and leaves behind them without weights
    without: tuple[str, ...] = ()  # joints whose weights their parents have
    root: bool = False  # a joint at the feet, and others beside the hips without weights
    bone_axes: bool = False  # each bone has axes of its own
    matrices: bool = False  # nodes have a matrix
    flat: bool = False  # no joint hangs on another one
    parts: int = 1  # meshes with a skin
    hat: bool = False  # the head's largest loose part hangs on its joint
    stretched: float = 1.0  # scale along one axis of all that hangs on the chest


CONVENTIONS = (
    Convention("plain"),
    Convention("centimetres", "mixamorig:", unit=0.01, z_up=True, fingers=True),
    Convention("game", root=True, twist=True, fingers=True, bone_axes=True),
    Convention("z up", z_up=True, bone_axes=True),
    Convention("no abdomen", without=("abdomen",), twist=True),
    Convention("no collars", without=("collar.L", "collar.R"), parts=2),
    Convention("matrices", matrices=True, bone_axes=True, parts=3),
    Convention("flat", flat=True, bone_axes=True),
    Convention("hat", hat=True, parts=2),
    Convention("stretched", stretched=1.2, twist=True),
)


def conventional(who: Character, how: Convention) -> Character:
    """A figure of the 19 joints with those of a convention."""
    at = dict(zip(JOINTS, range(len(JOINTS)), strict=True))
    if how.twist:
        for side, sign in (("L", 1), ("R", -1)):
            for bone, end in (("upperarm", "forearm"), ("forearm", "hand"), ("thigh", "shin")):
                tip = who.joints[at[f"{end}.{side}"]]
                share = who.along(at[f"{bone}.{side}"], tip)
                middle = 0.5 * (who.joints[at[f"{bone}.{side}"]] + tip)
                who = who.split(at[f"{bone}.{side}"], f"{bone}_twist_{sign}", middle, share)
    if how.fingers:
        for bone in ("hand.L", "hand.R", "foot.L", "foot.R"):
            own = who.vertices[who.weights[:, at[bone]] > 0.6]
            if not len(own):
                continue
            out = own.mean(0) - who.joints[at[bone]]
            far = who.along(at[bone], who.joints[at[bone]] + 2 * out)
            parent = at[bone]
            for number, reach in enumerate((0.8, 1.2, 1.6)):
                place = who.joints[at[bone]] + reach * out
                share = np.clip((far - 0.5 * reach) * 4, 0, 1) if number < 2 else 0 * far
                who = who.split(parent, f"{bone}_{number}", place, share)
                parent = len(who.names) - 1
    for name in how.without:
        who = _merged(who, name)
    if how.root:
        who = _rooted(who)
    if how.bone_axes:
        turns = Rotation.random(len(who.names), random_state=len(who.names)).as_matrix()
        who = replace(who, frames=turns)
    if how.flat:
        who = replace(who, parents=[-1] * len(who.names))
    return replace(who, names=[how.prefix + name for name in who.names])


def _merged(who: Character, name: str) -> Character:
    """Without a joint; what hung on it hangs on its parent, whose its weights are."""
    gone = who.names.index(BVH_WRITTEN[JOINTS.index(name)])
    parent = who.parents[gone]
    weights = who.weights.copy()
    weights[:, parent] += weights[:, gone]
    kept = [row for row in range(len(who.names)) if row != gone]
    over = {row: i for i, row in enumerate(kept)} | {-1: -1}
    parents = [over[parent if who.parents[row] == gone else who.parents[row]] for row in kept]
    names = [who.names[row] for row in kept]
    return replace(
        who, weights=weights[:, kept], joints=who.joints[kept], names=names, parents=parents
    )


def _rooted(who: Character) -> Character:
    """With a joint at the feet above the hips and others of no weight beside."""
    ground = np.array([0.0, who.vertices[:, 1].min(), 0.0])
    places = [ground, ground + [0.1, 0.1, 0], who.joints[JOINTS.index("hand.L")]]
    none = np.zeros((len(who.vertices), 1))
    return replace(
        who,
        weights=np.hstack([none, who.weights, none, none]),
        joints=np.vstack([places[0], who.joints, *places[1:]]),
        names=["root", *who.names, "ik_foot", "ik_hand"],
        parents=[-1, *(p + 1 for p in who.parents), 0, len(who.names) + 1],
    )


class _File:
    """A document that grows array by array."""

    def __init__(self) -> None:
        self.binary = bytearray()
        self.document: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "posetx examples"},
            "scene": 0,
            "scenes": [{"nodes": []}],
            "nodes": [],
            "meshes": [],
            "accessors": [],
            "bufferViews": [],
            "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0}, "doubleSided": True}],
        }

    def add(self, array: np.ndarray, kind: str, target: int | None = None) -> int:
        self.binary.extend(b"\0" * (-len(self.binary) % 4))
        views, accessors = self.document["bufferViews"], self.document["accessors"]
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": array.nbytes}
        views.append(view | ({"target": target} if target else {}))
        self.binary.extend(np.ascontiguousarray(array).tobytes())
        entry = {"bufferView": len(views) - 1, "componentType": CODES[array.dtype.str[1:]]}
        entry |= {"count": len(array), "type": kind}
        if kind == "VEC3" or (kind == "SCALAR" and array.dtype.kind == "f"):
            rows = array.reshape(len(array), -1)
            entry |= {"min": rows.min(0).tolist(), "max": rows.max(0).tolist()}
        accessors.append(entry)
        return len(accessors) - 1

    def node(self, matrix: np.ndarray, how: Convention, **more: Any) -> int:
        entry: dict[str, Any] = dict(more)
        if how.matrices:
            entry["matrix"] = matrix.T.ravel().tolist()
        else:
            scale = np.linalg.norm(matrix[:3, :3], axis=0)
            turn = Rotation.from_matrix(matrix[:3, :3] / scale)
            entry |= {"translation": matrix[:3, 3].tolist(), "rotation": turn.as_quat().tolist()}
            entry["scale"] = scale.tolist()
        self.document["nodes"].append(entry)
        return len(self.document["nodes"]) - 1


def write_skinned(path: Path, who: Character, how: Convention) -> None:
    """A GLB of a character with 19 joints, in a convention, with a clip that raises an arm."""
    who = conventional(who, how)
    file = _File()
    nodes = file.document["nodes"]
    stored = np.eye(4)  # from the stored mesh to the world
    stored[:3, :3] = how.unit * (UPRIGHT if how.z_up else np.eye(3))
    armature = file.node(stored, replace(how, matrices=False), name="Armature", children=[])
    file.document["scenes"][0]["nodes"].append(armature)
    worlds = _worlds(who, stored, how)
    joints = []
    for row, (name, parent) in enumerate(zip(who.names, who.parents, strict=True)):
        above = worlds[parent] if parent >= 0 else stored
        joints.append(file.node(np.linalg.inv(above) @ worlds[row], how, name=name))
        nodes[joints[parent] if parent >= 0 else armature].setdefault("children", []).append(
            joints[row]
        )
    bind = np.linalg.inv(worlds) @ stored
    bind[:, 3] = 0, 0, 0, 1
    matrices = file.add(bind.transpose(0, 2, 1).reshape(-1, 16).astype("<f4"), "MAT4")
    file.document["skins"] = [{"joints": joints, "inverseBindMatrices": matrices}]
    hat = _loose_on_head(who) if how.hat else np.zeros(len(who.vertices), dtype=bool)
    of_hat = hat[who.faces].all(axis=1)
    for part, rows in enumerate(np.array_split(who.faces[~of_hat], how.parts)):
        mesh = _mesh(file, who, rows, np.linalg.inv(stored), skinned=True)
        nodes.append({"name": f"part{part}", "mesh": mesh, "skin": 0})
        file.document["scenes"][0]["nodes"].append(len(nodes) - 1)
    if of_hat.any():
        head = joints[who.names.index(how.prefix + "Head")]
        into = np.linalg.inv(worlds[joints.index(head)])
        mesh = _mesh(file, who, who.faces[of_hat], into, skinned=False)
        nodes.append({"name": "hat", "mesh": mesh})
        nodes[head].setdefault("children", []).append(len(nodes) - 1)
    if not how.matrices:
        _clip(file, joints[who.names.index(how.prefix + "LeftArm")])
    document = file.document | {"buffers": [{"byteLength": len(file.binary)}]}
    path.write_bytes(encode_glb(document, file.binary, []))


def _worlds(who: Character, stored: np.ndarray, how: Convention) -> np.ndarray:
    """(j, 4, 4) the joints' frames in the world; a joint has the armature's scale."""
    worlds = np.tile(np.eye(4), (len(who.names), 1, 1))
    worlds[:, :3, :3] = stored[:3, :3]
    if who.frames is not None:
        worlds[:, :3, :3] = who.frames * how.unit
    worlds[:, :3, 3] = who.joints
    if how.stretched != 1:
        chest = who.names.index(how.prefix + "Spine1")
        for row in range(len(worlds)):
            above = row
            while above > chest:
                above = who.parents[above]
            if above == chest:
                worlds[row, :3, :3] @= np.diag([1.0, how.stretched, 1.0])
    return worlds


def _loose_on_head(who: Character) -> np.ndarray:
    """(n,) the largest part that is all the head's, but not the body."""
    count, part = connected_parts(who.faces, len(who.vertices))
    weight = who.weights[:, who.names.index("Head")]
    size = np.bincount(part, minlength=count)
    on_head = np.bincount(part, weight, minlength=count) / size > 0.9
    return np.asarray(part == np.argmax(size * on_head)) & bool(on_head.any())


def _mesh(file: _File, who: Character, faces: np.ndarray, into: np.ndarray, skinned: bool) -> int:
    """A mesh of some triangles, stored in the frame that ``into`` (4, 4) leads to."""
    used = np.unique(faces)
    points = who.vertices[used] @ into[:3, :3].T + into[:3, 3]
    corners = np.searchsorted(used, faces)
    normals = vertex_normals(points, corners)
    normals[np.linalg.norm(normals, axis=1) < 0.5] = 0, 1, 0
    attributes = {
        "POSITION": file.add(points.astype("<f4"), "VEC3", 34962),
        "NORMAL": file.add(normals.astype("<f4"), "VEC3", 34962),
    }
    if skinned:
        index = np.argsort(-who.weights[used], axis=1, kind="stable")[:, :INFLUENCES]
        weight = np.take_along_axis(who.weights[used], index, axis=1).astype("<f4")
        weight /= weight.sum(axis=1, keepdims=True)
        attributes["JOINTS_0"] = file.add(
            np.where(weight > 0, index, 0).astype("u1"), "VEC4", 34962
        )
        attributes["WEIGHTS_0"] = file.add(weight, "VEC4", 34962)
    indices = file.add(corners.astype("<u4").reshape(-1, 1), "SCALAR", 34963)
    primitive = {"attributes": attributes, "indices": indices, "material": 0}
    file.document["meshes"].append({"primitives": [primitive]})
    return len(file.document["meshes"]) - 1


def _clip(file: _File, joint: int) -> None:
    """An animation that raises an arm by 1 radian and lowers it again."""
    own = Rotation.from_quat(file.document["nodes"][joint]["rotation"])
    turns = [(Rotation.from_rotvec([0, 0, angle]) * own).as_quat() for angle in (0.0, 1.0, 0.0)]
    sampler = {
        "input": file.add(np.array([[0.0], [0.5], [1.0]], dtype="<f4"), "SCALAR"),
        "output": file.add(np.array(turns, dtype="<f4"), "VEC4"),
        "interpolation": "LINEAR",
    }
    channel = {"sampler": 0, "target": {"node": joint, "path": "rotation"}}
    file.document["animations"] = [{"name": "wave", "samplers": [sampler], "channels": [channel]}]
