"""PLY: header, scalar columns of any element, and polygon lists; ASCII and both binary orders."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from posetx.files.checks import only_posetx_errors, problem, truncated
from posetx.files.codecs.polygons import fan, strip
from posetx.files.codecs.tokens import BadToken, Tokens, line_number, read_floats

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
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
    # Per list property: all entries one after another, and how many each row has.
    lists: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def has(self, *names: str) -> bool:
        """Whether all of `names` are scalar columns."""
        return set(names) <= {p.name for p in self.properties if p.count_kind is None}

    def column_index(self, name: str) -> int:
        """Where a column stands in a row of tokens; only for rows without lists before it."""
        return [p.name for p in self.properties].index(name)

    def kind(self, name: str) -> str:
        """The numpy type of a column."""
        return self.properties[self.column_index(name)].kind

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


@dataclass
class Ply:
    """A PLY file, decoded; its rows begin at the byte `body`."""

    data: bytes
    format: str
    elements: list[Element]
    body: int

    @cached_property
    def tokens(self) -> Tokens:
        """Those of the rows of an ASCII file: where each number stands."""
        return Tokens(self.data, begin=self.body)

    def element(self, name: str) -> Element | None:
        """The element called `name`, if there is one."""
        return next((e for e in self.elements if e.name == name), None)

    def polygons(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners (c,) int64 and corner counts (p,) of the faces; strips come as triangles."""
        face = self.element("face")
        for name in ("vertex_indices", "vertex_index"):
            if face is not None and name in face.lists:
                return face.lists[name]
        strips = self.element("tristrips")
        for name in ("vertex_indices", "vertex_index"):
            if strips is not None and name in strips.lists:
                corners, counts = strips.lists[name]
                ends = np.cumsum(counts)
                triangles = strip(np.insert(corners, ends, -1))
                return triangles.ravel(), np.full(len(triangles), 3)
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)

    def triangles(self) -> np.ndarray:
        """(m, 3) int64 faces, polygons as fans."""
        corners, counts = self.polygons()
        triangles: np.ndarray = corners[fan(corners, counts)]
        return triangles


def decode_ply(data: bytes, path: Path) -> Ply:
    """Decode the bytes of a PLY file; `path` is for messages.

    The `vertex` element always has `rows` and the columns x, y, z.
    """
    with only_posetx_errors(path, "PLY"):
        kind, elements, body = _header(data, path)
        if kind == "ascii":
            _read_ascii(data, body, elements, path)
        else:
            _read_binary(data, body, elements, _ORDERS[kind], path)
        vertex = next((e for e in elements if e.name == "vertex"), None)
        if vertex is None or not vertex.has("x", "y", "z"):
            raise problem(path, "has no vertices with x, y and z", "export it again")
        if vertex.rows is None:
            raise problem(
                path,
                "its vertices hold lists of different lengths",
                "export it again without per-vertex lists",
            )
        return Ply(data, kind, elements, body)


def _header(data: bytes, path: Path) -> tuple[str, list[Element], int]:
    """The format, the elements, and the offset at which the rows begin."""
    if not data.startswith(b"ply"):
        raise problem(path, "does not begin with 'ply'", "check that it is a PLY file")
    ending = b"\r\n" if data[3:5] == b"\r\n" else data[3:4]
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
        if words[0] == "format" and len(words) > 1 and words[1] in _ORDERS:
            kind = words[1]
        elif words[0] == "element" and len(words) == 3 and words[2].isdecimal():
            elements.append(Element(words[1], int(words[2])))
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
    return kind, elements, body


def _property(words: list[str]) -> Property | None:
    if len(words) == 3 and words[1] in _TYPES:
        return Property(words[2], _TYPES[words[1]])
    if len(words) == 5 and words[1] == "list" and words[2] in _TYPES and words[3] in _TYPES:
        return Property(words[4], _TYPES[words[3]], _TYPES[words[2]])
    return None


def _too_short(path: Path, element: Element) -> Exception:
    return truncated(
        path, f"it ends before the {element.count} {element.name!r} rows that its header promises"
    )


# --- binary ---------------------------------------------------------------------------------


def _read_binary(data: bytes, begin: int, elements: list[Element], order: str, path: Path) -> None:
    at = begin
    for element in elements:
        element.begin = at
        smallest = sum(np.dtype(p.count_kind or p.kind).itemsize for p in element.properties)
        if element.count * smallest > len(data) - at:
            raise _too_short(path, element)
        if not element.properties or not element.count:
            element.rows = (
                np.zeros(0, dtype=_row_type(element, [], order)) if (element.count == 0) else None
            )
            _empty_lists(element)
            continue
        at = _uniform_rows(data, at, element, order) or _ragged_rows(data, at, element, order, path)


def _empty_lists(element: Element) -> None:
    for prop in element.properties:
        if prop.count_kind is not None:
            nothing = np.zeros(0, dtype=np.int64)
            element.lists[prop.name] = (nothing, nothing)


def _row_type(element: Element, sizes: list[int], order: str) -> np.dtype:
    """A row whose lists have `sizes`; the field '#name' is the count before a list."""
    fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
    left = list(sizes)
    for prop in element.properties:
        if prop.count_kind is None:
            fields.append((prop.name, order + prop.kind))
        else:
            size = left.pop(0) if left else 0
            fields.append(("#" + prop.name, order + prop.count_kind))
            fields.append((prop.name, order + prop.kind, (size,)))
    return np.dtype(fields)


