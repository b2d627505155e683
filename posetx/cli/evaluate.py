"""`posetx evaluate`: a model on the frozen protocols."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from posetx.cli.common import (
    DEFAULT_MODEL,
    DeviceOption,
    JsonOption,
    MocapOption,
    ModelOption,
    QuietOption,
    SeedOption,
    VerboseOption,
    choice,
    emit_json,
    emit_table,
)
from posetx.errors import UsageError
from posetx.evaluation.protocol_table import EXTRA, PROTOCOLS
from posetx.system.console import progress_bar


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
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of each protocol.")] = 400,
    restored: Annotated[
        int, typer.Option(min=0, help="How many of them also go through detail restoration.")
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
    from posetx.files.atomic import write_text_atomic

    names = protocol or [name for name in PROTOCOLS if name not in EXTRA]

    from posetx.evaluation.alone import figures_alone
    from posetx.evaluation.attack_grid import AttackGrid
    from posetx.evaluation.card import write_figures
    from posetx.evaluation.run import Evaluator
    from posetx.evaluation.subjects import Subjects
    from posetx.evaluation.tables import figures_markdown, figures_table
    from posetx.models.checkpoint import load_network
    from posetx.models.predictor import Predictor, predictor_of
    from posetx.system.device import resolve_device

    where = resolve_device(device)
    network, card = load_network(model, where)
    predictor = predictor_of(network, where)
    figures: dict[str, dict[str, float]] = {}
    with progress_bar() as bar:
        if isinstance(predictor, Predictor):
            evaluator = Evaluator(predictor, mocap, seed, refine)
            for name in names:
                task = bar.add_task(name, total=pairs)
                done = partial(bar.advance, task)
                figures[name] = evaluator.protocol(name, pairs, restored, done)
            if details:
                write_text_atomic(details, json.dumps(evaluator.details, indent=1) + "\n")
        elif details:
            raise UsageError("--details: of a baseline there are means only")
        else:
            refine, grid = False, AttackGrid(predictor, Subjects(mocap, seed))
            for name in bar.track(names, description="protocols"):
                figures[name] = figures_alone(grid, name, pairs)
    poses = "clips" if mocap else "prior"
    if update_card:
        write_figures(model, figures, poses, refine)
    if as_json:
        emit_json(
            {
                "model": model,
                "sha256": card.get("sha256"),
                "poses": poses,
                "seed": seed,
                "refine": refine,
                "figures": figures,
            }
        )
    elif markdown:
        typer.echo(figures_markdown(figures))
    else:
        source = f"clips of {mocap}" if mocap else "the shipped pose prior"
        emit_table(
            figures_table(figures, f"{model}, {pairs} pairs a protocol, poses from {source}")
        )
