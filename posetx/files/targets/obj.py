"""OBJ targets: only the numbers of `v` and `vn` lines change, byte for byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetx.files.atomic import written
from posetx.files.beside import IMAGES, MATERIALS
from posetx.files.checks import only_posetx_errors
from posetx.files.codecs.obj import ObjText, decode_obj
from posetx.files.codecs.tokens import format_rows, position_format, splice
from posetx.files.dress import Dress
from posetx.files.looks import Looks, byte_colors
from posetx.files.targets.base import Target
from posetx.files.targets.normals import turned
from posetx.files.targets.obj_dress import obj_dress
from posetx.files.targets.obj_looks import obj_looks
from posetx.files.targets.sidecars import copy_beside, material_files, places_of


class ObjTarget(Target):
    """A mesh from an OBJ file."""

    own_suffixes = (".obj",)

    def __init__(self, text: ObjText, path: Path) -> None:
        super().__init__(path, text.vertices, text.faces)
        self._text = text
        self.face_object = text.face_object
        if len(text.polygon_sizes) and text.polygon_sizes.max() > 3:
            self.extras.append("quads and larger polygons")
        if text.has_uv:
            self.extras.append("texture coordinates")
        if text.has_materials:
            self.extras.append("materials")
        if text.vertex_extras is not None:
            self.extras.append("vertex colours")
        if (text.polygon_sizes < 3).any():
            self.notes.append("faces with fewer than three corners are kept but not used")

    def object_name(self, index: int) -> str:
        text = self._text
        name = text.data[text.object_starts[index] : text.object_ends[index]]
        return name.decode("utf-8", "replace").strip()

    def looks(self) -> Looks | None:
        if not self._text.libraries:
            return None
        with only_posetx_errors(self.path, "OBJ"):
            return obj_looks(self._text, self.path.parent)

    def dress(self, vertices: np.ndarray) -> Dress | None:
        with only_posetx_errors(self.path, "OBJ"):
            return obj_dress(self._text, self.path.parent, vertices)

    def colors(self) -> np.ndarray | None:
        return byte_colors(self._text.vertex_extras)

    def _beside(self, path: Path) -> set[Path]:
        libraries, textures = material_files(self.path.parent, self._text.libraries)
        return {*places_of(libraries, path, MATERIALS), *places_of(textures, path, IMAGES)}

    def _write(self, path: Path, vertices: np.ndarray) -> list[str]:
        text = self._text
        normals = turned(text.normals, text.face_normals, self.faces, self.vertices, vertices)
        moved = np.flatnonzero((vertices != self.vertices).any(axis=1))
        turned_ones = np.flatnonzero((normals != text.normals).any(axis=1))
        # Lines whose numbers did not change keep the digits they had.
        rows = format_rows(vertices[moved], position_format(vertices))
        rows += format_rows(normals[turned_ones], "%.6f")
        starts = np.concatenate([text.vertex_starts[moved], text.normal_starts[turned_ones]])
        ends = np.concatenate([text.vertex_ends[moved], text.normal_ends[turned_ones]])
        # The mesh comes last: whoever finds it finds what it names.
        with written({path: splice(text.data, starts, ends, rows)}) as made:
            if path.resolve().parent == self.path.resolve().parent:
                return []
            libraries, textures = material_files(self.path.parent, text.libraries)
            notes = copy_beside(self.path, path, libraries, MATERIALS, made)
            return notes + copy_beside(self.path, path, textures, IMAGES, made)


def read(data: bytes, path: Path) -> Target:
    """The target in the bytes of an OBJ file."""
    return ObjTarget(decode_obj(data, path), path)
