"""`posetx attack`: the adversarial scan, and the harm it does to the network and to a transfer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from posetx.attacks.choices import DEFENCES, NORMS
from posetx.attacks.methods import METHODS
from posetx.attacks.settings import AttackSettings, usual_norm
from posetx.cli.common import (
    DEFAULT_MODEL,
    MOST,
    DeviceOption,
    JsonOption,
    ModelOption,
    OverwriteOption,
    QuietOption,
    SeedOption,
    VerboseOption,
    ViewOption,
    check_drawing,
    check_input,
    choice,
    emit_json,
    in_options,
    json_text,
)
from posetx.cli.stages import stage_bar
from posetx.errors import UsageError
from posetx.system.console import note, say
from posetx.system.paths import find_model

STAGES = {
    "load": "loading the model",
    "before": "transferring the clean scan",
    "attack": "attacking",
    "after": "transferring the adversarial scan",
    "write": "writing",
    "preview": "drawing",
    "view": "making the page",
}

MethodOption = Annotated[str, choice(METHODS, help="How points move.")]
NormOption = Annotated[
    str | None, choice(NORMS, help="Root mean square a coordinate, each point, or each x, y, z.")
]
DefenceOption = Annotated[str | None, choice(DEFENCES, help="Also measure behind a defence.")]
RestartsOption = Annotated[int, typer.Option(min=1, max=MOST, help="Random starts of pgd.")]
ShareOption = Annotated[float, typer.Option(help="Of the points that drop takes.")]
SuccessOption = Annotated[
    float, typer.Option(help="PMD (m²) from which on it is another result; the goal of cw.")
]
SurrogateOption = Annotated[
    str | None, typer.Option(help="Make the attack with this model: --model is a black box.")
]
AdaptiveOption = Annotated[bool, typer.Option(help="The attack knows of the defence.")]


def moved(ctx: typer.Context, value: str | None) -> None:
    """The old spelling of `posetx attack-dataset`."""
    if value and not ctx.resilient_parsing:
        raise UsageError(f"--dataset is a command of its own: posetx attack-dataset {value}")


@dataclass(frozen=True)
class ScanAttack:
    """What is attacked, what for, and where the results go."""

    scan: Path
    target: Path
    output: Path
    settings: AttackSettings
    model: str
    surrogate: str | None
    toward: Path | None
    frame: int
    turn: float | None
    refine: bool
    report: Path | None
    view: Path | None
    overwrite: bool

    def check(self) -> None:
        """Raises UsageError for what does not go together, and for files that are there."""
        from posetx.files.atomic import check_can_be_folder, check_outputs
        from posetx.files.scan_write import check_scan_suffix
        from posetx.report.view.page import check_page_suffix

        self.settings.check()
        if self.toward and self.turn is not None:
            raise UsageError("--toward and --turn want two different poses; give one of them")
        if METHODS[self.settings.method].wanted and not self.toward and self.turn is None:
            text = "wants a pose; give --toward SCAN or --turn DEGREES"
            raise UsageError(f"--method {self.settings.method} {text}")
        check_scan_suffix(self.output)
        if self.view:
            check_page_suffix(self.view, "view")
        inputs = {"the scan": self.scan, "the target": self.target, "`toward`": self.toward}
        for what, path in inputs.items():
            if path is not None:
                check_input(path, in_options(what))
        for model in (self.model, self.surrogate):
            if model is not None:
                find_model(model)
        files: dict[str, Path | None] = {"output": self.output, "view": self.view}
        read = [path for path in inputs.values() if path]
        check_outputs(files, read, self.overwrite)
        if self.report:
            check_drawing()
            check_can_be_folder(self.report)
            self.report.mkdir(parents=True, exist_ok=True)
            names = _names(self.report, self.target)
            files |= {f"report {name}": path for name, path in names.items()}
            check_outputs(files, read, self.overwrite)

    @property
    def clip(self) -> bool:
        """Whether the pose that is wanted is a clip's."""
        return self.toward is not None and self.toward.suffix.lower() == ".bvh"


