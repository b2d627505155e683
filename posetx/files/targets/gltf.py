"""glTF targets: positions, normals and tangents change in the buffers, nothing else does.

Vertices are presented in world space, as a viewer shows the default scene; saving takes them back
through the node transforms, or through the skin's joints where there is one. Or, with a pose of the
file's own skeleton, its joints turn and the buffers stay.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from posetx.errors import PosetxError
from posetx.files.beside import BUFFERS, IMAGES
from posetx.files.checks import LARGEST_COORDINATE, only_posetx_errors, problem
from posetx.files.codecs import blender
from posetx.files.codecs.gltf import Gltf, apply, decode_gltf
from posetx.files.dress import Dress, srgb_colors
from posetx.files.looks import Looks, byte_colors
from posetx.files.targets.base import Target
from posetx.files.targets.blender_write import by_blender
from posetx.files.targets.gltf_blocks import Block, is_skinned, primitive_of, shown_blocks
from posetx.files.targets.gltf_dress import Part, gltf_dress
from posetx.files.targets.gltf_edit import GltfEdit
from posetx.files.targets.gltf_looks import gltf_looks
from posetx.files.targets.gltf_rig import pose_nodes, rig_of
from posetx.files.targets.normals import turned
from posetx.files.targets.sidecars import places_of
from posetx.geometry.rig import Rig, RigPose

VRM = ".vrm"

# Two nodes that show one mesh may keep sharing it when their positions agree this well,
# relative to the size of the mesh: a few times the rounding of 32-bit floats.
SAME = 1e-6


class GltfTarget(Target):
    """A scene from a .glb or .gltf file, all its meshes as one."""

    def __init__(self, gltf: Gltf, path: Path) -> None:
        self._gltf = gltf
        # A .vrm is a GLB by another name; what avatars need beyond it only a .vrm has.
        self.own_suffixes = (".glb", ".gltf", *([VRM] if path.suffix.lower() == VRM else []))
        self._blocks, notes = shown_blocks(gltf)
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
            (primitive_of(self._gltf, block.mesh, index), faces, len(block.base))
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
                primitive_of(self._gltf, block.mesh, index),
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
                first = primitive_of(self._gltf, block.mesh, block.primitives[0])
                colour = first["attributes"].get("COLOR_0")
                if colour is None:
                    return None
                found.append(srgb_colors(self._gltf.floats(colour)[: len(block.base), :3]))
            return byte_colors(np.concatenate(found))

    def rig(self, figure: np.ndarray) -> tuple[Rig | None, str]:
        with only_posetx_errors(self.path, "glTF"):
            return rig_of(self._gltf, self._blocks, figure)

    def save_posed(self, path: Path, vertices: np.ndarray, rig: Rig, pose: RigPose) -> list[str]:
        vertices = self._checked(path, vertices)
        if path.suffix.lower() in blender.SUFFIXES:
            return by_blender(path, lambda p: self._write_posed(p, vertices, rig, pose), ".glb")
        notes = self._write_posed(path, vertices, rig, pose)
        if self._gltf.entries("animations"):
            notes.append(
                "its animations are kept as they are: a viewer that plays one shows that and not "
                "the pose"
            )
        return notes

    def _write_posed(self, path: Path, vertices: np.ndarray, rig: Rig, pose: RigPose) -> list[str]:
        with only_posetx_errors(self.path, "glTF"):
            edit = self._moved(np.where(rig.moved[:, None], self.vertices, vertices))
            pose_nodes(edit.document["nodes"], rig, pose)
            return edit.write(path)

    def _beside(self, path: Path) -> set[Path]:
        with only_posetx_errors(self.path, "glTF"):
            buffers = places_of(self._gltf.files("buffers"), path, BUFFERS)
            return {*buffers, *places_of(self._gltf.files("images"), path, IMAGES)}

    def _write(self, path: Path, vertices: np.ndarray) -> list[str]:
        moved = [
            block
            for block in self._blocks
            if (vertices[block.rows] != self.vertices[block.rows]).any()
        ]
        with only_posetx_errors(self.path, "glTF"):
            notes = self._moved(vertices).write(path)
        if any(is_skinned(self._gltf, block) for block in moved):
            notes.append(
                "skinned: the rest positions of the mesh change, its skeleton stays; an animation "
                "would add to the new pose"
            )
        parts = ((block.mesh, index) for block in moved for index in block.primitives)
        if any(primitive_of(self._gltf, *part).get("targets") for part in parts):
            notes.append("its morph targets stay as they are and add to the new pose")
        return notes

    def _moved(self, vertices: np.ndarray) -> GltfEdit:
        """The file with other positions in its buffers."""
        groups: dict[int, list[Block]] = {}
        for block in self._blocks:
            groups.setdefault(block.accessor, []).append(block)
        self._gltf.begin()
        edit = GltfEdit(self._gltf)
        for blocks in groups.values():
            self._move_group(edit, blocks, vertices)
        return edit

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
                    attributes = primitive_of(self._gltf, block.mesh, p)["attributes"]
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


def read(data: bytes, path: Path) -> Target:
    """The target in the bytes of a .glb or .gltf file."""
    gltf = decode_gltf(data, path)
    with only_posetx_errors(path, "glTF"):
        return GltfTarget(gltf, path)
