"""STL, binary and ASCII: three corners and a normal per triangle, no shared vertices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posetx.files.checks import only_posetx_errors, problem, truncated
from posetx.files.codecs.tokens import BadToken, Tokens, line_number
from posetx.files.raw import Raw
from posetx.geometry.mesh import weld

HEADER = 84  # bytes: 80 of free text, then the number of triangles
ROW = np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


@dataclass
class Stl:
    """An STL file, decoded.

    Attributes
    ----------
    data : bytes
    corners : (m, 3, 3) float64
        triangle, corner, coordinate
    normals : (m, 3) float64
        as stored; none, (0, 3), when an ASCII file lacks some
    rows : structured array or None
        the triangles of a binary file
    corner_ranges, normal_ranges : (k, 2) int64
        byte ranges of the numbers in an ASCII file
    """

    data: bytes
    corners: np.ndarray
    normals: np.ndarray
    rows: np.ndarray | None
    corner_ranges: np.ndarray
    normal_ranges: np.ndarray


def decode_stl(data: bytes, path: Path) -> Stl:
    """Decode the bytes of an STL file; `path` is for messages."""
    with only_posetx_errors(path, "STL"):
        count = int(np.frombuffer(data, "<u4", 1, 80)[0]) if len(data) >= HEADER else 0
        needed = HEADER + count * ROW.itemsize
        # Binary files may begin with "solid", too; the exact size decides.
        text = data[:512].lstrip().lower().startswith(b"solid") and b"\0" not in data[:512]
        if len(data) == needed or (not text and HEADER < needed < len(data)):
            return _binary(data, count)
        if text:
            return _ascii(data, path)
        raise truncated(path, f"{len(data)} bytes cannot hold the {count} triangles announced")


def _binary(data: bytes, count: int) -> Stl:
    rows = np.frombuffer(data, ROW, count, HEADER)
    nothing = np.zeros((0, 2), dtype=np.int64)
    corners, normals = rows["corners"].astype(np.float64), rows["normal"].astype(np.float64)
    return Stl(data, corners, normals, rows, nothing, nothing)


def _ascii(data: bytes, path: Path) -> Stl:
    tokens = Tokens(data.lower())
    corner_lines = tokens.lines_starting_with(b"vertex")
    facet_lines = tokens.lines_starting_with(b"facet")
    if len(corner_lines) % 3 or (tokens.line_count[corner_lines] < 4).any():
        raise truncated(path, "its last triangle is not complete")
    if not len(tokens.lines_starting_with(b"endsolid")):
        raise truncated(path, "the line 'endsolid' is missing")
    try:
        values, corner_ranges = _triples(tokens, tokens.line_first[corner_lines] + 1)
        normals, normal_ranges = np.zeros((0, 3)), np.zeros((0, 2), dtype=np.int64)
        complete = (tokens.line_count[facet_lines] >= 5).all()
        if len(facet_lines) * 3 == len(corner_lines) and complete:
            normals, normal_ranges = _triples(tokens, tokens.line_first[facet_lines] + 2)
    except BadToken as error:
        line = line_number(tokens.data, error.position)
        raise problem(path, f"line {line}: {error}", "export it again") from error
    return Stl(data, values.reshape(-1, 3, 3), normals, None, corner_ranges, normal_ranges)


def _triples(tokens: Tokens, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(k, 3) numbers from token `first` on, and their (k, 2) byte ranges."""
    each = (first[:, None] + np.arange(3)).ravel()
    values = tokens.floats(tokens.starts[each], tokens.ends[each]).reshape(-1, 3)
    return values, np.stack([tokens.starts[first], tokens.ends[first + 2]], axis=1)


def scan(data: bytes, path: Path) -> Raw:
    """A STL file as a scan: equal corners are joined."""
    corners = decode_stl(data, path).corners.reshape(-1, 3)
    first, place = weld(corners)
    return Raw(corners[first], faces=place.reshape(-1, 3))
