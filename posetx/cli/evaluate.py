"""`posetx evaluate`: a model on the frozen protocols."""

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
    emit_table,
)
from posetx.evaluation.protocol_table import EXTRA, PROTOCOLS
from posetx.files.atomic import check_outputs
from posetx.system.console import progress_bar
from posetx.system.paths import find_model


def evaluate(
    model: ModelOption = DEFAULT_MODEL,
    protocol: Annotated[
        list[str] | None,
        choice(
            PROTOCOLS,
            "-p",
            "--protocol",
            help=f"By default all but {', '.join(EXTRA)}; may be repeated.",
        ),
    ] = None,
    mocap: MocapOption = None,
    pairs: Annotated[int, typer.Option(min=1, max=MOST, help="Pairs of each protocol.")] = 400,
    restored: Annotated[
        int,
        typer.Option(min=0, max=MOST, help="How many of them also go through detail restoration."),
    ] = 40,
    refine: Annotated[
        bool, typer.Option(help="With the fits that transfer makes: 2 s a pair; or without.")
    ] = True,
    markdown: Annotated[bool, typer.Option(help="Print the table as Markdown.")] = False,
    update_card: Annotated[
        bool, typer.Option(help="Write the figures into the model's card.")
    ] = False,
    details: Annotated[
        Path | None, typer.Option(help="Also write every pair's figures into this JSON file.")
    ] = None,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Measure a model: the same pairs and figures every time.

    What is measured is what transfer does; --no-refine measures the network alone. The attacks are
    on the network, white box: what they found is then handed to the fits as well. A baseline
    (`posetx train --model`) is measured alone and told how the pose source is turned.

    The targets are bodies of 1.5 to 2.0 m that no training saw in these shapes; poses of the
    protocols other than `seen` are of motion subjects that no training saw.
    """
    weights = find_model(model)
    check_outputs({"details": details}, [weights], overwrite)
    if update_card:
        check_outputs({"update_card": weights.with_suffix(".json")}, [], overwrite=True)

    from posetx.evaluation.command import EvaluateOptions
    from posetx.evaluation.command import evaluate as measured
    from posetx.evaluation.tables import failures_text, figures_markdown, figures_table

    options = EvaluateOptions(
        model=model,
        protocols=tuple(protocol or ()),
        mocap=mocap,
        pairs=pairs,
        restored=restored,
        refine=refine,
        update_card=update_card,
        details=details,
        device=device,
        seed=seed,
    )
    with progress_bar() as bar:
        task = bar.add_task("", total=pairs * len(options.names))

        def on_pair(name: str) -> None:
            bar.update(task, description=name, advance=1)

        found = measured(options, on_pair)
    if as_json:
        emit_json(found)
    elif markdown:
        typer.echo(figures_markdown(found["figures"]))
    else:
        source = f"clips of {mocap}" if mocap else "the shipped pose prior"
        title = f"{model}, {pairs} pairs a protocol, poses from {source}"
        emit_table(figures_table(found["figures"], title))
        typer.echo(failures_text(found["failures"]))
