"""How a PLY target is painted: images that its header names, and where its corners are in these."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetx.files.beside import IMAGES, NotBeside, one_name, read_beside
from posetx.files.codecs.pictures import transparency
from posetx.files.codecs.ply import Ply
from posetx.files.codecs.polygons import fan
from posetx.files.dress import NONE, Dress, Paint, Picture
from posetx.files.looks import Looks, Material
from posetx.files.targets.named import stem_of
from posetx.files.targets.obj_looks import LARGEST_IMAGE

#: What programs call a vertex's place in the image: Blender, Open3D and MeshLab.
VERTEX_UV = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"))
#: Lists of a face: two numbers a corner; and which of several images it has.
FACE_UV, FACE_IMAGE = "texcoord", "texnumber"
#: Image and no colour of its own.
WHITE = (255, 255, 255)


def ply_uv(ply: Ply) -> np.ndarray | None:
    """(m, 3, 2): where each corner of a triangle is in its image, v down; None without.

    Files count from the image's foot. 0 where a corner has none.
    """
    corners, counts = ply.polygons()
    where = fan(corners, counts)
    found = _face_uv(ply, counts, where)
    vertex = ply.element("vertex")
    if found is None and vertex is not None:
        names = next((names for names in VERTEX_UV if vertex.has(*names)), None)
        found = None if names is None else vertex.columns(*names)[corners[where]]
    if found is None:
        return None
    uv: np.ndarray = np.nan_to_num(found, posinf=0.0, neginf=0.0)
    uv[..., 1] = 1.0 - uv[..., 1]
    return uv


def _face_uv(ply: Ply, counts: np.ndarray, where: np.ndarray) -> np.ndarray | None:
    """(m, 3, 2) as stored: `where` (m, 3) tells the polygons' corners; None without."""
    face = ply.element("face")
    if face is None or FACE_UV not in face.lists:
        return None
    values, given = face.lists[FACE_UV]
    if len(given) != len(counts):  # the polygons are of strips
        return None
    polygon = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(polygon)) - (np.cumsum(counts) - counts)[polygon]
    first = (np.cumsum(given) - given)[polygon] + 2 * place
    there = 2 * place + 1 < given[polygon]
    uv = np.zeros((len(polygon), 2))
    for axis in range(2):
        uv[there, axis] = values[first[there] + axis]
    return np.asarray(uv[where])


class Painting:
    """What a PLY in a `folder` says of images: those that were read, and which each triangle has.

    `images` are their bytes, `names` as the file has them, `face_image` (m,) int64 their places,
    NONE of triangles without.
    """

    def __init__(self, ply: Ply, folder: Path) -> None:
        self.images: list[bytes] = []
        self.names: list[str] = []
        self.notes: list[str] = []
        named = [one_name(name, IMAGES) for name in ply.textures]
        found: dict[str, int] = {}
        for name in dict.fromkeys(named):
            try:
                self.images.append(read_beside(folder, name, IMAGES, most=LARGEST_IMAGE))
            except NotBeside as error:
                self.notes.append(f"{name} {error}")
                continue
            found[name] = len(self.names)
            self.names.append(name)
        places = np.array([found.get(name, NONE) for name in named] + [NONE])
        self.face_image = places[_numbers(ply)]


def _numbers(ply: Ply) -> np.ndarray:
    """(m,) which of the images that the file names each triangle has; NONE."""
    _, counts = ply.polygons()
    each = np.maximum(counts - 2, 0)
    face, named = ply.element("face"), len(ply.textures)
    numbers = None if face is None else face.numbers(FACE_IMAGE)
    if numbers is None or len(numbers) != len(counts):
        return np.full(each.sum(), 0 if named == 1 else NONE)
    whole = np.nan_to_num(numbers, nan=NONE, posinf=NONE, neginf=NONE)
    inside = (whole >= 0) & (whole < named)
    return np.repeat(np.where(inside, whole, NONE).astype(np.int64), each)


def ply_looks(ply: Ply, folder: Path) -> Looks | None:
    """How its triangles are painted; None of a file that names no images, or lays none on."""
    uv = ply_uv(ply) if ply.textures else None
    if uv is None:
        return None
    found = Painting(ply, folder)
    materials = [Material(WHITE, image) for image in range(len(found.images))]
    plain = len(materials)
    face_material = np.where(found.face_image == NONE, plain, found.face_image)
    return Looks([*materials, Material()], face_material, uv, found.images, found.notes)


def add_paint(ply: Ply, folder: Path, dress: Dress) -> None:
    """Add a PLY's images and places in them to what it wears."""
    uv = ply_uv(ply)
    if uv is None:
        return
    dress.corner_uv = uv
    dress.carried.add("texture coordinates")
    if not ply.textures:
        return
    found = Painting(ply, folder)
    stems = [stem_of(name) for name in found.names]
    dress.pictures = [Picture(*both) for both in zip(stems, found.images, strict=True)]
    dress.paints = [
        Paint(stem, image=place, mode=transparency(found.images[place]))
        for place, stem in enumerate(stems)
    ]
    dress.face_paint = found.face_image
    dress.notes += found.notes
