"""OFF (Geomview text): positions, polygons, and where the numbers stand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posetx.files.checks import only_posetx_errors, problem, truncated
from posetx.files.codecs.polygons import fan
from posetx.files.codecs.tokens import BadToken, Tokens, line_number
from posetx.files.raw import Raw

# Texture, colour and normal prefixes; 4D and nD files are no bodies.
_KEYWORD = re.compile(r"^(ST)?(C)?(N)?OFF$")


@dataclass
class Off:
    """An OFF file, decoded.

    Attributes
    ----------
    data : bytes
    vertices : (n, 3) float64
    starts, ends : (n,) int64
        byte range from x to z
    normal_starts, normal_ends : (n,) or (0,) int64
        the same for normals
    normals : (n, 3) or (0, 3) float64
    faces : (m, 3) int64
    sizes : (p,) int64
        corners of each polygon
    has_colours : bool
    """

    data: bytes
    vertices: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    normals: np.ndarray
    normal_starts: np.ndarray
    normal_ends: np.ndarray
    faces: np.ndarray
    sizes: np.ndarray
    has_colours: bool


def decode_off(data: bytes, path: Path) -> Off:
    """Decode the bytes of an OFF file; `path` is for messages."""
    with only_posetx_errors(path, "OFF"):
        tokens = Tokens(data)
        comment = tokens.bytes[tokens.starts[tokens.line_first]] == ord("#")
        first, count = tokens.line_first[~comment], tokens.line_count[~comment]
        try:
            return _decode(data, tokens, first, count, path)
        except BadToken as error:
            line = line_number(data, error.position)
            raise problem(path, f"line {line}: {error}", "export it again") from error


def _decode(data: bytes, tokens: Tokens, first: np.ndarray, count: np.ndarray, path: Path) -> Off:
    keyword = _KEYWORD.match(tokens.text(int(first[0])).upper()) if len(first) else None
    if keyword is None:
        raise problem(path, "does not begin with 'OFF'", "check that it is a text OFF file")
    # The counts may follow the keyword on its line.
    head, at = (1, 0) if count[0] > 1 else (0, 1)
    if at >= len(first) or count[at] - head < 2:
        raise truncated(path, "the line with the counts is missing")
    counts_at = int(first[at]) + head
    if tokens.text(counts_at).upper() == "BINARY":
        raise problem(path, "is a binary OFF", "export it as text OFF or as PLY")
    each = np.arange(counts_at, counts_at + 2)
    n, m = tokens.integers(tokens.starts[each], tokens.ends[each]).tolist()
    lines = len(first) - at - 1
    if n < 0 or m < 0 or n + m > lines:
        raise truncated(path, f"{lines} lines cannot hold {n} vertices and {m} faces")
    v_first, v_count = first[at + 1 : at + 1 + n], count[at + 1 : at + 1 + n]
    f_first, f_count = first[at + 1 + n : at + 1 + n + m], count[at + 1 + n : at + 1 + n + m]

    with_normals = keyword.group(3) is not None
    if n and v_count.min() < (6 if with_normals else 3):
        raise truncated(path, "a vertex line has too few numbers")
    vertices = _triples(tokens, v_first)
    normals = _triples(tokens, v_first + 3) if with_normals else np.zeros((0, 3))
    normal_first = v_first + 3 if with_normals else v_first[:0]

    sizes = tokens.integers(tokens.starts[f_first], tokens.ends[f_first])
    if m and ((sizes < 0).any() or (sizes + 1 > f_count).any()):
        raise truncated(path, "a face line has too few numbers")
    place = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    corner = np.repeat(f_first + 1, sizes) + place
    indices = tokens.integers(tokens.starts[corner], tokens.ends[corner])
    return Off(
        data=data,
        vertices=vertices,
        starts=tokens.starts[v_first],
        ends=tokens.ends[v_first + 2],
        normals=normals,
        normal_starts=tokens.starts[normal_first],
        normal_ends=tokens.ends[normal_first + 2],
        faces=indices[fan(indices, sizes)],
        sizes=sizes,
        has_colours=keyword.group(2) is not None,
    )


def _triples(tokens: Tokens, first: np.ndarray) -> np.ndarray:
    each = (first[:, None] + np.arange(3)).ravel()
    return tokens.floats(tokens.starts[each], tokens.ends[each]).reshape(-1, 3)


def scan(data: bytes, path: Path) -> Raw:
    """An OFF file as a scan."""
    off = decode_off(data, path)
    return Raw(off.vertices, off.normals if len(off.normals) else None, faces=off.faces)
