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
from posetx.errors import UsageError
from posetx.system.console import console, progress_bar

STAGES = {
    "files": "reading",
    "load": "loading the model",
    "target": "fitting the target",
    "clean": "cleaning the scan",
    "orient": "finding up and front",
    "read": "reading the pose",
    "furniture": "telling body and furniture apart",
    "give": "giving the pose to the target",
    "restore": "restoring detail",
    "measure": "measuring",
    "write": "writing",
    "preview": "drawing the preview",
}

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
        str, typer.Option(help="Face as the `target` did, or turn as the `scan` stands.")
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
    from posetx.pipeline.batch import is_many

    if heading not in ("target", "scan"):
        raise UsageError(f"--heading {heading}: use target or scan")
    settings = {
        "up": up,
        "front": front,
        "target_up": target_up,
        "target_front": target_front,
        "heading": heading,
        "clean": not no_clean,
        "refine": refine,
        "restore": not no_restore,
    }
    work = Work(target, settings, model, device, seed)
    if summary:
        from posetx.files.atomic import check_output

        check_output(summary, overwrite)
    if is_many(scans, output):
        from posetx.cli.transfer_many import transfer_many

        documents, failed = transfer_many(work, scans, output, preview, overwrite)
        document: Any = {"results": documents, "failed": failed}
    else:
        document, failed = _transfer_one(work, scans[0], output, preview, overwrite), 0
    if summary:
        from posetx.files.atomic import write_text_atomic

        write_text_atomic(summary, json_text(document) + "\n")
    if as_json:
        emit_json(document)
    if failed:
        raise typer.Exit(1)


class Work:
    """A target and a model, loaded when the first scan is there."""

    def __init__(
        self, target: Path, settings: dict[str, Any], model: str, device: str, seed: int
    ) -> None:
        self.target_path, self.settings = target, settings
        self.model, self.device, self.seed = model, device, seed
        self.target: Any = None
        self.worker: Any = None

    def prepare(self) -> None:
        """Read the target, then load the model."""
        if self.worker is not None:
            return
        from posetx.files.targets import read_target

        self.target = self.target or read_target(self.target_path)
        from posetx.pipeline.transfer import Transferrer
        from posetx.system.device import resolve_device

        self.worker = Transferrer(self.model, resolve_device(self.device))

    def transfer(self, scan: Path, output: Path, preview: Path | None, on_stage) -> dict[str, Any]:
        """Do one scan; returns what --json shows of it. ``on_stage`` hears each stage's name."""
        on_stage("files")
        from posetx.files.scans import read_scan

        raw = read_scan(scan)
        on_stage("load")
        self.prepare()
        import torch

        from posetx.pipeline.transfer import Options

        torch.manual_seed(self.seed)
        result = self.worker.transfer(raw, self.target, Options(**self.settings), on_stage)
        on_stage("write")
        notes = self.target.save(output, result.vertices)
        if preview:
            on_stage("preview")
            from posetx.report.transfer import draw_transfer

            draw_transfer(preview, raw, self.target, result)
        document = {"output": output, "preview": preview, "model": self.model, "seed": self.seed}
        return {**document, **result.report, "warnings": [*result.warnings, *notes]}

    def stages(self, preview: Path | None) -> int:
        """How many stages a scan has after its file is read."""
        alone = not (self.settings["refine"] and self.settings["clean"])
        return len(STAGES) - 1 - (not preview) - (not self.settings["restore"]) - alone


def _transfer_one(
    work: Work, scan: Path, output: Path, preview: Path | None, overwrite: bool
) -> dict[str, Any]:
    from posetx.files.atomic import check_output
    from posetx.files.targets.base import check_output_suffix

    check_output_suffix(output)
    check_output(output, overwrite)
    if preview:
        check_preview(preview, overwrite)
    with progress_bar() as bar:
        task = bar.add_task("", total=work.stages(preview))

        def on_stage(name: str) -> None:
            bar.update(task, description=STAGES[name])
            bar.advance(task, 0 if name == "files" else 1)

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
