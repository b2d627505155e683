"""`posetx transfer`: the pose of a scan, on a target mesh."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    emit_json,
)
from posetx.console import console, progress_bar
from posetx.errors import UsageError

STAGES = {
    "read": "reading",
    "load": "loading the model",
    "clean": "cleaning the scan",
    "orient": "finding up and front",
    "predict": "reading the pose",
    "refine": "fitting the pose to the scan",
    "give": "giving the pose to the target",
    "restore": "restoring detail",
    "measure": "measuring",
    "write": "writing",
    "preview": "drawing the preview",
}

AxisOption = Annotated[str, typer.Option(metavar="AXIS", help="x, y, z, -x, -y, -z or auto.")]


def transfer(
    scan: Annotated[
        Path, typer.Argument(help="PLY, OBJ, STL, OFF, XYZ, PCD, GLB, NPY, NPZ, LAS, LAZ, E57.")
    ],
    target: Annotated[Path, typer.Argument(help="OBJ, PLY, GLB, glTF, STL, OFF.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The posed target.")],
    up: AxisOption = "auto",
    front: AxisOption = "auto",
    target_up: AxisOption = "auto",
    target_front: AxisOption = "auto",
    heading: Annotated[
        str, typer.Option(help="Face as the `target` did, or turn as the `scan` stands.")
    ] = "target",
    preview: Annotated[
        Path | None, typer.Option(help="Also draw scan, target and result into this PNG.")
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
    floor. The result keeps the target's format, faces, vertex order, unit and place.
    """
    from posetx.files.atomic import check_output
    from posetx.files.targets.base import check_output_suffix

    if heading not in ("target", "scan"):
        raise UsageError(f"--heading {heading}: use target or scan")
    check_output_suffix(output)
    check_output(output, overwrite)
    if preview:
        if preview.suffix.lower() != ".png":
            raise UsageError(f"{preview}: the preview is a PNG; name it something.png")
        check_output(preview, overwrite)

    with progress_bar() as bar:
        task = bar.add_task("", total=len(STAGES) - (not preview) - no_restore - (not refine))

        def on_stage(name: str) -> None:
            bar.update(task, description=STAGES[name])
            bar.advance(task, 0 if name == "read" else 1)

        on_stage("read")
        from posetx.files.scans import read_scan
        from posetx.files.targets import read_target

        raw, mesh = read_scan(scan), read_target(target)
        on_stage("load")
        import torch

        from posetx.device import resolve_device
        from posetx.transfer import Options, Transferrer

        torch.manual_seed(seed)
        options = Options(
            up,
            front,
            target_up,
            target_front,
            heading,
            clean=not no_clean,
            refine=refine,
            restore=not no_restore,
        )
        worker = Transferrer(model, resolve_device(device))
        result = worker.transfer(raw, mesh, options, on_stage)
        on_stage("write")
        notes = mesh.save(output, result.vertices)
        if preview:
            on_stage("preview")
            from posetx.report.transfer import draw_transfer

            draw_transfer(preview, raw, mesh, result)

    for warning in [*result.warnings, *notes]:
        console.print(f"[yellow]note:[/] {warning}", soft_wrap=True)
    report = result.report
    if as_json:
        document = {"output": output, "preview": preview, "model": model, "seed": seed, **report}
        emit_json({**document, "warnings": [*result.warnings, *notes]})
        return
    confidence = report["confidence"]
    trust = "" if confidence is None else f", confidence {confidence:.2f}"
    console.print(
        f"{output}: {report['vertices']} vertices posed from {report['points_used']} of "
        f"{report['points_in']} points, scan's {report['scan_up']} up{trust}",
        soft_wrap=True,
    )
