"""`posetx view`: a page to look at scans, targets and results in a browser, or files of a time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posetx.cli.common import (
    JsonOption,
    OverwriteOption,
    QuietOption,
    VerboseOption,
    check_input,
    emit_json,
)
from posetx.report.view.choices import Arrangement
from posetx.system.console import counted, note, progress_bar, say

AxesOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AXIS", help="x, y, z, -x, -y, -z or auto; of all files, or given once for each."
    ),
]


def view(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Scans and meshes, of any format that is read; at most 9 shapes.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="PAGE.html", help="The page: HTML.")
    ],
    up: AxesOption = None,
    front: AxesOption = None,
    arrangement: Annotated[
        Arrangement,
        typer.Option(
            help="Of files of the same vertices; auto: more than three are moments in time."
        ),
    ] = "auto",
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make one HTML page that shows FILE... in any browser, without a network.

    Turn, compare side by side or in one place, go from before to after or through time, colour by
    distances. Files of the same vertices and triangles, such as a target and its result, belong
    together; of a scan and others each is drawn upright and, in another unit, as high.
    """
    from posetx.files.atomic import check_outputs
    from posetx.report.view.files import view_of_files
    from posetx.report.view.page import check_page_suffix, write_page

    check_page_suffix(output)
    check_outputs({"output": output}, files, overwrite)
    for path in files:
        check_input(path, "the file")
    with progress_bar() as bar:
        bar.add_task("reading", total=None)
        shown = view_of_files(files, up or (), front or (), arrangement)
        size = write_page(output, shown)
    for warning in shown.warnings:
        note(warning)
    subjects = [
        {"name": s.name, "vertices": s.count, "frames": len(s.frames)} for s in shown.subjects
    ]
    if as_json:
        emit_json({"output": output, "bytes": size, "shown": subjects, "warnings": shown.warnings})
    say(f"{output}: {counted(len(files), 'file')}, {size / 1e6:.1f} MB; open it in a browser")
