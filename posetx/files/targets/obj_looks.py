"""How an OBJ target is painted: `usemtl`, `vt`, and the diffuse colours and images of its MTL."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from posetx.files.beside import IMAGES, MATERIALS, NotBeside, one_name, read_beside, relative_name
from posetx.files.codecs.mtl import MtlEntry, mtl_entries
from posetx.files.codecs.obj import SLASH, ObjText, join_continued_lines
from posetx.files.codecs.pictures import holds_normals, transparency, with_opacity
from posetx.files.codecs.polygons import fan
from posetx.files.codecs.tokens import Tokens
from posetx.files.dress import NONE, OPAQUE
from posetx.files.looks import GREY, Looks, Material
from posetx.files.targets.named import stem_of
from posetx.files.targets.sidecars import LARGEST_MATERIAL, library_names

#: bytes of an image, at most
LARGEST_IMAGE = 1 << 28
NO_UV = -1
_IMAGES = ("image", "opacity_image", "normal_image", "bump_image")


def obj_looks(text: ObjText, folder: Path) -> Looks:
    """How the triangles of an OBJ file in `folder` are painted.

    Raises PosetxError, or what Python raises at numbers that are none.
    """
    tokens = Tokens(join_continued_lines(text.data))
    lines = tokens.lines_starting_with(b"f")
    counts = tokens.line_count[lines] - 1
    names, used = names_of(tokens, lines, b"usemtl")
    library = Library(folder, text.libraries)
    materials = [library.material(name) for name in names]
    face_material = np.repeat(used, np.maximum(counts - 2, 0))
    uv = None
    if any(material.image >= 0 for material in materials):
        uv = corner_uv(tokens, lines, counts)
    return Looks(materials, face_material, uv, library.images, library.notes)


def names_of(tokens: Tokens, lines: np.ndarray, word: bytes) -> tuple[list[str], np.ndarray]:
    """The names after `word`, "" for none, and which of them each face line (f,) has."""
    uses = tokens.lines_starting_with(word)
    places = {"": 0}
    which = [0]
    for line in uses.tolist():
        first, count = int(tokens.line_first[line]), int(tokens.line_count[line])
        begin, end = tokens.ends[first], tokens.ends[first + count - 1]
        name = tokens.data[begin:end].decode("utf-8", "replace").strip()
        which.append(places.setdefault(name, len(places)))
    return list(places), np.array(which)[np.searchsorted(uses, lines)]


def corner_uv(tokens: Tokens, lines: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(m, 3, 2): each triangle's corners in the image, v down; 0 where a corner has none."""
    vt_lines = tokens.lines_starting_with(b"vt")
    wide = vt_lines[tokens.line_count[vt_lines] >= 3]
    each = (tokens.line_first[wide][:, None] + np.arange(1, 3)).ravel()
    table = np.zeros((len(vt_lines) + 1, 2))  # the last one for corners without
    values = tokens.floats(tokens.starts[each], tokens.ends[each]).reshape(-1, 2)
    table[np.searchsorted(vt_lines, wide)] = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    table[:-1, 1] = 1.0 - table[:-1, 1]  # files count from the image's foot

    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    corner = np.repeat(tokens.line_first[lines] + 1, counts) + place
    starts, ends = tokens.starts[corner], tokens.ends[corner]
    end = len(tokens.data)
    slashes = np.append(np.flatnonzero(tokens.bytes == SLASH), [end, end])
    first = np.searchsorted(slashes, starts)
    begin = np.minimum(slashes[first], ends) + 1
    stop = np.minimum(slashes[np.minimum(first + 1, len(slashes) - 1)], ends)
    given = begin < stop
    index = np.full(len(corner), NO_UV)
    if given.any():
        numbers = tokens.integers(begin[given], stop[given])
        before = np.repeat(np.searchsorted(vt_lines, lines), counts)[given]
        numbers = np.where(numbers < 0, numbers + before, numbers - 1)
        index[given] = np.where((numbers >= 0) & (numbers < len(vt_lines)), numbers, NO_UV)
    uv: np.ndarray = table[index][fan(index, counts)]
    return uv


class Library:
    """The material libraries of an OBJ file, and the images that they name.

    `images` are the bytes and `names` the names, from the OBJ's folder, of those that were read.
    """

    def __init__(self, folder: Path, libraries: list[str]) -> None:
        self.folder = folder
        self.images: list[bytes] = []
        self.names: list[str] = []
        self.notes: list[str] = []
        self._places: dict[str, int] = {}
        self._made = 0
        # Of each image once, in how many materials it may be.
        self.mode = cache(self._mode)
        self.holds_normals = cache(self._holds_normals)
        self.see_through = cache(self._see_through)
        self.known: dict[str, MtlEntry] = {}
        for name in library_names(folder, libraries):
            try:
                data = read_beside(folder, name, MATERIALS, most=LARGEST_MATERIAL)
                above = str(relative_name(name, MATERIALS).parent)
            except NotBeside as error:
                self.notes.append(f"{name} {error}")
                continue
            for entry in mtl_entries(data.decode("utf-8", "replace")):
                for image in _IMAGES:
                    if named := getattr(entry, image):
                        named = named if above == "." else f"{above}/{named}"
                        setattr(entry, image, one_name(named, IMAGES))
                self.known.setdefault(entry.name, entry)

    def material(self, name: str) -> Material:
        """The material of a name; a grey one where nothing is known of it."""
        entry = self.known.get(name)
        if entry is None:
            return Material()
        color = GREY
        if entry.color is not None:
            red, green, blue = (round(255 * share) for share in entry.color)
            color = red, green, blue
        return Material(color, self.image(entry.image))

    def image(self, name: str) -> int:
        """The place of an image in `images`; -1 of what has none, or none that may be read."""
        if not name:
            return -1
        if name not in self._places:
            try:
                data = read_beside(self.folder, name, IMAGES, most=LARGEST_IMAGE)
                self.images.append(data)
                self.names.append(name)
                self._places[name] = len(self.images) - 1
            except NotBeside as error:
                self.notes.append(f"{name} {error}")
                self._places[name] = -1
        return self._places[name]

    def _mode(self, image: int) -> str:
        """How an image's own opacity is drawn."""
        return OPAQUE if image == NONE else transparency(self.images[image])

    def _holds_normals(self, image: int) -> bool:
        return holds_normals(self.images[image])

    def _see_through(self, color: int, opacity: int) -> int:
        """The place of an image made of one of colours, or NONE, and one of opacity.

        NONE where that cannot be made, or where more would be made than were read.
        """
        if opacity == NONE or self._made * 2 >= len(self.images):
            return NONE
        made = with_opacity(None if color == NONE else self.images[color], self.images[opacity])
        if made is None:
            return NONE
        self._made += 1
        stems = [stem_of(self.names[place]) for place in (color, opacity) if place != NONE]
        self.images.append(made)
        self.names.append("_".join(stems))
        return len(self.images) - 1