def _uniform_rows(data: bytes, at: int, element: Element, order: str) -> int:
    """Read rows that are all like the first; the offset behind them, or 0 if they are not."""
    sizes: list[int] = []
    cursor = at
    for prop in element.properties:
        item = np.dtype(order + prop.kind).itemsize
        if prop.count_kind is None:
            cursor += item
            continue
        count_type = np.dtype(order + prop.count_kind)
        if cursor + count_type.itemsize > len(data):
            return 0
        size = int(np.frombuffer(data, count_type, 1, cursor)[0])
        cursor += count_type.itemsize + size * item
        if size < 0 or cursor > len(data):
            return 0
        sizes.append(size)
    row = _row_type(element, sizes, order)
    if row.itemsize * element.count > len(data) - at:
        return 0
    rows = np.frombuffer(data, row, element.count, at)
    lists = [p for p in element.properties if p.count_kind is not None]
    for prop, size in zip(lists, sizes, strict=True):
        if (rows["#" + prop.name] != size).any():
            return 0
        entries = rows[prop.name].astype(np.int64).ravel()
        element.lists[prop.name] = (entries, np.full(element.count, size))
    element.rows = rows
    return at + row.itemsize * element.count


def _ragged_rows(data: bytes, at: int, element: Element, order: str, path: Path) -> int:
    """Walk rows with lists of different lengths; return the offset behind them."""
    lists = [p for p in element.properties if p.count_kind is not None]
    if not lists:
        raise _too_short(path, element)
    # What to do per row: skip so many bytes, then read a count and skip its entries.
    steps: list[tuple[int, int, bool, int]] = []
    skip = 0
    for prop in element.properties:
        item = np.dtype(prop.kind).itemsize
        if prop.count_kind is None:
            skip += item
        else:
            width = np.dtype(prop.count_kind).itemsize
            steps.append((skip, width, prop.count_kind[0] == "i", item))
            skip = 0
    if any(p.count_kind is not None and p.count_kind[0] == "f" for p in lists):
        raise problem(path, "counts list entries with fractions", "export it again")
    byteorder = "big" if order == ">" else "little"
    places: list[list[int]] = [[] for _ in lists]
    counts: list[list[int]] = [[] for _ in lists]
    end = len(data)
    for _ in range(element.count):
        for which, (before, width, signed, item) in enumerate(steps):
            at += before
            size = int.from_bytes(data[at : at + width], byteorder, signed=signed)  # type: ignore[arg-type]
            at += width
            places[which].append(at)
            counts[which].append(size)
            at += size * item
            if size < 0 or at > end:
                raise _too_short(path, element)
        at += skip
    if at > end:
        raise _too_short(path, element)
    raw = np.frombuffer(data, dtype=np.uint8)
    for which, prop in enumerate(lists):
        kind = np.dtype(order + prop.kind)
        element.lists[prop.name] = _gather(
            raw, np.array(places[which]), np.array(counts[which]), kind
        )
    return at


def _gather(
    raw: np.ndarray, places: np.ndarray, counts: np.ndarray, kind: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """Entries of lists that start at byte `places`: flat int64, and the counts."""
    total = int(counts.sum())
    starts = np.cumsum(counts) - counts
    flat = np.zeros(total, dtype=np.int64)
    for size in np.unique(counts[counts > 0]).tolist():
        rows = np.flatnonzero(counts == size)
        at = places[rows][:, None] + np.arange(size * kind.itemsize)
        values = raw[at].view(kind)
        flat[starts[rows][:, None] + np.arange(size)] = values
    return flat, counts


# --- ASCII ----------------------------------------------------------------------------------


def _read_ascii(data: bytes, begin: int, elements: list[Element], path: Path) -> None:
    try:
        values = read_floats(data, begin)
    except BadToken as error:
        line = line_number(data, error.position)
        raise problem(path, f"line {line}: {error}", "export it again") from error
    at = 0
    for element in elements:
        element.begin = at
        width = len(element.properties)
        if element.count * width > len(values) - at:
            raise _too_short(path, element)
        if not element.count or not width:
            element.rows = np.zeros((0, width)) if not element.count else None
            _empty_lists(element)
            continue
        if all(p.count_kind is None for p in element.properties):
            end = at + element.count * width
            element.rows = values[at:end].reshape(-1, width)
            at = end
        else:
            at = _ascii_lists(values, at, element, path)


def _ascii_lists(values: np.ndarray, at: int, element: Element, path: Path) -> int:
    """Read rows with lists; return the token behind them."""
    first = element.properties[0]
    size = int(values[at])
    width = size + len(element.properties)
    table = values[at : at + element.count * width]
    only_list = first.count_kind is not None and all(
        p.count_kind is None for p in element.properties[1:]
    )
    if only_list and size >= 0 and len(table) == element.count * width:
        table = table.reshape(-1, width)
        if (table[:, 0] == size).all():
            entries = table[:, 1 : 1 + size].astype(np.int64).ravel()
            element.lists[first.name] = (entries, np.full(element.count, size))
            return at + element.count * width
    return _ascii_ragged(values, at, element, path)


def _ascii_ragged(values: np.ndarray, at: int, element: Element, path: Path) -> int:
    row = values[at:].tolist()
    cursor, end = 0, len(row)
    entries: dict[str, list[float]] = {p.name: [] for p in element.properties if p.count_kind}
    counts: dict[str, list[int]] = {name: [] for name in entries}
    for _ in range(element.count):
        for prop in element.properties:
            if cursor >= end:
                raise _too_short(path, element)
            if prop.count_kind is None:
                cursor += 1
                continue
            size = int(row[cursor])
            cursor += 1
            if size < 0 or size > end - cursor:
                raise _too_short(path, element)
            entries[prop.name].extend(row[cursor : cursor + size])
            counts[prop.name].append(size)
            cursor += size
    for name, flat in entries.items():
        element.lists[name] = (
            np.array(flat, dtype=np.float64).astype(np.int64),
            np.array(counts[name], dtype=np.int64),
        )
    return at + cursor
