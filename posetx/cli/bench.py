"""`posetx bench`: all networks trained and measured alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posetx.cli.common import (
    MOST,
    DeviceOption,
    JsonOption,
    MocapOption,
    QuietOption,
    SeedOption,
    VerboseOption,
    choice,
    emit_json,
)
from posetx.studies.bench.presets import NETWORKS, PRESETS
from posetx.system.console import console, progress_bar, say


def bench(
    folder: Annotated[Path, typer.Argument(help="The study's folder: runs and bench.json.")],
    preset: Annotated[
        str, choice(PRESETS, help="Two CPU cores, 20 minutes a training; or a GPU.")
    ] = "small",
    network: Annotated[
        list[str] | None,
        choice(NETWORKS, "-n", "--network", help="All without; may be repeated."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Instead of the preset's, of each training.")
    ] = None,
    pairs: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Instead of the preset's, of each protocol.")
    ] = None,
    mocap: MocapOption = None,
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help="CPU threads.")] = None,
    max_minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Begin nothing new after so long.")
    ] = None,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Train all networks on the same data, clean and adversarially, and print the papers' tables.

    Called again it goes on where it was: what FOLDER/bench.json has is not done anew. The tables
    are of what is there.
    """
    from posetx.studies.bench.run import BenchOptions, run
    from posetx.studies.bench.tables import markdown

    options = BenchOptions(
        folder=folder,
        preset=preset,
        networks=tuple(network or NETWORKS),
        samples=samples,
        pairs=pairs,
        mocap=mocap,
        threads=threads,
        max_minutes=max_minutes,
        device=device,
        seed=seed,
    )
    with progress_bar() as bar:
        task = bar.add_task("bench", total=None)

        def on_step(done: int, total: int, told: str) -> None:
            bar.update(task, completed=done, total=total, description=told)

        def on_done(told: str, minutes: float) -> None:
            if not console.is_terminal:
                say(f"{minutes:.1f} min  {told}")

        results, whole = run(options, on_step, on_done)
    if not whole:
        say("time is up; call again to go on")
    if as_json:
        emit_json(results)
    else:
        typer.echo(markdown(results))
