"""A PLY file's header: its elements, their properties, and where the rows begin."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from posetx.files.checks import problem, truncated

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "int64": "i8", "uint64": "u8",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
LARGEST_HEADER = 1 << 20  # bytes


@dataclass
class Property:
    """One column: `kind` is a numpy type; a list has a `count_kind`, too."""

    name: str
    kind: str
    count_kind: str | None = None


@dataclass
class Element:
    """One kind of row. After decoding, where its rows begin: a byte or, in ASCII, a token."""

    name: str
    count: int
    properties: list[Property] = field(default_factory=list)
    begin: int = 0
    # The rows when each has the same size: a structured array, or (count, tokens) in ASCII.
    rows: np.ndarray | None = None
    # Per list property: all entries one after another, int64 or float64, and how many each row has.
    lists: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    # Per scalar column of an ASCII file's rows with lists: its values.
    scalars: dict[str, np.ndarray] = field(default_factory=dict)

    def has(self, *names: str) -> bool:
        """Whether all of `names` are scalar columns."""
        return set(names) <= {p.name for p in self.properties if p.count_kind is None}

    def column_index(self, name: str) -> int:
        """Where a column stands in a row of tokens; only for rows without lists before it."""
        return [p.name for p in self.properties].index(name)

    def kind(self, name: str) -> str:
        """The numpy type of a column."""
        return self.properties[self.column_index(name)].kind

    def numbers(self, name: str) -> np.ndarray | None:
        """(count,) float64 of a scalar column; None without it, or where lists hide it."""
        if self.rows is not None and self.has(name):
            return self.columns(name)[:, 0]
        return self.scalars.get(name)

    def columns(self, *names: str) -> np.ndarray:
        """(count, k) float64: scalar columns side by side."""
        if self.rows is None:
            raise ValueError(f"element {self.name!r} has rows of different sizes")
        if self.rows.dtype.names:
            picked = [self.rows[name] for name in names]
        else:
            picked = [self.rows[:, self.column_index(name)] for name in names]
        table = np.empty((len(self.rows), len(names)))
        for place, column in enumerate(picked):
            table[:, place] = column
        return table


def read_header(data: bytes, path: Path) -> tuple[str, list[Element], int]:
    """The format, the elements, and the offset at which the rows begin."""
    begin = 3 if data.startswith(b"\xef\xbb\xbf") else 0  # a byte order mark
    if not data.startswith(b"ply", begin):
        raise problem(path, "does not begin with 'ply'", "check that it is a PLY file")
    ending = data[begin + 3 : begin + 5]
    ending = ending if ending == b"\r\n" else ending[:1]
    if ending not in (b"\n", b"\r", b"\r\n"):
        raise problem(path, "has a damaged PLY header", "export it again")
    at = data.find(b"end_header", 0, LARGEST_HEADER)
    if at < 0:
        raise truncated(path, "the PLY header has no end")
    lines = data[:at].decode("latin-1").split(ending.decode())
    body = at + len(b"end_header")
    stop = data.find(ending[-1:], body, body + 80)
    body = len(data) if stop < 0 else stop + 1

    kind = ""
    elements: list[Element] = []
    for line in lines[1:]:
        words = line.split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) > 1 and words[1] in ORDERS:
            kind = words[1]
        elif words[0] == "element" and len(words) == 3 and words[2].isdecimal():
            elements.append(Element(words[1].lower(), int(words[2])))
        elif words[0] == "property" and elements and _property(words) is not None:
            elements[-1].properties.append(_property(words))  # type: ignore[arg-type]
        else:
            raise problem(path, f"the PLY header holds {line[:60]!r}", "export it again")
    if not kind:
        raise problem(path, "the PLY header names no known format", "export it again")
    for element in elements:
        names = [p.name for p in element.properties]
        if len(set(names)) < len(names):
            raise problem(path, "the PLY header names a property twice", "export it again")
        if len({name.lower() for name in names}) == len(names):
            for prop in element.properties:
                prop.name = prop.name.lower()
    return kind, elements, body


def textures_named(header: bytes) -> list[str]:
    """The images that a header's comments name, as MeshLab and others write them."""
    lines = header.decode("utf-8", "replace").splitlines()
    words = [line.split(None, 2) for line in lines]
    return [w[2].strip() for w in words if len(w) == 3 and w[:2] == ["comment", "TextureFile"]]


def _property(words: list[str]) -> Property | None:
    if len(words) == 3 and words[1] in _TYPES:
        return Property(words[2], _TYPES[words[1]])
    if len(words) == 5 and words[1] == "list" and words[2] in _TYPES and words[3] in _TYPES:
        return Property(words[4], _TYPES[words[3]], _TYPES[words[2]])
    return None
