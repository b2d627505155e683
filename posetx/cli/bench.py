"""`posetx bench`: all networks trained and measured alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posetx.cli.common import (
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
from posetx.system.console import console, progress_bar


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
        int | None, typer.Option(min=1, help="Instead of the preset's, of each training.")
    ] = None,
    pairs: Annotated[
        int | None, typer.Option(min=1, help="Instead of the preset's, of each protocol.")
    ] = None,
    mocap: MocapOption = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
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
    import time
    from dataclasses import replace
    from functools import partial

    import torch

    from posetx.studies.bench.study import Study
    from posetx.studies.bench.tables import markdown
    from posetx.system.device import resolve_device

    plan = PRESETS[preset]
    plan = replace(plan, samples=samples or plan.samples, pairs=pairs or plan.pairs)
    if threads:
        torch.set_num_threads(threads)
    begin = time.monotonic()
    study = Study(folder, plan, mocap, seed, resolve_device(device))
    steps = study.steps(tuple(network) if network else NETWORKS)
    with progress_bar() as bar:
        task = bar.add_task("bench", total=len(steps))

        def say(told: str, text: str) -> None:
            bar.update(task, description=f"{told}: {text}")

        for told, step in steps:
            if max_minutes and time.monotonic() - begin > 60 * max_minutes:
                console.print("time is up; call again to go on")
                break
            bar.update(task, description=told)
            step(partial(say, told))
            bar.advance(task)
            if not console.is_terminal:
                minutes = (time.monotonic() - begin) / 60
                console.print(f"{minutes:.1f} min  {told}", soft_wrap=True)
    if as_json:
        emit_json(study.results)
    else:
        typer.echo(markdown(study.results))
