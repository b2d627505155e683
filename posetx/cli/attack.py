"""`posetx attack`: the adversarial scan, and the harm it does to the network and to a transfer."""

from __future__ import annotations

from dataclasses import replace
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
    "load": "loading the model",
    "before": "transferring the clean scan",
    "attack": "attacking",
    "after": "transferring the adversarial scan",
    "write": "writing",
    "preview": "drawing",
}

ONE_STEP = ("fgm", "drop", "noise")
"""Methods of which the number of steps says nothing."""


def attack(
    scan: Annotated[
        Path | None,
        typer.Argument(help="PLY, OBJ, STL, OFF, XYZ, PCD, GLB, NPY, NPZ, LAS, LAZ, E57."),
    ] = None,
    target: Annotated[Path | None, typer.Argument(help="OBJ, PLY, GLB, glTF, STL, OFF.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The adversarial scan: PLY, XYZ, CSV, NPZ."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="fgm, ifgm, mifgm, pgd (default), igsm, igsm-t, cw, drop, nes or noise."),
    ] = None,
    epsilon: Annotated[
        list[float] | None,
        typer.Option(min=0.0, help="How far points may move, in metres of an adult (0.02)."),
    ] = None,
    norm: Annotated[
        str | None,
        typer.Option(
            help="l2 (root mean square a coordinate), point (each) or linf (each x, y, z)."
        ),
    ] = None,
    steps: Annotated[
        list[int] | None, typer.Option(min=1, help="Of an iterative attack (20).")
    ] = None,
    restarts: Annotated[int, typer.Option(min=1, help="Random starts of pgd.")] = 1,
    share: Annotated[float, typer.Option(help="Of the points that drop takes.")] = 0.1,
    success: Annotated[
        float, typer.Option(help="PMD (m²) from which on it is another result; the goal of cw.")
    ] = 1e-3,
    toward: Annotated[
        Path | None,
        typer.Option(help="Want the pose of this scan or BVH clip, instead of any harm."),
    ] = None,
    frame: Annotated[int, typer.Option(help="Of the clip of --toward; -1 is the last one.")] = 0,
    turn: Annotated[
        list[float] | None, typer.Option(help="Want the own pose turned by so many degrees.")
    ] = None,
    surrogate: Annotated[
        str | None, typer.Option(help="Make the attack with this model: --model is a black box.")
    ] = None,
    defence: Annotated[
        str | None, typer.Option(help="Also measure behind sor, subsample, smooth or mask.")
    ] = None,
    adaptive: Annotated[bool, typer.Option(help="The attack knows of the defence.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Folder for both results, heat maps (PLY, PNG) and a JSON report."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Attack a protocol's pairs instead of a scan; options may be repeated."),
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="With --dataset: so many.")] = 64,
    views: Annotated[
        list[int] | None, typer.Option(min=1, help="With --dataset: cameras of the scanner.")
    ] = None,
    mocap: Annotated[
        Path | None, typer.Option(help="With --dataset: poses from these BVH clips.")
    ] = None,
    markdown: Annotated[bool, typer.Option(help="With --dataset: print Markdown.")] = False,
    by_part: Annotated[
        bool, typer.Option(help="With --dataset: also which body parts are perturbed.")
    ] = False,
    model: ModelOption = DEFAULT_MODEL,
    refine: Annotated[
        bool, typer.Option(help="Fit the network's poses to the scans in the transfers.")
    ] = True,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Move the points of SCAN, as little as --epsilon says, so that TARGET gets a wrong pose.

    The result is SCAN with the same points in the same order and frame (drop alone has fewer). As
    the true pose of a real scan is not known, the clean prediction stands in for it. The harm is
    told twice: of the network on the points that it sees, and of the whole of `posetx transfer`.

    With --dataset the network alone is attacked on a protocol of `posetx evaluate`, where the truth
    is known: each method, with each number of steps and each epsilon, in one run.
    """
    from posetx.attacks.settings import AttackSettings, usual_norm
    from posetx.files.atomic import check_output, write_text_atomic
    from posetx.files.scan_write import check_scan_suffix, write_scan

    common = AttackSettings(
        restarts=restarts,
        seed=seed,
        success=success,
        share=share,
        defence=defence,
        adaptive=adaptive,
    )
    grid = [
        replace(common, method=m, norm=norm or usual_norm(m), epsilon=e, steps=s)
        for m in method or ["pgd"]
        for s in (steps or [20])[: 1 if m in ONE_STEP else None]
        for e in (epsilon or [0.02])[: 1 if m == "drop" else None]
    ]
    for one in grid:
        one.check()
    if toward and turn:
        raise UsageError("--toward and --turn want two different poses; give one of them")
    if any(s.method == "igsm-t" for s in grid) and not (toward or turn):
        raise UsageError("--method igsm-t wants a pose; give --toward SCAN or --turn DEGREES")
    if dataset:
        from posetx.cli.attack_dataset import DatasetAttack, show

        if scan or toward or report:
            raise UsageError("--dataset has scans of its own: no SCAN, no --toward, no --report")
        if output:
            check_output(output, overwrite)
        attack_all = DatasetAttack(dataset, pairs, views, turn, mocap, model, surrogate, seed)
        found = attack_all.run(grid, device)
        if output:
            write_text_atomic(output, json_text(found) + "\n")
        if as_json:
            emit_json(found)
        else:
            show(found, markdown, by_part)
        return
    if not (scan and target and output):
        raise UsageError("give SCAN, TARGET and -o FILE, or --dataset PROTOCOL")
    if len(grid) > 1 or len(turn or []) > 1:
        raise UsageError("one attack a scan; --dataset takes several at a time")
    settings = grid[0]
    check_scan_suffix(output)
    check_output(output, overwrite)
    if report:
        _check_folder(report, target, overwrite)

    with progress_bar() as bar:
        task = bar.add_task("", total=len(STAGES) - (not report))

        def on_stage(name: str) -> None:
            bar.update(task, description=STAGES[name])
            bar.advance(task, name != "load")

        on_stage("load")
        from posetx.files.scans import read_scan
        from posetx.files.targets import read_target
        from posetx.pipeline.adversary import Adversary, Wanted, scan_of_clip
        from posetx.pipeline.transfer import Options, Transferrer
        from posetx.system.device import resolve_device

        raw, character = read_scan(scan), read_target(target)
        worker = Transferrer(model, resolve_device(device))
        wanted = Wanted(turn_degrees=turn[0]) if turn else None
        clip = toward is not None and toward.suffix.lower() == ".bvh"
        if toward:
            wanted = Wanted(scan_of_clip(toward, frame, worker.body) if clip else read_scan(toward))
        adversary = Adversary(worker, surrogate)
        result = adversary.attack(
            raw, character, settings, Options(refine=refine), wanted, on_stage
        )
        on_stage("write")
        notes = [*result.before.warnings, *write_scan(output, result.scan)]
        document = {
            "output": output,
            "report": report,
            "model": model,
            "surrogate": surrogate,
            "toward": toward,
            "frame": frame if clip else None,
            "turn_degrees": turn[0] if turn else None,
            **result.report,
            "warnings": notes,
        }
        if report:
            _write_report(report, character, result, document, on_stage)
    for note in notes:
        console.print(f"[yellow]note:[/] {note}", soft_wrap=True)
    if as_json:
        emit_json(document)
    _say(output, document)


def _names(folder: Path, target: Path) -> dict[str, Path]:
    """What a report folder holds."""
    from posetx.files.targets.base import result_suffix

    suffix = result_suffix(target).lower()
    return {
        "before": folder / f"before{suffix}",
        "after": folder / f"after{suffix}",
        "perturbation": folder / "perturbation.ply",
        "damage": folder / "damage.ply",
        "picture": folder / "attack.png",
        "json": folder / "attack.json",
    }


def _check_folder(folder: Path, target: Path, overwrite: bool) -> None:
    from posetx.files.atomic import check_output

    folder.mkdir(parents=True, exist_ok=True)
    for name, path in _names(folder, target).items():
        (check_preview if name == "picture" else check_output)(path, overwrite)


def _write_report(folder: Path, target: Any, result: Any, document: dict, on_stage) -> None:
    from posetx.files.atomic import write_text_atomic
    from posetx.report.attacked import draw_attacked, write_heat

    names = _names(folder, target.path)
    target.save(names["before"], result.before.vertices)
    target.save(names["after"], result.after.vertices)
    write_heat(names["perturbation"], result.scan.points, result.perturbation, result.scan.faces)
    write_heat(names["damage"], result.after.vertices, result.damage, target.faces)
    on_stage("preview")
    draw_attacked(names["picture"], target, result)
    write_text_atomic(names["json"], json_text(document) + "\n")


def _say(output: Path, document: dict[str, Any]) -> None:
    pmd, whole = document["sample"]["pmd"], document["transfer"]
    size = document["perturbation_mm"]
    console.print(
        f"{output}: {document['points_out']} points, the body's moved by {size['mean']:.1f} mm on "
        f"average, {size['max']:.1f} mm at most (of an adult)\n"
        f"  network on its sample: PMD {_pmd(pmd['attacked'])} from {document['truth']} "
        f"(clean {_pmd(pmd['clean'])}, noise of that size {_pmd(pmd['noise'])})\n"
        f"  the whole transfer: PMD {_pmd(whole['pmd'])}, MPJPE {whole['mpjpe_mm']:.0f} mm "
        "between before and after",
        soft_wrap=True,
    )
    if "attacked_defended" in pmd:
        console.print(
            f"  behind {document['defence']}: PMD {_pmd(pmd['attacked_defended'])} "
            f"(clean {_pmd(pmd['clean_defended'])})",
            soft_wrap=True,
        )


def _pmd(value: float) -> str:
    return f"{1e4 * value:.2f}e-4 m²"
