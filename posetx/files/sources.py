"""Scans and targets from whatever a caller holds: a path, a trimesh, arrays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from posetx.errors import PosetxError
from posetx.files.scans import Scan, read_scan, scan_of_arrays
from posetx.files.targets.base import Target, export, read_target

#: what messages call a scan or a target that is no file
SCAN_NAME, TARGET_NAME = Path("scan"), Path("target")


class MeshTarget(Target):
    """A target that a caller holds as a trimesh: written with its texture or colours, by trimesh.

    Of arrays there are positions and triangles alone.
    """

    own_suffixes = (".obj", ".ply", ".glb", ".stl", ".off")

    def __init__(self, mesh: Any, path: Path = TARGET_NAME):
        self.mesh = mesh
        super().__init__(path, mesh.vertices, mesh.faces)

    def _write(self, path: Path, vertices: np.ndarray) -> list[str]:
        moved = self.mesh.copy()
        moved.vertices = vertices
        export(moved, path)
        return []


def as_scan(source: Any) -> Scan:
    """A scan from a path, a `Scan`, a trimesh (mesh or cloud), or points (n, 3).

    Raises PosetxError for what is none of these, and as :func:`read_scan`.

    >>> import posetx
    >>> posetx.read_scan([[0, 0, 0], [0, 1.8, 0]]).points.shape
    (2, 3)
    """
    if isinstance(source, Scan):
        return source
    if isinstance(source, (str, os.PathLike)):
        return read_scan(Path(source))
    vertices = getattr(source, "vertices", None)
    if vertices is not None:
        return array_scan(vertices, getattr(source, "faces", None))
    return array_scan(source)


def as_target(source: Any) -> Target:
    """A target from a path, a `Target`, a trimesh, or (vertices (n, 3), faces (m, 3)).

    Raises PosetxError for what is none of these, and as :func:`read_target`.

    >>> import posetx
    >>> target = posetx.read_target(([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]]))
    >>> target.vertices.shape, target.faces.shape
    ((3, 3), (1, 3))
    """
    if isinstance(source, Target):
        return source
    if isinstance(source, (str, os.PathLike)):
        return read_target(Path(source))
    if hasattr(source, "vertices") and hasattr(source, "faces"):
        return MeshTarget(source)
    if isinstance(source, (tuple, list)) and len(source) == 2:
        return array_target(*source)
    raise PosetxError(
        f"a {type(source).__name__} is no target; give a path, a trimesh.Trimesh or a pair "
        "(vertices, faces)"
    )


def array_scan(points: ArrayLike, faces: ArrayLike | None = None) -> Scan:
    """A scan of points (n, 3), and triangles (m, 3) where it is a mesh."""
    return scan_of_arrays(_rows(points, "points", np.float64), _triangles(faces), SCAN_NAME)


def array_target(vertices: ArrayLike, faces: ArrayLike) -> Target:
    """A target of vertices (n, 3) and triangles (m, 3)."""
    import trimesh

    triangles = _triangles(faces)
    return MeshTarget(
        trimesh.Trimesh(_rows(vertices, "vertices", np.float64), triangles, process=False)
    )


def _triangles(faces: ArrayLike | None) -> np.ndarray | None:
    return None if faces is None else _rows(faces, "faces", np.int64)


def _rows(values: ArrayLike, name: str, kind: type) -> np.ndarray:
    rows: np.ndarray
    try:
        rows = np.array(values, dtype=kind)
    except (TypeError, ValueError):
        rows = np.empty(0)
    if rows.ndim != 2 or rows.shape[1] != 3:
        shape = np.shape(values) if isinstance(values, np.ndarray) else type(values).__name__
        raise PosetxError(f"{name}: need an array (n, 3), not {shape}")
    return rows
