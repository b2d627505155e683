"""What a glTF shows: its meshes where its nodes put them, in world space, morphed and skinned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from posetx.files.checks import only_posetx_errors, problem
from posetx.files.codecs.gltf_data import GltfData
from posetx.files.codecs.polygons import strip
from posetx.files.dress import srgb_colors
from posetx.files.raw import Raw

TRIANGLES, TRIANGLE_STRIP, TRIANGLE_FAN = 4, 5, 6
#: A matrix whose last row is farther than this from 0 0 0 1 is no rotation, scale and shift.
AFFINE = 1e-4


@dataclass
class Instance:
    """A mesh where a node shows it.

    `world` is the node's (4, 4) frame; `Gltf.to_world` knows about skins, too.
    """

    node: int
    mesh: int
    world: np.ndarray
    skin: int | None


#: Weights of morph targets, and the accessors of what they add to positions.
Morph = tuple[tuple[float, int], ...]


class Gltf(GltfData):
    """A glTF file, decoded, and the scene that viewers show."""

    def instances(self) -> list[Instance]:
        """Every mesh of the shown scene, at every node that shows it."""
        worlds = self.world_matrices
        found = []
        for node in self._shown():
            self.spend(0)
            entry = self.entries("nodes")[node]
            if "EXT_mesh_gpu_instancing" in entry.get("extensions", {}):
                raise problem(
                    self.path,
                    "uses GPU instancing, which is not supported",
                    "export it again with real copies",
                )
            if "mesh" in entry:
                found.append(Instance(node, entry["mesh"], worlds[node], entry.get("skin")))
        return found

    def _shown(self) -> list[int]:
        """The nodes of the default scene, parents first; of the whole file if it has none."""
        nodes = self.entries("nodes")
        scenes = self.entries("scenes")
        if scenes:
            roots = scenes[self.document.get("scene", 0)].get("nodes", [])
        else:
            children = {c for node in nodes for c in node.get("children", [])}
            roots = [i for i in range(len(nodes)) if i not in children]
        order, seen, left = [], set(), list(reversed(roots))
        while left:
            node = left.pop()
            if node in seen:  # a damaged file may hold a cycle
                continue
            seen.add(node)
            order.append(node)
            left.extend(reversed(nodes[node].get("children", [])))
        return order

    @cached_property
    def world_matrices(self) -> np.ndarray:
        """(nodes, 4, 4): each node's frame in the world."""
        nodes = self.entries("nodes")
        worlds = np.tile(np.eye(4), (len(nodes), 1, 1))
        parent = self.parent
        done: set[int] = set()
        for start in range(len(nodes)):
            chain: dict[int, None] = {}  # ordered, and quick to ask: a damaged file may hold cycles
            node: int | None = start
            while node is not None and node not in done and node not in chain:
                chain[node] = None
                node = parent.get(node)
            for member in reversed(chain):
                self.spend(0)
                above = parent.get(member)
                local = self.local_matrix(member)
                known = above is not None and above in done
                worlds[member] = worlds[above] @ local if known else local
                done.add(member)
        return worlds

    def local_matrix(self, index: int) -> np.ndarray:
        """(4, 4): a node's own rotation, scale and shift."""
        node = self.entries("nodes")[index]
        if "matrix" in node:
            matrix = np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
            if not np.abs(matrix[3] - [0.0, 0.0, 0.0, 1.0]).max() <= AFFINE:
                raise problem(
                    self.path,
                    f"node {index} has a matrix that is no rotation, scale and shift",
                    "export it again",
                )
            matrix[3] = 0.0, 0.0, 0.0, 1.0
            return matrix
        matrix = np.eye(4)
        if node.keys() & {"rotation", "scale", "translation"}:
            rotation = _rotation(node.get("rotation", [0, 0, 0, 1]))
            matrix[:3, :3] = rotation * np.array(node.get("scale", [1, 1, 1]), dtype=np.float64)
            matrix[:3, 3] = node.get("translation", [0, 0, 0])
        return matrix

    def to_world(self, instance: Instance, primitive: dict[str, Any], count: int) -> np.ndarray:
        """The matrix that takes a primitive's positions to where they are shown.

        (4, 4), or (count, 4, 4) for a skin whose joints do not all move alike. A skinned mesh
        stands where its joints put it, whatever its own node says.
        """
        attributes = primitive["attributes"]
        if instance.skin is None or "JOINTS_0" not in attributes:
            return instance.world
        skinning = [v for k, v in attributes.items() if k.startswith(("JOINTS_", "WEIGHTS_"))]
        key = (instance.skin, count, *skinning)
        if key not in self._skinned:
            self._skinned[key] = self._blended(instance.skin, attributes, count)
        return self._skinned[key]

    @cached_property
    def _skinned(self) -> dict[tuple[int, ...], np.ndarray]:
        """What many nodes have in common: matrices by skin and skinning attributes."""
        return {}

    @cached_property
    def _joints(self) -> dict[int, np.ndarray]:
        """The joints' matrices (j, 4, 4) by skin."""
        return {}

    def skeleton(self, node: int) -> int:
        """Which skeleton moves the mesh at a node: its skin's, or the one it hangs on; -1 none."""
        skin = self.entries("nodes")[node].get("skin")
        if skin is not None:
            return self.skeleton_of_joint[self.entries("skins")[skin]["joints"][0]]
        return self.skeleton_of_joint.get(self._joint_above(node), -1)

    def _joint_above(self, node: int) -> int:
        """The nearest joint that a node hangs on; -1 none."""
        seen: set[int] = set()  # a damaged file may hold a cycle
        above: int | None = node
        while above is not None and above not in seen:
            if above in self.skeleton_of_joint:
                return above
            seen.add(above)
            above = self.parent.get(above)
        return -1

    @cached_property
    def parent(self) -> dict[int, int]:
        """The node that each node hangs on; those that hang on none are not in it."""
        nodes = self.entries("nodes")
        return {c: i for i, node in enumerate(nodes) for c in node.get("children", [])}

    @cached_property
    def skeleton_of_joint(self) -> dict[int, int]:
        """The skeletons' numbers by their joints: skins that share a joint are of one."""
        skins = self.entries("skins")
        least = list(range(len(skins)))  # a skin of the same skeleton that comes before each, or it

        def first(skin: int) -> int:
            while least[skin] != skin:
                least[skin] = least[least[skin]]
                skin = least[skin]
            return skin

        found: dict[int, int] = {}
        for number, skin in enumerate(skins):
            for joint in skin["joints"]:
                one, other = sorted((first(number), first(found.setdefault(joint, number))))
                least[other] = one
        return {joint: first(number) for joint, number in found.items()}

    def _joint_matrices(self, index: int) -> np.ndarray:
        if index not in self._joints:
            skin = self.entries("skins")[index]
            joints = np.array(skin["joints"], dtype=np.int64)
            self.spend(16 * len(joints))
            matrices = self.world_matrices[joints]
            if "inverseBindMatrices" in skin:
                inverse = self.floats(skin["inverseBindMatrices"]).reshape(-1, 4, 4)
                matrices = matrices @ inverse[: len(joints)].transpose(0, 2, 1)
            self._joints[index] = matrices
        return self._joints[index]

    def _blended(self, skin: int, attributes: dict[str, Any], count: int) -> np.ndarray:
        """(4, 4) or (count, 4, 4), see :meth:`to_world`."""
        matrices = self._joint_matrices(skin)
        if np.allclose(matrices, matrices[:1], rtol=1e-5, atol=1e-6 * np.abs(matrices).max()):
            return np.asarray(matrices[0])
        self.spend(16 * count)
        blended = np.zeros((count, 16))
        index, weight = self.weights(attributes)
        for which, share in zip(index.T, weight.T, strict=True):
            blended += share[:, None] * matrices.reshape(-1, 16)[which]
        total = weight.sum(axis=1)
        blended /= np.where(total > 0, total, 1.0)[:, None]
        blended[total <= 0] = np.eye(4).ravel()
        return blended.reshape(-1, 4, 4)

    def weights(self, attributes: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Which of a skin's joints move each vertex, and by how much: (n, 4 or more) each."""
        groups = [i for i in range(8) if f"JOINTS_{i}" in attributes]
        index = [self.integers(attributes[f"JOINTS_{i}"]) for i in groups]
        weight = [self.floats(attributes[f"WEIGHTS_{i}"]) for i in groups]
        return np.concatenate(index, axis=1), np.concatenate(weight, axis=1)

    def morph(self, instance: Instance, primitive: dict[str, Any]) -> Morph:
        """The morph targets of a primitive that are on by default: weights and POSITIONs."""
        weights = self.entries("nodes")[instance.node].get("weights")
        if weights is None:
            weights = self.entries("meshes")[instance.mesh].get("weights") or []
        targets = primitive.get("targets") or []
        return tuple(
            (float(weight), int(target["POSITION"]))
            for weight, target in zip(weights, targets, strict=False)
            if weight and "POSITION" in target
        )

    def morphed(self, morph: Morph, count: int) -> np.ndarray:
        """(count, 3): what morph targets add to positions."""
        self.spend(3 * count)
        added = np.zeros((count, 3))
        for weight, accessor in morph:
            added += weight * self.floats(accessor)[:, :3]
        return added

    def triangles(self, primitive: dict[str, Any], count: int) -> np.ndarray:
        """(m, 3) int64 triangles of a primitive with `count` vertices; none for points, lines."""
        mode = primitive.get("mode", TRIANGLES)
        if mode not in (TRIANGLES, TRIANGLE_STRIP, TRIANGLE_FAN):
            return np.zeros((0, 3), dtype=np.int64)
        if "indices" in primitive:
            corners = self.integers(primitive["indices"]).ravel()
        else:
            corners = np.arange(count, dtype=np.int64)
        if mode == TRIANGLES:
            return corners[: len(corners) // 3 * 3].reshape(-1, 3)
        if mode == TRIANGLE_STRIP:
            return strip(corners)
        middle = corners[1:]
        first = np.full(max(len(middle) - 1, 0), corners[0] if len(corners) else 0)
        return np.stack([first, middle[:-1], middle[1:]], axis=1)


def decode_gltf(data: bytes, path: Path) -> Gltf:
    """Decode the bytes of a .glb or .gltf file; reads the external buffers it names."""
    with only_posetx_errors(path, "glTF"):
        return Gltf(data, path)


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(n, 3) `points` through one (4, 4) matrix or one of (n, 4, 4) each."""
    if matrix.ndim == 2:
        return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])
    return np.asarray(np.einsum("nij,nj->ni", matrix[:, :3, :3], points) + matrix[:, :3, 3])


def _rotation(quaternion: Sequence[float]) -> np.ndarray:
    """(3, 3) of x, y, z, w."""
    x, y, z, w = np.array(quaternion, dtype=np.float64)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def scan(data: bytes, path: Path) -> Raw:
    """A glTF file as a scan: what its nodes show, in world space."""
    gltf = decode_gltf(data, path)
    points: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    colors: list[np.ndarray | None] = []
    seen: dict[tuple[int, int, Morph], int] = {}  # node, accessor, morph: which of the points
    starts = [0]
    for instance in gltf.instances():
        for primitive in gltf.entries("meshes")[instance.mesh]["primitives"]:
            gltf.spend(0)
            attributes = primitive.get("attributes", {})
            if "POSITION" not in attributes:
                continue
            morph = gltf.morph(instance, primitive)
            key = (instance.node, attributes["POSITION"], morph)
            if key not in seen:
                local = gltf.floats(attributes["POSITION"])[:, :3]
                if morph:
                    local = local + gltf.morphed(morph, len(local))
                seen[key] = len(points)
                points.append(apply(gltf.to_world(instance, primitive, len(local)), local))
                colour = attributes.get("COLOR_0")
                colors.append(None if colour is None else srgb_colors(gltf.floats(colour)[:, :3]))
                starts.append(starts[-1] + len(local))
            which = seen[key]
            faces.append(gltf.triangles(primitive, len(points[which])) + starts[which])
    if not points:
        raise problem(path, "shows no points", "check that the scan was exported")
    given = [c for c in colors if c is not None]
    return Raw(
        np.concatenate(points),
        colors=np.concatenate(given) if len(given) == len(colors) else None,
        faces=np.concatenate(faces),
    )
