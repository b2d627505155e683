"""Changing attributes of a glTF in place, and writing it as .glb or .gltf."""

from __future__ import annotations

import base64
import copy
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from posetx.files.atomic import written
from posetx.files.beside import BUFFERS, IMAGES
from posetx.files.codecs.glb import encode_glb, encode_json
from posetx.files.codecs.gltf import Gltf
from posetx.files.codecs.gltf_data import FLOAT
from posetx.files.targets.named import free_beside
from posetx.files.targets.sidecars import copy_beside

ALIGNMENT = 8  # bytes between pieces put into one buffer; accessors need 4
ATTRIBUTES = 34962  # a view of what vertices have
_CODES = {"f4": FLOAT, "u1": 5121, "u2": 5123}


class GltfEdit:
    """A copy of a glTF's document and buffers that takes new attribute values.

    An accessor that nothing else uses is overwritten where it lies. One that other meshes share,
    or that does not hold plain 32-bit floats (quantised, sparse), gets a successor at the end of
    the first buffer, and only the named primitives change to it.
    """

    def __init__(self, gltf: Gltf) -> None:
        self.gltf = gltf
        self.document: dict[str, Any] = copy.deepcopy(gltf.document)
        self.buffers = [bytearray(b) for b in gltf.buffers]
        self.changed: set[int] = set()  # buffers
        self._uses = _uses(gltf)
        # How many nodes show a mesh, how many accessors and views begin at the same place.
        self._shown = Counter(node.get("mesh") for node in gltf.entries("nodes"))
        self._begins = Counter(map(_begin, gltf.entries("accessors")))
        self._places = Counter(map(_place, gltf.entries("bufferViews")))
        self._split: set[int] = set()  # meshes that no longer serve all of their nodes
        self._beside: dict[Path, bytes] = {}  # new buffer files

    def own_mesh(self, node: int) -> None:
        """Give a node its own copy of its mesh, if another node shows that mesh, too."""
        nodes = self.document["nodes"]
        mesh = nodes[node]["mesh"]
        if self._shown[mesh] < 2:
            return
        self._shown[mesh] -= 1
        self.document["meshes"].append(copy.deepcopy(self.document["meshes"][mesh]))
        nodes[node]["mesh"] = len(self.document["meshes"]) - 1
        self._shown[nodes[node]["mesh"]] = 1
        self._split.add(mesh)

    def assign(
        self, name: str, accessor: int, places: list[tuple[int, int]], values: np.ndarray
    ) -> None:
        """Give an attribute of some primitives new values.

        Parameters
        ----------
        name : str
            "POSITION", "NORMAL" or "TANGENT"
        accessor : int
            where the old values are
        places : list of (int, int)
            node, and primitive of its mesh
        values : (n, k) float64
        """
        nodes = self.gltf.entries("nodes")
        wanted = {(nodes[node]["mesh"], p, name) for node, p in places}
        # The copies of a split mesh refer to the same accessors until they get their own.
        split = any(mesh in self._split for mesh, _, _ in wanted)
        if not split and self._uses.get(accessor, set()) <= wanted and self._plain(accessor):
            self._overwrite(accessor, values)
            return
        new = self._append(accessor, values)
        for node, p in places:
            mesh = self.document["meshes"][self.document["nodes"][node]["mesh"]]
            mesh["primitives"][p]["attributes"][name] = new

    def _plain(self, index: int) -> bool:
        """Whether an accessor is floats of its own, which no other accessor overlaps."""
        entry = self.gltf.entries("accessors")[index]
        if entry["componentType"] != FLOAT or "sparse" in entry or "bufferView" not in entry:
            return False
        # Several views may cover the same bytes; then at least they begin at the same place.
        view = self.gltf.entries("bufferViews")[entry["bufferView"]]
        return self._begins[_begin(entry)] == 1 and self._places[_place(view)] == 1

    def _overwrite(self, index: int, values: np.ndarray) -> None:
        view = self.gltf.view(index, self.buffers)
        # Values that stay the same keep their exact bytes.
        changed = view.astype(np.float64) != values
        view[changed] = values[changed]
        entry = self.document["accessors"][index]
        _set_bounds(entry, view)
        self.changed.add(self.document["bufferViews"][entry["bufferView"]]["buffer"])

    def _append(self, index: int, values: np.ndarray) -> int:
        data = np.ascontiguousarray(values, dtype="<f4")
        entry = {
            k: v
            for k, v in self.document["accessors"][index].items()
            if k not in ("sparse", "byteOffset", "normalized")
        }
        entry |= {"bufferView": self._view(data, ATTRIBUTES), "componentType": FLOAT}
        _set_bounds(entry, data)
        self.document["accessors"].append(entry)
        return len(self.document["accessors"]) - 1

    def add(
        self, values: np.ndarray, kind: str, target: int | None = None, bounds: bool = False
    ) -> int:
        """A new accessor at the end of the first buffer.

        Parameters
        ----------
        values : (count, width) float32, uint8 or uint16, little-endian
        kind : "SCALAR", "VEC3", "VEC4", "MAT4"
        target : ATTRIBUTES of what is of vertices
        bounds : whether it says its least and greatest values
        """
        data = np.ascontiguousarray(values)
        entry: dict[str, Any] = {
            "bufferView": self._view(data, target),
            "componentType": _CODES[data.dtype.str[1:]],
            "count": len(data),
            "type": kind,
        }
        if bounds:
            entry |= {"min": data.min(axis=0).tolist(), "max": data.max(axis=0).tolist()}
        self.document["accessors"].append(entry)
        return len(self.document["accessors"]) - 1

    def _view(self, data: np.ndarray, target: int | None) -> int:
        """A new view at the end of the first buffer."""
        buffer = self.buffers[0]
        buffer.extend(b"\0" * (-len(buffer) % ALIGNMENT))
        view = {"buffer": 0, "byteOffset": len(buffer), "byteLength": data.nbytes}
        if target is not None:
            view["target"] = target
        buffer.extend(data.tobytes())
        self.document["buffers"][0]["byteLength"] = len(buffer)
        self.changed.add(0)
        self.document["bufferViews"].append(view)
        return len(self.document["bufferViews"]) - 1

    # --- writing ------------------------------------------------------------------------

    def write(self, path: Path) -> list[str]:
        """Write as .glb or .gltf, by the suffix; return notes."""
        glb = path.suffix.lower() != ".gltf"
        buffers, images = (self.gltf.files(key) for key in ("buffers", "images"))
        if self.document == self.gltf.document and glb == self.gltf.is_glb and not self.changed:
            data = self.gltf.data
        elif glb:
            data = self._glb()
        else:
            data = self._gltf(path)
        source = self.gltf.path
        # The document comes last: whoever finds it finds what it names.
        with written({**self._beside, path: data}) as made:
            if path.resolve().parent == source.resolve().parent:
                return []
            still = {unquote(e["uri"]) for e in self.document.get("buffers") or [] if e.get("uri")}
            names = [name for name in buffers if name in still]
            notes = copy_beside(source, path, names, BUFFERS, made)
            return notes + copy_beside(source, path, images, IMAGES, made)

    def _glb(self) -> bytes:
        """One file; all buffers become its binary chunk."""
        entries = self.document.get("buffers", [])
        if len(entries) == 1 and "uri" not in entries[0]:
            return encode_glb(self.document, self.buffers[0], self.gltf.chunks)
        binary = bytearray()
        begins = []
        for entry, data in zip(entries, self.buffers, strict=True):
            binary.extend(b"\0" * (-len(binary) % ALIGNMENT))
            begins.append(len(binary))
            binary.extend(data[: entry["byteLength"]])
        for view in self.document.get("bufferViews", []):
            view["byteOffset"] = view.get("byteOffset", 0) + begins[view["buffer"]]
            view["buffer"] = 0
        if entries:
            self.document["buffers"] = [{"byteLength": len(binary)}]
        return encode_glb(self.document, binary, self.gltf.chunks)

    def _gltf(self, path: Path) -> bytes:
        """The document; changed buffers will be in files of a new name beside it."""
        entries = list(enumerate(self.document.get("buffers", [])))
        kept = {unquote(e.get("uri", "")) for i, e in entries if i not in self.changed}
        for index, entry in entries:
            uri = entry.get("uri")
            if uri is not None and index not in self.changed:
                continue
            data = bytes(self.buffers[index][: entry["byteLength"]])
            if uri is not None and uri.startswith("data:"):
                text = base64.b64encode(data).decode("ascii")
                entry["uri"] = "data:application/octet-stream;base64," + text
                continue
            name = f"{path.stem}{index or ''}.bin"
            # This glTF, or another one, may use it.
            beside = free_beside(path.parent / name, data, kept)
            name = beside.name
            if not beside.exists():
                self._beside[beside] = data
            entry["uri"] = quote(name)
        return encode_json(self.document)


