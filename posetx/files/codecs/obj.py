"""Wavefront OBJ: where the numbers of `v`, `vn` and `f` lines stand, and what they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posetx.files.checks import only_posetx_errors, problem
from posetx.files.codecs.polygons import fan
from posetx.files.codecs.tokens import BadToken, Tokens, line_number
from posetx.files.raw import Raw

SLASH = ord("/")
#: A comment, or a line that goes on. A comment may well end in a backslash: a Windows path. It
#: continues nowhere.
_CONTINUED = re.compile(rb"(?:^|(?<=[\r\n]))[ \t]*#[^\r\n]*|\\(?:\r\n|\n|\r)")
NO_NORMAL = -1


@dataclass
class ObjText:
    """An OBJ file, decoded.

    Attributes
    ----------
    data : bytes
        the file as it is
    vertices : (n, 3) float64
    vertex_starts, vertex_ends : (n,) int64
        byte range from the first digit of x to the last of z of each `v` line
    vertex_extras : (n, e) float64 or None
        the values after z, when every `v` line has the same number of them
    normals, normal_starts, normal_ends
        the same for `vn` lines; (k, 3) and (k,)
    faces, face_normals : (m, 3) int64
        triangles as indices of `v` and `vn`; -1 where a corner has no (or no such) normal
    polygon_sizes : (p,) int64
        corners of each `f` line
    object_starts, object_ends : (o,) int64
        byte range of the name of each object, or of each group in a file without objects
    face_object : (m,) int64
        which of them each triangle is of; -1 before the first
    libraries : list of str
        the names after `mtllib`
    has_uv, has_materials : bool
    """

    data: bytes
    vertices: np.ndarray
    vertex_starts: np.ndarray
    vertex_ends: np.ndarray
    vertex_extras: np.ndarray | None
    normals: np.ndarray
    normal_starts: np.ndarray
    normal_ends: np.ndarray
    faces: np.ndarray
    face_normals: np.ndarray
    polygon_sizes: np.ndarray
    object_starts: np.ndarray
    object_ends: np.ndarray
    face_object: np.ndarray
    libraries: list[str]
    has_uv: bool
    has_materials: bool


def decode_obj(data: bytes, path: Path) -> ObjText:
    """Decode the bytes of an OBJ file; `path` is for messages."""
    with only_posetx_errors(path, "OBJ"):
        if b"\0" in data[:4096]:
            raise problem(path, "is not a text file, as an OBJ must be", "export it again")
        begin = 3 if data.startswith(b"\xef\xbb\xbf") else 0
        tokens = Tokens(join_continued_lines(data), begin=begin)
        try:
            return _decode(data, tokens, path)
        except BadToken as error:
            line = line_number(tokens.data, error.position)
            raise problem(
                path, f"line {line}: {error}", "repair that line or export it again"
            ) from error


def join_continued_lines(data: bytes) -> bytes:
    """The text with each backslash-newline as spaces, so that all offsets stay."""
    if b"\\\n" not in data and b"\\\r" not in data:
        return data
    return _CONTINUED.sub(lambda m: m[0] if b"#" in m[0] else b" " * len(m[0]), data)


def _decode(data: bytes, tokens: Tokens, path: Path) -> ObjText:
    v_lines = tokens.lines_starting_with(b"v")
    v_first = tokens.line_first[v_lines]
    vertices, v_starts, v_ends = _triples(tokens, v_lines, "v", path)
    normals, n_starts, n_ends = _triples(tokens, tokens.lines_starting_with(b"vn"), "vn", path)

    f_lines = tokens.lines_starting_with(b"f")
    counts = tokens.line_count[f_lines] - 1
    f_first = tokens.line_first[f_lines]
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    corner = np.repeat(f_first + 1, counts) + place
    starts, ends = tokens.starts[corner], tokens.ends[corner]
    # A corner is v, v/vt, v//vn or v/vt/vn.
    slashes = np.append(np.flatnonzero(tokens.bytes == SLASH), [len(data), len(data)])
    which = np.searchsorted(slashes, starts)
    v_stop = np.minimum(slashes[which], ends)
    second = slashes[np.minimum(which + 1, len(slashes) - 1)]
    with_normal = second + 1 < ends
    has_uv = bool((v_stop + 1 < np.minimum(second, ends)).any())

    indices = tokens.integers(starts, v_stop)
    before = np.searchsorted(v_first, f_first)  # how many v lines precede each face
    indices = _from_zero(indices, np.repeat(before, counts))
    _check_indices(indices, len(vertices), tokens, starts, path)

    normal_indices = np.full(len(indices), NO_NORMAL, dtype=np.int64)
    if with_normal.any() and len(normals):
        given = tokens.integers(second[with_normal] + 1, ends[with_normal])
        n_before = np.searchsorted(n_starts, tokens.starts[f_first])
        given = _from_zero(given, np.repeat(n_before, counts)[with_normal])
        given[(given < 0) | (given >= len(normals))] = NO_NORMAL
        normal_indices[with_normal] = given

    triangles = fan(indices, counts)
    object_lines = tokens.lines_starting_with(b"o")
    if not len(object_lines):
        object_lines = tokens.lines_starting_with(b"g")
    object_first, object_counts = tokens.line_first[object_lines], tokens.line_count[object_lines]
    face_object = np.searchsorted(object_first, f_first) - 1
    library_lines = tokens.lines_starting_with(b"mtllib")
    return ObjText(
        data=data,
        vertices=vertices,
        vertex_starts=v_starts,
        vertex_ends=v_ends,
        vertex_extras=_extras(tokens, v_lines),
        normals=normals,
        normal_starts=n_starts,
        normal_ends=n_ends,
        faces=indices[triangles],
        face_normals=normal_indices[triangles],
        polygon_sizes=counts,
        object_starts=tokens.ends[object_first],
        object_ends=tokens.ends[object_first + object_counts - 1],
        face_object=np.repeat(face_object, np.maximum(counts - 2, 0)),
        libraries=[_rest_of_line(tokens, int(line)) for line in library_lines],
        has_uv=has_uv,
        has_materials=len(library_lines) > 0,
    )


def _triples(
    tokens: Tokens, lines: np.ndarray, word: str, path: Path
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three numbers after the first word of `lines`, (n, 3), and their byte ranges, (n,)."""
    first = tokens.line_first[lines]
    short = np.flatnonzero(tokens.line_count[lines] < 4)
    if len(short):
        line = line_number(tokens.data, int(tokens.starts[first[short[0]]]))
        raise problem(
            path,
            f"line {line}: a {word!r} line needs three numbers",
            "the file may be cut off; export it again",
        )
    each = (first[:, None] + np.arange(1, 4)).ravel()
    values = tokens.floats(tokens.starts[each], tokens.ends[each]).reshape(-1, 3)
    return values, tokens.starts[first + 1], tokens.ends[first + 3]


