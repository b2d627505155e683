"""`posetx attack-tables`: the documents' tables of attacks, made anew for a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
)
from posetx.studies.attack_catalogue import TABLES
from posetx.system.console import progress_bar


def attack_tables(
    file: Annotated[Path, typer.Argument(help="JSON with all figures, for instance attacks.json.")],
    model: ModelOption = DEFAULT_MODEL,
    table: Annotated[
        list[str] | None, choice(TABLES, "-t", "--table", help="All without; may be repeated.")
    ] = None,
    pairs: Annotated[
        int,
        typer.Option(
            min=1, max=MOST, help="Of each table; half as many where an attack takes long."
        ),
    ] = 16,
    mocap: MocapOption = None,
    into: Annotated[
        list[Path] | None,
        typer.Option(help="A document whose marked tables are replaced; may be repeated."),
    ] = None,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Attack a model in all the ways that the documents show, and put the tables into them.

    Called again it goes on where it was: tables that FILE has are not made anew. A table stands in
    a document between <!-- attacks: NAME --> and <!-- /attacks -->; the words around stay.
    """
    from posetx.studies.attack_tables import TablesOptions, make_tables, tables_markdown

    options = TablesOptions(
        file=file,
        model=model,
        tables=tuple(table or ()),
        pairs=pairs,
        mocap=mocap,
        documents=tuple(into or ()),
        overwrite=overwrite,
        device=device,
        seed=seed,
    )
    with progress_bar() as bar:
        task = bar.add_task("attacks", total=None)

        def on_step(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name)

        found = make_tables(options, on_step)
    if as_json:
        emit_json(found)
    elif not options.documents:
        for name, text in tables_markdown(found).items():
            typer.echo(f"## {name}\n\n{text}\n")
