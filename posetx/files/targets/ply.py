"""PLY targets: header, order, faces and extra properties stay; x, y, z and the normals change."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetx.files.atomic import written
from posetx.files.beside import IMAGES
from posetx.files.checks import only_posetx_errors, problem
from posetx.files.codecs.ply import Ply, decode_ply
from posetx.files.codecs.ply_header import Element
from posetx.files.codecs.tokens import format_rows, position_format, splice
from posetx.files.dress import Dress
from posetx.files.looks import Looks, byte_colors
from posetx.files.targets.base import Target
from posetx.files.targets.normals import turned
from posetx.files.targets.ply_looks import FACE_UV, VERTEX_UV, add_paint, ply_looks
from posetx.files.targets.sidecars import copy_beside, places_of

POSITION = ("x", "y", "z")
NORMAL = ("nx", "ny", "nz")
COLOR = ("red", "green", "blue")
COLORS = "vertex colours"
_PLAIN = {*POSITION, *NORMAL}
# Property names, and their (n, k) values before and after.
Columns = tuple[tuple[str, ...], np.ndarray, np.ndarray]


class PlyTarget(Target):
    """A mesh from a PLY file."""

    own_suffixes = (".ply",)

    def __init__(self, ply: Ply, path: Path) -> None:
        vertex = ply.element("vertex")
        assert vertex is not None  # decode_ply sees to it
        if any(vertex.kind(name)[0] != "f" for name in POSITION):
            raise problem(
                path, "stores positions as whole numbers", "export it again with float positions"
            )
        super().__init__(path, vertex.columns(*POSITION), ply.triangles())
        self._ply, self._vertex = ply, vertex
        _, counts = ply.polygons()
        if len(counts) and counts.max() > 3:
            self.extras.append("quads and larger polygons")
        names = {p.name for p in vertex.properties} - _PLAIN
        laid = {name for pair in VERTEX_UV if vertex.has(*pair) for name in pair}
        if names & {*COLOR}:
            self.extras.append(COLORS)
        face = ply.element("face")
        if laid or (face is not None and any(p.name == FACE_UV for p in face.properties)):
            self.extras.append("texture coordinates")
        if names - {*COLOR} - laid:
            self.extras.append("other vertex properties")

    def colors(self) -> np.ndarray | None:
        if not self._vertex.has(*COLOR):
            return None
        whole = self._vertex.kind(COLOR[0])[0] in "iu"
        values = self._vertex.columns(*COLOR)
        return byte_colors(values / 255.0 if whole else values)

    def looks(self) -> Looks | None:
        with only_posetx_errors(self.path, "PLY"):
            return ply_looks(self._ply, self.path.parent)

    def _beside(self, path: Path) -> set[Path]:
        return set(places_of(self._ply.textures, path, IMAGES))

    def dress(self, vertices: np.ndarray) -> Dress | None:
        dress = Dress()
        with only_posetx_errors(self.path, "PLY"):
            add_paint(self._ply, self.path.parent, dress)
        colors = self.colors()
        if colors is not None:
            dress.colors = colors / 255.0
            dress.carried.add(COLORS)
        if self._vertex.has(*NORMAL):
            old = self._vertex.columns(*NORMAL)
            dress.normals = turned(old, self.faces, self.faces, self.vertices, vertices)
            dress.corner_normal = self.faces
        return dress

    def _write(self, path: Path, vertices: np.ndarray) -> list[str]:
        columns: list[Columns] = [(POSITION, self.vertices, vertices)]
        if self._vertex.has(*NORMAL):
            old = self._vertex.columns(*NORMAL)
            columns.append(
                (NORMAL, old, turned(old, self.faces, self.faces, self.vertices, vertices))
            )
        if self._ply.format == "ascii":
            data = self._ascii(columns)
        else:
            data = self._binary(columns)
        with written({path: data}) as made:
            if path.resolve().parent == self.path.resolve().parent:
                return []
            return copy_beside(self.path, path, self._ply.textures, IMAGES, made)

    def _binary(self, columns: list[Columns]) -> bytes:
        rows = self._vertex.rows
        assert rows is not None
        rows = rows.copy()
        for names, old, new in columns:
            for axis, name in enumerate(names):
                changed = old[:, axis] != new[:, axis]
                rows[name][changed] = new[changed, axis]
        data, begin = self._ply.data, self._vertex.begin
        return data[:begin] + rows.tobytes() + data[begin + rows.nbytes :]

    def _ascii(self, columns: list[Columns]) -> bytes:
        tokens = self._ply.tokens
        all_starts, all_ends, texts = [], [], []
        for names, old, new in columns:
            number = position_format(new) if names == POSITION else "%.6f"
            moved = np.flatnonzero((old != new).any(axis=1))
            for axis, name in enumerate(names):
                token = _tokens_of(self._vertex, name, moved)
                all_starts.append(tokens.starts[token])
                all_ends.append(tokens.ends[token])
                texts += format_rows(new[moved, axis : axis + 1], number)
        return splice(self._ply.data, np.concatenate(all_starts), np.concatenate(all_ends), texts)


def _tokens_of(element: Element, name: str, rows: np.ndarray) -> np.ndarray:
    """The tokens, counted in the whole body, of one column in `rows`."""
    return element.begin + rows * len(element.properties) + element.column_index(name)


def read(data: bytes, path: Path) -> Target:
    """The target in the bytes of a PLY file."""
    return PlyTarget(decode_ply(data, path), path)
