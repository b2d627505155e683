"""`posetx transfer`: the pose of a scan, or of many, on a target mesh."""

from __future__ import annotations

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
    VerboseOption,
    ViewOption,
    check_preview,
    emit_json,
    json_text,
)
from posetx.cli.stages import stage_bar
from posetx.cli.work import Work
from posetx.pipeline.options import Engine, Heading, Options
from posetx.system.console import note, say

MANY = "Several scans"
WORKERS = "Processes that each do a scan at a time; without, as many as pay."


def transfer(
    scans: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCAN...",
            help="PLY, OBJ, STL, OFF, XYZ, PCD, GLB, NPY, NPZ, LAS, LAZ, E57; or a folder.",
        ),
    ],
    target: Annotated[
        Path, typer.Argument(help="OBJ, PLY, GLB, glTF, STL, OFF; with Blender FBX, BLEND, USD.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The posed target; of several scans, a folder.")
    ],
    up: AxisOption = "auto",
    front: AxisOption = "auto",
    target_up: AxisOption = "auto",
    target_front: AxisOption = "auto",
    heading: Annotated[
        Heading,
        typer.Option(help="Face as the `target` did, or turn as the `scan` stands."),
    ] = "target",
    preview: Annotated[
        Path | None,
        typer.Option(help="Also draw scan, target and result: a PNG; of several scans, a folder."),
    ] = None,
    view: ViewOption = None,
    summary: Annotated[
        Path | None, typer.Option(help="Also write what was done, as --json says it, to a file.")
    ] = None,
    no_clean: Annotated[bool, typer.Option("--no-clean", help="Use the scan as it is.")] = False,
    refine: Annotated[
        bool, typer.Option(help="Fit the network's pose to the scan; takes seconds.")
    ] = True,
    no_restore: Annotated[
        bool, typer.Option("--no-restore", help="Leave out detail restoration.")
    ] = False,
    bake: Annotated[
        bool,
        typer.Option("--bake", help="Move the vertices of a skinned target, not its joints."),
    ] = False,
    engine: Annotated[
        Engine,
        typer.Option(
            help="Several scans on this machine, or on a Ray cluster.", rich_help_panel=MANY
        ),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help=WORKERS, rich_help_panel=MANY),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="The Ray cluster: HOST:PORT, or auto; without, one begins here.",
            rich_help_panel=MANY,
        ),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Give the pose of SCAN to TARGET; everything else of TARGET stays as it is.

    SCAN may be a cloud or a broken mesh, in any unit, with any axis up, with noise, holes and
    floor. The result keeps the target's format, faces, vertex order, unit and place. Several
    scans, a folder or a pattern give a folder of results: what is there is skipped without
    --overwrite, and a scan that fails does not stop the rest.
    """
    from posetx.files.targets.base import holds_skeleton
    from posetx.pipeline.batch import is_many
    from posetx.pipeline.engines import Engines

    many = is_many(scans, output)  # whose results have the target's format
    options = Options(
        up=up,
        front=front,
        target_up=target_up,
        target_front=target_front,
        heading=heading,
        clean=not no_clean,
        refine=refine,
        restore=not no_restore,
        bake=bake or not holds_skeleton(target if many else output),
    )
    options.check()
    engines = Engines(engine, workers, address, device)
    engines.check()
    work = Work(target, options, model, device, seed)
    if many:
        from posetx.cli.transfer_many import transfer_many

        drawn = (preview, view)
        document = transfer_many(work, scans, output, drawn, summary, overwrite, engines)
    else:
        files = {"output": output, "preview": preview, "view": view, "summary": summary}
        document = _transfer_one(work, scans[0], files, overwrite, verbose, as_json)
    if as_json:
        emit_json(document)
    if document.get("failed"):
        raise typer.Exit(1)


def _transfer_one(
    work: Work,
    scan: Path,
    files: dict[str, Path | None],
    overwrite: bool,
    verbose: bool,
    as_json: bool,
) -> dict[str, Any]:
    from posetx.files.atomic import check_outputs, write_text_atomic
    from posetx.files.targets.base import check_output_suffix
    from posetx.pipeline.results import points_told
    from posetx.report.view.page import check_page_suffix

    output, preview, view, summary = files.values()
    assert output is not None
    check_output_suffix(output, work.target_path)
    if preview:
        check_preview(preview)
    if view:
        check_page_suffix(view, "view")
    check_outputs(files, [scan, work.target_path], overwrite)
    work.check([scan])
    work.output, work.others = output, {"preview": preview, "summary": summary}
    began = "" if as_json else f"{scan.name} to {work.target_path.name}"
    with stage_bar(work.stages(preview, view), began=began) as stage:
        report = work.transfer(scan, output, preview, view, stage)
    if summary:
        write_text_atomic(summary, json_text(report) + "\n")
    if verbose:
        _say_found(report)
    for warning in report["warnings"]:
        note(warning)
    points = points_told(*(report[f"points_{name}"] for name in ("used", "measured", "in")))
    confidence = report["confidence"]
    trust = "" if confidence is None else f", confidence {confidence:.2f}"
    skeleton = report["skeleton"]
    by = ""
    if skeleton is not None:
        near = 100 * skeleton["distance"]
        by = f" by its {skeleton['joints']} joints (to {near:.1f} % of its height)"
    say(
        f"{output}: {report['vertices']:,} vertices posed{by} from {points}, "
        f"scan's {report['scan_up']} up{trust}"
    )
    return report


def _say_found(report: dict[str, Any]) -> None:
    """What was made of the files: unit, axes, cleaning."""
    say(f"scan: an adult's metre is {report['scan_metre']:.4g} of its units, {_axes(report)}")
    for stage in report["cleaning"]:
        say(f"  {stage['stage']}: {stage['in']:,} to {stage['out']:,} points, {stage['why']}")
    say(
        f"network: {report['fit_distance']:.4f} from the scan, the next direction "
        f"{100 * report['orientation_margin']:.0f} % worse"
    )
    say(f"target: {report['target_up']} up, {report['target_distance']:.4f} from the network's")


def _axes(report: dict[str, Any]) -> str:
    """Which of the scan's axes point up and to the front."""
    front = report["scan_rotation"][2]
    place = max(range(3), key=lambda i: abs(front[i]))
    return f"{report['scan_up']} up, facing {'-' * (front[place] < 0)}{'xyz'[place]}"
