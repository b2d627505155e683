"""`posetx transfer`: the pose of a scan, or of many, on a target mesh."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from posetx.cli.common import (
    DEFAULT_MODEL,
    DeviceOption,
    JsonOption,
    ModelOption,
    OverwriteOption,
    QuietOption,
    SeedOption,
    VerboseOption,
    check_preview,
    emit_json,
    json_text,
)
from posetx.cli.stages import stage_bar
from posetx.cli.work import Work
from posetx.pipeline.options import Heading, Options
from posetx.system.console import console

AxisOption = Annotated[str, typer.Option(metavar="AXIS", help="x, y, z, -x, -y, -z or auto.")]


def transfer(
    scans: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCAN...",
            help="PLY, OBJ, STL, OFF, XYZ, PCD, GLB, NPY, NPZ, LAS, LAZ, E57; or a folder.",
        ),
    ],
    target: Annotated[Path, typer.Argument(help="OBJ, PLY, GLB, glTF, STL, OFF.")],
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
    from posetx.files.atomic import check_output, write_text_atomic
    from posetx.pipeline.batch import is_many

    options = Options(
        up=up,
        front=front,
        target_up=target_up,
        target_front=target_front,
        heading=heading,
        clean=not no_clean,
        refine=refine,
        restore=not no_restore,
    )
    options.check()
    work = Work(target, options, model, device, seed)
    if summary:
        check_output(summary, overwrite)
    if is_many(scans, output):
        from posetx.cli.transfer_many import transfer_many

        documents, failed = transfer_many(work, scans, output, preview, overwrite)
        document: Any = {"results": documents, "failed": failed}
    else:
        document, failed = _transfer_one(work, scans[0], output, preview, overwrite), 0
    if summary:
        write_text_atomic(summary, json_text(document) + "\n")
    if as_json:
        emit_json(document)
    if failed:
        raise typer.Exit(1)


def _transfer_one(
    work: Work, scan: Path, output: Path, preview: Path | None, overwrite: bool
) -> dict[str, Any]:
    from posetx.files.atomic import check_output
    from posetx.files.targets.base import check_output_suffix

    check_output_suffix(output, work.target_path)
    check_output(output, overwrite)
    if preview:
        check_preview(preview, overwrite)
    with stage_bar(work.stages(preview)) as on_stage:
        report = work.transfer(scan, output, preview, on_stage)
    for warning in report["warnings"]:
        console.print(f"[yellow]note:[/] {warning}", soft_wrap=True)
    confidence = report["confidence"]
    trust = "" if confidence is None else f", confidence {confidence:.2f}"
    console.print(
        f"{output}: {report['vertices']} vertices posed from {report['points_used']} of "
        f"{report['points_in']} points, scan's {report['scan_up']} up{trust}",
        soft_wrap=True,
    )
    return report
