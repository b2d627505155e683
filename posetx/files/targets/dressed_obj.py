"""A dressed mesh as an OBJ, with its MTL and its images beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from posetx.files.codecs.mtl import MtlEntry, mtl_lines, shine
from posetx.files.codecs.pictures import kind_of
from posetx.files.codecs.tokens import format_rows, position_format
from posetx.files.dress import NONE, OPAQUE, Dress, Paint, runs
from posetx.files.targets.named import clean_word, distinct, free_beside
from posetx.geometry.mesh import weld

_WORDS = ("o", "g", "usemtl")


@dataclass
class DressedFiles:
    """Files that are to be written, the mesh among them, and what is not in them, a line each."""

    files: dict[Path, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def obj_of(
    path: Path, places: np.ndarray, vertices: np.ndarray, faces: np.ndarray, dress: Dress
) -> DressedFiles:
    """The OBJ at `path`; nothing is written yet.

    Parameters
    ----------
    path : Path
        no file beside it is replaced, and none is named outside of its folder
    places : (n,) int64
        vertices of the same number were at the same place: those that a seam repeats
    vertices : (n, 3) float64
    faces : (m, 3) int64
    dress : of these vertices and triangles

    Raises PosetxError where the names of files beside it are taken by others.
    """
    made = DressedFiles()
    names, library = _library(path, dress, made)
    lines = [b"# written by posetx"]
    if library:
        lines.append(f"mtllib {library}".encode())
    vertices, faces, colors = welded(places, vertices, faces, dress)
    lines += _rows(b"v ", vertices, position_format(vertices), colors)
    columns = [faces]
    uv_given = dress.corner_uv is not None
    if dress.corner_uv is not None:
        upward = dress.corner_uv.reshape(-1, 2) * [1.0, -1.0] + [0.0, 1.0]
        first, which = weld(upward)
        lines += _rows(b"vt ", upward[first], "%.9g")
        columns.append(which.reshape(-1, 3))
    normal_given = dress.corner_normal is not None and dress.normals is not None
    if dress.corner_normal is not None and dress.normals is not None:
        # Those of one direction are one, and those that nothing uses are none.
        used, where = np.unique(dress.corner_normal, return_inverse=True)
        rounded = np.round(dress.normals[used[used != NONE]], 6)
        first, which = weld(rounded)
        lines += _rows(b"vn ", rounded[first], "%.6f")
        which = np.append(which, NONE)  # the last one for corners without
        where = where.reshape(-1, 3) - int(used[0] == NONE)
        columns.append(which[where])
    _faces(lines, columns, (uv_given, normal_given), names, dress)
    made.files[path] = b"\n".join(lines) + b"\n"
    return made


def files_beside_obj(path: Path, dress: Dress) -> set[Path]:
    """The files that the OBJ at `path` has beside it."""
    made = DressedFiles()
    _library(path, dress, made)
    return set(made.files)


def welded(
    places: np.ndarray, vertices: np.ndarray, faces: np.ndarray, dress: Dress
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Vertices, triangles and colours without what only seams repeat; all where nothing does."""
    if not dress.seams:
        return vertices, faces, dress.colors
    owner = np.full(len(vertices), NONE)
    if dress.face_object is not None:
        owner[faces] = dress.face_object[:, None]
    rows = np.column_stack([places, owner, vertices])
    if dress.colors is not None:
        rows = np.column_stack([rows, dress.colors])
    first, which = weld(rows)
    colors = None if dress.colors is None else dress.colors[first]
    return vertices[first], which[faces], colors


def _rows(
    word: bytes, rows: np.ndarray, number: str, more: np.ndarray | None = None
) -> list[bytes]:
    texts = format_rows(rows, number)
    if more is not None:
        texts = [b"%b %b" % both for both in zip(texts, format_rows(more, "%.6g"), strict=True)]
    return [word + text for text in texts]


