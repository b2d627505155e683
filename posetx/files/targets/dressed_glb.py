"""A dressed mesh as a GLB: a node for each object, one set of vertices for all of its triangles.

trimesh writes GLBs, too, but what it reads from an OBJ has lost the groups, shares no vertices
between materials, encodes images anew and takes sRGB for shares of light.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from posetx.files.codecs.glb import encode_glb
from posetx.files.codecs.pictures import kind_of, png_or_jpeg
from posetx.files.dress import NONE, OPAQUE, Dress, Paint, Picture, runs, to_linear

_CODES = {"<f4": 5126, "<u2": 5123, "<u4": 5125}
_ATTRIBUTES, _INDICES = 34962, 34963
#: Vertices that 16 bits can tell apart: the last number has another meaning.
MOST_SHORT = 0xFFFF
#: Texture coordinates are held to this, which no image needs: larger ones have no digits left.
FAR = 1e6


def glb_of(vertices: np.ndarray, faces: np.ndarray, dress: Dress) -> tuple[bytes, list[str]]:
    """A GLB's bytes, and what could not be put into it, a line each.

    Parameters
    ----------
    vertices : (n, 3) float64
    faces : (m, 3) int64
        triangles; vertices that none of them uses are left out
    dress : of these vertices and triangles
    """
    data, notes, _ = glb_and_rows(vertices, faces, dress)
    return data, notes


def glb_and_rows(
    vertices: np.ndarray, faces: np.ndarray, dress: Dress
) -> tuple[bytes, list[str], np.ndarray]:
    """As :func:`glb_of`; and which of the vertices (n,) each of those written is, (k,) int64."""
    scene = _Scene(dress)
    for rows in runs([dress.face_object], len(faces)):
        scene.add_object(vertices, faces, rows)
    return scene.encode(), scene.notes, np.concatenate(scene.written)


class _Scene:
    """The document, and its binary chunk, as they grow."""

    def __init__(self, dress: Dress) -> None:
        self.dress = dress
        self.notes: list[str] = []
        #: of each object, which of the vertices those that were written are
        self.written: list[np.ndarray] = []
        self._binary = bytearray()
        self._paints: dict[int, int] = {}
        self._textures: dict[int, int] = {}
        self._document: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "posetx"},
            "scene": 0,
            "scenes": [{"nodes": []}],
            "nodes": [],
            "meshes": [],
            "accessors": [],
            "bufferViews": [],
        }

    def encode(self) -> bytes:
        document = self._document | {"buffers": [{"byteLength": len(self._binary)}]}
        return encode_glb(document, self._binary, [])

    def add_object(self, vertices: np.ndarray, faces: np.ndarray, rows: np.ndarray) -> None:
        """A node and its mesh of some triangles, `rows` of faces, all of one object."""
        dress = self.dress
        corners = faces[rows].reshape(-1)
        keys = [corners]
        uv = normals = None
        if dress.corner_uv is not None:
            clipped = np.clip(dress.corner_uv[rows].reshape(-1, 2), -FAR, FAR)
            uv = np.ascontiguousarray(clipped + 0.0, dtype="<f4")
            keys.append(np.unique(uv.view(np.int64), return_inverse=True)[1].reshape(-1))
        if dress.corner_normal is not None and (dress.corner_normal[rows] != NONE).any():
            normals, places = _corner_normals(vertices, faces, dress, rows)
            keys.append(places)
        order = np.lexsort(keys[::-1])
        new = np.ones(len(order), dtype=bool)
        new[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
        one = order[new]  # a corner for each vertex that is written
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.cumsum(new) - 1
        self.written.append(corners[one])

        attributes = {"POSITION": self._accessor(vertices[corners[one]], "VEC3", bounds=True)}
        if normals is not None:
            attributes["NORMAL"] = self._accessor(normals[one], "VEC3")
        if uv is not None:
            attributes["TEXCOORD_0"] = self._accessor(uv[one], "VEC2")
        if dress.colors is not None:
            light = np.ones((len(one), 4))
            light[:, :3] = to_linear(dress.colors[corners[one]])
            attributes["COLOR_0"] = self._accessor(np.round(light * 65535), "VEC4", "<u2")
        kind = "<u2" if len(one) <= MOST_SHORT else "<u4"
        triangles = place.reshape(-1, 3)
        primitives = []
        of_rows = [None if k is None else k[rows] for k in (dress.face_group, dress.face_paint)]
        for which in runs(of_rows, len(rows)):
            entry: dict[str, Any] = {
                "attributes": attributes,
                "indices": self._accessor(triangles[which].reshape(-1, 1), "SCALAR", kind),
                "material": self._material(of_rows[1], which),
            }
            if of_rows[0] is not None and (group := dress.groups[of_rows[0][which[0]]]):
                entry["extras"] = {"group": group}
            primitives.append(entry)
        self._show(primitives, rows)

    def _show(self, primitives: list[dict[str, Any]], rows: np.ndarray) -> None:
        document, objects = self._document, self.dress.face_object
        name = "" if objects is None else self.dress.objects[objects[rows[0]]]
        named = {"name": name} if name else {}
        document["scenes"][0]["nodes"].append(len(document["nodes"]))
        document["nodes"].append(named | {"mesh": len(document["meshes"])})
        document["meshes"].append(named | {"primitives": primitives})

    def _accessor(
        self, values: np.ndarray, kind: str, dtype: str = "<f4", bounds: bool = False
    ) -> int:
        data = np.ascontiguousarray(values, dtype=dtype)
        entry: dict[str, Any] = {
            "bufferView": self._view(data.tobytes(), _INDICES if kind == "SCALAR" else _ATTRIBUTES),
            "componentType": _CODES[dtype],
            "count": len(data),
            "type": kind,
        }
        if kind == "VEC4":
            entry["normalized"] = True
        if bounds:
            entry |= {"min": data.min(axis=0).tolist(), "max": data.max(axis=0).tolist()}
        accessors: list[dict[str, Any]] = self._document["accessors"]
        accessors.append(entry)
        return len(accessors) - 1

    def _view(self, data: bytes, target: int | None = None) -> int:
        self._binary.extend(b"\0" * (-len(self._binary) % 4))
        entry = {"buffer": 0, "byteOffset": len(self._binary), "byteLength": len(data)}
        if target is not None:
            entry["target"] = target
        self._binary.extend(data)
        views: list[dict[str, Any]] = self._document["bufferViews"]
        views.append(entry)
        return len(views) - 1

    # --- materials ----------------------------------------------------------------------

    def _material(self, face_paint: np.ndarray | None, which: np.ndarray) -> int:
        """The material of triangles that have the same one; a plain one of those without."""
        index = NONE if face_paint is None else int(face_paint[which[0]])
        if index not in self._paints:
            paint = Paint() if index == NONE else self.dress.paints[index]
            materials = self._document.setdefault("materials", [])
            self._paints[index] = len(materials)
            materials.append(self._entry(paint))
        return self._paints[index]

    def _entry(self, paint: Paint) -> dict[str, Any]:
        factor = [round(x, 9) for x in to_linear(np.array(paint.color)).tolist()]
        surface: dict[str, Any] = {
            "baseColorFactor": [*factor, paint.opacity],
            "metallicFactor": 0.0,
            "roughnessFactor": round(min(max(paint.roughness, 0.0), 1.0), 9),
        }
        mode = paint.mode
        if paint.image != NONE:
            texture = self._texture(paint.image)
            if texture != NONE:
                surface["baseColorTexture"] = {"index": texture}
            elif paint.opacity == 1.0:
                mode = OPAQUE  # it was the image that one could see through
        entry: dict[str, Any] = {"name": paint.name} if paint.name else {}
        entry["pbrMetallicRoughness"] = surface
        if paint.normal_image != NONE and (texture := self._texture(paint.normal_image)) != NONE:
            entry["normalTexture"] = {"index": texture, "scale": round(paint.bump, 9)}
        if mode != OPAQUE:
            entry["alphaMode"] = mode
        if paint.double_sided:
            entry["doubleSided"] = True
        return entry

    def _texture(self, image: int) -> int:
        """The place of the texture of an image; NONE of what is no image that can be read."""
        if self.dress.corner_uv is None:  # it has no place for one
            return NONE
        if image not in self._textures:
            self._textures[image] = self._embedded(self.dress.pictures[image])
        return self._textures[image]

    def _embedded(self, picture: Picture) -> int:
        data = png_or_jpeg(picture.data)
        if data is None:
            self.notes.append(f"the texture {picture.name} is no image that can be read: left out")
            return NONE
        entry: dict[str, Any] = {"name": picture.name} if picture.name else {}
        images = self._document.setdefault("images", [])
        textures = self._document.setdefault("textures", [])
        images.append(entry | {"bufferView": self._view(data), "mimeType": kind_of(data)[0]})
        textures.append({"source": len(images) - 1})
        return len(textures) - 1


def _corner_normals(
    vertices: np.ndarray, faces: np.ndarray, dress: Dress, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each corner's normal (3r, 3), of length 1, and a number that tells it from others (3r,).

    glTF has a normal for every vertex of a primitive, or for none: where a corner has none, it is
    its triangle's.
    """
    assert dress.normals is not None and dress.corner_normal is not None
    places = dress.corner_normal[rows].reshape(-1)
    a, b, c = (vertices[faces[rows, i]] for i in range(3))
    flat = _unit(np.cross(b - a, c - a), np.array([0.0, 0.0, 1.0]))
    flat = np.repeat(flat, 3, axis=0)
    normals = np.where((places == NONE)[:, None], flat, dress.normals[places])
    numbers = np.where(places == NONE, len(dress.normals) + np.arange(len(places)) // 3, places)
    return _unit(normals, flat), numbers


def _unit(vectors: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Vectors (k, 3) of length 1; `otherwise` where there is no direction."""
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0.0)
    scaled = vectors / np.where(largest > 0.0, largest, 1.0)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    good = np.isfinite(length) & (length > 0.0)
    return np.where(good, scaled / np.where(good, length, 1.0), otherwise)
