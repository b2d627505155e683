"""What the columns of a table of points are: told by their names, or by their values.

Programs name columns in many ways: `x`, `X [m]`, `//X`, `Points:0`, `Position_x`, `Easting`; rows
may begin with an index, end with labels. Names that are there and say nothing are told to the user.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: How three columns of one kind end, by what stands before: `points:0` is a coordinate.
_ENDS = ("xyz", "012")
_POSITION = re.compile(r"(points?|pos|positions?|coords?|coordinates?|vertex|vertices|xyz|loc|p)?")
_AFTER = re.compile(r"(coords?|coordinates?|pos|positions?|world|local|mm|cm|m|meters?|metres?)?")
_NORMAL = re.compile(r"(n|normals?|normal_?vectors?)")
_COLOUR = re.compile(r"(rgba?|colou?rs?)")
_NOTHING = re.compile("")
#: What stands in brackets; no unit is longer, and names of brackets alone take no time.
_UNIT = re.compile(r"[\[({<].{,32}?[\])}>]")
#: Coordinates by names of their own, in surveyors' tables.
_SURVEY = (("easting", "northing", "elevation"), ("easting", "northing", "height"),
           ("easting", "northing", "altitude"), ("easting", "northing", "z"))  # fmt: skip
_COLOURS = (("red", "green", "blue"), ("r", "g", "b"), ("rf", "gf", "bf"),
            ("diffuse_red", "diffuse_green", "diffuse_blue"))  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """Which columns are what: three each, or None where there are none."""

    points: tuple[int, ...]
    normals: tuple[int, ...] | None = None
    colours: tuple[int, ...] | None = None

    @property
    def used(self) -> tuple[int, ...]:
        """All of them, ascending."""
        return tuple(sorted({*self.points, *(self.normals or ()), *(self.colours or ())}))


def plain(name: str) -> str:
    """A column's name without quotes, comment marks, units and capitals: `//X [m]` is `x`."""
    bare = _UNIT.sub("", name.lower()).strip(" \t\r\n#/\"'")
    return re.sub(r"[\s:.\-]+", "_", bare)


def named(names: Sequence[str]) -> Columns | None:
    """The columns that a header of such (plain) names tells; None where it names no x, y, z."""
    points = _survey(names) or _alike(names, _POSITION, _AFTER, _ENDS)
    if points is None:
        return None
    colours = next((_places(names, c) for c in _COLOURS if set(c) <= set(names)), None)
    colours = colours or _alike(names, _COLOUR, _NOTHING, (*_ENDS, "rgb"))
    return Columns(points, _alike(names, _NORMAL, _NOTHING, _ENDS), colours)


def _alike(
    names: Sequence[str], before: re.Pattern[str], after: re.Pattern[str], ends: Sequence[str]
) -> tuple[int, ...] | None:
    """The three columns that are called alike but for x, y, z or 0, 1, 2."""
    for end in ends:
        found: dict[tuple[str, str], dict[str, int]] = {}
        for place, name in enumerate(names):
            for match in re.finditer(f"[{end}]", name):
                begin, rest = name[: match.start()].rstrip("_"), name[match.end() :].lstrip("_")
                # A digit alone names no axis.
                if before.fullmatch(begin) and after.fullmatch(rest) and (begin or end == "xyz"):
                    found.setdefault((begin, rest), {}).setdefault(match.group(), place)
        for axes in found.values():
            if len(axes) == 3:
                return tuple(axes[axis] for axis in end)
    return None


def _survey(names: Sequence[str]) -> tuple[int, ...] | None:
    return next((_places(names, triple) for triple in _SURVEY if set(triple) <= set(names)), None)


def _places(names: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    return tuple(names.index(name) for name in wanted)


def by_values(values: np.ndarray) -> Columns:
    """The columns of rows (n, k) without names: x y z first, or behind an index.

    Triples behind them, and behind one intensity, are told by their values.
    """
    width = values.shape[1]
    first = int(width > 3 and _counts(values[:, 0]))
    normals: tuple[int, ...] | None = None
    colours: tuple[int, ...] | None = None
    at = first + (3 if (width - first) % 3 == 0 else 4)
    while at + 3 <= width:
        triple = values[:, at : at + 3]
        if colours is None and _like_colours(triple):
            colours = (at, at + 1, at + 2)
        elif normals is None and _like_normals(triple):
            normals = (at, at + 1, at + 2)
        at += 3
    return Columns((first, first + 1, first + 2), normals, colours)


def _counts(column: np.ndarray) -> bool:
    """Whether a column (n,) is 0, 1, 2, … or 1, 2, 3, …"""
    steps = np.arange(len(column))
    return len(column) > 2 and bool(column[0] in (0, 1) and (column - column[0] == steps).all())


def _like_colours(triple: np.ndarray) -> bool:
    whole = (triple == np.round(triple)).all() and (triple >= 0).all() and (triple <= 255).all()
    return bool(whole and triple.max() > 1)


def _like_normals(triple: np.ndarray) -> bool:
    length = np.linalg.norm(triple, axis=1)
    return bool(np.mean(np.abs(length - 1) < 0.05) > 0.9)
