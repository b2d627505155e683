"""`posetx transfer` of several scans."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posetx.cli.many import check_batch, do_many, told
from posetx.cli.summary import Summary
from posetx.errors import UsageError
from posetx.pipeline.batch import find_scans, plan
from posetx.pipeline.engine import Task

if TYPE_CHECKING:
    from posetx.cli.work import Work
    from posetx.pipeline.engines import Engines


def transfer_many(
    work: Work,
    given: list[Path],
    output: Path,
    drawn: tuple[Path | None, Path | None],
    summary_path: Path | None,
    overwrite: bool,
    engines: Engines,
) -> dict[str, Any]:
    """Do all scans; returns what --json shows.

    ``drawn`` are the folders for previews and for pages, ``engines`` who does them.
    """
    from posetx.files.targets.base import TARGET_SUFFIXES, result_suffix

    if output.suffix.lower() in TARGET_SUFFIXES and not output.is_dir():
        raise UsageError(
            f"-o {output}: several scans need a folder for their results, not one file"
        )
    work.check([])
    target = work.target_path
    preview, view = drawn
    jobs = plan(find_scans(given), output, result_suffix(target), preview, target, view)
    check_batch(jobs, output, preview, summary_path, view)
    pictures = {f"preview {job.preview.name}": job.preview for job in jobs if job.preview}
    work.output, work.others = jobs[0].output, {"summary": summary_path, **pictures}
    asked = {"target": target, "model": work.model, "seed": work.seed, **asdict(work.options)}
    summary = Summary(summary_path, asked, overwrite)
    if overwrite or not all(job.finished for job in jobs):
        work.prepare()  # a target that cannot be read would fail every scan

    engine = partial(engines.run, Task(work.do, told))
    return do_many(jobs, output, engine, ("confidence", _confidence), summary, overwrite)


def _confidence(report: dict[str, Any]) -> str:
    confidence = report["confidence"]
    return "" if confidence is None else f"{confidence:.2f}"
