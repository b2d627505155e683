"""PTX, the text of Leica's scanners: grids of points, each with its place, one after another.

A scan is the numbers of its columns and rows, four lines of where the scanner stood, four of a
matrix for row vectors, and a line a pixel: x y z intensity, perhaps r g b. Pixels that saw nothing
are 0 0 0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetx.files.checks import only_posetx_errors, problem, truncated
from posetx.files.codecs.tokens import BadToken, Tokens, line_number
from posetx.files.raw import Raw

#: Lines above the pixels of a scan: its size, where the scanner stood, its matrix.
HEAD = 10
#: Scans that a file has, at most: one of a building has some hundred.
MOST_SCANS = 1000


def scan(data: bytes, path: Path) -> Raw:
    """A PTX file as a scan: all of its grids, each in its place."""
    with only_posetx_errors(path, "PTX"):
        tokens = Tokens(data)
        try:
            grids = _grids(tokens, path)
        except BadToken as error:
            line = line_number(data, error.position)
            raise problem(path, f"line {line}: {error}", "export it again") from error
    points = [rows[:, :3] for rows in grids]
    coloured = all(rows.shape[1] >= 7 for rows in grids)
    notes = [f"{len(grids)} scans in one file: taken together"] if len(grids) > 1 else []
    colours = np.concatenate([rows[:, 4:7] for rows in grids]) if coloured else None
    return Raw(np.concatenate(points), colors=colours, notes=notes)


def _grids(tokens: Tokens, path: Path) -> list[np.ndarray]:
    """The pixels (n, 4 or 7) of each scan that saw something, their points in the world."""
    grids = []
    at, lines, scans = 0, len(tokens.line_first), 0
    while at < lines:
        scans += 1
        if scans > MOST_SCANS:
            raise problem(path, f"has over {MOST_SCANS} scans", "export them one by one")
        if at + HEAD > lines:
            raise truncated(path, "a scan's head is not complete")
        columns, rows = (int(_numbers(tokens, at + i, 1)[0, 0]) for i in range(2))
        end = at + HEAD + columns * rows
        if columns < 0 or rows < 0 or end > lines:
            raise truncated(path, f"{columns} columns of {rows} points do not fit into it")
        matrix = np.concatenate([_numbers(tokens, at + 6 + i, 4) for i in range(4)])
        at += HEAD
        if end > at:
            pixels = _numbers(tokens, slice(at, end), int(tokens.line_count[at]))
            if pixels.shape[1] < 4:
                raise problem(path, "has pixels without x, y, z and intensity", "export it again")
            pixels = pixels[(pixels[:, :3] != 0.0).any(axis=1)]
            pixels[:, :3] = pixels[:, :3] @ matrix[:3, :3] + matrix[3, :3]
            grids.append(pixels)
        at = end
    if not grids:
        raise problem(path, "has no points", "check that the scan was exported")
    return grids


def _numbers(tokens: Tokens, lines: int | slice, width: int) -> np.ndarray:
    """(n, width): the numbers of some lines. Raises ValueError where they have more or fewer."""
    which = slice(lines, lines + 1) if isinstance(lines, int) else lines
    if (tokens.line_count[which] != width).any():
        raise ValueError(f"lines that should have {width} numbers have not")
    each = (tokens.line_first[which][:, None] + np.arange(width)).ravel()
    return tokens.floats(tokens.starts[each], tokens.ends[each]).reshape(-1, width)