def _extras(tokens: Tokens, lines: np.ndarray) -> np.ndarray | None:
    """What follows x, y and z: (n, e), e.g. colours or w."""
    counts = tokens.line_count[lines]
    if not len(counts) or counts.min() != counts.max() or counts[0] < 5:
        return None
    each = (tokens.line_first[lines][:, None] + np.arange(4, counts[0])).ravel()
    try:
        values = tokens.floats(tokens.starts[each], tokens.ends[each])
    except BadToken:  # nothing that anybody needs: it stays in the file as it is
        return None
    return values.reshape(len(lines), -1)


def _from_zero(indices: np.ndarray, before: np.ndarray) -> np.ndarray:
    """OBJ counts from 1, or with negative numbers back from the current line."""
    return np.where(indices < 0, indices + before, indices - 1)


def _check_indices(
    indices: np.ndarray, n: int, tokens: Tokens, starts: np.ndarray, path: Path
) -> None:
    wrong = np.flatnonzero((indices < 0) | (indices >= n))
    if len(wrong):
        line = line_number(tokens.data, int(starts[wrong[0]]))
        raise problem(
            path,
            f"line {line}: a face names a vertex that is not among the {n} in the file",
            "the file may be cut off; export it again",
        )


def _rest_of_line(tokens: Tokens, line: int) -> str:
    """What follows the first word; a file name may hold spaces."""
    first, count = int(tokens.line_first[line]), int(tokens.line_count[line])
    if count < 2:
        return ""
    begin, end = tokens.starts[first + 1], tokens.ends[first + count - 1]
    return tokens.data[begin:end].decode("utf-8", "replace")


def scan(data: bytes, path: Path) -> Raw:
    """An OBJ file as a scan."""
    text = decode_obj(data, path)
    raw = Raw(text.vertices, faces=text.faces)
    # Normals are per corner; only when they pair with the vertices are they per point.
    paired = not len(text.faces) or (text.faces == text.face_normals).all()
    if len(text.normals) == len(text.vertices) and paired:
        raw.normals = text.normals
    if text.vertex_extras is not None and text.vertex_extras.shape[1] >= 3:
        raw.colors = text.vertex_extras[:, :3]
    return raw
