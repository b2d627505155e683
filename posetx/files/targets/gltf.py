"""glTF targets: positions, normals and tangents change in the buffers, nothing else does.

Vertices are presented in world space, as a viewer shows the default scene; saving takes them back
through the node transforms, or through the skin's joints where there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from posetx.errors import PosetxError
from posetx.files.checks import LARGEST_COORDINATE, only_posetx_errors, problem
from posetx.files.codecs.gltf import Gltf, apply, decode_gltf
from posetx.files.dress import Dress, srgb_colors
from posetx.files.looks import Looks, byte_colors
from posetx.files.targets.base import Target
from posetx.files.targets.gltf_dress import Part, gltf_dress
from posetx.files.targets.gltf_edit import GltfEdit
from posetx.files.targets.gltf_looks import gltf_looks
from posetx.files.targets.normals import turned

VRM = ".vrm"

# Two nodes that show one mesh may keep sharing it when their positions agree this well,
# relative to the size of the mesh: a few times the rounding of 32-bit floats.
SAME = 1e-6


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


class GltfTarget(Target):
    """A scene from a .glb or .gltf file, all its meshes as one."""

    def __init__(self, gltf: Gltf, path: Path) -> None:
        self._gltf = gltf
        # A .vrm is a GLB by another name; what avatars need beyond it only a .vrm has.
        self.own_suffixes = (".glb", ".gltf", *([VRM] if path.suffix.lower() == VRM else []))
        self._blocks, notes = _blocks(gltf)
        if not self._blocks:
            raise problem(
                path, "shows no mesh with triangles", "a target must be a mesh; export it again"
            )
        vertices = np.concatenate([apply(b.matrix, b.local) for b in self._blocks])
        faces = np.concatenate([b.triangles() + b.begin for b in self._blocks])
        super().__init__(path, vertices, faces, notes)
        document = gltf.document
        sizes = [sum(map(len, block.faces)) for block in self._blocks]
        self.face_object = np.repeat([block.node for block in self._blocks], sizes)
        if document.get("skins"):
            skeletons = [gltf.skeleton(block.node) for block in self._blocks]
            self.face_skeleton = np.repeat(skeletons, sizes)
        for key in ("materials", "skins", "animations"):
            if document.get(key):
                self.extras.append(key)

    def object_name(self, index: int) -> str:
        node = self._gltf.entries("nodes")[index]
        return str(node.get("name") or self._gltf.entries("meshes")[node["mesh"]].get("name") or "")

    def looks(self) -> Looks | None:
        parts = [
            (_primitive(self._gltf, block.mesh, index), faces, len(block.base))
            for block in self._blocks
            for index, faces in zip(block.primitives, block.faces, strict=True)
        ]
        with only_posetx_errors(self.path, "glTF"):
            return gltf_looks(self._gltf, parts)

    def dress(self, vertices: np.ndarray) -> Dress | None:
        parts = [
            Part(
                block.node,
                block.mesh,
                _primitive(self._gltf, block.mesh, index),
                faces,
                block.begin,
                len(block.base),
                block.matrix,
            )
            for block in self._blocks
            for index, faces in zip(block.primitives, block.faces, strict=True)
        ]
        with only_posetx_errors(self.path, "glTF"):
            return gltf_dress(self._gltf, parts, self.vertices, vertices)

    def colors(self) -> np.ndarray | None:
        found = []
        self._gltf.begin()
        with only_posetx_errors(self.path, "glTF"):
            for block in self._blocks:
                first = _primitive(self._gltf, block.mesh, block.primitives[0])
                colour = first["attributes"].get("COLOR_0")
                if colour is None:
                    return None
                found.append(srgb_colors(self._gltf.floats(colour)[: len(block.base), :3]))
            return byte_colors(np.concatenate(found))

    def _write(self, path: Path, vertices: np.ndarray) -> list[str]:
        groups: dict[int, list[Block]] = {}
        for block in self._blocks:
            groups.setdefault(block.accessor, []).append(block)

        def move(edit: GltfEdit) -> list[str]:
            for blocks in groups.values():
                self._move_group(edit, blocks, vertices)
            return []

        return self.save_edited(path, move)

    def save_edited(self, path: Path, change: Callable[[GltfEdit], list[str]]) -> list[str]:
        """Write the file with a change, which returns notes; returns these and those of writing."""
        self._gltf.begin()
        with only_posetx_errors(self.path, "glTF"):
            edit = GltfEdit(self._gltf)
            notes = change(edit)
            return notes + edit.write(path)

    @property
    def blocks(self) -> list[Block]:
        """Its vertices, by the nodes that show them."""
        return self._blocks

    def vectors(self, accessor: int) -> np.ndarray:
        """(n, 3) of an accessor, such as normals."""
        return self._gltf.floats(accessor)[:, :3]

    def local_shapes(self, block: Block, shapes: np.ndarray) -> np.ndarray | None:
        """Shapes (K, n, 3) in the world as they are stored for a block; None if nothing moves."""
        if not shapes.any():
            return None
        inverse = np.linalg.inv(block.matrix[..., :3, :3])
        if inverse.ndim == 2:
            return np.asarray(shapes @ inverse.T)
        return np.asarray(np.einsum("nij,knj->kni", inverse, shapes))

    def store_in_world(
        self, edit: GltfEdit, block: Block, matrix: np.ndarray | None = None
    ) -> None:
        """Store a block's vertices so that one matrix (4, 4), or none, takes them to the world."""
        world = apply(block.matrix, block.local)
        if matrix is not None:
            world = apply(np.linalg.inv(matrix), world)
        self._move(edit, [block], world - block.morph)

    def _move_group(self, edit: GltfEdit, blocks: list[Block], vertices: np.ndarray) -> None:
        """Move the blocks that share one accessor; those that come to differ stop sharing it."""
        moved = [self._to_local(block, vertices) for block in blocks]
        extent = float(np.ptp(moved[0], axis=0).max())
        left = list(range(len(blocks)))
        alone = False
        while left:
            first = moved[left[0]]
            same = [i for i in left if np.allclose(moved[i], first, rtol=0, atol=SAME * extent)]
            left = [i for i in left if i not in same]
            members = [blocks[i] for i in same]
            if left or alone:
                # One mesh, several shapes: each shape needs the mesh for itself.
                alone = True
                for block in members:
                    edit.own_mesh(block.node)
            if (first != members[0].base).any():
                self._move(edit, members, first)

    def _move(self, edit: GltfEdit, blocks: list[Block], new: np.ndarray) -> None:
        """Give the blocks, which share an accessor and agree, the stored positions `new` (n, 3)."""
        first = blocks[0]
        places = [(block.node, p) for block in blocks for p in block.primitives]
        edit.assign("POSITION", first.accessor, places, new)
        faces = first.triangles()
        for name in ("NORMAL", "TANGENT"):
            users: dict[int, list[tuple[int, int]]] = {}
            for block in blocks:
                for p in block.primitives:
                    attributes = _primitive(self._gltf, block.mesh, p)["attributes"]
                    if name in attributes:
                        users.setdefault(attributes[name], []).append((block.node, p))
            for accessor, where in users.items():
                values = self._gltf.floats(accessor)
                old, shown = first.local, new + first.morph
                values[:, :3] = turned(values[:, :3], faces, faces, old, shown)
                edit.assign(name, accessor, where, values)

    def _to_local(self, block: Block, vertices: np.ndarray) -> np.ndarray:
        """(n, 3): the block's new positions as stored; unmoved ones exactly as before."""
        new, old = vertices[block.rows], self.vertices[block.rows]
        changed = (new != old).any(axis=1)
        result = block.base.copy()
        if changed.any():
            matrix = block.matrix if block.matrix.ndim == 2 else block.matrix[changed]
            added = block.morph if isinstance(block.morph, float) else block.morph[changed]
            result[changed] = apply(np.linalg.inv(matrix), new[changed]) - added
        if not (np.abs(result) < LARGEST_COORDINATE).all():
            raise PosetxError(
                f"{self.path}: node {block.node} is scaled to almost nothing, its positions "
                "cannot be stored; apply its scale and export the target again"
            )
        return result


def _primitive(gltf: Gltf, mesh: int, index: int) -> dict[str, Any]:
    primitive: dict[str, Any] = gltf.entries("meshes")[mesh]["primitives"][index]
    return primitive


def _blocks(gltf: Gltf) -> tuple[list[Block], list[str]]:
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
            if skinned:
                notes[
                    "skinned: the rest positions of the mesh change, its skeleton stays; an "
                    "animation would add to the new pose"
                ] = None
            if primitive.get("targets"):
                notes["its morph targets stay as they are and add to the new pose"] = None
    return list(blocks.values()), list(notes)


def _invertible(matrix: np.ndarray) -> bool:
    """Whether every linear part can be undone in 64-bit floats."""
    linear = matrix[..., :3, :3]
    size = np.abs(linear).max(axis=(-2, -1))
    if not np.isfinite(size).all() or (size <= 0).any():
        return False
    return bool((np.abs(np.linalg.det(linear / size[..., None, None])) > 1e-9).all())


def read(data: bytes, path: Path) -> Target:
    """The target in the bytes of a .glb or .gltf file."""
    gltf = decode_gltf(data, path)
    with only_posetx_errors(path, "glTF"):
        return GltfTarget(gltf, path)
