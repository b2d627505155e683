"""The meshes that a glTF shows, as a target has them: vertices counted once for each node."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from posetx.files.checks import problem
from posetx.files.codecs.gltf import Gltf


@dataclass
class Block:
    """The vertices that one POSITION accessor gives at one node."""

    node: int
    mesh: int
    accessor: int
    primitives: list[int]
    matrix: np.ndarray  # (4, 4) or (n, 4, 4), local to world
    base: np.ndarray  # (n, 3) as stored
    morph: np.ndarray | float  # (n, 3) what default morph weights add, or 0
    begin: int  # first row in Target.vertices
    faces: list[np.ndarray] = field(default_factory=list)  # (m, 3) each, rows of `local`

    @property
    def local(self) -> np.ndarray:
        """(n, 3) positions as they are shown, in the mesh's own frame."""
        return self.base + self.morph

    @property
    def rows(self) -> slice:
        """The block's rows in `Target.vertices`."""
        return slice(self.begin, self.begin + len(self.base))

    def triangles(self) -> np.ndarray:
        """(m, 3) faces of all its primitives."""
        return np.concatenate(self.faces)


def shown_blocks(gltf: Gltf) -> tuple[list[Block], list[str]]:
    """The shown meshes, vertices counted once per node, and what to tell the user."""
    blocks: dict[tuple[Any, ...], Block] = {}
    positions: dict[int, np.ndarray] = {}
    notes: dict[str, None] = {}
    begin = 0
    for instance in gltf.instances():
        mesh = gltf.entries("meshes")[instance.mesh]
        for index, primitive in enumerate(mesh["primitives"]):
            attributes = primitive.get("attributes", {})
            if "POSITION" not in attributes:
                continue
            gltf.spend(0)
            accessor = attributes["POSITION"]
            if accessor not in positions:
                positions[accessor] = gltf.floats(accessor)
            local = positions[accessor]
            if local.shape[1] != 3:
                raise problem(gltf.path, "has positions that are not 3D", "export it again")
            faces = gltf.triangles(primitive, len(local))
            if not len(faces):
                notes["its points and lines are kept where they are"] = None
                continue
            if faces.min() < 0 or faces.max() >= len(local):
                raise problem(
                    gltf.path,
                    f"has faces that name a vertex which is not among {len(local)}",
                    "the file may be damaged; export it again",
                )
            skinned = instance.skin is not None and "JOINTS_0" in attributes
            morph = gltf.morph(instance, primitive)
            key = (instance.node, accessor, attributes["JOINTS_0"] if skinned else None, morph)
            if key not in blocks:
                gltf.spend(local.size)
                matrix = gltf.to_world(instance, primitive, len(local))
                if not _invertible(matrix):
                    notes["parts that are scaled to nothing are kept as they are"] = None
                    continue
                added = gltf.morphed(morph, len(local)) if morph else 0.0
                blocks[key] = Block(
                    instance.node, instance.mesh, accessor, [], matrix, local, added, begin
                )
                begin += len(local)
            blocks[key].primitives.append(index)
            blocks[key].faces.append(faces)
    return list(blocks.values()), list(notes)


def _invertible(matrix: np.ndarray) -> bool:
    """Whether every linear part can be undone in 64-bit floats."""
    linear = matrix[..., :3, :3]
    size = np.abs(linear).max(axis=(-2, -1))
    if not np.isfinite(size).all() or (size <= 0).any():
        return False
    return bool((np.abs(np.linalg.det(linear / size[..., None, None])) > 1e-9).all())


def primitive_of(gltf: Gltf, mesh: int, index: int) -> dict[str, Any]:
    """What the file says of a primitive of a mesh."""
    primitive: dict[str, Any] = gltf.entries("meshes")[mesh]["primitives"][index]
    return primitive


def is_skinned(gltf: Gltf, block: Block) -> bool:
    """Whether a skin moves the block, vertex by vertex."""
    skin = gltf.entries("nodes")[block.node].get("skin")
    first = primitive_of(gltf, block.mesh, block.primitives[0])
    return skin is not None and "JOINTS_0" in first["attributes"]
