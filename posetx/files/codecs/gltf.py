"""glTF 2.0, as .glb or .gltf: the JSON, the buffers, accessors as arrays, nodes in world space."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import numpy as np

from posetx.files.checks import only_posetx_errors, problem, read_bytes, truncated
from posetx.files.codecs.glb import MAGIC, glb_chunks
from posetx.files.codecs.polygons import strip
from posetx.files.raw import Raw

FLOAT = 5126
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", FLOAT: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
TRIANGLES, TRIANGLE_STRIP, TRIANGLE_FAN = 4, 5, 6
_COMPRESSED = {
    "KHR_draco_mesh_compression": "Draco",
    "EXT_meshopt_compression": "meshopt",
    "KHR_meshopt_compression": "meshopt",
}


@dataclass
class Instance:
    """A mesh where a node shows it.

    `world` is the node's (4, 4) frame; `Gltf.to_world` knows about skins, too.
    """

    node: int
    mesh: int
    world: np.ndarray
    skin: int | None


class Gltf:
    """A glTF file, decoded.

    Attributes
    ----------
    data : bytes
        the file as it is
    document : dict
        the JSON
    buffers : list of bytes
    chunks : list of (int, bytes)
        what a .glb holds behind the JSON and binary chunks
    """

    def __init__(self, data: bytes, path: Path) -> None:
        self.path = path
        self.data = data
        binary: bytes | None = None
        self.chunks: list[tuple[int, bytes]] = []
        if data[:4] == MAGIC:
            text, binary, self.chunks = glb_chunks(data, path)
        else:
            text = data
        self.is_glb = data[:4] == MAGIC
        try:
            # utf-8-sig: some exporters put a byte order mark.
            document = json.loads(text.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise problem(path, "holds no readable glTF document", "export it again") from error
        if not isinstance(document, dict) or "asset" not in document:
            raise problem(path, "is not a glTF document", "export it again as .glb")
        if str(document["asset"].get("version", "2.0")).split(".")[0] != "2":
            raise problem(path, "is not glTF 2", "export it again as glTF 2.0")
        self.document: dict[str, Any] = document
        self._refuse_compression()
        self.buffers = [
            self._buffer(entry, binary if index == 0 else None)
            for index, entry in enumerate(document.get("buffers", []))
        ]

    def entries(self, key: str) -> list[dict[str, Any]]:
        """A top-level list of the document; empty when it is missing."""
        return self.document.get(key) or []

    def _refuse_compression(self) -> None:
        named = set(self.document.get("extensionsRequired") or [])
        named |= {e for view in self.entries("bufferViews") for e in view.get("extensions", {})}
        for mesh in self.entries("meshes"):
            named |= {e for p in mesh.get("primitives", []) for e in p.get("extensions", {})}
        for extension, kind in _COMPRESSED.items():
            if extension in named:
                raise problem(
                    self.path,
                    f"is {kind}-compressed, which is not supported",
                    "export it again without compression",
                )

    def _buffer(self, entry: dict[str, Any], binary: bytes | None) -> bytes:
        uri = entry.get("uri")
        size = int(entry["byteLength"])
        if uri is None:
            data = binary if binary is not None else b""
        elif uri.startswith("data:"):
            data = decode_data_uri(uri)
        else:
            if ":" in uri or uri.startswith(("/", "\\")):
                raise problem(
                    self.path, f"names the buffer {uri[:60]!r}", "export it again as .glb"
                )
            data = read_bytes(self.path.parent / unquote(uri))
        if len(data) < size:
            raise truncated(self.path, f"a buffer has {len(data)} of {size} bytes")
        return data

    # --- accessors ----------------------------------------------------------------------

    def view(self, index: int, buffers: list[bytearray] | None = None) -> np.ndarray:
        """The elements of an accessor, (count, width), as they lie in its buffer.

        With `buffers` (bytearrays in the place of `self.buffers`) the array can be written to.
        """
        accessor = self.entries("accessors")[index]
        kind = np.dtype(_COMPONENTS[accessor["componentType"]])
        width, count = _WIDTHS[accessor["type"]], int(accessor["count"])
        begin = int(accessor.get("byteOffset", 0))
        return self._array(accessor["bufferView"], begin, kind, width, count, buffers)

    def _array(
        self,
        view: int,
        begin: int,
        kind: np.dtype,
        width: int,
        count: int,
        buffers: list[bytearray] | None = None,
    ) -> np.ndarray:
        entry = self.entries("bufferViews")[view]
        step = int(entry.get("byteStride") or kind.itemsize * width)
        offset = int(entry.get("byteOffset", 0)) + begin
        buffer = (buffers or self.buffers)[entry["buffer"]]
        end = begin + step * (count - 1) + kind.itemsize * width
        if count < 0 or begin < 0 or (count and end > int(entry["byteLength"])):
            raise truncated(self.path, "an accessor reaches beyond its buffer view")
        if offset + end - begin > len(buffer):
            raise truncated(self.path, "a buffer view reaches beyond its buffer")
        strides = (step, kind.itemsize)
        return np.ndarray((count, width), kind, buffer=buffer, offset=offset, strides=strides)

    def floats(self, index: int) -> np.ndarray:
        """(count, width) float64: an accessor's values, normalised and sparse ones applied."""
        accessor = self.entries("accessors")[index]
        values = self._dense(index).astype(np.float64)
        kind = np.dtype(_COMPONENTS[accessor["componentType"]])
        if accessor.get("normalized") and kind.kind in "iu":
            values = np.maximum(values / np.iinfo(kind).max, -1.0)
        return values

    def integers(self, index: int) -> np.ndarray:
        """(count, width) int64: an accessor of indices."""
        return self._dense(index).astype(np.int64)

    def _dense(self, index: int) -> np.ndarray:
        accessor = self.entries("accessors")[index]
        sparse = accessor.get("sparse")
        if sparse is None:
            return self.view(index)
        kind = np.dtype(_COMPONENTS[accessor["componentType"]])
        width, count = _WIDTHS[accessor["type"]], int(accessor["count"])
        if "bufferView" in accessor:
            values = self.view(index).copy()
        elif count * width <= 100 * sum(len(b) for b in self.buffers):
            values = np.zeros((count, width), kind)
        else:
            raise truncated(self.path, "a sparse accessor is larger than its data can justify")
        number = int(sparse["count"])
        where, what = sparse["indices"], sparse["values"]
        index_kind = np.dtype(_COMPONENTS[where["componentType"]])
        rows = self._array(where["bufferView"], where.get("byteOffset", 0), index_kind, 1, number)
        given = self._array(what["bufferView"], what.get("byteOffset", 0), kind, width, number)
        values[rows.ravel().astype(np.int64)] = given
        return values

    # --- the scene ----------------------------------------------------------------------

    def instances(self) -> list[Instance]:
        """Every mesh of the shown scene, at every node that shows it."""
        worlds = self.world_matrices()
        found = []
        for node in self._shown():
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

    def world_matrices(self) -> np.ndarray:
        """(nodes, 4, 4): each node's frame in the world."""
        nodes = self.entries("nodes")
        worlds = np.tile(np.eye(4), (len(nodes), 1, 1))
        parent = {c: i for i, node in enumerate(nodes) for c in node.get("children", [])}
        done: set[int] = set()
        for start in range(len(nodes)):
            chain: dict[int, None] = {}  # ordered, and quick to ask: a damaged file may hold cycles
            node: int | None = start
            while node is not None and node not in done and node not in chain:
                chain[node] = None
                node = parent.get(node)
            for member in reversed(chain):
                above = parent.get(member)
                local = _local_matrix(nodes[member])
                known = above is not None and above in done
                worlds[member] = worlds[above] @ local if known else local
                done.add(member)
        return worlds

    def to_world(self, instance: Instance, primitive: dict[str, Any], count: int) -> np.ndarray:
        """The matrix that takes a primitive's positions to where they are shown.

        (4, 4), or (count, 4, 4) for a skin whose joints do not all move alike. A skinned mesh
        stands where its joints put it, whatever its own node says.
        """
        attributes = primitive["attributes"]
        if instance.skin is None or "JOINTS_0" not in attributes:
            return instance.world
        skin = self.entries("skins")[instance.skin]
        joints = np.array(skin["joints"], dtype=np.int64)
        matrices = self.world_matrices()[joints]
        if "inverseBindMatrices" in skin:
            inverse = self.floats(skin["inverseBindMatrices"]).reshape(-1, 4, 4)
            matrices = matrices @ inverse[: len(joints)].transpose(0, 2, 1)
        if np.allclose(matrices, matrices[:1], rtol=1e-5, atol=1e-6 * np.abs(matrices).max()):
            return np.asarray(matrices[0])
        blended = np.zeros((count, 16))
        total = np.zeros(count)
        for group in range(8):
            if f"JOINTS_{group}" not in attributes:
                break
            index = self.integers(attributes[f"JOINTS_{group}"])
            weight = self.floats(attributes[f"WEIGHTS_{group}"])
            for column in range(4):
                share = weight[:, column]
                blended += share[:, None] * matrices.reshape(-1, 16)[index[:, column]]
                total += share
        blended /= np.where(total > 0, total, 1.0)[:, None]
        blended[total <= 0] = np.eye(4).ravel()
        return blended.reshape(-1, 4, 4)

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


