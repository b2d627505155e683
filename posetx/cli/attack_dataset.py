"""`posetx attack-dataset`: attacks on a protocol's pairs, all budgets in one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from posetx.attacks.methods import METHODS
from posetx.attacks.settings import AttackSettings, usual_norm
from posetx.cli.attack import (
    AdaptiveOption,
    DefenceOption,
    NormOption,
    RestartsOption,
    ShareOption,
    SuccessOption,
    SurrogateOption,
)
from posetx.cli.common import (
    DEFAULT_MODEL,
    DeviceOption,
    JsonOption,
    MocapOption,
    ModelOption,
    OverwriteOption,
    QuietOption,
    SeedOption,
    VerboseOption,
    choice,
    emit_json,
    emit_table,
    json_text,
)
from posetx.errors import UsageError
from posetx.evaluation.protocol_table import PLAIN
from posetx.system.console import progress_bar
from posetx.system.paths import find_model

COLUMNS = {
    "views": ("views", 1.0),
    "method": ("method", 1.0),
    "norm": ("norm", 1.0),
    "epsilon": ("epsilon mm", 1000.0),
    "steps": ("steps", 1.0),
    "turn_degrees": ("wanted turn °", 1.0),
    "size_mm": ("moved mm", 1.0),
    "pmd": ("PMD ×1e-4", 1e4),
    "mpjpe_mm": ("MPJPE mm", 1.0),
    "jdr": ("JDR", 1.0),
    "success": ("success", 1.0),
    "clean_from_wanted_mm": ("from wanted, clean mm", 1.0),
    "from_wanted_mm": ("from wanted mm", 1.0),
    "pmd_clean_defended": ("behind, clean ×1e-4", 1e4),
    "pmd_defended": ("behind ×1e-4", 1e4),
    "queries": ("queries", 1.0),
    "ms_per_scan": ("ms a scan", 1.0),
}
"""Names in JSON, their headings and the factors to the printed units."""
COMMON = ("views", "norm", "steps", "turn_degrees", "queries")
"""Columns that are left out where they say the same in each row."""


def attack_dataset(
    protocol: Annotated[
        str,
        typer.Argument(
            autocompletion=lambda incomplete: [n for n in PLAIN if n.startswith(incomplete)],
            help=f"One of {', '.join(PLAIN)}.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the figures as JSON.")
    ] = None,
    method: Annotated[list[str], choice(METHODS, help="How points move; may be repeated.")] = [  # noqa: B006
        "pgd"
    ],
    epsilon: Annotated[
        list[float],
        typer.Option(min=0.0, help="How far points may move, in metres; may be repeated."),
    ] = [0.02],  # noqa: B006
    norm: NormOption = None,
    steps: Annotated[
        list[int], typer.Option(min=1, help="Of an iterative attack; may be repeated.")
    ] = [20],  # noqa: B006
    restarts: RestartsOption = 1,
    share: ShareOption = 0.1,
    success: SuccessOption = 1e-3,
    turn: Annotated[
        list[float] | None,
        typer.Option(help="Want the own pose turned by so many degrees; may be repeated."),
    ] = None,
    views: Annotated[
        list[int] | None, typer.Option(min=1, help="Cameras of the scanner; may be repeated.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="So many.")] = 64,
    surrogate: SurrogateOption = None,
    defence: DefenceOption = None,
    adaptive: AdaptiveOption = False,
    mocap: MocapOption = None,
    markdown: Annotated[bool, typer.Option(help="Print Markdown.")] = False,
    by_part: Annotated[bool, typer.Option(help="Also which body parts are perturbed.")] = False,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Attack the network alone on a protocol of `posetx evaluate`, where the truth is known.

    Each method, with each number of steps and each epsilon, in one run.
    """
    from posetx.files.atomic import check_outputs, write_text_atomic

    common = AttackSettings(
        restarts=restarts,
        seed=seed,
        success=success,
        share=share,
        defence=defence,
        adaptive=adaptive,
    )
    grid = settings_grid(common, method, norm, epsilon, steps)
    if any(METHODS[one.method].wanted for one in grid) and not turn:
        raise UsageError("--method igsm-t wants a pose; give --turn DEGREES")
    weights = [find_model(name) for name in (model, surrogate) if name]
    check_outputs({"output": output}, weights, overwrite)
    attack_all = DatasetAttack(protocol, pairs, views, turn, mocap, model, surrogate, seed)
    found = attack_all.run(grid, device)
    if output:
        write_text_atomic(output, json_text(found) + "\n")
    if as_json:
        emit_json(found)
    else:
        show(found, markdown, by_part)


def settings_grid(
    common: AttackSettings,
    methods: Sequence[str],
    norm: str | None,
    epsilons: Sequence[float],
    steps: Sequence[int],
) -> list[AttackSettings]:
    """Every combination of what a method listens to. Raises FieldError."""
    grid = [
        replace(common, method=name, norm=norm or usual_norm(name), epsilon=epsilon, steps=count)
        for name in methods
        for count in steps[: None if "steps" in METHODS[name].takes else 1]
        for epsilon in epsilons[: None if "budget" in METHODS[name].takes else 1]
    ]
    for one in grid:
        one.check()
    return grid


