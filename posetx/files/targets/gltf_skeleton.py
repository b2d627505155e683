"""A clip of a skeleton put into a glTF: joints, skins, skinning weights, tracks.

The vertices stay as they are stored: what takes them from their node to the world is in the
skin's inverse bind matrices. So a skin is needed for each node that stands differently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.transform import Rotation

from posetx.arrays import Floats, Indices, Mask
from posetx.files.targets.gltf_edit import ATTRIBUTES, GltfEdit
from posetx.files.targets.gltf_tracks import Channel, add_animation, continuous

if TYPE_CHECKING:
    from posetx.files.targets.clip import Skeleton, SkeletonClip
    from posetx.files.targets.gltf import GltfTarget
    from posetx.files.targets.gltf_blocks import Block

#: joints that move a vertex: what every program and engine takes
INFLUENCES = 4
#: the joint above the skeleton's root, which does not move: what stays hangs on it
STILL = "Root"
_SKINNING = ("JOINTS_", "WEIGHTS_")


def add_skeleton(
    edit: GltfEdit, target: GltfTarget, rows: Indices, clip: SkeletonClip
) -> list[str]:
    """Put the clip and its skeleton into the file; returns notes.

    ``rows`` (k,) say which row of the skeleton's weights each of the glTF's vertices has.
    """
    skeleton = clip.skeleton
    weights = skeleton.weights[rows]
    moving: Mask = weights.sum(axis=1) > 0
    nodes = sorted({b.node for b in target.blocks if moving[b.rows].any()})
    notes: list[str] = []
    if any("skin" in edit.document["nodes"][node] for node in nodes):
        notes.append("its own skeleton no longer moves it: the clip's does")
    first = _add_joints(edit, skeleton)
    skins = _Skins(edit, skeleton, first)
    index, share = strongest(weights)
    for node in nodes:
        edit.own_mesh(node)
        own = [block for block in target.blocks if block.node == node]
        matrix = own[0].matrix if own[0].matrix.ndim == 2 else np.eye(4)
        for block in own:
            if block.matrix.ndim == 3:  # each vertex stands by itself: they are stored in the world
                target.store_in_world(edit, block)
            elif not np.array_equal(block.matrix, matrix):
                target.store_in_world(edit, block, matrix)
        entry = edit.document["nodes"][node]
        entry["skin"] = skins.of(matrix)
        mesh = edit.document["meshes"][entry["mesh"]]
        _bind(edit, mesh, own, index, share)
    local = Rotation.from_matrix(clip.rotations.reshape(-1, 3, 3)).as_quat()
    local = continuous(local.reshape(*clip.rotations.shape[:2], 4))
    tracks = [Channel(first + 1 + j, "rotation", local[:, j]) for j in range(local.shape[1])]
    tracks.insert(0, Channel(first + 1, "translation", clip.roots))
    add_animation(edit, clip.name, clip.fps, tracks)
    return notes


def strongest(weights: Floats) -> tuple[np.ndarray, np.ndarray]:
    """The joints that move each vertex most, (n, 4) uint8, and their shares (n, 4) float32.

    Joints are counted from the still one on, which has what nothing moves. Shares fall, and add up
    to one as closely as 32 bits can.
    """
    order = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    share = np.take_along_axis(weights, order, 1)
    total = share.sum(axis=1, keepdims=True)
    share = (share / np.where(total > 0, total, 1.0)).astype("<f4")
    index = np.where(share > 0, order + 1, 0)
    still = total[:, 0] <= 0
    share[still, 0] = 1.0
    share[:, 0] = 1.0 - share[:, 1:].sum(axis=1, dtype=np.float64)
    return index.astype(np.uint8), share


def _add_joints(edit: GltfEdit, skeleton: Skeleton) -> int:
    """Nodes for the still joint and all others, in order; the number of the first."""
    document = edit.document
    first = len(document["nodes"])
    document["nodes"].append({"name": STILL, "children": [first + 1]})
    for joint, parent in enumerate(skeleton.parents):
        turn, place = skeleton.rotations[joint], skeleton.places[joint]
        if parent >= 0:
            above = skeleton.rotations[parent]
            turn, place = above.T @ turn, above.T @ (place - skeleton.places[parent])
        children = [first + 1 + c for c, p in enumerate(skeleton.parents) if p == joint]
        document["nodes"].append(
            {
                "name": skeleton.names[joint],
                "rotation": Rotation.from_matrix(turn).as_quat().tolist(),
                "translation": place.tolist(),
                **({"children": children} if children else {}),
            }
        )
    scenes = document.setdefault("scenes", [])
    if scenes:
        scene = scenes[document.get("scene", 0)]
        scene["nodes"] = [*scene.get("nodes", []), first]
    else:
        below = {c for node in document["nodes"] for c in node.get("children", [])}
        scenes.append({"nodes": [i for i in range(len(document["nodes"])) if i not in below]})
        document["scene"] = 0
    return first


class _Skins:
    """A skin for each way that nodes stand in the world; all have the same joints."""

    def __init__(self, edit: GltfEdit, skeleton: Skeleton, first: int) -> None:
        self.edit, self.first = edit, first
        rest = np.tile(np.eye(4), (len(skeleton.names) + 1, 1, 1))
        rest[1:, :3, :3], rest[1:, :3, 3] = skeleton.rotations, skeleton.places
        self.inverse = np.linalg.inv(rest)
        self.made: dict[bytes, int] = {}

    def of(self, matrix: Floats) -> int:
        """The skin of vertices that (4, 4) takes to the world."""
        key = matrix.tobytes()
        if key not in self.made:
            bind = (self.inverse @ matrix).astype("<f4")
            bind[:, 3] = 0.0, 0.0, 0.0, 1.0
            skins = self.edit.document.setdefault("skins", [])
            self.made[key] = len(skins)
            columns = bind.transpose(0, 2, 1).reshape(-1, 16)
            skins.append(
                {
                    "inverseBindMatrices": self.edit.add(columns, "MAT4"),
                    "joints": list(range(self.first, self.first + len(bind))),
                    "skeleton": self.first,
                }
            )
        return self.made[key]


def _bind(
    edit: GltfEdit, mesh: dict[str, Any], blocks: list[Block], index: np.ndarray, share: np.ndarray
) -> None:
    """Give all primitives of a mesh their joints and weights; who is in no block stays."""
    of_primitive = {p: block for block in blocks for p in block.primitives}
    made: dict[tuple[int, int | None], dict[str, int]] = {}
    for number, primitive in enumerate(mesh["primitives"]):
        attributes = primitive.get("attributes", {})
        if "POSITION" not in attributes:
            continue
        block = of_primitive.get(number)
        key = (attributes["POSITION"], None if block is None else block.begin)
        if key not in made:
            if block is None:
                count = edit.document["accessors"][attributes["POSITION"]]["count"]
                joints, weights = np.zeros((count, 4), np.uint8), np.zeros((count, 4), "<f4")
                weights[:, 0] = 1.0
            else:
                joints, weights = index[block.rows], share[block.rows]
            made[key] = {
                "JOINTS_0": edit.add(joints, "VEC4", ATTRIBUTES),
                "WEIGHTS_0": edit.add(weights, "VEC4", ATTRIBUTES),
            }
        kept = {k: v for k, v in attributes.items() if not k.startswith(_SKINNING)}
        primitive["attributes"] = kept | made[key]
