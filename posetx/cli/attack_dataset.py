"""`posetx attack-dataset`: attacks on a protocol's pairs, all budgets in one run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from posetx.attacks.methods import METHODS
from posetx.attacks.settings import AttackSettings, settings_grid
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
    MOST,
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
    table_width,
)
from posetx.evaluation.protocol_table import PLAIN
from posetx.system.console import progress_bar
from posetx.system.paths import find_model


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
        list[int], typer.Option(min=1, max=MOST, help="Of an iterative attack; may be repeated.")
    ] = [20],  # noqa: B006
    restarts: RestartsOption = 1,
    share: ShareOption = 0.1,
    success: SuccessOption = 1e-3,
    turn: Annotated[
        list[float] | None,
        typer.Option(help="Want the own pose turned by so many degrees; may be repeated."),
    ] = None,
    views: Annotated[
        list[int] | None,
        typer.Option(min=1, max=8, help="Cameras of the scanner; may be repeated."),
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, max=MOST, help="So many.")] = 64,
    surrogate: SurrogateOption = None,
    defence: DefenceOption = None,
    adaptive: AdaptiveOption = False,
    whole: Annotated[
        bool, typer.Option(help="Also what transfer makes of the attacked scans: seconds each.")
    ] = False,
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

    Each method, with each number of steps and each epsilon, in one run. The follower is whoever
    knows which place of the body each point is of, and just goes where the attack moves them.
    """
    from posetx.evaluation.attack_dataset import DatasetAttack, attack_protocol
    from posetx.evaluation.attack_tables import markdown as as_markdown
    from posetx.evaluation.attack_tables import parts_markdown, parts_table, tables
    from posetx.files.atomic import check_outputs, write_text_atomic

    common = AttackSettings(
        restarts=restarts,
        seed=seed,
        success=success,
        share=share,
        defence=defence,
        adaptive=adaptive,
    )
    options = DatasetAttack(
        protocol=protocol,
        settings=settings_grid(common, method, norm, epsilon, steps),
        model=model,
        pairs=pairs,
        views=tuple(views or ()),
        turns=tuple(turn or ()),
        whole=whole,
        mocap=mocap,
        surrogate=surrogate,
        device=device,
        seed=seed,
    )
    options.check()
    weights = [find_model(name) for name in (model, surrogate) if name]
    check_outputs({"output": output}, weights, overwrite)
    with progress_bar() as bar:
        task = bar.add_task("attacking", total=options.steps)
        found = attack_protocol(options, partial(bar.advance, task))
    if output:
        write_text_atomic(output, json_text(found) + "\n")
    parts = [row for row in found["rows"] if by_part and row.get("by_part")]
    if as_json:
        emit_json(found)
    elif markdown:
        typer.echo("\n\n".join([as_markdown(found), *map(parts_markdown, parts)]))
    else:
        for shown in (*tables(found, table_width()), *map(parts_table, parts)):
            emit_table(shown)
