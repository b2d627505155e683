"""`posetx trials`: one change of the defaults at a time, trained and measured alike."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posetx.cli.common import (
    MOST,
    JsonOption,
    MocapOption,
    OverwriteOption,
    QuietOption,
    SeedOption,
    VerboseOption,
    emit_json,
)
from posetx.files.atomic import check_outputs
from posetx.system.console import say

if TYPE_CHECKING:
    from posetx.studies.trials.results import Run


def names_of_trials(incomplete: str) -> list[str]:
    """For a shell's completion."""
    from posetx.studies.trials.catalogue import TRIALS

    return [trial.name for trial in TRIALS if trial.name.startswith(incomplete)]


def trials(
    folder: Annotated[Path, typer.Argument(help="Where trials.json goes.")],
    mocap: MocapOption = None,
    samples: Annotated[int, typer.Option(min=1, max=MOST, help="Of a run.")] = 24000,
    batch: Annotated[int, typer.Option(min=1, max=1_000_000, help="Few, for many steps.")] = 64,
    validation: Annotated[int, typer.Option(min=1, max=MOST, help="Samples of each kind.")] = 512,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=names_of_trials,
            help="Just this trial and the baseline; may be repeated.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="CPU threads.")] = 1,
    table: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what ran as Markdown.")
    ] = None,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Train the defaults and one change of them at a time, at equal samples and equal CPU minutes.

    Called again it goes on where it was: what FOLDER/trials.json has is not done anew.
    """
    from dataclasses import asdict

    from posetx.studies.trials.study import TrialsOptions, run

    check_outputs({"table": table}, [], overwrite)
    options = TrialsOptions(
        folder=folder,
        mocap=mocap,
        samples=samples,
        batch=batch,
        seed=seed,
        validation=validation,
        only=tuple(only or ()),
        threads=threads,
        table=table,
    )
    results = run(options, shlex.join(["posetx", *sys.argv[1:]]), say_run)
    if table:
        say(f"{table}: written")
    if as_json:
        emit_json({"runs": [asdict(one) for one in results.runs]})


def say_run(run: Run) -> None:
    """A line about a finished run."""
    figures = "  ".join(f"{kind} {value * 1e4:.1f}" for kind, value in run.pmd.items())
    say(
        f"{run.trial}, equal {run.equal}: {run.samples} samples in {run.cpu_seconds:.0f} CPU s, "
        f"PMD ×1e-4: {figures}"
    )
