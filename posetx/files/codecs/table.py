"""Points as rows of numbers: XYZ, TXT, CSV, PTS; which column is what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posetx.files.checks import only_posetx_errors, problem
from posetx.files.codecs.tokens import (
    WHITESPACE,
    BadToken,
    Tokens,
    blocks,
    is_number,
    line_number,
)
from posetx.files.raw import Raw

MOST_BAD_LINES = 0.02  # share of lines that may have another number of columns, e.g. a cut end
_NUMBER_STARTS = b"0123456789+-.nNiI"
_COLOURS = (("red", "green", "blue"), ("r", "g", "b"), ("rf", "gf", "bf"))
_NORMALS = (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z"))


@dataclass
class Table:
    """Columns of a table of points: (n, 3) each; colours as 0 to 255 or 0 to 1."""

    points: np.ndarray
    normals: np.ndarray | None
    colours: np.ndarray | None
    notes: list[str]


def decode_table(data: bytes, path: Path) -> Table:
    """Decode a text table of points; `path` is for messages."""
    with only_posetx_errors(path, "a table of points"):
        if b"\0" in data[:4096]:
            raise problem(path, "is not a text file", "check the suffix")
        if b";" in data and b"," in data and b"." not in data:
            data = data.replace(b",", b".")  # decimal commas
        begin = 3 if data.startswith(b"\xef\xbb\xbf") else 0
        rows = _Rows()
        try:
            for start, end in blocks(data, begin):
                rows.add(Tokens(data, WHITESPACE + b",;", start, end), path)
        except BadToken as error:
            line = line_number(data, error.position)
            raise problem(path, f"line {line}: {error}", "repair or remove that line") from error
        return rows.table(path)


class _Rows:
    """The rows of numbers of a text that comes in blocks; the first one says how they look."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.width = 0
        self.odd = 0
        self.values: list[np.ndarray] = []

    def add(self, tokens: Tokens, path: Path) -> None:
        first, count = self._lines(tokens)
        if not len(first):
            return
        if not self.width:
            self.width = int(np.bincount(count).argmax())
            if self.width < 3:
                raise problem(path, f"has rows of {self.width} numbers", "a point needs x, y and z")
        like = count == self.width
        self.odd += int((~like).sum())
        each = (first[like][:, None] + np.arange(self.width)).ravel()
        values = tokens.floats(tokens.starts[each], tokens.ends[each])
        self.values.append(values.reshape(-1, self.width))

    def _lines(self, tokens: Tokens) -> tuple[np.ndarray, np.ndarray]:
        """First tokens and token counts of the lines with numbers; names are noted."""
        first, count = tokens.line_first, tokens.line_count
        start = tokens.bytes[tokens.starts[first]] if len(first) else first
        numeric = np.isin(start, np.frombuffer(_NUMBER_STARTS, dtype=np.uint8))
        if self.values:
            return first[numeric], count[numeric]
        # A header word may start with n or i, too; a name is not a number.
        for line in np.flatnonzero(numeric)[:5]:
            numeric[line] = is_number(tokens.text(int(first[line])))
        self.names = _names(tokens, int(np.argmax(numeric)) if numeric.any() else 0)
        first, count = first[numeric], count[numeric]
        if len(first) and count[0] == 1 and (len(first) == 1 or count[1] > 1):
            first, count = first[1:], count[1:]  # PTS: the number of points comes first
        return first, count

    def table(self, path: Path) -> Table:
        if not self.values:
            raise problem(path, "has no points", "check that it holds rows of x y z")
        values = np.concatenate(self.values)
        lines = len(values) + self.odd
        notes = []
        if self.odd:
            if self.odd > 1 and self.odd > MOST_BAD_LINES * lines:
                raise problem(
                    path, f"{self.odd} of its {lines} rows differ in length", "export it again"
                )
            notes.append(f"{self.odd} rows that are not like the others were left out")
        points, normals, colours = _assign(values, self.names)
        return Table(points, normals, colours, notes)


def _names(tokens: Tokens, before: int) -> list[str]:
    """The column names in the header lines above line `before`; none when there are none."""
    for line in range(min(before, 20)):
        first, count = int(tokens.line_first[line]), int(tokens.line_count[line])
        words = [tokens.text(first + i).lower().strip("#/\"'") for i in range(min(count, 64))]
        words = [w for w in words if w]
        if {"x", "y", "z"} <= set(words):
            return words
    return []


def _assign(
    values: np.ndarray, names: list[str]
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Points, normals and colours among the columns of (n, k) `values`."""
    width = values.shape[1]
    if len(names) == width:
        return (
            values[:, [names.index(c) for c in "xyz"]],
            _named(values, names, _NORMALS),
            _named(values, names, _COLOURS),
        )
    points, normals, colours = values[:, :3], None, None
    # Without names: triples behind x y z (and behind one intensity) are told by their values.
    at = 3 if width in (6, 9, 12) else 4
    while at + 3 <= width:
        triple = values[:, at : at + 3]
        if colours is None and _like_colours(triple):
            colours = triple
        elif normals is None and _like_normals(triple):
            normals = triple
        at += 3
    return points, normals, colours


def _named(
    values: np.ndarray, names: list[str], choices: tuple[tuple[str, ...], ...]
) -> np.ndarray | None:
    for choice in choices:
        if set(choice) <= set(names):
            return values[:, [names.index(c) for c in choice]]
    return None


def _like_colours(triple: np.ndarray) -> bool:
    whole = (triple == np.round(triple)).all() and (triple >= 0).all() and (triple <= 255).all()
    return bool(whole and triple.max() > 1)


def _like_normals(triple: np.ndarray) -> bool:
    length = np.linalg.norm(triple, axis=1)
    return bool(np.mean(np.abs(length - 1) < 0.05) > 0.9)


def scan(data: bytes, path: Path) -> Raw:
    """A table of points as a scan."""
    table = decode_table(data, path)
    return Raw(table.points, table.normals, table.colours, None, table.notes)