def _faces(
    lines: list[bytes],
    columns: list[np.ndarray],
    given: tuple[bool, bool],
    names: dict[int, str],
    dress: Dress,
) -> None:
    """Add the triangles, object by object, group by group, material by material."""
    uv, normal = given
    corner = "%d" + ("/%d" if uv else "") + (("/%d" if uv else "//%d") if normal else "")
    bare = "%d" + ("/%d" if uv else "")
    keys = [dress.face_object, dress.face_group, dress.face_paint if names else None]
    all_columns = np.stack(columns, axis=-1) + 1  # OBJ counts from 1
    before: list[str] = ["", "", ""]
    for rows in runs(keys, len(columns[0])):
        now = [
            "" if keys[0] is None else _line_name(dress.objects[keys[0][rows[0]]]),
            "" if keys[1] is None else _line_name(dress.groups[keys[1][rows[0]]]),
            "" if keys[2] is None else names[int(keys[2][rows[0]])],
        ]
        # Some programs forget group and material where an object begins, others do not.
        begun = [False, now[0] != before[0], now[:2] != before[:2]]
        for word, name, last, again in zip(_WORDS, now, before, begun, strict=True):
            if name != last or (again and name):
                lines.append(f"{word} {name}".rstrip().encode())
        before = now
        part = all_columns[rows]
        if normal and (part[..., -1] == 0).any():
            # A face has normals at all of its corners or at none.
            whole = (part[..., -1] > 0).all(axis=1)
            lines += _face_rows(part[whole], corner)
            lines += _face_rows(part[~whole][..., :-1], bare)
        else:
            lines += _face_rows(part, corner)


def _face_rows(part: np.ndarray, corner: str) -> list[bytes]:
    """Lines of triangles (r, 3, columns)."""
    if not len(part):
        return []
    line = f"f {corner} {corner} {corner}\n"
    return ((line * len(part)) % tuple(part.reshape(-1).tolist())).encode("ascii").split(b"\n")[:-1]


def _line_name(name: str) -> str:
    """A name that is the rest of a line, and stays one; "" for none."""
    plain = "".join(c if c.isprintable() else " " for c in name)
    return " ".join(plain.split()).strip("\\").lstrip("#").strip()


# --- materials --------------------------------------------------------------------------


def _library(path: Path, dress: Dress, made: DressedFiles) -> tuple[dict[int, str], str]:
    """The names of materials by their places, and the MTL's; its file and images go to `made`."""
    used = [] if dress.face_paint is None else np.unique(dress.face_paint).tolist()
    if not any(index != NONE for index in used):
        return {}, ""
    stem = clean_word(path.stem, "mesh")
    images: dict[int, str] = {}
    taken: set[str] = set()
    names: dict[int, str] = {}
    lines = ["# written by posetx"]
    for index in used:
        paint = Paint("plain") if index == NONE else dress.paints[index]
        names[index] = distinct(clean_word(paint.name, "material"), taken)
        image = image_beside(paint.image, stem, path, dress, made, images)
        see_through = image if paint.mode != OPAQUE else ""
        entry = MtlEntry(
            names[index],
            paint.color,
            paint.opacity,
            shine(paint.roughness),
            image,
            see_through,
            image_beside(paint.normal_image, stem, path, dress, made, images),
            bump=paint.bump,
        )
        lines += ["", *mtl_lines(entry)]
    data = ("\n".join(lines) + "\n").encode()
    library = _beside(made, path.with_name(f"{stem}.mtl"), data)
    return names, library.name


def image_beside(
    index: int, stem: str, path: Path, dress: Dress, made: DressedFiles, images: dict[int, str]
) -> str:
    """The name of an image's file, "" without one; each is written once."""
    if index == NONE:
        return ""
    if index not in images:
        picture = dress.pictures[index]
        suffix = kind_of(picture.data)[1]
        if not suffix:
            made.notes.append(f"the texture {picture.name} is of an unknown format: left out")
            images[index] = ""
            return ""
        taken = {Path(name).stem.casefold() for name in images.values()}
        name = distinct(f"{stem}_{clean_word(picture.name, 'texture')}", taken)
        images[index] = _beside(made, path.with_name(name + suffix), picture.data).name
    return images[index]


def _beside(made: DressedFiles, path: Path, data: bytes) -> Path:
    """The file that has the data, which is written unless it is there."""
    file = free_beside(path, data)
    if not file.exists():
        made.files[file] = data
    return file
