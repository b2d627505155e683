"""How an OBJ target is painted: `usemtl`, `vt`, and the diffuse colours and images of its MTL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from posetx.files.beside import IMAGES, MATERIALS, NotBeside, read_beside, relative_name
from posetx.files.codecs.obj import SLASH, ObjText, join_continued_lines
from posetx.files.codecs.polygons import fan
from posetx.files.codecs.tokens import Tokens, is_number
from posetx.files.looks import GREY, Looks, Material
from posetx.files.targets.sidecars import LARGEST_MATERIAL, library_names, texture_name

#: bytes of an image, at most
LARGEST_IMAGE = 1 << 28
NO_UV = -1


def obj_looks(text: ObjText, folder: Path) -> Looks:
    """How the triangles of an OBJ file in `folder` are painted.

    Raises PosetxError, or what Python raises at numbers that are none.
    """
    tokens = Tokens(join_continued_lines(text.data))
    lines = tokens.lines_starting_with(b"f")
    counts = tokens.line_count[lines] - 1
    names, used = _used(tokens, lines)
    library = _Library(folder, text.libraries)
    materials = [library.material(name) for name in names]
    face_material = np.repeat(used, np.maximum(counts - 2, 0))
    uv = None
    if any(material.image >= 0 for material in materials):
        uv = _corner_uv(tokens, lines, counts)
    return Looks(materials, face_material, uv, library.images, library.notes)


def _used(tokens: Tokens, lines: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Names of materials, "" for none, and which of them each face line (f,) has."""
    uses = tokens.lines_starting_with(b"usemtl")
    places = {"": 0}
    which = [0]
    for line in uses.tolist():
        first, count = int(tokens.line_first[line]), int(tokens.line_count[line])
        begin, end = tokens.ends[first], tokens.ends[first + count - 1]
        name = tokens.data[begin:end].decode("utf-8", "replace").strip()
        which.append(places.setdefault(name, len(places)))
    return list(places), np.array(which)[np.searchsorted(uses, lines)]


def _corner_uv(tokens: Tokens, lines: np.ndarray, counts: np.ndarray) -> np.ndarray:
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


class _Library:
    """The material libraries of an OBJ file, and the images that they name."""

    def __init__(self, folder: Path, libraries: list[str]) -> None:
        self.folder = folder
        self.images: list[bytes] = []
        self.notes: list[str] = []
        self._places: dict[str, int] = {}
        self._known: dict[str, tuple[tuple[int, int, int], str]] = {}
        for line in dict.fromkeys(libraries):
            for name in library_names(folder, line):
                try:
                    data = read_beside(folder, name, MATERIALS, most=LARGEST_MATERIAL)
                    above = str(relative_name(name, MATERIALS).parent)
                except NotBeside as error:
                    self.notes.append(f"{name} {error}")
                    continue
                for found in _entries(data.decode("utf-8", "replace"), above):
                    self._known.setdefault(*found)

    def material(self, name: str) -> Material:
        """The material of a name; a grey one where nothing is known of it."""
        if name not in self._known:
            return Material()
        color, image = self._known[name]
        return Material(color, self._image(image) if image else -1)

    def _image(self, name: str) -> int:
        if name not in self._places:
            try:
                data = read_beside(self.folder, name, IMAGES, most=LARGEST_IMAGE)
                self.images.append(data)
                self._places[name] = len(self.images) - 1
            except NotBeside as error:
                self.notes.append(f"{name} {error}")
                self._places[name] = -1
        return self._places[name]


def _entries(text: str, above: str) -> Iterator[tuple[str, tuple[tuple[int, int, int], str]]]:
    """Each material of a library: name, colour and its image, as a name from the OBJ's folder."""
    name, color, image = "", GREY, ""
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2:
            continue
        if words[0] == "newmtl":
            if name:
                yield name, (color, image)
            name, color, image = line.strip().split(None, 1)[1], GREY, ""
        elif words[0] == "Kd" and all(map(is_number, words[1:4])) and len(words) >= 4:
            red, green, blue = (round(255 * _share(float(word))) for word in words[1:4])
            color = red, green, blue
        elif words[0].lower() == "map_kd":
            image = texture_name(line)
            if image and above != ".":
                image = f"{above}/{image}"
    if name:
        yield name, (color, image)


def _share(value: float) -> float:
    """Between 0 and 1, whatever it is."""
    return min(max(value, 0.0), 1.0) if value == value else 0.0
