"""What a glTF target wears: its nodes' names, materials, images, normals and colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import numpy as np

from posetx.files.codecs.gltf import Gltf
from posetx.files.dress import MASK, NONE, OPAQUE, Dress, Paint, Picture, srgb_colors, to_srgb
from posetx.files.targets.gltf_looks import Materials, primitive_uv
from posetx.files.targets.named import stem_of
from posetx.files.targets.normals import turned

#: Textures of a material beside those of its colour and its normals.
_OTHERS = ("occlusionTexture", "emissiveTexture")
OTHER_TEXTURES = "other textures than of colour and normals"
APART = "normals in an image that are laid on as the colours are not"


@dataclass(frozen=True)
class Part:
    """A primitive as a node shows it.

    `entry` is what the file says of it; `faces` (m, 3) are of its own `count` vertices, which are
    rows from `begin` on of all vertices; `matrix`, (4, 4) or (count, 4, 4), takes it to the world.
    """

    node: int
    mesh: int
    entry: dict[str, Any]
    faces: np.ndarray
    begin: int
    count: int
    matrix: np.ndarray


def gltf_dress(gltf: Gltf, parts: Sequence[Part], old: np.ndarray, new: np.ndarray) -> Dress:
    """All that a glTF file says of its parts, whose triangles one after another are all of it.

    Parameters
    ----------
    gltf : the file; its count of what is decoded begins anew
    parts : see there
    old, new : (n, 3) float64
        vertices in the world, as they were and as they are to be written

    Raises PosetxError, or what Python raises at a damaged document.
    """
    gltf.begin()
    dress = Dress(seams=True, carried={"materials"})
    sizes = [len(part.faces) for part in parts]
    _paint(gltf, parts, dress)
    dress.objects, dress.face_object = _names(
        [_node_name(gltf, part.node) for part in parts], sizes
    )
    groups = [_group_name(gltf, part) for part in parts]
    if any(groups):
        dress.groups, dress.face_group = _names(groups, sizes)
    dress.colors = _colors(gltf, parts, len(old))
    if any(part.entry.get("targets") for part in parts):
        dress.lost.append("morph targets")
    if any("TEXCOORD_1" in part.entry["attributes"] for part in parts):
        dress.lost.append("further texture coordinates")
    faces = np.concatenate([part.faces + part.begin for part in parts])
    vectors, dress.corner_normal = _normals(gltf, parts)
    if dress.corner_normal is not None:
        dress.normals = turned(vectors, dress.corner_normal, faces, old, new)
    return dress


def _node_name(gltf: Gltf, node: int) -> str:
    entry = gltf.entries("nodes")[node]
    return str(entry.get("name") or gltf.entries("meshes")[entry["mesh"]].get("name") or "")


def _group_name(gltf: Gltf, part: Part) -> str:
    """What :mod:`dressed_glb` writes of groups, or a mesh's name that is not its node's."""
    extras = part.entry.get("extras")
    if isinstance(extras, dict) and isinstance(extras.get("group"), str):
        return str(extras["group"])
    name = str(gltf.entries("meshes")[part.mesh].get("name") or "")
    return "" if name == _node_name(gltf, part.node) else name


def _names(names: list[str], sizes: list[int]) -> tuple[list[str], np.ndarray]:
    """The different names, and which of them each triangle has."""
    places = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return list(places), np.repeat([places[name] for name in names], sizes)


def _paint(gltf: Gltf, parts: Sequence[Part], dress: Dress) -> None:
    """Fill in materials, images and where their corners are in these."""
    reader = Materials(gltf)
    places: dict[int, int] = {}
    used, corners = [], []
    with_uv = False
    for part in parts:
        index = part.entry.get("material")
        texture: dict[str, Any] = {}
        if index is not None:
            entry = gltf.entries("materials")[index]
            texture = entry.get("pbrMetallicRoughness", {}).get("baseColorTexture")
            texture = texture or entry.get("normalTexture") or {}
            if index not in places:
                places[index] = len(dress.paints)
                dress.paints.append(_material(gltf, entry, reader, dress.lost))
        used.append(np.full(len(part.faces), NONE if index is None else places[index]))
        uv = primitive_uv(gltf, part.entry, texture, part.count)
        with_uv |= uv is not None
        corners.append((np.zeros((part.count, 2)) if uv is None else uv)[part.faces])
    dress.face_paint = np.concatenate(used)
    dress.corner_uv = np.concatenate(corners) if with_uv else None
    images = gltf.entries("images")
    for source, data in zip(reader.sources, reader.images, strict=True):
        uri = images[source].get("uri") or ""
        name = images[source].get("name") or ("" if uri.startswith("data:") else unquote(uri))
        dress.pictures.append(Picture(stem_of(str(name)), data))
    dress.notes = reader.notes


def _material(gltf: Gltf, entry: dict[str, Any], reader: Materials, lost: list[str]) -> Paint:
    gltf.spend(0)
    surface = entry.get("pbrMetallicRoughness", {})
    factor = np.array([*surface.get("baseColorFactor", (1, 1, 1, 1)), 1.0][:4], dtype=np.float64)
    red, green, blue = to_srgb(factor[:3]).tolist()
    texture = surface.get("baseColorTexture")
    image = NONE if texture is None else reader.image(texture["index"])
    mode = str(entry.get("alphaMode", OPAQUE))
    bumps = entry.get("normalTexture")
    apart = bumps is not None and texture is not None and _laid_on(bumps) != _laid_on(texture)
    normal_image = NONE if bumps is None or apart else reader.image(bumps["index"])
    said = {
        APART: apart,
        OTHER_TEXTURES: any(entry.get(key) for key in _OTHERS)
        or bool(surface.get("metallicRoughnessTexture")),
        "metal": surface.get("metallicFactor", 1.0) > 0.0,
        "light of its own": any(entry.get("emissiveFactor", ())),
        "where opacity is cut off": mode == MASK,
        "extensions of materials": bool(entry.get("extensions")),
    }
    lost += [what for what, there in said.items() if there and what not in lost]
    return Paint(
        name=str(entry.get("name") or ""),
        color=(red, green, blue),
        opacity=1.0 if mode == OPAQUE else float(np.clip(np.nan_to_num(factor[3]), 0.0, 1.0)),
        image=image,
        mode=mode,
        roughness=float(surface.get("roughnessFactor", 1.0)),
        double_sided=bool(entry.get("doubleSided", False)),
        normal_image=normal_image,
        bump=1.0 if bumps is None else float(np.nan_to_num(bumps.get("scale", 1.0))),
    )


def _laid_on(texture: dict[str, Any]) -> tuple[Any, Any]:
    """Which texture coordinates a texture has, and how they are changed."""
    return texture.get("texCoord", 0), texture.get("extensions", {}).get("KHR_texture_transform")


def _colors(gltf: Gltf, parts: Sequence[Part], count: int) -> np.ndarray | None:
    """(count, 3) sRGB; white where a part has none, None where all have none."""
    colors = None
    for part in parts:
        accessor = part.entry["attributes"].get("COLOR_0")
        if accessor is None:
            continue
        if colors is None:
            colors = np.ones((count, 3))
        found = srgb_colors(gltf.floats(accessor)[: part.count, :3])
        rows = np.unique(part.faces)
        colors[part.begin + rows] = found[rows]
    return colors


def _normals(gltf: Gltf, parts: Sequence[Part]) -> tuple[np.ndarray, np.ndarray | None]:
    """Normals in the world (k, 3) and which of them each corner has (m, 3); None without any."""
    tables: dict[tuple[int, int], int] = {}
    vectors: list[np.ndarray] = [np.zeros((0, 3))]
    corners = []
    begin = 0
    for part in parts:
        accessor = part.entry["attributes"].get("NORMAL")
        if accessor is None:
            corners.append(np.full(part.faces.shape, NONE, dtype=np.int64))
            continue
        key = part.begin, accessor
        if key not in tables:
            tables[key] = begin
            local = np.nan_to_num(gltf.floats(accessor)[: part.count, :3], posinf=0.0, neginf=0.0)
            # A normal goes the way of what stands on it: through the inverse, transposed.
            inverse = np.linalg.inv(part.matrix[..., :3, :3])
            one = inverse.ndim == 2
            world = local @ inverse if one else np.einsum("ni,nij->nj", local, inverse)
            length = np.linalg.norm(world, axis=1, keepdims=True)
            vectors.append(world / np.where(length > 0.0, length, 1.0))
            begin += len(local)
        corners.append(part.faces + tables[key])
    if not begin:
        return vectors[0], None
    return np.concatenate(vectors), np.concatenate(corners)
