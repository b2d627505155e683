"""A dressed mesh as a PLY: images beside it, each corner's place in them, and vertex colours.

The form is the one of MeshLab, which most programs read: a `TextureFile` comment for each image, a
list `texcoord` of six numbers for each triangle, and `texnumber` where there are several.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetx.files.dress import NONE, Dress
from posetx.files.targets.dressed_obj import DressedFiles, image_beside, welded
from posetx.files.targets.named import clean_word
from posetx.files.targets.ply_looks import FACE_IMAGE, FACE_UV

#: What of a material a PLY holds.
MATERIALS = "materials but for their images"
_COLORS = ("red", "green", "blue")


def worth_it(dress: Dress) -> bool:
    """Whether a PLY has a place for something of this."""
    return dress.colors is not None or bool(_images_of(dress))


def lost_in_ply(dress: Dress, lost: list[str]) -> list[str]:
    """What a PLY has not of what a mesh wears: `lost` before, and its materials."""
    painted = bool(_images_of(dress))
    without = set() if painted else {"texture coordinates"} & dress.carried
    own = MATERIALS if painted else "materials"
    return [*lost, *without, *([own] if dress.paints else [])]


def ply_of(
    path: Path, places: np.ndarray, vertices: np.ndarray, faces: np.ndarray, dress: Dress
) -> DressedFiles:
    """The PLY at `path`, and what it names; parameters and errors as of `obj_of`."""
    made = DressedFiles()
    names, face_image = _images(path, dress, made)
    vertices, faces, colors = welded(places, vertices, faces, dress)
    lines = ["ply", "format binary_little_endian 1.0", "comment written by posetx"]
    lines += [f"comment TextureFile {name}" for name in names]
    lines += [f"element vertex {len(vertices)}", *(f"property double {axis}" for axis in "xyz")]
    columns = [vertices.astype("<f8")]
    if colors is not None:
        lines += [f"property uchar {name}" for name in _COLORS]
        columns.append(np.round(np.clip(colors, 0, 1) * 255).astype("u1"))
    rows = _rows(columns)
    lines += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    columns = [np.full((len(faces), 1), 3, "u1"), faces.astype("<i4")]
    if names and dress.corner_uv is not None:
        upward = dress.corner_uv * [1.0, -1.0] + [0.0, 1.0]
        lines.append(f"property list uchar float {FACE_UV}")
        columns += [np.full((len(faces), 1), 6, "u1"), upward.reshape(-1, 6).astype("<f4")]
    if face_image.any():
        lines.append(f"property int {FACE_IMAGE}")
        columns.append(face_image[:, None].astype("<i4"))
    head = "\n".join([*lines, "end_header", ""])
    made.files[path] = head.encode() + rows + _rows(columns)
    return made


def _rows(columns: list[np.ndarray]) -> bytes:
    """Columns (n, k) of different types, row by row."""
    bytewise = [np.ascontiguousarray(c).view("u1").reshape(len(c), -1) for c in columns]
    return np.concatenate(bytewise, axis=1).tobytes()


def files_beside_ply(path: Path, dress: Dress) -> set[Path]:
    """The files that the PLY at `path` has beside it."""
    made = DressedFiles()
    _images(path, dress, made)
    return set(made.files)


def _images_of(dress: Dress) -> list[int]:
    """The images that triangles have, where these have places in them."""
    if dress.face_paint is None or dress.corner_uv is None:
        return []
    paints = np.unique(dress.face_paint)
    return sorted({dress.paints[i].image for i in paints[paints != NONE].tolist()} - {NONE})


def _images(path: Path, dress: Dress, made: DressedFiles) -> tuple[list[str], np.ndarray]:
    """Names of images, which go to `made`, and which of them (m,) each triangle has, or NONE.

    Without any image there are no triangles in it.
    """
    written: dict[int, str] = {}
    numbers = np.full(len(dress.pictures) + 1, NONE)
    names: list[str] = []
    for image in _images_of(dress):
        name = image_beside(image, clean_word(path.stem, "mesh"), path, dress, made, written)
        if name:
            numbers[image] = len(names)
            names.append(name)
    if dress.face_paint is None or not names:
        return names, np.zeros(0, dtype=np.int64)
    images = np.array([*(paint.image for paint in dress.paints), NONE])
    return names, numbers[images[dress.face_paint]]
