"""Meshes that wear something, written by hand, and what tests compare of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image

from posetx.files.codecs.gltf import Gltf
from posetx.files.dress import Dress
from posetx.files.targets import Target, read_target

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "target.obj"

# Two objects, three groups, four materials, a seam at 5 and 6, a quad and a pentagon, faces without
# normals, without places in the image and without a material, and a vertex that nothing uses.
CLOTHED = """mtllib wardrobe.mtl
o the body
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 2 0 0.5
v 2 1 0.5
v 9 9 9
vt 0 0
vt 0.5 0
vt 0.5 1
vt 0 1
vt 0.625 0.25
vt 1 0
vt 1 1
vn 0 0 1
vn 0 0.6 0.8
g shirt
usemtl red cloth
f 1/1/1 2/2/1 3/3/1 4/4/1
g trousers
usemtl lace
f 2/5/2 5/6/2 6/7/2 3/3/2
o lamp
v 0 0 2
v 1 0 2
v 1.5 0.5 2
v 1 1 2
v 0 1 2
usemtl glass
f 8 9 10 11 12
usemtl never described
f 8/1 10/3 12/4
"""
WARDROBE = """newmtl red cloth
Kd 0.8 0.25 0.125
Ns 250
map_Kd -s 1 1 1 tex/cloth one.png
newmtl lace
Kd 1 1 1
map_Kd tex/lace.png
map_d tex/lace.png
newmtl glass
Kd 0.5 0.5 1
Tr 0.75
newmtl unused
map_Kd unused.png
"""


def stored(image: Image.Image, kind: str = "PNG") -> bytes:
    """The bytes of an image's file."""
    stream = io.BytesIO()
    image.save(stream, format=kind)
    return stream.getvalue()


def checks(clear: int = 255) -> Image.Image:
    """An image of four colours, one of them see-through."""
    image = np.full((8, 8, 4), 255, np.uint8)
    image[:4, :4, :3], image[4:, 4:, :3] = (200, 40, 40), (40, 40, 200)
    image[4:, :4, 3] = clear
    return Image.fromarray(image if clear < 255 else image[..., :3])


def clothed(folder: Path) -> Path:
    """`CLOTHED` with its materials and images in a folder."""
    (folder / "tex").mkdir(parents=True)
    (folder / "clothed.obj").write_text(CLOTHED)
    (folder / "wardrobe.mtl").write_text(WARDROBE)
    (folder / "tex" / "cloth one.png").write_bytes(stored(checks()))
    (folder / "tex" / "lace.png").write_bytes(stored(checks(clear=0)))
    return folder / "clothed.obj"


def corner_rows(target: Target, dress: Dress) -> np.ndarray:
    """(m, k): all of what each triangle has, to compare meshes whose triangles are in any order.

    Positions and places in the image of the three corners, the colour, opacity and roughness of
    the material; rounded, the rows sorted.
    """
    rows = [target.vertices[target.faces].reshape(-1, 9)]
    if dress.corner_uv is not None:
        rows.append(dress.corner_uv.reshape(-1, 6))
    assert dress.face_paint is not None
    paints = [[*p.color, p.opacity, p.roughness, p.image >= 0] for p in dress.paints]
    table = np.array([*paints, [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]])  # the last one for none
    rows.append(table[dress.face_paint])
    all_rows = np.round(np.concatenate(rows, axis=1), 4) + 0.0
    return all_rows[np.lexsort(all_rows.T[::-1])]


def dress_of(target: Target) -> Dress:
    """What it wears, where it is."""
    dress = target.dress(target.vertices)
    assert dress is not None
    return dress


def named_triangles(target: Target, dress: Dress) -> set[tuple[Any, ...]]:
    """Each triangle's object, group and material, with the place of its middle."""
    found = set()
    for i, corners in enumerate(target.vertices[target.faces]):
        names = (
            dress.objects[dress.face_object[i]] if dress.face_object is not None else "",
            dress.groups[dress.face_group[i]] if dress.face_group is not None else "",
            dress.paints[dress.face_paint[i]].name if dress.face_paint[i] >= 0 else "",  # type: ignore[index]
        )
        found.add((*names, *(np.round(corners.mean(axis=0), 3) + 0.0).tolist()))
    return found


def converted(source: Path, output: Path, shift: float = 0.0) -> tuple[Target, list[str]]:
    """The target as it was written elsewhere, and what was said."""
    target = read_target(source)
    notes = target.save(output, target.vertices + shift)
    return read_target(output), notes


def document_of(path: Path) -> Gltf:
    """A GLB, decoded."""
    return Gltf(path.read_bytes(), path)


def images_in(path: Path) -> list[bytes]:
    """The images of a GLB as they lie in it."""
    gltf = document_of(path)
    found = []
    for entry in gltf.entries("images"):
        view = gltf.entries("bufferViews")[entry["bufferView"]]
        begin = view["byteOffset"]
        found.append(gltf.buffers[0][begin : begin + view["byteLength"]])
    return found


def by_trimesh(path: Path) -> trimesh.Scene:
    """A file as trimesh reads it."""
    return trimesh.load(path, force="scene", process=False)
