"""Scans written: PLY, OBJ, tables and NPZ, with what they can hold of normals, colours, faces."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetx.arrays import Indices
from posetx.errors import UsageError
from posetx.files.atomic import write_bytes_atomic
from posetx.files.codecs.tokens import position_format
from posetx.files.scans import Scan

#: Rows of a text file that are put together at once; the numbers as objects take memory.
ROWS = 200_000


def check_scan_suffix(path: Path) -> None:
    """Refuse an output whose suffix names no format that is written; call before the work starts.

    Raises
    ------
    UsageError
    """
    if path.suffix.lower() not in _ENCODERS:
        known = " ".join(_ENCODERS)
        raise UsageError(f"{path}: a scan is written as one of {known}; choose one of them")


def write_scan(path: Path, scan: Scan) -> list[str]:
    """Write a scan, whole or not at all; the suffix says in which format.

    Parameters
    ----------
    path : Path
        PLY (binary), OBJ, XYZ, TXT, CSV or NPZ; an existing file is replaced
    scan : Scan
        in the frame and unit that the file shall have

    Returns
    -------
    list of str
        what the format could not hold

    Raises
    ------
    UsageError
        the suffix is none of these
    PosetxError
        the file cannot be written
    """
    check_scan_suffix(path)
    suffix = path.suffix.lower()
    write_bytes_atomic(path, _ENCODERS[suffix](scan))
    if scan.faces is not None and suffix not in _WITH_FACES:
        return [f"{path}: holds the vertices alone; faces need one of {' '.join(_WITH_FACES)}"]
    return []


def encode_ply(
    vertices: NDArray[Any],
    faces: Indices | None = None,
    normals: NDArray[Any] | None = None,
    colors: NDArray[np.uint8] | None = None,
    scalars: Mapping[str, NDArray[Any]] | None = None,
) -> bytes:
    """A binary PLY file of vertices (V, 3) and, for a mesh, triangles (F, 3).

    Positions are single precision where that loses nothing, and double precision where it would:
    large offsets, as in surveyors' coordinates. Normals (V, 3) are single, colours (V, 3) bytes,
    ``scalars`` (V,) single properties of the vertices, by name.
    """
    kind = "<f4" if fits_single(vertices) else "<f8"
    real = "float" if kind == "<f4" else "double"
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property {real} {axis}" for axis in "xyz"]
    fields: list[tuple[str, str, int]] = [("position", kind, 3)]
    if normals is not None:
        header += [f"property float n{axis}" for axis in "xyz"]
        fields.append(("normal", "<f4", 3))
    if colors is not None:
        header += [f"property uchar {name}" for name in ("red", "green", "blue")]
        fields.append(("color", "u1", 3))
    scalars = scalars or {}
    header += [f"property float {name}" for name in scalars]
    fields += [(name, "<f4", 1) for name in scalars]
    points = np.empty(len(vertices), np.dtype(fields))
    columns = [values for values in (vertices, normals, colors) if values is not None]
    columns += [values[:, None] for values in scalars.values()]
    for (name, _, _), values in zip(fields, columns, strict=True):
        points[name] = values
    content = points.tobytes()
    if faces is not None:
        header += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
        rows = np.empty(len(faces), np.dtype([("count", "u1"), ("corners", "<i4", 3)]))
        rows["count"], rows["corners"] = 3, faces
        content += rows.tobytes()
    return "\n".join([*header, "end_header", ""]).encode("ascii") + content


def fits_single(values: NDArray[Any]) -> bool:
    """Whether single precision holds exactly these numbers."""
    with np.errstate(over="ignore"):
        return values.dtype == np.float32 or bool((np.asarray(values, np.float32) == values).all())


def _ply(scan: Scan) -> bytes:
    return encode_ply(scan.points, scan.faces, scan.normals, scan.colors)


def _table(separator: str, names: bool) -> Callable[[Scan], bytes]:
    """A function from a scan to rows of x y z, then normal, then colour."""

    def encode(scan: Scan) -> bytes:
        number = position_format(scan.points)
        columns, formats, header = [scan.points], [number] * 3, ["x", "y", "z"]
        if scan.normals is not None:
            columns.append(scan.normals)
            formats += ["%.6g"] * 3
            header += ["nx", "ny", "nz"]
        if scan.colors is not None:
            columns.append(scan.colors)
            formats += ["%d"] * 3
            header += ["red", "green", "blue"]
        head = separator.join(header) + "\n" if names else ""
        return (head + _rows(separator.join(formats), columns)).encode("ascii")

    return encode


def _obj(scan: Scan) -> bytes:
    """`v` lines with colours from 0 to 1 behind the position, `vn` lines one for each, faces."""
    number = position_format(scan.points)
    columns, line = [scan.points], "v " + " ".join([number] * 3)
    if scan.colors is not None:
        columns.append(scan.colors / 255.0)
        line += " %.6g" * 3
    lines = [_rows(line, columns)]
    if scan.normals is not None:
        lines.append(_rows("vn %.6g %.6g %.6g", [scan.normals]))
    if scan.faces is not None:
        corner = "%d//%d" if scan.normals is not None else "%d"
        corners = scan.faces + 1
        if scan.normals is not None:
            corners = np.repeat(corners, 2, axis=1)
        lines.append(_rows(f"f {corner} {corner} {corner}", [corners]))
    return "".join(lines).encode("ascii")


def _rows(line: str, columns: list[NDArray[Any]]) -> str:
    """A line of text for each row of the columns side by side."""
    pieces = []
    for begin in range(0, len(columns[0]), ROWS):
        rows = np.concatenate([c[begin : begin + ROWS] for c in columns], axis=1)
        pieces.append((f"{line}\n" * len(rows)) % tuple(rows.ravel().tolist()))
    return "".join(pieces)


def _npz(scan: Scan) -> bytes:
    arrays = {"points": scan.points, "normals": scan.normals, "colors": scan.colors}
    arrays["faces"] = scan.faces
    stream = io.BytesIO()
    np.savez(stream, **{name: array for name, array in arrays.items() if array is not None})  # type: ignore[arg-type]
    return stream.getvalue()


_ENCODERS: dict[str, Callable[[Scan], bytes]] = {
    ".ply": _ply,
    ".obj": _obj,
    ".xyz": _table(" ", names=False),
    ".txt": _table(" ", names=False),
    ".csv": _table(",", names=True),
    ".npz": _npz,
}
_WITH_FACES = (".ply", ".obj", ".npz")
