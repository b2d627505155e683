"""What laser scanners export: LAS and LAZ through laspy, E57 through pye57, both optional.

These two formats have libraries that are kept up by people who know them. They are imported when a
file asks for them; posetx works without.
"""

from __future__ import annotations

import importlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from posetx.errors import MissingError
from posetx.files.checks import only_posetx_errors, problem, truncated
from posetx.files.raw import Raw

#: Points of a LAS file that are unpacked at once.
CHUNK = 1_000_000


#: Bytes of a variable length record of a LAS header, at least.
SMALLEST_RECORD = 54
#: Points that a byte of a LAZ file can hold, at most.
MOST_PACKED = 20
#: Bytes of a chunk of a LAZ file, at least: its first point is not compressed.
SMALLEST_CHUNK = 20


@dataclass
class Survey:
    """Points (n, 3) float64 with all their digits; colours (n, 3) from 0 to 1, or None."""

    points: np.ndarray
    colours: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)


def library(name: str, path: Path) -> Any:
    """The optional library that reads `path`; MissingError if it is not installed or broken."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        suffix = path.suffix[1:].upper()
        raise MissingError(
            f"{path}: {suffix} files need {name}, which is not installed ({error}); "
            "pip install 'posetx[scanners]', or export it as PLY"
        ) from None


def decode_las(data: bytes, path: Path) -> Survey:
    """Points and colours of a LAS or LAZ file; `path` is for messages."""
    laspy = library("laspy", path)
    if data[:4] != b"LASF":
        raise problem(path, "does not begin with 'LASF'", "check that it is a LAS or LAZ file")
    with only_posetx_errors(path, "LAS"), no_panic():
        _believable(data, path)
        if data[104:105] >= b"\x80":  # the mark of LAZ
            library("lazrs", path)
        points, colours = [], []
        # Records after the points are not needed, and their count may lie.
        with laspy.open(io.BytesIO(data), read_evlrs=False) as reader:
            header = reader.header
            coloured = {"red", "green", "blue"} <= set(header.point_format.dimension_names)
            count = header.point_count
            # In chunks: only what is wanted is kept, and a count that lies ends with the data.
            for chunk in reader.chunk_iterator(CHUNK):
                points.append(np.stack([chunk.x, chunk.y, chunk.z], axis=1))
                if coloured:
                    rgb = [np.asarray(chunk[c]) for c in ("red", "green", "blue")]
                    colours.append(np.stack(rgb, axis=1))
        found = sum(len(p) for p in points)
        if found < count:
            raise truncated(path, f"{found} of the {count} points that its header promises")
        if not points:
            raise problem(path, "has no points", "check that the scan was exported")
        return Survey(np.concatenate(points), _las_colours(colours))


def _believable(data: bytes, path: Path) -> None:
    """Refuse counts that the file has no room for: laspy walks to their end, lazrs aborts."""

    def number(begin: int, size: int = 4) -> int:
        return int.from_bytes(data[begin : begin + size], "little")

    records = number(100)
    if records * SMALLEST_RECORD > len(data):
        raise truncated(path, f"{records} header records do not fit into it")
    if data[104:105] < b"\x80":
        return
    # Sixfold is usual, so this leaves room; decoding points that are not there takes minutes.
    count = max(number(107), number(247, 8) if data[25] > 3 else 0)
    if count > MOST_PACKED * len(data):
        raise truncated(path, f"{count} points do not fit into it")
    points = number(96)
    table = number(points, 8)
    if table == 2**64 - 1:  # written at the end of the file instead, by programs that stream
        table = number(len(data) - 8, 8)
    if table < len(data) and number(table + 4) * SMALLEST_CHUNK > len(data):
        raise truncated(path, "its table of compressed chunks does not fit into it")


def _las_colours(chunks: list[np.ndarray]) -> np.ndarray | None:
    """0 to 1. The format says 16 bits, but many programs put 8 bits into them."""
    if not chunks:
        return None
    colours = np.concatenate(chunks)
    top = int(colours.max(initial=0))
    if not top:  # the fields are there and were never filled
        return None
    return colours / (255.0 if top <= 255 else 65535.0)


class no_panic:
    """Turns a panic of the Rust behind laspy, which is no Exception, into one."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: Any) -> None:
        if kind is not None and kind.__name__ == "PanicException":
            raise ValueError("the compressed points are damaged") from error


def decode_e57(path: Path) -> Survey:
    """Points and colours of all scans in an E57 file, each in its place."""
    pye57 = library("pye57", path)
    with only_posetx_errors(path, "E57"):
        with pye57.E57(str(path)) as file:
            count = file.scan_count
            scans = [
                file.read_scan(
                    i,
                    colors="colorRed" in file.get_header(i).point_fields,
                    ignore_missing_fields=True,
                )
                for i in range(count)
                if file.get_header(i).point_count
            ]
        if not scans:
            raise problem(path, "has no points", "check that the scan was exported")
        points = [np.stack([s[f"cartesian{c}"] for c in "XYZ"], axis=1) for s in scans]
        colours = None
        names = ("colorRed", "colorGreen", "colorBlue")
        if all(name in scan for scan in scans for name in names):
            values = np.concatenate([np.stack([s[n] for n in names], axis=1) for s in scans])
            colours = values / (255.0 if values.max(initial=0) <= 255 else 65535.0)
        notes = [f"{len(scans)} scans in one file: taken together"] if len(scans) > 1 else []
        return Survey(np.concatenate(points), colours, notes)


def scan(data: bytes, path: Path) -> Raw:
    """A LAS, LAZ or E57 file as a scan; the suffix says which."""
    # the library for E57 opens files by name alone
    survey = decode_e57(path) if path.suffix.lower() == ".e57" else decode_las(data, path)
    return Raw(survey.points, colors=survey.colours, notes=survey.notes)
