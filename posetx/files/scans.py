"""Raw scans: whatever a scanner left behind, as points with what else the file says about them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from posetx.files.checks import only_posetx_errors, problem, read_bytes, unpacked, usable_rows
from posetx.files.codecs import blender, meshlab
from posetx.files.raw import Raw

#: suffix: module below posetx.files.codecs with a function scan(data, path) -> Raw
_READERS = {
    ".ply": "ply",
    ".obj": "obj",
    ".stl": "stl",
    ".off": "off",
    ".xyz": "table",
    ".asc": "table",
    ".txt": "table",
    ".csv": "table",
    ".pts": "table",
    ".ptx": "ptx",
    ".pcd": "pcd",
    ".glb": "gltf",
    ".gltf": "gltf",
    ".vrm": "gltf",
    ".npy": "arrays",
    ".npz": "arrays",
    ".las": "scanners",
    ".laz": "scanners",
    ".e57": "scanners",
    **dict.fromkeys(blender.SUFFIXES, "blender"),
    **dict.fromkeys(meshlab.SUFFIXES, "meshlab"),
}
SCAN_SUFFIXES = tuple(_READERS)
#: Formats whose libraries open files by name, so not in a .gz.
_BY_NAME = (".e57", *blender.SUFFIXES, *meshlab.SUFFIXES)
_PACKED = ".gz"


@dataclass
class Scan:
    """A scan as it came, in its own frame and unit.

    Attributes
    ----------
    points : (n, 3) float64
        finite; of a mesh, all of its vertices
    normals : (n, 3) float64 or None
        as stored, not necessarily of unit length
    colors : (n, 3) uint8 or None
    faces : (m, 3) int64 or None
        triangles, when the scan is a mesh
    path : Path
        where it was read
    notes : list of str
        what a user should know about how the file was understood
    """

    points: np.ndarray
    normals: np.ndarray | None
    colors: np.ndarray | None
    faces: np.ndarray | None
    path: Path
    notes: list[str] = field(default_factory=list)


def is_scan(path: Path) -> bool:
    """Whether a file's name is one of a scan."""
    return _inner(path).suffix.lower() in SCAN_SUFFIXES


def scan_name(path: Path) -> str:
    """A scan's name without what tells its format: `a` of a.ply and of a.ply.gz."""
    return _inner(path).stem


def _inner(path: Path) -> Path:
    """The path without the .gz of a packed file."""
    return path.with_suffix("") if path.suffix.lower() == _PACKED else path


def read_scan(path: Path) -> Scan:
    """Read a scan, cloud or mesh; the suffix says in which format.

    Parameters
    ----------
    path : Path
        PLY, OBJ, STL, OFF, XYZ/ASC/TXT/CSV/PTS, PTX, PCD, GLB/glTF/VRM, NPY, NPZ, LAS/LAZ or E57;
        FBX, BLEND, USD/USDA/USDC/USDZ through Blender; DAE, 3DS, X3D/X3DV, WRL, 3MF or CTM through
        pymeshlab; all but E57 and these also as .gz

    Raises
    ------
    MissingError
        what reads such files is not installed or does not work here: LAS, LAZ, E57 and what Blender
        and pymeshlab read have optional ones
    PosetxError
        in one line, whatever is wrong with the file
    """
    path = Path(path)
    inner = _inner(path)
    name = _READERS.get(inner.suffix.lower())
    if name is None and (not path.exists() or path.is_dir()):
        read_bytes(path)  # says what is wrong with it
    if name is None:
        raise problem(
            path,
            f"unknown scan format {inner.suffix!r}",
            f"export it as one of {' '.join(SCAN_SUFFIXES)}",
        )
    reader = importlib.import_module(f"posetx.files.codecs.{name}")
    data = read_bytes(path)
    if inner is not path:
        if inner.suffix.lower() in _BY_NAME:
            raise problem(path, f"a packed {inner.suffix} is not read", "unpack it first")
        data = unpacked(data, path)
    with only_posetx_errors(path, inner.suffix[1:].upper()):
        return _checked(reader.scan(data, inner), path)


def scan_of_arrays(points: np.ndarray, faces: np.ndarray | None, path: Path) -> Scan:
    """A scan of points (n, 3) and triangles (m, 3), checked as a file's; `path` is its name."""
    return _checked(Raw(points, faces=faces), path)


def _checked(raw: Raw, path: Path) -> Scan:
    """Drop what is unusable, with a note; refuse a scan without a point left."""
    # Of their own and contiguous; copied only if they are not.
    points = np.require(raw.points, np.float64, ["C", "W"]).reshape(-1, 3)
    n = len(points)
    if not n:
        raise problem(path, "has no points", "check that the scan was exported")
    notes = list(raw.notes)
    normals = _per_point(raw.normals, n)
    colors = raw.colors
    if colors is None or colors.dtype != np.uint8 or colors.shape != (n, 3):
        colors = _bytes_colours(_per_point(colors, n))
    faces = None
    if raw.faces is not None and len(raw.faces):
        faces = np.asarray(raw.faces, dtype=np.int64).reshape(-1, 3)
        known = ((faces >= 0) & (faces < n)).all(axis=1)
        if not known.all():
            notes.append(f"{(~known).sum()} faces that name missing vertices were left out")
            faces = faces[known]

    usable = usable_rows(points)
    if not usable.all():
        if not usable.any():
            raise problem(
                path, f"all of its {n} points are NaN or infinite", "check the scanner's export"
            )
        notes.append(f"{n - usable.sum()} of {n} points are NaN or infinite and were left out")
        if faces is not None:
            faces = (np.cumsum(usable) - 1)[faces[usable[faces].all(axis=1)]]
        points = points[usable]
        normals = None if normals is None else normals[usable]
        colors = None if colors is None else colors[usable]
    if normals is not None:
        normals = np.where(usable_rows(normals)[:, None], normals, 0.0)
        if not normals.any():
            normals = None
    if faces is not None and not len(faces):
        faces = None
    return Scan(points, normals, colors, faces, path, notes)


def _per_point(values: np.ndarray | None, n: int) -> np.ndarray | None:
    """(n, 3) float64, or None when there is not one row for each point."""
    if values is None:
        return None
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != n or values.shape[1] < 3:
        return None
    return values[:, :3]


def _bytes_colours(colors: np.ndarray | None) -> np.ndarray | None:
    """(n, 3) uint8 from colours of any range: 0 to 1, 0 to 255, or 16 bits."""
    if colors is None:
        return None
    colors = np.nan_to_num(colors, posinf=0.0, neginf=0.0)
    top = colors.max() if len(colors) else 0.0
    scale = 255.0 if top <= 1.0 else 1.0 if top <= 255.0 else 255.0 / 65535.0
    scaled: np.ndarray = np.clip(np.round(colors * scale), 0, 255).astype(np.uint8)
    return scaled
