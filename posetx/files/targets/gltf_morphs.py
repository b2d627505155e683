"""A clip of morph targets put into a glTF.

Normals go along: each shape turns them as fits all frames best (least squares), since those of a
mixture are no mixture of normals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from posetx.arrays import Floats, Indices, Mask
from posetx.files.targets.gltf_edit import ATTRIBUTES, GltfEdit
from posetx.files.targets.gltf_tracks import Channel, add_animation
from posetx.files.targets.normals import turned

if TYPE_CHECKING:
    from posetx.files.targets.clip import MorphClip
    from posetx.files.targets.gltf import GltfTarget
    from posetx.files.targets.gltf_blocks import Block

#: of the frames' mixtures, what of the normals' least squares is cut off as noise
RANK = 1e-4


def add_morphs(edit: GltfEdit, target: GltfTarget, rows: Indices, clip: MorphClip) -> list[str]:
    """Put the clip into the file, its shapes behind those that are there; returns notes.

    ``rows`` (k,) say which of the shapes' vertices each of the glTF's is.
    """
    moving: Mask = np.abs(clip.shapes).max(axis=(0, 2))[rows] > 0
    nodes = sorted({b.node for b in target.blocks if moving[b.rows].any()})
    channels, notes = [], []
    for node in nodes:
        edit.own_mesh(node)
        own = [block for block in target.blocks if block.node == node]
        node, entry = _without_matrix(edit, node)
        mesh = edit.document["meshes"][entry["mesh"]]
        _add_shapes(edit, target, mesh, own, rows, clip)
        old = _default_weights(entry, mesh, len(clip.shapes))
        if old:
            notes.append("its morph targets stay, and add to the clip")
            _widen_tracks(edit, node, len(old), len(clip.shapes))
        still = np.tile(np.array(old), (len(clip.weights), 1))
        channels.append(Channel(node, "weights", np.hstack([still, clip.weights])))
    add_animation(edit, clip.name, clip.fps, channels)
    return list(dict.fromkeys(notes))


def _without_matrix(edit: GltfEdit, node: int) -> tuple[int, dict[str, Any]]:
    """The node that shows a node's mesh: itself, or a new one below a node that has a matrix.

    What has a matrix must not be animated.
    """
    nodes = edit.document["nodes"]
    entry: dict[str, Any] = nodes[node]
    if "matrix" not in entry:
        return node, entry
    below: dict[str, Any] = {
        key: entry.pop(key) for key in ("mesh", "skin", "weights") if key in entry
    }
    entry["children"] = [*entry.get("children", []), len(nodes)]
    nodes.append(below)
    return len(nodes) - 1, below


def _add_shapes(
    edit: GltfEdit,
    target: GltfTarget,
    mesh: dict[str, Any],
    blocks: list[Block],
    rows: Indices,
    clip: MorphClip,
) -> None:
    """Append the clip's shapes to each primitive of a mesh; zeros where nothing moves."""
    accessors = edit.document["accessors"]
    of_primitive = {p: block for block in blocks for p in block.primitives}
    made: dict[tuple[int, str, int], list[int]] = {}
    for number, primitive in enumerate(mesh["primitives"]):
        attributes = primitive.get("attributes", {})
        names = [name for name in ("POSITION", "NORMAL") if name in attributes]
        block = of_primitive.get(number)
        places: list[dict[str, int]] = [{} for _ in clip.shapes]
        for name in names:
            key = (attributes[name], name, -1 if block is None else block.begin)
            if key not in made:
                count = accessors[attributes[name]]["count"]
                shapes = None
                if block is not None:
                    shapes = target.local_shapes(block, clip.shapes[:, rows[block.rows]])
                    if name == "NORMAL" and shapes is not None:
                        vectors = target.vectors(attributes[name])
                        shapes = _turning(vectors, block, shapes, clip.weights)
                made[key] = _accessors(edit, shapes, count, len(clip.shapes), name)
            for place, accessor in zip(places, made[key], strict=True):
                place[name] = accessor
        primitive["targets"] = [*primitive.get("targets", []), *places]
    called = (mesh.get("extras") or {}).get("targetNames")
    if isinstance(called, list):
        mesh["extras"]["targetNames"] = called + [
            f"{clip.name} {i}" for i in range(len(clip.shapes))
        ]


def _accessors(
    edit: GltfEdit, shapes: Floats | None, count: int, number: int, name: str
) -> list[int]:
    """An accessor for each shape; of what does not move one for all, of zeros, without data."""
    if shapes is not None:
        bounds = name == "POSITION"
        return [edit.add(s.astype("<f4"), "VEC3", ATTRIBUTES, bounds=bounds) for s in shapes]
    zeros: dict[str, Any] = {"componentType": 5126, "count": count, "type": "VEC3"}
    zeros |= {"min": [0.0] * 3, "max": [0.0] * 3}
    edit.document["accessors"].append(zeros)
    return [len(edit.document["accessors"]) - 1] * number


def _turning(vectors: Floats, block: Block, shapes: Floats, weights: Floats) -> Floats:
    """What each shape (K, n, 3) adds to normals (n, 3), from those of all frames: (K, n, 3)."""
    faces, base = block.triangles(), block.local
    aim = np.empty((len(weights), *vectors.shape))
    for frame, mixture in enumerate(weights):
        moved = base + np.tensordot(mixture, shapes, 1)
        aim[frame] = turned(vectors, faces, faces, base, moved) - vectors
    solved = np.linalg.pinv(weights, rcond=RANK) @ aim.reshape(len(weights), -1)
    return np.asarray(solved.reshape(shapes.shape), dtype=np.float64)


def _default_weights(entry: dict[str, Any], mesh: dict[str, Any], added: int) -> list[float]:
    """Those of the morph targets that were there; both lists come to have room for the others."""
    there = len(mesh["primitives"][0]["targets"]) - added
    old = [float(w) for w in entry.get("weights") or mesh.get("weights") or [0.0] * there]
    for holder in (entry, mesh):
        if holder.get("weights"):
            holder["weights"] = [*holder["weights"], *[0.0] * added]
    if not mesh.get("weights"):
        mesh["weights"] = [0.0] * (there + added)
    return old


def _widen_tracks(edit: GltfEdit, node: int, there: int, added: int) -> None:
    """Room for more weights in the animations that the file has of a node's."""
    for animation in edit.document.get("animations") or []:
        for channel in animation["channels"]:
            where = channel.get("target", {})
            if where.get("node") != node or where.get("path") != "weights":
                continue
            sampler = animation["samplers"][channel["sampler"]]
            values = edit.gltf.floats(sampler["output"]).reshape(-1, there)
            wide = np.hstack([values, np.zeros((len(values), added))]).astype("<f4")
            animation["samplers"].append(
                sampler | {"output": edit.add(wide.reshape(-1, 1), "SCALAR")}
            )
            channel["sampler"] = len(animation["samplers"]) - 1
