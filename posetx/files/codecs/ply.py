"""PLY: header, scalar columns of any element, and polygon lists; ASCII and both binary orders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from posetx.files.checks import only_posetx_errors, problem, truncated
from posetx.files.codecs.ply_header import ORDERS, Element, Property, read_header, textures_named
from posetx.files.codecs.polygons import fan, strip
from posetx.files.codecs.tokens import BadToken, Tokens, line_number, read_floats
from posetx.files.raw import Raw


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

    @cached_property
    def textures(self) -> list[str]:
        """The images that it names."""
        return textures_named(self.data[: self.body])

    def element(self, name: str) -> Element | None:
        """The element called `name`, if there is one."""
        return next((e for e in self.elements if e.name == name), None)

    def polygons(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners (c,) int64 and corner counts (p,) of the faces; strips come as triangles."""
        face = self.element("face")
        for name in ("vertex_indices", "vertex_index"):
            if face is not None and name in face.lists:
                corners, counts = face.lists[name]
                return corners.astype(np.int64, copy=False), counts
        strips = self.element("tristrips")
        for name in ("vertex_indices", "vertex_index"):
            if strips is not None and name in strips.lists:
                corners, counts = strips.lists[name]
                corners = corners.astype(np.int64, copy=False)
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
        kind, elements, body = read_header(data, path)
        if kind == "ascii":
            _read_ascii(data, body, elements, path)
        else:
            _read_binary(data, body, elements, ORDERS[kind], path)
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


def _wide(prop: Property) -> np.dtype:
    """What a list's entries are kept as."""
    return np.dtype(np.float64 if prop.kind[0] == "f" else np.int64)


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
        entries = rows[prop.name].astype(_wide(prop)).ravel()
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
            raw, np.array(places[which]), np.array(counts[which]), kind, _wide(prop)
        )
    return at


def _gather(
    raw: np.ndarray, places: np.ndarray, counts: np.ndarray, kind: np.dtype, wide: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """Entries of lists that start at byte `places`: flat and `wide`, and the counts."""
    total = int(counts.sum())
    starts = np.cumsum(counts) - counts
    flat = np.zeros(total, dtype=wide)
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
            entries = table[:, 1 : 1 + size].astype(_wide(first)).ravel()
            element.lists[first.name] = (entries, np.full(element.count, size))
            for place, prop in enumerate(element.properties[1:], 1 + size):
                element.scalars[prop.name] = table[:, place]
            return at + element.count * width
    return _ascii_ragged(values, at, element, path)


def _ascii_ragged(values: np.ndarray, at: int, element: Element, path: Path) -> int:
    row = values[at:].tolist()
    cursor, end = 0, len(row)
    entries: dict[str, list[float]] = {p.name: [] for p in element.properties if p.count_kind}
    counts: dict[str, list[int]] = {name: [] for name in entries}
    scalars: dict[str, list[float]] = {
        p.name: [] for p in element.properties if p.count_kind is None
    }
    for _ in range(element.count):
        for prop in element.properties:
            if cursor >= end:
                raise _too_short(path, element)
            if prop.count_kind is None:
                scalars[prop.name].append(row[cursor])
                cursor += 1
                continue
            size = int(row[cursor])
            cursor += 1
            if size < 0 or size > end - cursor:
                raise _too_short(path, element)
            entries[prop.name].extend(row[cursor : cursor + size])
            counts[prop.name].append(size)
            cursor += size
    for prop in element.properties:
        if prop.count_kind is None:
            element.scalars[prop.name] = np.array(scalars[prop.name])
            continue
        flat = np.array(entries[prop.name], dtype=np.float64).astype(_wide(prop))
        element.lists[prop.name] = flat, np.array(counts[prop.name], dtype=np.int64)
    return at + cursor


def scan(data: bytes, path: Path) -> Raw:
    """A PLY file as a scan: the vertices, whatever their colours are called."""
    ply = decode_ply(data, path)
    vertex = ply.element("vertex")
    assert vertex is not None  # decode_ply sees to it
    raw = Raw(vertex.columns("x", "y", "z"), faces=ply.triangles())
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
