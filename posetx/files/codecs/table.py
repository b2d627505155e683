"""Points as rows of numbers: XYZ, ASC, TXT, CSV, PTS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posetx.files.checks import only_posetx_errors, problem
from posetx.files.codecs.columns import Columns, by_values, named, plain
from posetx.files.codecs.dialect import LOOK, Dialect, dialect_of
from posetx.files.codecs.tokens import BadToken, Tokens, blocks, is_number, line_number
from posetx.files.raw import Raw

MOST_BAD_LINES = 0.02  # share of lines that may have another number of columns, e.g. a cut end
MOST_HEADER_LINES = 40
_NUMBER_STARTS = b"0123456789+-.nNiI"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


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
        if data.startswith(_UTF_16):  # what spreadsheets call Unicode text
            data = data.decode("utf-16").encode()
        if b"\0" in data[:4096]:
            raise problem(path, "is not a text file", "check the suffix")
        begin = 3 if data.startswith(b"\xef\xbb\xbf") else 0
        dialect = dialect_of(data[begin:], path)
        header = _header(data[begin:], dialect)
        data = dialect.plain(data)
        rows = _Rows(header)
        try:
            for start, end in blocks(data, begin):
                rows.add(Tokens(data, dialect.separators, start, end), path)
        except BadToken as error:
            line = line_number(data, error.position)
            raise problem(path, f"line {line}: {error}", "repair or remove that line") from error
        return rows.table(path)


@dataclass(frozen=True)
class _Header:
    """The names of the columns, plain, and how many lines of text stand above the rows."""

    names: list[str]
    columns: Columns | None = None
    lines: int = 0


def _header(data: bytes, dialect: Dialect) -> _Header:
    """The line above the rows that names x, y and z, or else the last one above them."""
    end = -1
    for _ in range(MOST_HEADER_LINES + 1):
        breaks = (data.find(c, end + 1, LOOK) for c in (b"\n", b"\r"))
        end = min((at for at in breaks if at >= 0), default=-1)
        if end < 0:
            break
    lines = data[: end if end >= 0 else LOOK].decode("utf-8", "replace").splitlines()
    last = _Header([])
    filled = 0
    for line in lines[:MOST_HEADER_LINES]:
        if not line.strip():
            continue
        filled += 1
        cells = dialect.cells(line)
        if is_number(cells[0].strip().replace(",", ".")):
            break
        names = [plain(cell) for cell in cells]
        if not dialect.separator:
            names = [name for name in names if name]
        columns = named(names)
        if columns:
            return _Header(names, columns, filled)
        last = _Header(names, None, filled)
    return last


class _Rows:
    """The rows of numbers of a text that comes in blocks; the first one says how they look."""

    def __init__(self, header: _Header) -> None:
        self.header = header
        self.width = 0
        self.odd = 0
        self.wanted: tuple[int, ...] = ()
        self.values: list[np.ndarray] = []
        self.columns: Columns | None = None
        self.notes: list[str] = []

    def add(self, tokens: Tokens, path: Path) -> None:
        first, count = self._lines(tokens)
        if not len(first):
            return
        if not self.width:
            self.width = int(np.bincount(count).argmax())
            if self.width < 3:
                raise problem(path, f"has rows of {self.width} numbers", "a point needs x, y and z")
            self._choose(tokens, int(first[count == self.width][0]), path)
        like = count == self.width
        self.odd += int((~like).sum())
        each = (first[like][:, None] + np.array(self.wanted)).ravel()
        values = tokens.floats(tokens.starts[each], tokens.ends[each])
        self.values.append(values.reshape(-1, len(self.wanted)))

    def _lines(self, tokens: Tokens) -> tuple[np.ndarray, np.ndarray]:
        """First tokens and token counts of the lines with numbers."""
        first, count = tokens.line_first, tokens.line_count
        if self.header.columns and len(first):  # then a row may as well begin with a label
            row = tokens.bytes[tokens.starts[first]] != ord("#")
            if not self.width:
                row[: self.header.lines] = False
        else:
            row = self._numeric(tokens)
        first, count = first[row], count[row]
        if not self.width and len(first) and count[0] == 1 and (len(first) == 1 or count[1] > 1):
            first, count = first[1:], count[1:]  # PTS: the number of points comes first
        return first, count

    def _numeric(self, tokens: Tokens) -> np.ndarray:
        """Which lines begin with a number."""
        begin = tokens.starts[tokens.line_first]
        for _ in range(3):  # of a file with a separator, cells may begin with blanks
            begin = np.minimum(begin + (tokens.bytes[begin] == ord(" ")), len(tokens.bytes) - 1)
        numeric = np.isin(tokens.bytes[begin], np.frombuffer(_NUMBER_STARTS, dtype=np.uint8))
        if not self.width:
            # A header word may start with n or i, too; a name is not a number.
            for line in np.flatnonzero(numeric)[:5]:
                numeric[line] = is_number(tokens.text(int(tokens.line_first[line])))
        return numeric

    def _choose(self, tokens: Tokens, row: int, path: Path) -> None:
        """Which columns are read: those that the header names, or all that hold numbers."""
        names, columns = self.header.names, self.header.columns
        index = int(len(names) == self.width - 1)  # of rows, which has no name
        if columns and len(names) + index == self.width:
            self.columns = columns
            self.wanted = tuple(column + index for column in columns.used)
            return
        numeric = [is_number(tokens.text(row + i)) for i in range(self.width)]
        self.wanted = tuple(np.flatnonzero(numeric).tolist())
        if len(self.wanted) < 3:
            raise problem(path, "has rows without three numbers", "a point needs x, y and z")
        if columns:
            self.notes.append(
                f"the header names {len(names)} columns, the rows have {self.width}: the first "
                "three are taken for x, y and z"
            )
        elif len(names) == self.width:
            shown = ", ".join(repr(names[i]) for i in self.wanted[:3])
            self.notes.append(f"the header names no x, y, z: {shown} are taken for them")

    def table(self, path: Path) -> Table:
        if not self.values:
            raise problem(path, "has no points", "check that it holds rows of x y z")
        values = np.concatenate(self.values)
        lines = len(values) + self.odd
        notes = self.notes
        if self.odd:
            if self.odd > 1 and self.odd > MOST_BAD_LINES * lines:
                raise problem(
                    path, f"{self.odd} of its {lines} rows differ in length", "export it again"
                )
            notes.append(f"{self.odd} rows that are not like the others were left out")
        if self.columns:
            columns, places = self.columns, {c: i for i, c in enumerate(self.columns.used)}
        else:
            columns, places = by_values(values), {i: i for i in range(values.shape[1])}
            if columns.points[0]:
                notes.append("the first column counts the rows and was left out")

        def picked(triple: tuple[int, ...] | None) -> np.ndarray | None:
            return None if triple is None else values[:, [places[c] for c in triple]]

        points = picked(columns.points)
        assert points is not None
        return Table(points, picked(columns.normals), picked(columns.colours), notes)


def scan(data: bytes, path: Path) -> Raw:
    """A table of points as a scan."""
    table = decode_table(data, path)
    return Raw(table.points, table.normals, table.colours, None, table.notes)
