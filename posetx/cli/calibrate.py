"""`posetx calibrate`: a model's confidence, made a likelihood by measured pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posetx.cli.common import JsonOption, QuietOption, VerboseOption, emit_json


def calibrate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="By name or path.")],
    details: Annotated[
        list[Path],
        typer.Argument(metavar="DETAILS...", help="JSON files of `posetx evaluate --details`."),
    ],
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Fit the curve of MODEL's confidence to measured pairs, and say how far it can be trusted.

    Every other pair makes the curve, which goes into the model's card; the pairs between make the
    table.
    """
    from posetx.studies.calibrate import calibrate_card, markdown

    table = calibrate_card(model, details)
    if as_json:
        emit_json({"model": model, "reliability": table})
    else:
        typer.echo(markdown(table))
