"""`posetx pose`: the pose that a scan shows, or many, as a file; and the body fitted to it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from posetx.cli.common import (
    DEFAULT_MODEL,
    AxisOption,
    DeviceOption,
    JsonOption,
    ModelOption,
    OverwriteOption,
    QuietOption,
    SeedOption,
    TimeViewOption,
    VerboseOption,
    check_preview,
    emit_json,
    json_text,
)
from posetx.cli.pose_work import PoseWork
from posetx.cli.stages import stage_bar
from posetx.pipeline.options import Options
from posetx.system.console import note, say


def pose(
    scans: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCAN...",
            help="PLY, OBJ, STL, OFF, XYZ, PCD, GLB, NPY, NPZ, LAS, LAZ, E57; or a folder.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="BVH, JSON or NPZ; of several scans a frame each."),
    ],
    body: Annotated[
        Path | None,
        typer.Option(
            help="Also write the fitted body, coloured by its distance to the scan: PLY, OBJ, "
            "GLB; of several scans, a folder."
        ),
    ] = None,
    body_format: Annotated[
        str, typer.Option(help="Of several scans' bodies: ply, obj or glb.")
    ] = "ply",
    up: AxisOption = "auto",
    front: AxisOption = "auto",
    preview: Annotated[
        Path | None,
        typer.Option(help="Also draw scan, skeleton and body: a PNG; of several scans, a folder."),
    ] = None,
    view: TimeViewOption = None,
    summary: Annotated[
        Path | None, typer.Option(help="Also write what was done, as --json says it, to a file.")
    ] = None,
    fps: Annotated[float, typer.Option(help="Frames a second of a BVH.")] = 30.0,
    no_clean: Annotated[bool, typer.Option("--no-clean", help="Use the scan as it is.")] = False,
    refine: Annotated[bool, typer.Option(help="Fit a body to the scan; takes seconds.")] = True,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write the pose that SCAN shows: joints, rotations, and how sure each joint is.

    JSON and NPZ are in the frame and unit of SCAN. BVH is in its unit, too, and has y up, as its
    readers expect: what is up in SCAN becomes y, place and heading stay. With --body comes the
    body that was fitted to SCAN: always the same vertices and faces, in the frame and unit of
    SCAN. Several scans, a folder or a pattern give one file with a frame for each; a scan that
    fails is left out and does not stop the rest.
    """
    from posetx.pipeline.batch import is_many
    from posetx.pipeline.pose import check_fps, check_pose_suffix
    from posetx.report.view.page import check_page_suffix

    options = Options(up=up, front=front, clean=not no_clean, refine=refine)
    options.check()
    check_pose_suffix(output)
    check_fps(fps)
    work = PoseWork(options, model, device, seed)
    if view:
        check_page_suffix(view, "view")
    files = {
        "output": output, "body": body, "preview": preview, "view": view, "summary": summary,
    }  # fmt: skip
    if is_many(scans, output):
        from posetx.cli.pose_many import pose_many

        document = pose_many(work, scans, files, body_format, fps, overwrite)
    else:
        document = _pose_one(work, scans[0], files, fps, overwrite, verbose, as_json)
    if as_json:
        emit_json(document)
    if document.get("failed"):
        raise typer.Exit(1)


def _pose_one(
    work: PoseWork,
    scan: Path,
    files: dict[str, Path | None],
    fps: float,
    overwrite: bool,
    verbose: bool,
    as_json: bool,
) -> dict[str, Any]:
    from posetx.files.atomic import check_outputs, write_text_atomic
    from posetx.pipeline.pose import write_poses
    from posetx.pipeline.registration import check_body_suffix
    from posetx.report.view.posed import PosePage

    output, body, preview, view, summary = files.values()
    assert output is not None
    if body:
        check_body_suffix(body)
    if preview:
        check_preview(preview)
    check_outputs(files, [scan], overwrite)
    work.check([scan])
    with stage_bar(work.stages(preview), began="" if as_json else scan.name) as stage:
        page = PosePage(1)
        look = partial(page.add, 0) if view else lambda reading: None
        found, report = work.pose(scan, body, preview, stage, look)
        write_poses(output, [found], fps)
        if view:
            page.write(view, report["warnings"])
    document = {"output": output, "view": view, **report}
    if summary:
        write_text_atomic(summary, json_text(document) + "\n")
    if verbose:
        _say_joints(document)
    for warning in document["warnings"]:
        note(warning)
    say(f"{output}: {told(document)}")
    return document


def told(document: dict[str, Any]) -> str:
    """In one line what was read: how many points of which, how sure, how far from the body."""
    from posetx.pipeline.results import points_told

    text = points_told(*(document[f"points_{name}"] for name in ("used", "measured", "in")))
    text = f"the pose of {text}, {document['scan_up']} up"
    if document["confidence"] is not None:
        text += f", confidence {document['confidence']:.2f}"
    if document["scan_to_body"]:
        text += f", body {document['scan_to_body']['median']:.1f} mm from the scan (median)"
    return text


def _say_joints(document: dict[str, Any]) -> None:
    """How sure each joint is, and what cleaning took out."""
    for stage in document["cleaning"]:
        say(f"  {stage['stage']}: {stage['in']:,} to {stage['out']:,} points, {stage['why']}")
    say(", ".join(f"{name} {sure:.2f}" for name, sure in document["joint_confidence"].items()))
