"""How a table of numbers is written: what separates its cells, and what its decimals.

Told from the first rows. `1,5 2,5 3,5` has decimal commas, `1,5,2` has none; a file that uses
commas for both cannot be read by anybody, and is refused by name.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from posetx.files.checks import problem
from posetx.files.codecs.tokens import WHITESPACE

#: Bytes, and lines, of a text that its dialect is told from.
LOOK, LINES = 1 << 17, 200
_NUMBER = r"[+-]?(\d+{0}\d*|{0}?\d+)([eE][+-]?\d+)?"
_POINT = re.compile(_NUMBER.format(r"\."))
_COMMA = re.compile(_NUMBER.format(","))
_QUOTED_COMMA = re.compile(rb'"[ ]*[+-]?\d+,\d+[ ]*"')


@dataclass(frozen=True)
class Dialect:
    """`separator` between cells, empty for blanks; whether a comma is a decimal sign."""

    separator: str = ""
    decimal_comma: bool = False

    @property
    def separators(self) -> bytes:
        """The bytes between cells and lines."""
        if self.separator:
            return self.separator.encode() + b"\r\n"
        return WHITESPACE if self.decimal_comma else WHITESPACE + b",;"

    def cells(self, line: str) -> list[str]:
        """The cells of a line; of one with a separator, the empty ones too."""
        if self.separator:
            return next(csv.reader([line], delimiter=self.separator, skipinitialspace=True), [])
        return re.split(r"[\s,;]+" if not self.decimal_comma else r"\s+", line.strip())

    def plain(self, data: bytes) -> bytes:
        """The text with points as decimal signs, without quotes, empty cells as nan.

        Lines stay the lines that they were.
        """
        if b'"' in data:
            if self.separator == "," and _QUOTED_COMMA.search(data):
                data = re.sub(rb'"[^"\r\n]*"', lambda m: m[0].replace(b",", b"."), data)
            data = data.replace(b'"', b" ")
        if self.decimal_comma:
            data = data.replace(b",", b".")
        if self.separator in (",", ";"):
            cell = re.escape(self.separator.encode())
            data = re.sub(rb"(?<=%b)[ \t]*(?=[%b\r\n]|\Z)" % (cell, cell), b"nan", data)
            data = re.sub(rb"(?m)^[ \t]*(?=%b)" % cell, b"nan", data)
        return data


def dialect_of(data: bytes, path: Path) -> Dialect:
    """The dialect of a text's first rows. Raises PosetxError for commas that mean two things."""
    text = data[:LOOK].decode("utf-8", "replace")
    lines = [line for line in re.split(r"[\r\n]+", text)[:LINES] if re.search(r"\d", line)]
    # The first lines may be a header with digits in it, and the last one is cut.
    rows = [line for line in lines if re.match(r'[\s"]*[+\-.,;\d]', line)][: LINES - 1]
    if len(rows) > 1 and len(data) > LOOK:
        rows.pop()
    for separator in "\t;,":
        if separator == "," and _decimal(rows, ""):
            return Dialect(decimal_comma=True)
        made = Dialect(separator)
        split = [made.cells(row) for row in rows]
        if not split or sorted(map(len, split))[len(split) // 2] < 3 or _nested(split, separator):
            continue
        if separator == ",":
            _refuse_both(split, path)
            return made
        return Dialect(separator, _decimal(rows, separator))
    return Dialect()


def _decimal(rows: list[str], separator: str) -> bool:
    """Whether cells between `separator` (or blanks) are numbers with commas, none with points."""
    cells = [
        cell.strip().strip('"') for row in rows for cell in row.split(separator or None) if cell
    ]
    fractions = sum("," in cell for cell in cells)
    odd = sum(not _COMMA.fullmatch(cell) for cell in cells if "," in cell)
    points = sum(bool("." in cell and _POINT.fullmatch(cell)) for cell in cells)
    enough = not rows or len(cells) >= 3 * len(rows)
    return fractions > 0 and not odd and not points and enough


def _nested(split: list[list[str]], separator: str) -> bool:
    """Whether cells hold several numbers, so that blanks separate, too."""
    return any(len(c.split()) > 1 and _POINT.fullmatch(c.split()[0]) for row in split for c in row)


def _refuse_both(split: list[list[str]], path: Path) -> None:
    """Refuse `0,11,-0,05,1,70`: whole numbers alone, fractions among them that begin with a 0."""
    whole = all(re.fullmatch(r"[+-]?\d+", cell.strip()) for row in split for cell in row)
    pairs = [row for row in split if len(row) >= 6 and len(row) % 2 == 0]
    if whole and any(re.fullmatch(r"0\d+", cell.strip()) for row in pairs for cell in row[1::2]):
        raise problem(
            path,
            "uses the comma as decimal sign and between its columns",
            "export it with decimal points, or with semicolons between columns",
        )