def _begin(accessor: dict[str, Any]) -> tuple[Any, Any]:
    """Where in which view an accessor begins."""
    return accessor.get("bufferView"), accessor.get("byteOffset", 0)


def _place(view: dict[str, Any]) -> tuple[Any, Any]:
    """Where in which buffer a view begins."""
    return view.get("buffer"), view.get("byteOffset", 0)


def _set_bounds(entry: dict[str, Any], values: np.ndarray) -> None:
    """min and max, which glTF demands of positions."""
    if "min" in entry or "max" in entry:
        entry["min"] = [float(x) for x in values.min(axis=0)]
        entry["max"] = [float(x) for x in values.max(axis=0)]


def _uses(gltf: Gltf) -> dict[int, set[tuple[Any, ...]]]:
    """Everything that refers to each accessor: (mesh, primitive, attribute), or another reason."""
    uses: dict[int, set[tuple[Any, ...]]] = {}
    for m, mesh in enumerate(gltf.entries("meshes")):
        for p, primitive in enumerate(mesh.get("primitives", [])):
            for name, accessor in primitive.get("attributes", {}).items():
                uses.setdefault(accessor, set()).add((m, p, name))
            if "indices" in primitive:
                uses.setdefault(primitive["indices"], set()).add((m, p, "indices"))
            for target in primitive.get("targets", []):
                for accessor in target.values():
                    uses.setdefault(accessor, set()).add((m, p, "target"))
    for animation in gltf.entries("animations"):
        for sampler in animation.get("samplers", []):
            for key in ("input", "output"):
                uses.setdefault(sampler[key], set()).add(("animation",))
    for skin in gltf.entries("skins"):
        if "inverseBindMatrices" in skin:
            uses.setdefault(skin["inverseBindMatrices"], set()).add(("skin",))
    return uses
