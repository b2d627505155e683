"""`posetx pose` of several scans: a frame each in one file, and a body each in a folder."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posetx.cli.common import check_drawing
from posetx.cli.many import do_many, in_turn
from posetx.cli.summary import Summary
from posetx.files.atomic import check_distinct, check_outputs
from posetx.pipeline.batch import Job, check_folder, find_scans, plan
from posetx.system.console import counted, note, say

if TYPE_CHECKING:
    from posetx.cli.pose_work import PoseWork
    from posetx.pipeline.pose import Pose


def pose_many(
    work: PoseWork,
    given: list[Path],
    files: dict[str, Path | None],
    body_format: str,
    fps: float,
    overwrite: bool,
) -> dict[str, Any]:
    """Do all scans; returns what --json shows."""
    from posetx.pipeline.pose import to_first_unit, write_poses
    from posetx.report.view.posed import PosePage

    output, bodies, previews, view, summary_path = files.values()
    assert output is not None
    work.check([])
    jobs = _jobs(find_scans(given), output, bodies, previews, body_format)
    _check(jobs, files, overwrite)
    asked = {"model": work.model, "seed": work.seed, "fps": fps}
    asked |= {name: getattr(work.options, name) for name in ("up", "front", "clean", "refine")}
    summary = Summary(summary_path, asked, overwrite=True)  # nothing is gone on with
    poses: list[Pose] = []
    page, warnings = PosePage(len(jobs)), list[str]()

    def do(job: Job) -> dict[str, Any]:
        body = job.output if bodies else None
        look = partial(page.add, jobs.index(job)) if view else lambda reading: None
        pose, report = work.pose(job.scan, body, job.preview, on_reading=look)
        poses.append(pose)
        warnings.extend(f"{job.scan.name}: {warning}" for warning in report["warnings"])
        return {**report, "output": output, "frame": len(poses) - 1}

    figure = ("confidence", _confidence)
    document = do_many(jobs, output, in_turn(do), figure, summary, overwrite=True)
    if not poses:
        return document
    if (to_first_unit(poses) != 1.0).any() and output.suffix.lower() == ".bvh":
        note(f"{output}: scans of several units, all in that of the first one there")
    write_poses(output, poses, fps)
    if view and page.shown:
        page.write(view, warnings, len(poses) / fps)
    say(f"{output}: {counted(len(poses), 'frame')}")
    return document


def _jobs(
    scans: list[Path], output: Path, bodies: Path | None, previews: Path | None, kind: str
) -> list[Job]:
    """A job each, whose output is its body, or without bodies what all are written to.

    Raises UsageError where two scans would write the same file.
    """
    from posetx.pipeline.registration import check_body_suffix

    suffix = f".{kind.lower().lstrip('.')}"
    if bodies:
        check_body_suffix(Path(f"--body-format {suffix}"))
    if not bodies and not previews:
        return [Job(scan, output) for scan in scans]
    if bodies:
        return plan(scans, bodies, suffix, previews)
    assert previews is not None
    return [replace(job, output=output) for job in plan(scans, previews, ".png", previews)]


def _check(jobs: list[Job], files: dict[str, Path | None], overwrite: bool) -> None:
    """Make the folders of bodies and pictures. Raises PosetxError where anything cannot be."""
    output, bodies, previews, view, summary = files.values()
    single: dict[str, Path | None] = {"output": output, "view": view, "summary": summary}
    written = dict(single)
    if bodies:
        written |= {f"body {job.output.name}": job.output for job in jobs}
    written |= {f"preview {job.preview.name}": job.preview for job in jobs if job.preview}
    read = [job.scan for job in jobs]
    check_distinct(written, read)
    check_outputs(single, read, overwrite)
    if previews:
        check_drawing()
    for folder, option in ((bodies, "--body"), (previews, "--preview")):
        if folder:
            check_folder(folder, option)
    check_outputs(written, read, overwrite)


def _confidence(report: dict[str, Any]) -> str:
    confidence = report["confidence"]
    return "" if confidence is None else f"{confidence:.2f}"