@dataclass(frozen=True)
class DatasetAttack:
    """What is attacked, and with whose gradients."""

    protocol: str
    pairs: int
    views: list[int] | None
    turn: list[float] | None
    mocap: Path | None
    model: str
    surrogate: str | None
    seed: int

    def run(self, grid: Sequence[AttackSettings], device: str) -> dict[str, Any]:
        """Attack the pairs in every way; returns the JSON document.

        Raises UsageError for a protocol that is none, or is an attack already.
        """
        if self.protocol not in PLAIN:
            raise UsageError(f"PROTOCOL {self.protocol}: use one of {', '.join(PLAIN)}")

        from posetx.evaluation.attack_grid import AttackGrid, run_grid
        from posetx.evaluation.subjects import Subjects
        from posetx.models.checkpoint import load_network
        from posetx.models.predictor import predictor_of
        from posetx.system.device import resolve_device

        where = resolve_device(device)
        victim, card = load_network(self.model, where)
        attacker, attacker_card = victim, card
        if self.surrogate:
            attacker, attacker_card = load_network(self.surrogate, where)
        subjects = Subjects(self.mocap, self.seed)
        bench = AttackGrid(predictor_of(victim, where), subjects, predictor_of(attacker, where))
        seen: list[int | None] = [*self.views] if self.views else [None]
        turns: list[float | None] = [*self.turn] if self.turn else [None]
        with progress_bar() as bar:
            task = bar.add_task("attacking", total=len(seen) * (1 + len(grid) * len(turns)))
            done = partial(bar.advance, task)
            rows = run_grid(bench, self.protocol, self.pairs, seen, grid, turns, done)
        return {
            "model": self.model,
            "model_sha256": card.get("sha256"),
            "surrogate": self.surrogate,
            "attacker_sha256": attacker_card.get("sha256"),
            "protocol": self.protocol,
            "pairs": self.pairs,
            "poses": subjects.poses,
            "seed": self.seed,
            "success": grid[0].success,
            "defence": grid[0].defence,
            "adaptive": grid[0].adaptive,
            "device": str(where),
            "rows": rows,
        }


def show(document: dict[str, Any], markdown: bool, by_part: bool) -> None:
    """Print what was found as a table, or as a Markdown table."""
    rows = document["rows"]
    begin = "{model} on {protocol}, {pairs} pairs, poses of the {poses}".format(**document)
    if markdown:
        typer.echo(_markdown(rows, begin))
    else:
        emit_table(_table(rows, begin))
    for row in rows:
        if by_part and row.get("by_part"):
            emit_table(_parts(row))


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    """What differs from row to row; what all attacks have in common is in the title."""
    return [
        name
        for name in COLUMNS
        if name not in COMMON or len({row[name] for row in rows if row.get(name) is not None}) > 1
    ]


def _title(rows: list[dict[str, Any]], begin: str) -> str:
    names = _columns(rows)
    told = [begin]
    for name in COMMON:
        values = {row[name] for row in rows if row.get(name) is not None}
        if name not in names and values:
            told.append(f"{name} {values.pop()}")
    return ", ".join(told)


def _shown(rows: list[dict[str, Any]]) -> list[str]:
    return [name for name in _columns(rows) if any(row.get(name) is not None for row in rows)]


def _text(name: str, row: dict[str, Any]) -> str:
    value = row.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    value *= COLUMNS[name][1]
    if float(value).is_integer():
        return f"{value:.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(rows: list[dict[str, Any]], begin: str) -> Table:
    table = Table(title=_title(rows, begin), title_justify="left", box=None, pad_edge=False)
    names = _shown(rows)
    for name in names:
        side: Literal["left", "right"] = "left" if name in ("method", "norm") else "right"
        table.add_column(COLUMNS[name][0], justify=side)
    for row in rows:
        table.add_row(*[_text(name, row) for name in names])
    return table


def _markdown(rows: list[dict[str, Any]], begin: str) -> str:
    names = _shown(rows)
    lines = [_title(rows, begin), "", "| " + " | ".join(COLUMNS[n][0] for n in names) + " |"]
    lines.append("|" + "---:|" * len(names))
    lines += ["| " + " | ".join(_text(name, row) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def _parts(row: dict[str, Any]) -> Table:
    """Where an attack's perturbation is, next to where the points are."""
    what = " ".join(_text(name, row) for name in ("method", "norm", "epsilon") if row.get(name))
    table = Table(title=f"{what} mm by part", title_justify="left", box=None, pad_edge=False)
    for name in ("part", "% of perturbation", "% of points", "ratio"):
        table.add_column(name, justify="left" if name == "part" else "right")
    parts = row["by_part"].items()
    for name, share in sorted(parts, key=lambda item: -item[1]["perturbation"]):
        ratio = share["perturbation"] / max(share["points"], 1e-12)
        shares = (100 * share["perturbation"], 100 * share["points"])
        table.add_row(name, *[f"{x:.1f}" for x in shares], f"{ratio:.2f}")
    return table
