"""What an OBJ target wears: its objects, groups, materials, images, normals and colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetx.files.codecs.mtl import MtlEntry, roughness
from posetx.files.codecs.obj import ObjText, join_continued_lines
from posetx.files.codecs.tokens import Tokens
from posetx.files.dress import BLEND, NONE, OPAQUE, Dress, Paint, Picture
from posetx.files.looks import byte_colors
from posetx.files.targets.named import stem_of
from posetx.files.targets.normals import turned
from posetx.files.targets.obj_looks import Library, corner_uv, names_of

#: Kd where a material has neither a colour nor an image: what most programs take.
DULL = (0.8, 0.8, 0.8)
WHITE = (1.0, 1.0, 1.0)


def obj_dress(text: ObjText, folder: Path, new: np.ndarray) -> Dress:
    """All that an OBJ file in `folder` says beside positions and triangles.

    Parameters
    ----------
    text : the file
    folder : where it lies, with what it names
    new : (n, 3) float64
        the positions that are to be written, which its normals turn with

    Raises PosetxError, or what Python raises at numbers that are none.
    """
    tokens = Tokens(join_continued_lines(text.data))
    lines = tokens.lines_starting_with(b"f")
    counts = tokens.line_count[lines] - 1
    each = np.maximum(counts - 2, 0)  # triangles of a face
    dress = Dress()
    if text.has_uv:
        dress.corner_uv = corner_uv(tokens, lines, counts)
        dress.carried.add("texture coordinates")
    colors = byte_colors(text.vertex_extras)
    if colors is not None:
        dress.colors = colors / 255.0
        dress.carried.add("vertex colours")
    dress.normals, dress.corner_normal = _normals(text, new)

    for word in (b"o", b"g"):
        names, which = names_of(tokens, lines, word)
        if len(names) == 1:
            continue
        which = np.repeat(which, each)
        if dress.face_object is None:
            dress.objects, dress.face_object = names, which
        else:
            dress.groups, dress.face_group = names, which

    if any(len(tokens.lines_starting_with(word)) for word in (b"l", b"p")):
        dress.lost.append("points and lines")
    names, used = names_of(tokens, lines, b"usemtl")
    library = Library(folder, text.libraries)
    dress.face_paint = np.repeat(used, each) - 1  # the first one is none
    dress.paints = [_paint(name, library, dress.lost) for name in names[1:]]
    dress.pictures = [
        Picture(stem_of(name), data)
        for name, data in zip(library.names, library.images, strict=True)
    ]
    dress.notes = library.notes
    dress.carried.add("materials")
    return dress


def _normals(text: ObjText, new: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The normals of vertices, turned, (k, 3), and which of them each corner has, (m, 3).

    Files write equal normals once, wherever they are, or one for each corner of a triangle. A
    vertex has one for each direction here, so that it turns with what is around that vertex.
    """
    used = text.face_normals >= 0
    if not used.any():
        return None, None
    normals = np.nan_to_num(text.normals, posinf=0.0, neginf=0.0)
    _, value = np.unique(normals, axis=0, return_inverse=True)
    value = value.reshape(-1)
    keys = text.faces[used] * (int(value.max()) + 1) + value[text.face_normals[used]]
    _, first, where = np.unique(keys, return_index=True, return_inverse=True)
    corners = np.full(text.faces.shape, NONE, dtype=np.int64)
    corners[used] = where.reshape(-1)
    vectors = normals[text.face_normals[used][first]]
    return turned(vectors, corners, text.faces, text.vertices, new), corners


def _paint(name: str, library: Library, lost: list[str]) -> Paint:
    entry = library.known.get(name)
    if entry is None:
        return Paint(name, DULL)
    lost += [what for what in dict.fromkeys(entry.lost) if what not in lost]
    color = entry.color or (WHITE if entry.image else DULL)
    image = library.image(entry.image)
    mode = library.mode(image)
    if entry.opacity_image and (entry.opacity_image != entry.image or mode == OPAQUE):
        image, mode = _see_through(entry, image, library, lost)
    if entry.opacity < 1.0:
        mode = BLEND
    return Paint(
        name,
        color,
        entry.opacity,
        image,
        mode,
        roughness(entry.shine),
        normal_image=_normals_of(entry, library, lost),
        bump=entry.bump,
    )


def _see_through(entry: MtlEntry, image: int, library: Library, lost: list[str]) -> tuple[int, str]:
    """The place of an image of a material's colours and its opacity, and how that is drawn."""
    other = NONE if entry.opacity_image == entry.image else library.image(entry.opacity_image)
    made = library.see_through(image, other)
    if made == NONE:
        _add(lost, "textures of opacity alone")
        made = image
    return made, library.mode(made)


def _normals_of(entry: MtlEntry, library: Library, lost: list[str]) -> int:
    """The place of the image with a material's normals. Heights are no normals."""
    image = library.image(entry.normal_image or entry.bump_image)
    if image == NONE:
        return NONE
    if not entry.normal_image and not library.holds_normals(image):
        _add(lost, "textures of heights")
        return NONE
    return image


def _add(lost: list[str], what: str) -> None:
    if what not in lost:
        lost.append(what)