def decode_data_uri(uri: str) -> bytes:
    """The content of a data: URI."""
    head, _, content = uri.partition(",")
    if head.endswith(";base64"):
        return base64.b64decode(content)
    return unquote_to_bytes(content)


def _local_matrix(node: dict[str, Any]) -> np.ndarray:
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    x, y, z, w = np.array(node.get("rotation", [0, 0, 0, 1]), dtype=np.float64)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * np.array(node.get("scale", [1, 1, 1]), dtype=np.float64)
    matrix[:3, 3] = node.get("translation", [0, 0, 0])
    return matrix


def scan(data: bytes, path: Path) -> Raw:
    """A glTF file as a scan: what its nodes show, in world space."""
    gltf = decode_gltf(data, path)
    points: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    colors: list[np.ndarray | None] = []
    seen: dict[tuple[int, int], int] = {}  # (node, accessor): first row
    begin = 0
    for instance in gltf.instances():
        for primitive in gltf.entries("meshes")[instance.mesh]["primitives"]:
            attributes = primitive.get("attributes", {})
            if "POSITION" not in attributes:
                continue
            local = gltf.floats(attributes["POSITION"])[:, :3]
            key = (instance.node, attributes["POSITION"])
            if key not in seen:
                seen[key] = begin
                matrix = gltf.to_world(instance, primitive, len(local))
                points.append(apply(matrix, local))
                colour = attributes.get("COLOR_0")
                colors.append(None if colour is None else gltf.floats(colour)[:, :3])
                begin += len(local)
            faces.append(gltf.triangles(primitive, len(local)) + seen[key])
    if not points:
        raise problem(path, "shows no points", "check that the scan was exported")
    given = [c for c in colors if c is not None]
    return Raw(
        np.concatenate(points),
        colors=np.concatenate(given) if len(given) == len(colors) else None,
        faces=np.concatenate(faces),
    )
