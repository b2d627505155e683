"""What `attack-dataset` finds, as a rich table and as Markdown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Literal

from rich.table import Table

#: names in JSON, their headings and the factors to the printed units
COLUMNS = {
    "views": ("views", 1.0),
    "method": ("method", 1.0),
    "norm": ("norm", 1.0),
    "epsilon": ("epsilon mm", 1000.0),
    "steps": ("steps", 1.0),
    "restarts": ("starts", 1.0),
    "turn_degrees": ("wanted turn °", 1.0),
    "defence": ("defence", 1.0),
    "adaptive": ("known to the attack", 1.0),
    "size_mm": ("moved mm", 1.0),
    "pmd": ("PMD ×1e-4", 1e4),
    "follower": ("follower ×1e-4", 1e4),
    "excess": ("excess ×1e-4", 1e4),
    "pmd_surface": ("PMD by surface ×1e-4", 1e4),
    "excess_surface": ("excess by surface ×1e-4", 1e4),
    "mpjpe_mm": ("MPJPE mm", 1.0),
    "jdr": ("JDR", 1.0),
    "success": ("success", 1.0),
    "clean_from_wanted_mm": ("from wanted, clean mm", 1.0),
    "from_wanted_mm": ("from wanted mm", 1.0),
    "pmd_clean_defended": ("behind, clean ×1e-4", 1e4),
    "pmd_defended": ("behind ×1e-4", 1e4),
    "whole_pmd": ("whole: PMD ×1e-4", 1e4),
    "whole_confidence": ("whole: confidence", 1.0),
    "whole_wrong": ("whole: wrong", 1.0),
    "whole_unnoticed": ("whole: unnoticed", 1.0),
    "queries": ("queries", 1.0),
    "ms_per_scan": ("ms a scan", 1.0),
}
#: columns that are left out where they say the same in each row: they are in the title then
COMMON = ("views", "norm", "steps", "restarts", "turn_degrees", "queries")
#: columns of words, not of numbers
WORDS = ("method", "norm", "defence", "adaptive")
#: of the table of body parts
PARTS = ("part", "% of perturbation", "% of points", "ratio")

Row = dict[str, Any]


def title(document: Row) -> str:
    """What the figures are of, and what all rows have in common."""
    rows, told = document["rows"], [document["model"]]
    told[0] += " on {protocol}, {pairs} pairs, poses of the {poses}".format(**document)
    for name in COMMON:
        values = _values(rows, name)
        if len(values) == 1:
            told.append(f"{name.replace('_', ' ')} {values.pop()}")
    return ", ".join(told)


def tables(document: Row, width: int = 80) -> list[Table]:
    """The rows for a terminal of a width: as many tables as it takes, each with the attacks.

    What the whole pipeline makes of them is a table of its own in any case.
    """
    rows = document["rows"]
    names = _shown(rows)
    place = names.index("pmd")
    attack, figures = names[:place], names[place:]
    needed = {
        name: max(map(len, [*COLUMNS[name][0].split(), *(_text(name, row) for row in rows)]))
        for name in names
    }
    left = width - sum(needed[name] + 1 for name in attack)
    whole = [name for name in figures if name.startswith("whole_")]
    parts = [*_split([n for n in figures if n not in whole], needed, left)]
    parts += _split(whole, needed, left)
    found: list[Table] = []
    for part in parts:
        # above the first: the others are of the same
        table = Table(title=None if found else title(document), title_justify="left", box=None)
        table.padding = (0, 1, 0, 0)
        for name in (*attack, *part):
            side: Literal["left", "right"] = "left" if name in WORDS else "right"
            table.add_column(COLUMNS[name][0], justify=side, width=needed[name])
        for row in rows:
            table.add_row(*[_text(name, row) for name in (*attack, *part)])
        found.append(table)
    return found


def _split(names: list[str], needed: dict[str, int], width: int) -> Iterator[list[str]]:
    """The names in groups whose columns fit into a width, each of one name at least."""
    part: list[str] = []
    for name in names:
        if part and sum(needed[n] + 1 for n in (*part, name)) > width:
            yield part
            part = []
        part.append(name)
    if part:
        yield part


def markdown(document: Row, without: Collection[str] = ()) -> str:
    """The title and the rows, ``without`` some of the columns."""
    rows = document["rows"]
    names = [name for name in _shown(rows) if name not in without]
    lines = [title(document), "", _line(COLUMNS[name][0] for name in names)]
    lines.append("|" + "".join("---|" if name in WORDS else "---:|" for name in names))
    lines += [_line(_text(name, row) for name in names) for row in rows]
    return "\n".join(lines)


def parts_table(row: Row) -> Table:
    """Where an attack's perturbation is, next to where the points are."""
    found = Table(title=_attack(row), title_justify="left", box=None, pad_edge=False)
    for name in PARTS:
        found.add_column(name, justify="left" if name == "part" else "right")
    for cells in _parts(row):
        found.add_row(*cells)
    return found


def parts_markdown(row: Row) -> str:
    """The same as Markdown."""
    lines = [_attack(row), "", _line(PARTS), "|---|---:|---:|---:|"]
    return "\n".join(lines + [_line(cells) for cells in _parts(row)])


def _parts(row: Row) -> list[list[str]]:
    """Cells by body part, the most perturbed first."""
    cells = []
    for name, share in sorted(row["by_part"].items(), key=lambda item: -item[1]["perturbation"]):
        ratio = share["perturbation"] / max(share["points"], 1e-12)
        shares = (100 * share["perturbation"], 100 * share["points"])
        cells.append([name, *[f"{x:.1f}" for x in shares], f"{ratio:.2f}"])
    return cells


def _attack(row: Row) -> str:
    told = [_text(name, row) for name in ("method", "norm", "epsilon") if row.get(name)]
    return " ".join([*told, "mm by part"])


def _values(rows: list[Row], name: str) -> set[Any]:
    return {row[name] for row in rows if row.get(name) is not None}


def _shown(rows: list[Row]) -> list[str]:
    """The columns that have something to say, and not the same in each row."""
    return [n for n in COLUMNS if len(_values(rows, n)) > (1 if n in COMMON else 0)]


def _text(name: str, row: Row) -> str:
    value = row.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    value *= COLUMNS[name][1]
    if float(value).is_integer():
        return f"{value:.0f}"
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
