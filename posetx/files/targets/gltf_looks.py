"""How a glTF target is painted: base colours and their images, which viewers show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import numpy as np

from posetx.errors import PosetxError
from posetx.files.beside import IMAGES, NotBeside, one_name, read_beside
from posetx.files.checks import problem
from posetx.files.codecs.gltf import Gltf
from posetx.files.codecs.gltf_data import decode_data_uri
from posetx.files.looks import Looks, Material, srgb

#: bytes of an image beside the file, at most
LARGEST_IMAGE = 1 << 28
#: of a triangle's primitive without a material: white, as the format has it
PLAIN = Material((255, 255, 255))
_UNCHANGED = (("offset", (0.0, 0.0)), ("scale", (1.0, 1.0)))


def gltf_looks(gltf: Gltf, parts: Sequence[tuple[dict[str, Any], np.ndarray, int]]) -> Looks:
    """How triangles are painted.

    Parameters
    ----------
    gltf : the file; its count of what is decoded begins anew
    parts : for each primitive its entry, triangles (m, 3) of its own vertices, how many these are

    Raises PosetxError, or what Python raises at a damaged document.
    """
    gltf.begin()
    reader = Materials(gltf)
    materials: list[Material] = []
    face_material, corners = [], []
    for primitive, faces, count in parts:
        material, texture = reader.of(primitive.get("material"))
        uv = primitive_uv(gltf, primitive, texture, count) if material.image >= 0 else None
        face_material.append(np.full(len(faces), len(materials)))
        corners.append((np.zeros((count, 2)) if uv is None else uv)[faces])
        materials.append(material)
    textured = any(material.image >= 0 for material in materials)
    return Looks(
        materials,
        np.concatenate(face_material),
        np.concatenate(corners) if textured else None,
        reader.images,
        reader.notes,
    )


def primitive_uv(
    gltf: Gltf, primitive: dict[str, Any], texture: dict[str, Any], count: int
) -> np.ndarray | None:
    """Where a texture puts the `count` vertices of a primitive in its image, (count, 2).

    None where the file does not say it. Raises PosetxError for too few of them.
    """
    change = texture.get("extensions", {}).get("KHR_texture_transform", {})
    uv_set = int(change.get("texCoord", texture.get("texCoord", 0)))
    accessor = primitive["attributes"].get(f"TEXCOORD_{uv_set}")
    if accessor is None:
        return None
    uv = np.nan_to_num(gltf.floats(accessor)[:count, :2], posinf=0.0, neginf=0.0)
    if len(uv) < count or uv.shape[1] != 2:
        raise problem(gltf.path, "has too few texture coordinates", "export it again")
    return _changed(uv, change)


def _changed(uv: np.ndarray, change: dict[str, Any]) -> np.ndarray:
    """Places in an image (n, 2), scaled, turned and shifted as a texture's transform says."""
    turn = float(change.get("rotation", 0.0))
    cos, sin = np.cos(turn), np.sin(turn)
    shift, scale = (np.array(change.get(k, d), float) for k, d in _UNCHANGED)
    placed: np.ndarray = (uv * scale) @ np.array([[cos, -sin], [sin, cos]]) + shift
    np.nan_to_num(placed, copy=False, posinf=0.0, neginf=0.0)
    return placed


class Materials:
    """The file's materials, and the images that they use: `images`, and their `sources` in it."""

    def __init__(self, gltf: Gltf) -> None:
        self.gltf = gltf
        self.images: list[bytes] = []
        self.sources: list[int] = []
        self.notes: list[str] = []
        self._places: dict[int, int] = {}
        self._of_file: dict[str, int] = {}

    def of(self, index: int | None) -> tuple[Material, dict[str, Any]]:
        """A material, and what the file says of how its image is laid on."""
        if index is None:
            return PLAIN, {}
        self.gltf.spend(0)
        entry = self.gltf.entries("materials")[index]
        surface = entry.get("pbrMetallicRoughness", {})
        red, green, blue = (srgb(x) for x in [*surface.get("baseColorFactor", (1, 1, 1))][:3])
        texture = surface.get("baseColorTexture")
        cut = entry.get("alphaMode", "OPAQUE") != "OPAQUE"
        image = -1 if texture is None else self.image(texture["index"])
        return Material((red, green, blue), image, cut), texture or {}

    def image(self, texture: int) -> int:
        """The place of a texture's image in `images`; -1 where it cannot be had."""
        entry = self.gltf.entries("textures")[texture]
        others = entry.get("extensions", {})
        source = entry.get("source", others.get("EXT_texture_webp", {}).get("source"))
        if source is None:
            self.notes.append("a texture is in a format that is not shown")
            return -1
        if source not in self._places:
            self._places[source] = self._read(source)
        return self._places[source]

    def _read(self, source: int) -> int:
        """The place of an image of the file; that of another one that is in the same file."""
        entry = self.gltf.entries("images")[source]
        uri = entry.get("uri") or ""
        name = "" if uri.startswith("data:") else one_name(unquote(uri), IMAGES)
        if name in self._of_file:
            return self._of_file[name]
        place = -1
        try:
            self.images.append(self._bytes(entry, name))
            self.sources.append(source)
            place = len(self.images) - 1
        except PosetxError as error:
            self.notes.append(f"a texture {error}")
        if name:
            self._of_file[name] = place
        return place

    def _bytes(self, entry: dict[str, Any], name: str) -> bytes:
        """The content of an image: of the file `name`, or where its entry says."""
        uri = entry.get("uri")
        if uri is None:
            view = self.gltf.entries("bufferViews")[entry["bufferView"]]
            begin, size = int(view.get("byteOffset", 0)), int(view["byteLength"])
            buffer: bytes = self.gltf.buffers[view["buffer"]]
            if begin < 0 or size < 0 or begin + size > len(buffer):
                raise NotBeside("reaches beyond its buffer")
            self.gltf.spend(size)
            return buffer[begin : begin + size]
        if uri.startswith("data:"):
            return decode_data_uri(uri)
        return read_beside(self.gltf.path.parent, name, IMAGES, most=LARGEST_IMAGE)
