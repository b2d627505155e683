"""Several scans in one command: a bar over them, a table at the end, a summary in any case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from posetx.cli.common import check_drawing, explain
from posetx.cli.summary import Summary
from posetx.files.atomic import check_distinct, check_outputs
from posetx.pipeline.batch import Engine, Job, Outcome, check_folder, run
from posetx.pipeline.engine import Task
from posetx.system.console import console, counted, error, note, progress_bar, say, shortened

COLOURS = {"done": "green", "skipped": "dim", "failed": "red"}
#: Characters of the bar's line that are not the scan's name.
BESIDE_NAME = 56


def check_batch(
    jobs: list[Job],
    output: Path,
    previews: Path | None,
    summary: Path | None,
    views: Path | None = None,
) -> None:
    """Make the folders of a batch. Raises PosetxError where results cannot be written there.

    What is there already is no trouble: it is skipped.
    """
    files: dict[str, Path | None] = {f"output {job.output.name}": job.output for job in jobs}
    files |= {f"preview {job.preview.name}": job.preview for job in jobs if job.preview}
    files |= {f"view {job.view.name}": job.view for job in jobs if job.view}
    targets = {job.target for job in jobs if job.target}
    read = [*(job.scan for job in jobs), *targets]
    check_distinct({**files, "summary": summary}, read)
    if previews:
        check_drawing()
    for folder, option in ((output, "-o"), (previews, "--preview"), (views, "--view")):
        if folder:
            check_folder(folder, option)
    check_outputs(files, read, overwrite=True)


def do_many(
    jobs: list[Job],
    output: Path,
    engine: Engine,
    figure: tuple[str, Callable[[dict[str, Any]], str]],
    summary: Summary,
    overwrite: bool,
) -> dict[str, Any]:
    """Do all jobs; returns the document that --json shows.

    Parameters
    ----------
    output : the folder of the results, for the last line
    engine : does them
    figure : a column of the table, its heading and what it shows of a report
    summary : is written also when the run is interrupted
    overwrite : do also what is there already
    """
    there = [] if overwrite else [job for job in jobs if job.finished]
    if there and summary.difference():
        note(summary.difference())
    old = [job for job in there if job.outdated]
    if old:
        note(
            f"{len(old)} results that are there already are older than their scans or target; "
            "--overwrite makes them anew"
        )
    left = len(jobs) - len(there)
    if left and not console.is_terminal:  # which has a bar
        say(f"{output}: {counted(left, 'scan')}, begun, some seconds each")
    outcomes: list[Outcome] = []
    try:
        with progress_bar() as bar:
            task = bar.add_task("", total=len(jobs))

            def begun(job: Job) -> None:
                name = shortened(job.scan.name, max(console.width - BESIDE_NAME, 8))
                bar.update(task, description=name)

            for outcome in run(jobs, engine, begun, overwrite):
                outcomes.append(outcome)
                bar.advance(task)
                if outcome.error:
                    error(" ".join(outcome.error.split()))
    finally:
        place = {job: index for index, job in enumerate(jobs)}
        outcomes.sort(key=lambda outcome: place[outcome.job])
        if outcomes:
            summary.write(outcomes)
            console.print(_table(outcomes, figure))
            count = {s: sum(o.status == s for o in outcomes) for s in COLOURS}
            left = len(jobs) - len(outcomes)
            say(
                f"{output}: {count['done']} done, {count['skipped']} there already, "
                f"{count['failed']} failed" + (f", {left} not reached" if left else "")
            )
    return summary.document(outcomes)


def told(error: Exception) -> str:
    """What a job failed of."""
    return explain(error)[0]


def in_turn(work: Callable[[Job], dict[str, Any]]) -> Engine:
    """An engine that does one job after the other; ``work`` does one and returns its report."""
    return Task(work, told).in_turn


def _table(outcomes: list[Outcome], figure: tuple[str, Callable[[dict[str, Any]], str]]) -> Table:
    table = Table("scan", "", figure[0], "seconds", "notes")
    for outcome in outcomes:
        report = outcome.report or {}
        table.add_row(
            outcome.job.scan.name,
            Text(outcome.status, COLOURS[outcome.status]),
            figure[1](report) if report else "",
            f"{outcome.seconds:.1f}" if outcome.seconds else "",
            outcome.error or "; ".join(report.get("warnings", [])),
        )
    return table
