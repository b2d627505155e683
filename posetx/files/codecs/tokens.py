"""Text files as arrays of tokens: found, parsed and replaced without a Python step per line."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

import numpy as np

NEWLINE, RETURN, HASH = 10, 13, 35
WHITESPACE = b" \t\r\n\v\f"
#: Bytes of a long text that are cut into tokens at once, which takes some twenty times as many.
BLOCK = 1 << 23

#: How Visual C writes what is no number: 1.#QNAN, -1.#IND, 1.#INF, with digits behind them.
_ODD_NUMBERS = re.compile(rb"(?i)1[.,]#(inf|[a-z]+)\d*")


class BadToken(ValueError):
    """A token that is no number; `position` is its byte offset in the file."""

    def __init__(self, token: bytes, position: int) -> None:
        self.token = token[:24].decode("latin-1")
        self.position = position
        super().__init__(f"{self.token!r} is not a number")


class Tokens:
    """The tokens of a text and the lines they stand in.

    Parameters
    ----------
    data : bytes
        the text, any 8-bit encoding
    separators : bytes
        the bytes between tokens
    begin, end : int
        where the text starts in `data` and where it ends, at the end of `data` by default; all
        positions are offsets into the whole of `data`

    Attributes
    ----------
    starts, ends : (t,) int64
        byte range of each token
    line_first, line_count : (l,) int64
        the index of each line's first token, and how many tokens the line has; empty lines are
        left out, and so is everything from a token that starts with # on, unless it comes first
    """

    def __init__(
        self,
        data: bytes,
        separators: bytes = WHITESPACE,
        begin: int = 0,
        end: int | None = None,
    ) -> None:
        self.data = data
        self.bytes = np.frombuffer(data, dtype=np.uint8)
        table = np.zeros(256, dtype=bool)
        table[list(separators)] = True
        body = self.bytes[begin:end]
        # A separator on either side, so that token starts and ends alternate.
        separator = np.ones(len(body) + 2, dtype=bool)
        separator[1:-1] = table[body]
        edges = np.flatnonzero(separator[1:] != separator[:-1]) + begin
        self.starts, self.ends = edges[0::2], edges[1::2]

        breaks = np.flatnonzero(body == NEWLINE) + begin
        if not len(breaks):  # the line ending of old Macs
            breaks = np.flatnonzero(body == RETURN) + begin
        first = np.concatenate([[0], np.searchsorted(self.starts, breaks), [len(self.starts)]])
        count = np.diff(first)
        filled = count > 0
        self.line_first = first[:-1][filled]
        self.line_count = count[filled]
        self._drop_comments()

    def _drop_comments(self) -> None:
        marks = np.flatnonzero(self.bytes[self.starts] == HASH)
        lines = np.searchsorted(self.line_first, marks, side="right") - 1
        before = marks - self.line_first[lines]
        inner = before > 0
        np.minimum.at(self.line_count, lines[inner], before[inner])

    def __len__(self) -> int:
        return len(self.starts)

    def text(self, token: int) -> str:
        """One token as a string."""
        return self.data[self.starts[token] : self.ends[token]].decode("utf-8", "replace")

    def lines_starting_with(self, word: bytes) -> np.ndarray:
        """Indices of the lines whose first token is `word`."""
        start = self.starts[self.line_first]
        same = self.ends[self.line_first] - start == len(word)
        for place, letter in enumerate(word):
            at = np.minimum(start + place, len(self.bytes) - 1)
            same &= self.bytes[at] == letter
        return np.flatnonzero(same)

    def floats(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Parse the byte ranges, in rising order and apart by at least a byte, as float64."""
        return self._numbers(starts, ends, np.float64)

    def integers(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Parse the byte ranges, in rising order and apart by at least a byte, as int64."""
        return self._numbers(starts, ends, np.int64)

    def _numbers(self, starts: np.ndarray, ends: np.ndarray, dtype: type) -> np.ndarray:
        if not len(starts):
            return np.zeros(0, dtype=dtype)
        begin, end = int(starts[0]), int(ends[-1]) + 1
        text = np.full(end - begin, 32, dtype=np.uint8)
        piece = self.bytes[begin:end]
        text[: len(piece)] = piece
        text[ends - begin] = 32
        # +1 where a wanted range starts, -1 behind the space that follows it.
        flips = np.zeros(end - begin + 1, dtype=np.int8)
        flips[starts - begin] += 1
        flips[ends + 1 - begin] -= 1
        wanted = np.cumsum(flips[:-1], dtype=np.int8).view(bool)
        wanted_text = text[wanted].tobytes()
        if dtype is np.float64 and b"#" in wanted_text:
            wanted_text = _ODD_NUMBERS.sub(_usual, wanted_text)
        with warnings.catch_warnings():
            # numpy stops at the first token that is no number, with a warning or an error
            # depending on its version.
            warnings.simplefilter("error")
            try:
                values: np.ndarray = np.fromstring(wanted_text, dtype=dtype, sep=" ")
                if len(values) == len(starts):
                    return values
            except (DeprecationWarning, ValueError):
                pass
        return self._numbers_one_by_one(starts, ends, dtype)

    def _numbers_one_by_one(self, starts: np.ndarray, ends: np.ndarray, dtype: type) -> np.ndarray:
        """The slow way, which finds the culprit."""
        convert = float if dtype is np.float64 else int
        values: list[float] = []
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            token = self.data[start:end]
            try:
                values.append(convert(_ODD_NUMBERS.sub(_usual, token)))
            except ValueError:
                raise BadToken(token, start) from None
        return np.array(values, dtype=dtype)


def _usual(odd: re.Match[bytes]) -> bytes:
    return b"inf" if odd[1].lower() == b"inf" else b"nan"


def line_number(data: bytes, position: int) -> int:
    """The line, counted from 1, that the byte offset `position` is in."""
    before = data[:position]
    return (before.count(b"\n") or before.count(b"\r")) + 1


def blocks(data: bytes, begin: int = 0) -> Iterator[tuple[int, int]]:
    """Byte ranges of whole lines, of about BLOCK bytes each, that the text is made of."""
    while begin < len(data):
        end = data.find(b"\n", begin + BLOCK)
        if end < 0:  # the line ending of old Macs
            end = data.find(b"\r", begin + BLOCK)
        end = len(data) if end < 0 else end + 1
        yield begin, end
        begin = end


def read_floats(data: bytes, begin: int = 0) -> np.ndarray:
    """All numbers (t,) of a text of nothing else. Raises BadToken."""
    found = [np.zeros(0)]
    for start, end in blocks(data, begin):
        tokens = Tokens(data, begin=start, end=end)
        found.append(tokens.floats(tokens.starts, tokens.ends))
    return np.concatenate(found)


def splice(data: bytes, starts: np.ndarray, ends: np.ndarray, texts: list[bytes]) -> bytes:
    """`data` with the byte ranges (in any order, not overlapping) replaced by `texts`."""
    order = np.argsort(starts, kind="stable")
    pieces: list[bytes] = []
    done = 0
    cuts = zip(starts[order].tolist(), ends[order].tolist(), order.tolist(), strict=True)
    for start, end, which in cuts:
        pieces.append(data[done:start])
        pieces.append(texts[which])
        done = end
    pieces.append(data[done:])
    return b"".join(pieces)


def format_rows(rows: np.ndarray, number: str) -> list[bytes]:
    """Each row of (n, k) `rows` as text: its numbers, formatted by `number`, joined by spaces."""
    if not len(rows):
        return []
    line = " ".join([number] * rows.shape[1]) + "\n"
    text = (line * len(rows)) % tuple(rows.ravel().tolist())
    return text.encode("ascii").split(b"\n")[:-1]


def position_format(vertices: np.ndarray) -> str:
    """How many decimals show a ten-millionth of the size of (n, 3) `vertices`."""
    extent = float(np.ptp(vertices, axis=0).max()) if len(vertices) else 0.0
    if not 0.0 < extent < np.inf:
        return "%.9g"
    decimals = int(np.ceil(7 - np.log10(extent)))
    return f"%.{decimals}f" if 0 <= decimals <= 15 else "%.17g"


def is_number(word: str) -> bool:
    """Whether a word of a text file reads as a number."""
    try:
        float(word)
    except ValueError:
        return False
    return True
