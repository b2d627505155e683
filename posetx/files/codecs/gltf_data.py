"""glTF 2.0, as .glb or .gltf: the JSON, the buffers, and accessors as arrays.

Nothing in the JSON is believed: a few bytes of it can ask for gigabytes, by accessors without data,
by accessors that share data, by nodes that show one mesh a thousand times. What is decoded in all
is bounded by the size of the file.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import numpy as np

from posetx.files.beside import BUFFERS, NotBeside, one_name, read_beside
from posetx.files.checks import problem, truncated
from posetx.files.codecs.glb import MAGIC, glb_chunks

FLOAT = 5126
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", FLOAT: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_COMPRESSED = {
    "KHR_draco_mesh_compression": "Draco",
    "EXT_meshopt_compression": "meshopt",
    "KHR_meshopt_compression": "meshopt",
}
#: Numbers that are decoded of a file: a number has a byte at least, and most are needed once, so
#: that files of people need half of their bytes; any file may have LEAST.
LEAST, PER_BYTE = 8_000_000, 2
#: How often a file may be a buffer: each is changed and written by itself.
MOST_TIMES = 4
#: Numbers that a step counts for that decodes none, such as a node.
STEP = 64
#: Top-level lists of objects, as far as they are looked into.
_LISTS = ("accessors", "animations", "bufferViews", "buffers", "images", "materials", "meshes",
          "nodes", "scenes", "skins", "textures")  # fmt: skip


class GltfData:
    """A glTF file's document and buffers, and what accessors say of them.

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
        self._check_lists()
        self._refuse_compression()
        self._beside: dict[str, bytes] = {}
        self.buffers = [
            self._buffer(entry, binary if index == 0 else None)
            for index, entry in enumerate(self.entries("buffers"))
        ]
        there = len(data) + sum(map(len, self._beside.values()))
        if sum(map(len, self.buffers)) > MOST_TIMES * there:
            raise problem(path, "has one file as many of its buffers", "export it again as .glb")
        self.begin()

    def begin(self) -> None:
        """Begin anew with counting what is decoded."""
        size = len(self.data) + sum(map(len, self.buffers))
        self._left = max(LEAST, PER_BYTE * size)

    def spend(self, numbers: int) -> None:
        """Count numbers to be decoded. Raises PosetxError beyond what the file's size justifies."""
        self._left -= STEP + numbers
        if self._left < 0:
            raise problem(
                self.path,
                "asks for far more than a file of its size can hold",
                "apply instances and sparse data, and export it again",
            )

    def entries(self, key: str) -> list[dict[str, Any]]:
        """A top-level list of the document; empty when it is missing."""
        return self.document.get(key) or []

    def files(self, key: str) -> list[str]:
        """The files that its "buffers" or "images" are in, as they are meant."""
        uris = [entry.get("uri") for entry in self.entries(key)]
        return [unquote(uri) for uri in uris if uri and not uri.startswith("data:")]

    def _check_lists(self) -> None:
        """Refuse what is no list of objects where one should be, and names that are no text."""
        for key in _LISTS:
            found = self.document.get(key) or []
            if not isinstance(found, list) or not all(isinstance(x, dict) for x in found):
                raise problem(self.path, f"its {key!r} are damaged", "export it again")
        for key in ("buffers", "images"):
            for entry in self.entries(key):
                if not isinstance(entry.get("uri", ""), str):
                    raise problem(self.path, f"its {key!r} are damaged", "export it again")

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
            try:
                data = self._read_beside(one_name(unquote(uri), BUFFERS))
            except NotBeside as error:
                what = f"names the buffer {uri[:60]!r}, which {error}"
                raise problem(self.path, what, "export it again as .glb") from None
        if len(data) < size:
            raise truncated(self.path, f"a buffer has {len(data)} of {size} bytes")
        return data

    def _read_beside(self, name: str) -> bytes:
        """A file of a buffer, read once: any number of buffers may be in it."""
        if name not in self._beside:
            self._beside[name] = read_beside(self.path.parent, name, BUFFERS)
        return self._beside[name]

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
        self.spend(count * width)
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
        else:
            self.spend(count * width)
            values = np.zeros((count, width), kind)
        number = int(sparse["count"])
        where, what = sparse["indices"], sparse["values"]
        index_kind = np.dtype(_COMPONENTS[where["componentType"]])
        rows = self._array(where["bufferView"], where.get("byteOffset", 0), index_kind, 1, number)
        given = self._array(what["bufferView"], what.get("byteOffset", 0), kind, width, number)
        values[rows.ravel().astype(np.int64)] = given
        return values


def decode_data_uri(uri: str) -> bytes:
    """The content of a data: URI."""
    head, _, content = uri.partition(",")
    if head.endswith(";base64"):
        return base64.b64decode(content)
    return unquote_to_bytes(content)
