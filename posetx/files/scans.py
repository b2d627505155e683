"""Raw scans: whatever a scanner left behind, as points with what else the file says about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from posetx.files.checks import only_posetx_errors, problem, read_bytes, usable_rows
from posetx.files.codecs import meshlab


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


@dataclass
class _Raw:
    """What a format's reader finds, before it is checked."""

    points: np.ndarray
    normals: np.ndarray | None = None
    colors: np.ndarray | None = None
    faces: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)


def read_scan(path: Path) -> Scan:
    """Read a scan, cloud or mesh; the suffix says in which format.

    Parameters
    ----------
    path : Path
        PLY, OBJ, STL, OFF, XYZ/ASC/TXT/CSV/PTS, PCD, GLB/glTF, NPY, NPZ, LAS/LAZ or E57; DAE, 3DS,
        X3D/X3DV, WRL, 3MF or CTM through pymeshlab

    Raises
    ------
    MissingError
        the library that reads such files is not installed or does not work here: LAS, LAZ and E57
        have optional ones
    PosetxError
        in one line, whatever is wrong with the file
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None and (not path.exists() or path.is_dir()):
        read_bytes(path)  # says what is wrong with it
    if reader is None:
        raise problem(
            path,
            f"unknown scan format {path.suffix!r}",
            f"export it as one of {' '.join(SCAN_SUFFIXES)}",
        )
    data = read_bytes(path)
    with only_posetx_errors(path, path.suffix[1:].upper()):
        return _checked(reader(data, path), path)


def _checked(raw: _Raw, path: Path) -> Scan:
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
    return np.clip(np.round(colors * scale), 0, 255).astype(np.uint8)


# --- one function per format; codecs are imported when needed ---------------------------------


def _read_ply(data: bytes, path: Path) -> _Raw:
    from posetx.files.codecs.ply import decode_ply

    ply = decode_ply(data, path)
    vertex = ply.element("vertex")
    assert vertex is not None  # decode_ply sees to it
    raw = _Raw(vertex.columns("x", "y", "z"), faces=ply.triangles())
    if vertex.has("nx", "ny", "nz"):
        raw.normals = vertex.columns("nx", "ny", "nz")
    for names in (
        ("red", "green", "blue"),
        ("diffuse_red", "diffuse_green", "diffuse_blue"),
        ("r", "g", "b"),
    ):
        if vertex.has(*names):
            raw.colors = vertex.columns(*names)
            if vertex.kind(names[0]) in ("u1", "i1"):  # a dark scan must not look like 0 to 1
                raw.colors = np.clip(raw.colors, 0, 255).astype(np.uint8)
            break
    return raw


def _read_obj(data: bytes, path: Path) -> _Raw:
    from posetx.files.codecs.obj import decode_obj

    text = decode_obj(data, path)
    raw = _Raw(text.vertices, faces=text.faces)
    # Normals are per corner; only when they pair with the vertices are they per point.
    paired = not len(text.faces) or (text.faces == text.face_normals).all()
    if len(text.normals) == len(text.vertices) and paired:
        raw.normals = text.normals
    if text.vertex_extras is not None and text.vertex_extras.shape[1] >= 3:
        raw.colors = text.vertex_extras[:, :3]
    return raw


def _read_stl(data: bytes, path: Path) -> _Raw:
    from posetx.files.codecs.stl import decode_stl
    from posetx.geometry.mesh import weld

    corners = decode_stl(data, path).corners.reshape(-1, 3)
    first, place = weld(corners)
    return _Raw(corners[first], faces=place.reshape(-1, 3))


def _read_off(data: bytes, path: Path) -> _Raw:
    from posetx.files.codecs.off import decode_off

    off = decode_off(data, path)
    return _Raw(off.vertices, off.normals if len(off.normals) else None, faces=off.faces)


def _read_table(data: bytes, path: Path) -> _Raw:
    from posetx.files.codecs.table import decode_table

    table = decode_table(data, path)
    return _Raw(table.points, table.normals, table.colours, None, table.notes)


def _read_pcd(data: bytes, path: Path) -> _Raw:
    from posetx.files.codecs.pcd import decode_pcd

    fields = decode_pcd(data, path)
    if not {"x", "y", "z"} <= set(fields):
        raise problem(path, "has no fields x, y and z", "export it again")
    raw = _Raw(np.stack([fields[c] for c in "xyz"], axis=1))
    names = ("normal_x", "normal_y", "normal_z")
    if set(names) <= set(fields):
        raw.normals = np.stack([fields[c] for c in names], axis=1)
    packed = fields.get("rgb", fields.get("rgba"))
    if packed is not None and packed.dtype.kind == "f":
        # Three bytes behind the mask of a float: PCL's way. ASCII files were parsed as float64.
        packed = packed.astype("<f4").view("<u4")
    if packed is not None:
        packed = packed.astype(np.int64)
        raw.colors = np.stack([(packed >> shift) & 255 for shift in (16, 8, 0)], axis=1) / 255.0
    return raw


def _read_gltf(data: bytes, path: Path) -> _Raw:
    from posetx.files.codecs.gltf import apply, decode_gltf

    gltf = decode_gltf(data, path)
    points: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    colors: list[np.ndarray | None] = []
    seen: dict[tuple[int, int], int] = {}  # (node, accessor): first row
    begin = 0
    for instance in gltf.instances():
        for primitive in gltf.entries("meshes")[instance.mesh]["primitives"]:
            attributes = primitive.get("attributes", {})
            if "POSITION" not in attributes:
                continue
            local = gltf.floats(attributes["POSITION"])[:, :3]
            key = (instance.node, attributes["POSITION"])
            if key not in seen:
                seen[key] = begin
                matrix = gltf.to_world(instance, primitive, len(local))
                points.append(apply(matrix, local))
                colour = attributes.get("COLOR_0")
                colors.append(None if colour is None else gltf.floats(colour)[:, :3])
                begin += len(local)
            faces.append(gltf.triangles(primitive, len(local)) + seen[key])
    if not points:
        raise problem(path, "shows no points", "check that the scan was exported")
    given = [c for c in colors if c is not None]
    return _Raw(
        np.concatenate(points),
        colors=np.concatenate(given) if len(given) == len(colors) else None,
        faces=np.concatenate(faces),
    )


def _read_las(data: bytes, path: Path) -> _Raw:
    from posetx.files.codecs.scanners import decode_las

    survey = decode_las(data, path)
    return _Raw(survey.points, colors=survey.colours, notes=survey.notes)


def _read_e57(data: bytes, path: Path) -> _Raw:
    from posetx.files.codecs.scanners import decode_e57

    survey = decode_e57(path)  # its library opens files by name alone
    return _Raw(survey.points, colors=survey.colours, notes=survey.notes)


def _read_meshlab(data: bytes, path: Path) -> _Raw:
    arrays = meshlab.decode_meshlab(data, path)
    return _Raw(arrays["points"], colors=arrays.get("colors"), faces=arrays.get("faces"))


def _read_npy(data: bytes, path: Path) -> _Raw:
    from posetx.files.codecs.arrays import decode_npy

    return _from_array(decode_npy(data, path), path)


def _read_npz(data: bytes, path: Path) -> _Raw:
    from posetx.files.codecs.arrays import decode_npz

    arrays = decode_npz(data, path)
    raw = _from_array(arrays["points"], path)
    raw.normals, raw.colors = arrays.get("normals"), arrays.get("colors")
    faces = arrays.get("faces")
    if faces is not None and faces.ndim == 2 and faces.shape[1] == 3 and faces.dtype.kind in "iu":
        raw.faces = faces
    return raw


def _from_array(array: np.ndarray, path: Path) -> _Raw:
    """Points from (n, 3), (n, more), an organised (h, w, 3) or a transposed (3, n) array."""
    notes = []
    if array.ndim > 2 and array.shape[-1] == 3:
        array = array.reshape(-1, 3)
    if array.ndim == 2 and array.shape[0] == 3 and array.shape[1] > 3:
        array = array.T
        notes.append("the array is (3, n): read as n points")
    if array.ndim != 2 or array.shape[1] < 3:
        raise problem(path, f"holds an array of shape {array.shape}", "save (n, 3) points")
    return _Raw(array[:, :3], notes=notes)


_READERS: dict[str, Callable[[bytes, Path], Any]] = {
    ".ply": _read_ply,
    ".obj": _read_obj,
    ".stl": _read_stl,
    ".off": _read_off,
    ".xyz": _read_table,
    ".asc": _read_table,
    ".txt": _read_table,
    ".csv": _read_table,
    ".pts": _read_table,
    ".pcd": _read_pcd,
    ".glb": _read_gltf,
    ".gltf": _read_gltf,
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".las": _read_las,
    ".laz": _read_las,
    ".e57": _read_e57,
    **dict.fromkeys(meshlab.SUFFIXES, _read_meshlab),
}
SCAN_SUFFIXES = tuple(_READERS)
