"""`posetx curves`: the training curves of runs, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posetx.cli.common import (
    JsonOption,
    OverwriteOption,
    QuietOption,
    VerboseOption,
    check_preview,
    choice,
    emit_json,
)
from posetx.system.console import say


def curves(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, or their log.csv.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The picture: a PNG.")],
    by: Annotated[
        str, choice(("samples", "minutes"), help="What the curves go along.")
    ] = "samples",
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Draw what `posetx train` has logged: a chart for each loss and figure, a colour for each run.

    Also while a run goes on. What a step measured is pale, the mean over a twenty-fifth of the
    run is not.
    """
    from posetx.files.atomic import check_outputs
    from posetx.report.curves import LOG, Run, draw_curves

    check_preview(output)
    logs = [run / LOG if run.is_dir() else run for run in runs]
    check_outputs({"output": output}, logs, overwrite)
    read = [Run.read(run) for run in runs]
    drawn = draw_curves(output, read, "minutes" if by == "minutes" else "samples")
    say(f"{output}: {', '.join(drawn)}")
    if as_json:
        last = {run.name: {k: v[-1] for k, v in run.columns.items() if len(v)} for run in read}
        emit_json({"output": output, "drawn": drawn, "last": last})
