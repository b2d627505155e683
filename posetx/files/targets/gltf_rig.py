"""The skeleton that moves a glTF's figure, and the nodes of its document in another pose.

Skins that share joints are one skeleton, meshes that hang on a joint follow it as a whole. Nodes
above the skeleton, such as an armature that scales centimetres to metres, stay as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from posetx.files.codecs.gltf import Gltf
from posetx.files.targets.gltf_blocks import Block, is_skinned, primitive_of
from posetx.files.targets.rig_rules import below_roots, roots_of, too_many, unfit
from posetx.geometry.rig import Rig, RigPose

#: What is turned by less (radians), or shifted by less (as a share of the figure), is left.
UNMOVED = 1e-9


def rig_of(gltf: Gltf, blocks: list[Block], figure: np.ndarray) -> tuple[Rig | None, str]:
    """The skeleton that moves a figure; or None and why not, "" in a file without skins.

    Parameters
    ----------
    gltf : the file; its count of what is decoded begins anew
    blocks : its shown meshes
    figure : (n,) bool
        which vertices are the figure's

    Raises PosetxError, or what Python raises at a damaged document.
    """
    if not gltf.entries("skins"):
        return None, ""
    gltf.begin()
    skeletons = {gltf.skeleton(b.node) for b in blocks if figure[b.rows].any()} - {-1}
    nodes = gltf.entries("nodes")
    moved = [block for block in blocks if gltf.skeleton(block.node) in skeletons]
    pairs = [
        _skinned(gltf, block) if is_skinned(gltf, block) else _carried(block)
        for block in moved
        # a mesh with a skin and without weights follows neither
        if is_skinned(gltf, block) or "skin" not in nodes[block.node]
    ]
    if not pairs:
        return None, "its skins move nothing of the figure"
    vertex, node, weight, place = (np.concatenate(column) for column in zip(*pairs, strict=True))
    rows = _with_parents(gltf, np.unique(node))
    if why := too_many(len(rows)):
        return None, why
    row_of = {number: row for row, number in enumerate(rows)}
    above = [row_of.get(gltf.parent.get(number, -1), -1) for number in rows]
    # a damaged file may hold a cycle: its first node then hangs on none
    parents = np.array([parent if parent < row else -1 for row, parent in enumerate(above)])
    joint = np.array([gltf.skeleton_of_joint.get(number, -1) in skeletons for number in rows])
    followed = np.isin(rows, node)
    roots = roots_of(parents, joint, followed)
    rig = Rig(
        np.array(rows),
        parents,
        np.stack([gltf.local_matrix(number) for number in rows]),
        joint & below_roots(parents, roots),
        roots,
        len(figure),
        vertex,
        np.array([row_of[number] for number in node.tolist()]),
        weight,
        place,
    )
    return (None, why) if (why := unfit(rig, figure)) else (rig, "")


def _skinned(gltf: Gltf, block: Block) -> tuple[np.ndarray, ...]:
    """Vertices, nodes, weights and places in the nodes' frames, of a mesh with a skin."""
    skin = gltf.entries("skins")[gltf.entries("nodes")[block.node]["skin"]]
    attributes = primitive_of(gltf, block.mesh, block.primitives[0])["attributes"]
    joints = np.array(skin["joints"], dtype=np.int64)
    bind = np.tile(np.eye(4), (len(joints), 1, 1))
    if "inverseBindMatrices" in skin:
        bind = gltf.floats(skin["inverseBindMatrices"]).reshape(-1, 4, 4)[: len(joints)]
        bind = bind.transpose(0, 2, 1)
    index, weight = gltf.weights(attributes)
    total = weight.sum(axis=1)
    gltf.spend(16 * index.size)
    vertex, column = np.nonzero((weight > 0) & (total > 0)[:, None])
    which = index[vertex, column]
    maps = bind[which]
    place = np.einsum("eij,ej->ei", maps[:, :3, :3], block.local[vertex]) + maps[:, :3, 3]
    share = weight[vertex, column] / total[vertex]
    return vertex + block.begin, joints[which], share, place


def _carried(block: Block) -> tuple[np.ndarray, ...]:
    """The same of a mesh that hangs on a joint as a whole."""
    count = len(block.base)
    vertex = np.arange(block.begin, block.begin + count)
    return vertex, np.full(count, block.node), np.ones(count), block.local


def _with_parents(gltf: Gltf, nodes: np.ndarray) -> list[int]:
    """Nodes and all that they hang on, parents first."""
    rows: dict[int, None] = {}
    for node in nodes.tolist():
        chain: list[int] = []
        above: int | None = node
        while above is not None and above not in rows and above not in chain:
            gltf.spend(0)
            chain.append(above)
            above = gltf.parent.get(above)
        rows.update(dict.fromkeys(reversed(chain)))
    return list(rows)


def pose_nodes(nodes: list[dict[str, Any]], rig: Rig, pose: RigPose) -> None:
    """Turn and shift the nodes of a document; what stays as it is keeps its numbers."""
    size = float(np.ptp(rig.place, axis=0).max())
    angles = Rotation.from_matrix(pose.turns).magnitude()
    for row in np.flatnonzero(rig.joints):
        node = nodes[rig.numbers[row]]
        own, shift = rig.local[row].copy(), pose.shifts[row]
        own[:3, :3] = pose.turns[row] @ own[:3, :3]
        own[:3, 3] += shift
        moves = bool(np.abs(shift).max() > UNMOVED * size)
        if "matrix" in node:
            if moves or angles[row] > UNMOVED:
                node["matrix"] = own.T.ravel().tolist()
            continue
        if angles[row] > UNMOVED:
            turn = Rotation.from_matrix(pose.turns[row])
            node["rotation"] = (turn * Rotation.from_quat(quaternion(node))).as_quat().tolist()
        if moves:
            node["translation"] = own[:3, 3].tolist()


def quaternion(node: dict[str, Any]) -> list[float]:
    """A node's rotation: x, y, z, w."""
    return node.get("rotation") or [0.0, 0.0, 0.0, 1.0]
