"""`posetx clean`: what `posetx transfer` would take of a scan, as a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from posetx.cleaning.settings import CleanSettings, Sampling
from posetx.cli.common import (
    JsonOption,
    OverwriteOption,
    QuietOption,
    SeedOption,
    VerboseOption,
    check_preview,
    emit_json,
    emit_table,
)
from posetx.system.console import console, progress_bar

STAGES = {
    "read": "reading",
    "clean": "cleaning the scan",
    "write": "writing",
    "preview": "drawing the preview",
}


def clean(
    scan: Annotated[
        Path, typer.Argument(help="PLY, OBJ, STL, OFF, XYZ, PCD, GLB, NPY, NPZ, LAS, LAZ, E57.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The body: PLY, XYZ, TXT, CSV, NPZ.")
    ],
    preview: Annotated[
        Path | None, typer.Option(help="Also draw what went and what stayed into this PNG.")
    ] = None,
    no_outliers: Annotated[bool, typer.Option("--no-outliers", help="Leave strays in.")] = False,
    no_planes: Annotated[
        bool, typer.Option("--no-planes", help="Leave floors and walls in.")
    ] = False,
    no_clusters: Annotated[
        bool, typer.Option("--no-clusters", help="Leave other objects and crumbs in.")
    ] = False,
    points: Annotated[
        int | None, typer.Option(min=1, help="Thin the result to at most so many points.")
    ] = None,
    sampling: Annotated[
        Sampling, typer.Option(help="With --points: evenly and fast, or farthest points.")
    ] = "voxel",
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Take out of SCAN whatever is not the body: strays, floor, walls, other objects.

    The result stays in the frame and unit of SCAN, with the normals, colours and faces of the
    points that are kept. It is what `posetx transfer` takes of SCAN, in full density.
    """
    from posetx.files.atomic import check_output
    from posetx.files.scan_write import check_scan_suffix, write_scan

    settings = CleanSettings(
        outliers=not no_outliers,
        planes=not no_planes,
        clusters=not no_clusters,
        points=points,
        sampling=sampling,
        seed=seed,
    )
    check_scan_suffix(output)
    check_output(output, overwrite)
    if preview:
        check_preview(preview, overwrite)

    seconds: dict[str, float] = {}
    with progress_bar() as bar:
        task = bar.add_task("", total=len(STAGES) - (not preview))
        running: list[tuple[str, float]] = []

        def on_stage(name: str) -> None:
            now = time.perf_counter()
            if running:
                before, start = running.pop()
                seconds[before] = round(now - start, 3)
                bar.advance(task)
            running.append((name, now))
            bar.update(task, description=STAGES.get(name, ""))

        on_stage("read")
        from posetx.cleaning.measured import body_of, stages_table
        from posetx.files.scans import read_scan

        raw = read_scan(scan)
        on_stage("clean")
        body = body_of(raw, settings)
        on_stage("write")
        notes = [*raw.notes, *body.notes, *write_scan(output, body.scan)]
        if preview:
            on_stage("preview")
            from posetx.report.cleaned import draw_cleaned

            draw_cleaned(preview, raw, body)
        on_stage("")

    for note in notes:
        console.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)
    stages = stages_table(body.stages)
    if as_json:
        emit_json(
            {
                "scan": scan,
                "output": output,
                "preview": preview,
                "points_in": len(raw.points),
                "points_out": len(body.kept),
                "faces_in": 0 if raw.faces is None else len(raw.faces),
                "faces_out": 0 if body.scan.faces is None else len(body.scan.faces),
                "stages": stages,
                "warnings": notes,
                "seconds": seconds,
            }
        )
        return
    if not quiet:
        emit_table(stages_as_table(stages))
    console.print(
        f"{output}: {len(body.kept):,} of {len(raw.points):,} points kept", soft_wrap=True
    )


def stages_as_table(stages: list[dict[str, Any]]) -> Table:
    """One row a stage: what went in, what came out, why."""
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    table.add_column("in", justify="right")
    table.add_column("out", justify="right")
    table.add_column("why")
    for stage in stages:
        table.add_row(stage["stage"], f"{stage['in']:,}", f"{stage['out']:,}", stage["why"])
    return table
