"""`posetx clean`: what `posetx transfer` would take of a scan, or of many, as files."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from posetx.cleaning.settings import CleanSettings, Sampling
from posetx.cli.common import (
    MOST,
    JsonOption,
    OverwriteOption,
    QuietOption,
    SeedOption,
    VerboseOption,
    ViewOption,
    check_input,
    check_preview,
    emit_json,
    emit_table,
)
from posetx.cli.stages import stage_bar
from posetx.system.console import note, say

STAGES = {
    "read": "reading",
    "clean": "cleaning the scan",
    "write": "writing",
    "preview": "drawing the preview",
    "view": "making the page",
}


def clean(
    scans: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCAN...",
            help="PLY, OBJ, STL, OFF, XYZ, PCD, GLB, NPY, NPZ, LAS, LAZ, E57; or a folder.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            help="The body: PLY, OBJ, XYZ, TXT, CSV, NPZ; of several scans, a folder.",
        ),
    ],
    preview: Annotated[
        Path | None,
        typer.Option(
            help="Also draw what went and what stayed: a PNG; of several scans, a folder."
        ),
    ] = None,
    view: ViewOption = None,
    kind: Annotated[
        str, typer.Option("--format", help="Of several scans: ply, obj, xyz, txt, csv or npz.")
    ] = "ply",
    summary: Annotated[
        Path | None, typer.Option(help="Also write what was done, as --json says it, to a file.")
    ] = None,
    no_outliers: Annotated[bool, typer.Option("--no-outliers", help="Leave strays in.")] = False,
    no_planes: Annotated[
        bool, typer.Option("--no-planes", help="Leave floors and walls in.")
    ] = False,
    no_clusters: Annotated[
        bool, typer.Option("--no-clusters", help="Leave other objects and crumbs in.")
    ] = False,
    points: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Thin the result to at most so many points.")
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
    points that are kept. It is what `posetx transfer` takes of SCAN, in full density. Several
    scans, a folder or a pattern give a folder of results, as with `posetx transfer`.
    """
    from posetx.pipeline.batch import is_many

    settings = CleanSettings(
        outliers=not no_outliers,
        planes=not no_planes,
        clusters=not no_clusters,
        points=points,
        sampling=sampling,
        seed=seed,
    )
    if is_many(scans, output):
        document = _clean_many(scans, output, (preview, view), kind, settings, summary, overwrite)
    else:
        files = {"output": output, "preview": preview, "view": view, "summary": summary}
        document = _clean_one(scans[0], files, settings, overwrite, table=not (as_json or quiet))
    if as_json:
        emit_json(document)
    if document.get("failed"):
        raise typer.Exit(1)


def _clean_one(
    scan: Path,
    files: dict[str, Path | None],
    settings: CleanSettings,
    overwrite: bool,
    table: bool,
) -> dict[str, Any]:
    from posetx.cli.common import json_text
    from posetx.files.atomic import check_outputs, write_text_atomic
    from posetx.files.scan_write import check_scan_suffix
    from posetx.report.view.page import check_page_suffix

    output, preview, view, summary = files.values()
    assert output is not None
    check_scan_suffix(output)
    if preview:
        check_preview(preview)
    if view:
        check_page_suffix(view, "view")
    check_outputs(files, [scan], overwrite)
    check_input(scan, "the scan")
    left = {name for name, path in (("preview", preview), ("view", view)) if path is None}
    names = [name for name in STAGES if name not in left]
    with stage_bar(names, STAGES) as on_stage:
        document = _cleaned(scan, (output, preview, view), settings, on_stage)
    if summary:
        write_text_atomic(summary, json_text(document) + "\n")
    for warning in document["warnings"]:
        note(warning)
    if table:
        emit_table(stages_as_table(document["stages"]))
    say(f"{output}: {document['points_out']:,} of {document['points_in']:,} points kept")
    return document


def _clean_many(
    given: list[Path],
    output: Path,
    drawn: tuple[Path | None, Path | None],
    kind: str,
    settings: CleanSettings,
    summary_path: Path | None,
    overwrite: bool,
) -> dict[str, Any]:
    from posetx.cli.many import check_batch, do_many, in_turn
    from posetx.cli.summary import Summary
    from posetx.files.scan_write import check_scan_suffix
    from posetx.pipeline.batch import Job, find_scans, plan

    suffix = f".{kind.lower().lstrip('.')}"
    check_scan_suffix(Path(f"--format {suffix}"))
    previews, views = drawn
    jobs = plan(find_scans(given), output, suffix, previews, views=views)
    check_batch(jobs, output, previews, summary_path, views)
    summary = Summary(summary_path, asdict(settings), overwrite)

    def do(job: Job) -> dict[str, Any]:
        return _cleaned(job.scan, (job.output, job.preview, job.view), settings)

    def kept(report: dict[str, Any]) -> str:
        return f"{report['points_out']:,} of {report['points_in']:,}"

    return do_many(jobs, output, in_turn(do), ("points kept", kept), summary, overwrite)


def _cleaned(
    scan: Path,
    files: tuple[Path, Path | None, Path | None],
    settings: CleanSettings,
    on_stage: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Clean one scan into a result, a preview and a page; returns what --json shows of it."""
    output, preview, view = files
    seconds: dict[str, float] = {}
    running: list[tuple[str, float]] = []

    def stage(name: str) -> None:
        now = time.perf_counter()
        if running:
            before, start = running.pop()
            seconds[before] = round(now - start, 3)
        if name:
            running.append((name, now))
            on_stage(name)

    stage("read")
    from posetx.cleaning.measured import body_of, stages_table
    from posetx.files.scan_write import write_scan
    from posetx.files.scans import read_scan

    raw = read_scan(scan)
    stage("clean")
    body = body_of(raw, settings)
    stage("write")
    notes = [*raw.notes, *body.notes, *write_scan(output, body.scan)]
    if preview:
        stage("preview")
        from posetx.report.cleaned import draw_cleaned

        draw_cleaned(preview, raw, body)
    if view:
        stage("view")
        from posetx.report.view.cleaned import write_cleaned_view

        write_cleaned_view(view, raw, body, output.name, notes)
    stage("")
    return {
        "scan": scan,
        "output": output,
        "preview": preview,
        "view": view,
        "points_in": len(raw.points),
        "points_out": len(body.kept),
        "faces_in": 0 if raw.faces is None else len(raw.faces),
        "faces_out": 0 if body.scan.faces is None else len(body.scan.faces),
        "stages": stages_table(body.stages),
        "warnings": notes,
        "seconds": seconds,
    }


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
