"""PCD, the point cloud format of PCL: ASCII, binary, and LZF-compressed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetx.files.checks import only_posetx_errors, problem, truncated
from posetx.files.codecs.tokens import BadToken, line_number, read_floats
from posetx.files.raw import Raw

LARGEST_HEADER = 1 << 16  # bytes
LZF_BEST_RATIO = 100  # no LZF stream expands more: at most 264 bytes from 3


def decode_pcd(data: bytes, path: Path) -> dict[str, np.ndarray]:
    """The fields of a PCD file by name, each (n,); of fields with several values, the first."""
    with only_posetx_errors(path, "PCD"):
        header, body = _header(data, path)
        try:
            fields = [name.lower() for name in header["FIELDS"]]
            sizes = [int(s) for s in header["SIZE"]]
            counts = [int(c) for c in header.get("COUNT", ["1"] * len(fields))]
            points = int((header.get("POINTS") or [_area(header)])[0])
            row = [
                (f"{i}", f"<{_kind(letter)}{size}", (count,))
                for i, (letter, size, count) in enumerate(
                    zip(header["TYPE"], sizes, counts, strict=True)
                )
            ]
            kind = header["DATA"][0].lower()
        except (KeyError, ValueError, IndexError) as error:
            raise problem(path, "has a damaged PCD header", "export it again") from error
        if len(fields) != len(row) or points < 0 or min(counts) < 1:
            raise problem(path, "has a damaged PCD header", "export it again")
        dtype = np.dtype(row)
        if kind == "ascii":
            columns = _ascii(data, body, points, counts, path)
        elif kind == "binary":
            if points * dtype.itemsize > len(data) - body:
                raise truncated(path, f"it ends before the {points} points that it announces")
            rows = np.frombuffer(data, dtype, points, body)
            columns = [rows[name][:, 0] for name in dtype.names or ()]
        elif kind == "binary_compressed":
            columns = _compressed(data, body, points, dtype, path)
        else:
            raise problem(path, f"has PCD data of kind {kind[:20]!r}", "export it as binary")
        return dict(zip(fields, columns, strict=True))


def _header(data: bytes, path: Path) -> tuple[dict[str, list[str]], int]:
    header: dict[str, list[str]] = {}
    at = 0
    while at < min(len(data), LARGEST_HEADER):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        words = data[at:end].decode("latin-1").split()
        at = end + 1
        if words and not words[0].startswith("#"):
            header[words[0].upper()] = words[1:]
            if words[0].upper() == "DATA":
                return header, min(at, len(data))
    raise truncated(path, "the PCD header has no DATA line")


def _area(header: dict[str, list[str]]) -> str:
    return str(int(header["WIDTH"][0]) * int(header["HEIGHT"][0]))


def _kind(letter: str) -> str:
    return {"F": "f", "I": "i", "U": "u"}[letter.upper()]


def _ascii(data: bytes, body: int, points: int, counts: list[int], path: Path) -> list[np.ndarray]:
    width = sum(counts)
    try:
        values = read_floats(data, body)
    except BadToken as error:
        line = line_number(data, error.position)
        raise problem(path, f"line {line}: {error}", "export it again") from error
    if points * width > len(values):
        raise truncated(path, f"it ends before the {points} points that it announces")
    values = values[: points * width].reshape(points, width)
    first = np.cumsum(counts) - counts
    return [values[:, i] for i in first]


def _compressed(
    data: bytes, body: int, points: int, dtype: np.dtype, path: Path
) -> list[np.ndarray]:
    """Fields lie one after another: all x, then all y, ..."""
    if len(data) - body < 8:
        raise truncated(path, "it ends before its points")
    packed, size = np.frombuffer(data, "<u4", 2, body).tolist()
    if packed > len(data) - body - 8 or size > packed * LZF_BEST_RATIO:
        raise truncated(path, "its compressed block is not whole")
    if points * dtype.itemsize > size:
        raise truncated(path, f"it ends before the {points} points that it announces")
    raw = _lzf(data[body + 8 : body + 8 + packed], size)
    if len(raw) != size:
        raise truncated(path, "its compressed block is damaged")
    columns, at = [], 0
    for name in dtype.names or ():
        field = dtype[name]
        columns.append(np.frombuffer(raw, field, points, at)[:, 0])
        at += field.itemsize * points
    return columns


def _lzf(packed: bytes, size: int) -> bytearray:
    """LibLZF: runs of literals, and references to what was already written."""
    out = bytearray()
    at, end = 0, len(packed)
    while at < end and len(out) <= size:
        control = packed[at]
        at += 1
        if control < 32:
            out += packed[at : at + control + 1]
            at += control + 1
            continue
        length = control >> 5
        if length == 7:
            length += packed[at]
            at += 1
        begin = len(out) - ((control & 31) << 8) - packed[at] - 1
        at += 1
        length += 2
        if begin < 0:
            break
        if begin + length <= len(out):
            out += out[begin : begin + length]
        else:  # the reference overlaps what it writes: the pattern repeats
            pattern = out[begin:]
            out += (pattern * (length // len(pattern) + 1))[:length]
    return out


def scan(data: bytes, path: Path) -> Raw:
    """A PCD file as a scan."""
    fields = decode_pcd(data, path)
    if not {"x", "y", "z"} <= set(fields):
        raise problem(path, "has no fields x, y and z", "export it again")
    raw = Raw(np.stack([fields[c] for c in "xyz"], axis=1))
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