def attack(
    scan: Annotated[
        Path | None,
        typer.Argument(
            show_default=False, help="PLY, OBJ, STL, OFF, XYZ, PCD, GLB, NPY, NPZ, LAS, LAZ, E57."
        ),
    ] = None,
    target: Annotated[
        Path | None, typer.Argument(show_default=False, help="OBJ, PLY, GLB, glTF, STL, OFF.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The adversarial scan: PLY, XYZ, CSV, NPZ."),
    ] = None,
    method: MethodOption = "pgd",
    epsilon: Annotated[
        float, typer.Option(min=0.0, help="How far points may move, in metres of an adult.")
    ] = 0.02,
    norm: NormOption = None,
    steps: Annotated[int, typer.Option(min=1, max=MOST, help="Of an iterative attack.")] = 20,
    restarts: RestartsOption = 1,
    share: ShareOption = 0.1,
    success: SuccessOption = 1e-3,
    toward: Annotated[
        Path | None,
        typer.Option(help="Want the pose of this scan or BVH clip, instead of any harm."),
    ] = None,
    frame: Annotated[
        int,
        typer.Option(min=-MOST, max=MOST, help="Of the clip of --toward; -1 is the last one."),
    ] = 0,
    turn: Annotated[
        float | None, typer.Option(help="Want the own pose turned by so many degrees.")
    ] = None,
    surrogate: SurrogateOption = None,
    defence: DefenceOption = None,
    adaptive: AdaptiveOption = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Folder for both results, heat maps (PLY, PNG) and a JSON report."),
    ] = None,
    view: ViewOption = None,
    dataset: Annotated[str | None, typer.Option(hidden=True, callback=moved)] = None,
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
    """
    if not (scan and target and output):
        raise UsageError("give SCAN, TARGET and -o FILE")
    settings = AttackSettings(
        method=method,
        norm=norm or usual_norm(method),
        epsilon=epsilon,
        steps=steps,
        restarts=restarts,
        seed=seed,
        success=success,
        share=share,
        defence=defence,
        adaptive=adaptive,
    )
    wanted = ScanAttack(
        scan=scan,
        target=target,
        output=output,
        settings=settings,
        model=model,
        surrogate=surrogate,
        toward=toward,
        frame=frame,
        turn=turn,
        refine=refine,
        report=report,
        view=view,
        overwrite=overwrite,
    )
    wanted.check()
    document = _attack(wanted, device)
    for warning in document["warnings"]:
        note(warning)
    if as_json:
        emit_json(document)
    _say(output, document)


def _attack(what: ScanAttack, device: str) -> dict[str, Any]:
    """Attack, and write all files; returns what --json shows."""
    left = {name for name, at in (("preview", what.report), ("view", what.view)) if at is None}
    names = [name for name in STAGES if name not in left]
    with stage_bar(names, STAGES) as on_stage:
        on_stage("load")
        from posetx.files.scan_write import write_scan
        from posetx.files.targets import read_target
        from posetx.files.targets.sidecars import check_others

        character = read_target(what.target)
        if what.report:
            files = _names(what.report, what.target)
            check_others(character.beside(files["before"]), {"report": files["picture"]})
        result = _harmed(what, character, device, on_stage)
        on_stage("write")
        notes = [*result.before.warnings, *write_scan(what.output, result.scan)]
        notes = [in_options(note) for note in notes]
        document = {
            "output": what.output,
            "report": what.report,
            "view": what.view,
            "model": what.model,
            "surrogate": what.surrogate,
            "toward": what.toward,
            "frame": what.frame if what.clip else None,
            "turn_degrees": what.turn,
            **result.report,
            "warnings": notes,
        }
        if what.report:
            _write_report(what.report, character, result, document, on_stage)
        if what.view:
            on_stage("view")
            from posetx.report.view.attacked import write_attacked_view

            write_attacked_view(what.view, result, what.output.name, notes)
    return document


def _harmed(what: ScanAttack, character: Any, device: str, on_stage: Callable[[str], None]) -> Any:
    """The attack on the pipeline."""
    from posetx.files.scans import read_scan
    from posetx.pipeline.adversary import Adversary, Wanted, scan_of_clip
    from posetx.pipeline.options import Options
    from posetx.pipeline.pipeline import Pipeline
    from posetx.system.device import resolve_device

    raw = read_scan(what.scan)
    worker = Pipeline.load(what.model, resolve_device(device))
    wanted = None if what.turn is None else Wanted(turn_degrees=what.turn)
    if what.toward:
        toward = (
            scan_of_clip(what.toward, what.frame, worker.body)
            if what.clip
            else read_scan(what.toward)
        )
        wanted = Wanted(toward)
    options = Options(refine=what.refine)
    adversary = Adversary(worker, what.surrogate)
    return adversary.attack(raw, character, what.settings, options, wanted, on_stage)


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


def _write_report(
    folder: Path,
    target: Any,
    result: Any,
    document: dict[str, Any],
    on_stage: Callable[[str], None],
) -> None:
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
    say(
        f"{output}: {document['points_out']} points, the body's moved by {size['mean']:.1f} mm on "
        f"average, {size['max']:.1f} mm at most (of an adult)\n"
        f"  network on its sample: PMD {_pmd(pmd['attacked'])} from {document['truth']} "
        f"(clean {_pmd(pmd['clean'])}, noise of that size {_pmd(pmd['noise'])})\n"
        f"  the whole transfer: PMD {_pmd(whole['pmd'])}, MPJPE {whole['mpjpe_mm']:.0f} mm "
        "between before and after"
    )
    if "attacked_defended" in pmd:
        say(
            f"  behind {document['defence']}: PMD {_pmd(pmd['attacked_defended'])} "
            f"(clean {_pmd(pmd['clean_defended'])})"
        )


def _pmd(value: float) -> str:
    return f"{1e4 * value:.2f}e-4 m²"
