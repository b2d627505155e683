"""STL targets: corners at the same place are one vertex, and are written back as corners."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetx.files.atomic import write_bytes_atomic
from posetx.files.codecs.stl import HEADER, Stl, decode_stl
from posetx.files.codecs.tokens import format_rows, position_format, splice
from posetx.files.targets.base import Target
from posetx.geometry.mesh import weld


class StlTarget(Target):
    """A mesh from an STL file."""

    own_suffixes = (".stl",)

    def __init__(self, stl: Stl, path: Path) -> None:
        corners = stl.corners.reshape(-1, 3)
        first, place = weld(corners)
        super().__init__(path, corners[first], place.reshape(-1, 3))
        self._stl = stl

    def _write(self, path: Path, vertices: np.ndarray) -> list[str]:
        stl = self._stl
        corners = vertices[self.faces]  # (m, 3, 3)
        moved = (corners != stl.corners).any(axis=(1, 2))
        normals = _unit_normals(corners)
        if stl.rows is not None:
            rows = stl.rows.copy()
            rows["corners"][moved] = corners[moved]
            rows["normal"][moved] = normals[moved]
            end = HEADER + rows.nbytes
            write_bytes_atomic(path, stl.data[:HEADER] + rows.tobytes() + stl.data[end:])
            return []
        which = np.flatnonzero(np.repeat(moved, 3))
        texts = format_rows(corners.reshape(-1, 3)[which], position_format(vertices))
        ranges = stl.corner_ranges[which]
        if len(stl.normal_ranges):
            texts += format_rows(normals[moved], "%.6f")
            ranges = np.concatenate([ranges, stl.normal_ranges[moved]])
        write_bytes_atomic(path, splice(stl.data, ranges[:, 0], ranges[:, 1], texts))
        return []


def _unit_normals(corners: np.ndarray) -> np.ndarray:
    """(m, 3) normals of triangles (m, 3, 3); zero for those without an area."""
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    return np.asarray(cross / np.maximum(length, 1e-300))


def read(data: bytes, path: Path) -> Target:
    """The target in the bytes of an STL file."""
    return StlTarget(decode_stl(data, path), path)
