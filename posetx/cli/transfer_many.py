"""`posetx transfer` of several scans: a bar over the scans, a table at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from posetx.cli.common import explain
from posetx.errors import UsageError
from posetx.pipeline.batch import Job, Outcome, check_folder, find_scans, plan, run
from posetx.system.console import console, progress_bar

if TYPE_CHECKING:
    from posetx.cli.work import Work

COLOURS = {"done": "green", "skipped": "dim", "failed": "red"}


def transfer_many(
    work: Work, given: list[Path], output: Path, preview: Path | None, overwrite: bool
) -> tuple[list[dict[str, Any]], int]:
    """Do all scans; returns what --json shows of each, and how many failed."""
    from posetx.files.targets.base import TARGET_SUFFIXES, result_suffix

    if output.suffix.lower() in TARGET_SUFFIXES and not output.is_dir():
        raise UsageError(
            f"-o {output}: several scans need a folder for their results, not one file"
        )
    jobs = plan(find_scans(given), output, result_suffix(work.target_path), preview)
    check_folder(output, "-o")
    if preview:
        check_folder(preview, "--preview")
    if overwrite or not all(job.finished for job in jobs):
        work.prepare()  # a target that cannot be read would fail every scan

    outcomes: list[Outcome] = []
    with progress_bar() as bar:
        task = bar.add_task("", total=len(jobs))

        def do(job: Job) -> dict[str, Any]:
            bar.update(task, description=job.scan.name)
            return work.transfer(job.scan, job.output, job.preview)

        for outcome in run(jobs, do, lambda error: explain(error)[0], overwrite):
            outcomes.append(outcome)
            bar.advance(task)
            if outcome.error:
                line = escape(" ".join(outcome.error.split()))
                console.print(f"[bold red]error:[/] {line}", soft_wrap=True)
    console.print(_table(outcomes))
    count = {s: sum(o.status == s for o in outcomes) for s in COLOURS}
    console.print(
        f"{output}: {count['done']} done, {count['skipped']} there already, "
        f"{count['failed']} failed",
        soft_wrap=True,
    )
    return [_document(o) for o in outcomes], count["failed"]


def _table(outcomes: list[Outcome]) -> Table:
    table = Table("scan", "", "confidence", "seconds", "notes")
    for outcome in outcomes:
        report = outcome.report or {}
        confidence = report.get("confidence")
        table.add_row(
            escape(outcome.job.scan.name),
            f"[{COLOURS[outcome.status]}]{outcome.status}[/]",
            "" if confidence is None else f"{confidence:.2f}",
            f"{outcome.seconds:.1f}" if outcome.seconds else "",
            escape("; ".join(report.get("warnings", []))),
        )
    return table


def _document(outcome: Outcome) -> dict[str, Any]:
    job = outcome.job
    document: dict[str, Any] = {"scan": job.scan, "output": job.output, "status": outcome.status}
    if outcome.error:
        document["error"] = " ".join(outcome.error.split())
    return {**document, **(outcome.report or {})}
