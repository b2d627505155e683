"""`posetx animate`: a target that moves as a sequence of scans does, or a BVH clip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from posetx.cli.animate_work import AnimateWork, Frames, Settings
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
from posetx.pipeline.options import Heading, Options
from posetx.system.console import counted, note, say


def animate(
    scans: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCAN...|CLIP.bvh", help="Scans in their order, a folder, a pattern; or a BVH."
        ),
    ],
    target: Annotated[Path, typer.Argument(help="OBJ, PLY, GLB, glTF, STL, OFF.")],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            help="A GLB with a clip; an NPZ; or a mesh a frame: a folder, or a pattern such as "
            "out/walk_####.obj.",
        ),
    ],
    morph: Annotated[
        bool, typer.Option("--morph", help="Morph targets in the GLB, not a skeleton.")
    ] = False,
    fps: Annotated[
        float | None,
        typer.Option(help="Frames a second: 30 of scans; a BVH has its own.", show_default=False),
    ] = None,
    frames: Annotated[
        str,
        typer.Option(
            metavar="A:B:STEP", help="Which frames, as Python counts them; the speed stays."
        ),
    ] = ":",
    loop: Annotated[
        bool, typer.Option("--loop", help="Bend the end to the beginning, for clips that repeat.")
    ] = False,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Leave the way over the ground out.")
    ] = False,
    smooth: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Smooth over this time, 0 for not at all; of scans as their noise asks for.",
            show_default=False,
        ),
    ] = None,
    free_feet: Annotated[
        bool, typer.Option("--free-feet", help="Let feet that stand slide, as the turns have them.")
    ] = False,
    poses: Annotated[
        Path | None,
        typer.Option(
            help="Keep the pose of each scan in this folder; a run that was stopped goes on there."
        ),
    ] = None,
    up: AxisOption = "auto",
    front: AxisOption = "auto",
    target_up: AxisOption = "auto",
    target_front: AxisOption = "auto",
    heading: Annotated[
        Heading,
        typer.Option(help="Begin as the `target` faces, or turned as the `scan` stands."),
    ] = "target",
    preview: Annotated[
        Path | None, typer.Option(help="Also draw a few of the frames: a PNG.")
    ] = None,
    view: TimeViewOption = None,
    summary: Annotated[
        Path | None, typer.Option(help="Also write what was done, as --json says it, to a file.")
    ] = None,
    no_clean: Annotated[
        bool, typer.Option("--no-clean", help="Use the scans as they are.")
    ] = False,
    refine: Annotated[
        bool, typer.Option(help="Fit the body to each scan; without, the network alone.")
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
    """Animate TARGET by scans, a frame each, or by a BVH clip; the result is one GLB with one clip.

    The scans are of one person, in the order of their names or as they are given. The body is
    known from a few of them and followed through all; a scan that shows no pose is filled from
    those about it, and said so. The clip moves a skeleton that TARGET is given; with --morph, its
    shape.
    """
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
    settings = Settings(
        frames=Frames.of(frames),
        by="morphs" if morph else "skeleton",
        fps=fps,
        loop=loop,
        in_place=in_place,
        smooth=smooth,
        poses=poses,
        hold_feet=not free_feet,
    )
    work = AnimateWork(target, options, model, device, seed, settings)
    files = {"output": output, "preview": preview, "view": view, "summary": summary}
    document = _animate(work, scans, files, overwrite, "" if as_json else output.name)
    if verbose:
        for frame in document["scans"]:
            say("  " + (frame.get("error") or f"{frame['scan']}: {told(frame['confidence'])}"))
    if as_json:
        emit_json(document)


def _animate(
    work: AnimateWork,
    given: list[Path],
    files: dict[str, Path | None],
    overwrite: bool,
    began: str,
) -> dict[str, Any]:
    from posetx.files.atomic import write_text_atomic
    from posetx.report.view.page import check_page_suffix

    output, preview, view, summary = files.values()
    assert output is not None
    if preview:
        check_preview(preview)
    if view:
        check_page_suffix(view, "view")
    scans = work.plan(given, files, overwrite)
    document = work.animate(scans, output, (preview, view), began)
    if summary:
        write_text_atomic(summary, json_text(document) + "\n")
    for warning in document["warnings"]:
        note(warning)
    seconds = document["frames"] / document["fps"]
    text = f"{output}: {counted(document['frames'], 'frame')}, {seconds:.1f} s"
    text += f", by {document['by']}" if document["by"] else ""
    if document["confidence"] is not None:
        text += f", {told(document['confidence'])}"
    say(text)
    return document


def told(confidence: float | None) -> str:
    """How sure a frame is, in words; of an uncalibrated model nothing is known."""
    return "confidence unknown" if confidence is None else f"confidence {confidence:.2f}"
