"""`posetx card`: all that a model's card and the documents say of it, measured anew."""

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
    emit_json,
    emit_table,
)
from posetx.system.console import progress_bar


def card(
    folder: Annotated[Path, typer.Argument(help="Where what was measured is kept.")],
    model: ModelOption = DEFAULT_MODEL,
    mocap: MocapOption = None,
    pairs: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Of any protocol at most; 40 to 120 without."),
    ] = None,
    attacked: Annotated[
        int,
        typer.Option(min=0, max=MOST, help="Pairs of each table of attacks; 0: no such tables."),
    ] = 16,
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
    """Measure a model on all protocols, calibrate its confidence, attack it; hours on two cores.

    The figures go into the model's card. Called again it goes on where it was. A table stands in a
    document between <!-- card: NAME --> and <!-- /card --> (pipeline, network, reliability), those
    of attacks as `posetx attack-tables` says; the words around stay.
    """
    from posetx.evaluation.tables import figures_table
    from posetx.studies.model_card import CardOptions, make_card

    options = CardOptions(
        folder=folder,
        model=model,
        mocap=mocap,
        pairs=pairs,
        attacked=attacked,
        documents=tuple(into or ()),
        overwrite=overwrite,
        device=device,
        seed=seed,
    )
    with progress_bar() as bar:
        task = bar.add_task("", total=None)

        def on_pair(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name)

        made = make_card(options, on_pair)
    if as_json:
        emit_json(made)
    else:
        for by, figures in made["figures"].items():
            emit_table(figures_table(figures, f"{model}: {by}"))
