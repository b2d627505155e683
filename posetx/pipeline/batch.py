"""Many scans onto one target: which files are meant, where each result goes, and doing it."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posetx.errors import PosetxError, UsageError
from posetx.files.scans import SCAN_SUFFIXES, is_scan, scan_name


@dataclass(frozen=True)
class Job:
    """One scan and where its result, its picture and its page go."""

    scan: Path
    output: Path
    preview: Path | None = None
    #: what all scans are given to
    target: Path | None = None
    view: Path | None = None

    @property
    def finished(self) -> bool:
        """Whether all that it would write is there."""
        return all(path.exists() for path in (self.output, self.preview, self.view) if path)

    @property
    def outdated(self) -> bool:
        """Whether the result is older than what it was made of."""
        sources = [path for path in (self.scan, self.target) if path and path.exists()]
        made = self.output.stat().st_mtime
        return any(path.stat().st_mtime > made for path in sources)


@dataclass
class Outcome:
    """What became of a job: "done" with a report, "skipped", or "failed" with an error."""

    job: Job
    status: str
    seconds: float = 0.0
    report: dict[str, Any] | None = None
    error: str | None = None
    #: whether it failed for a reason that another try may not have
    again: bool = False


#: hears of a job that begins
Begun = Callable[[Job], None]
#: does jobs and tells what became of each, see :mod:`posetx.pipeline.engine`
Engine = Callable[[Sequence[Job], Begun], Iterator[Outcome]]


def is_many(scans: list[Path], output: Path) -> bool:
    """Whether this is a batch: several scans, a folder, a pattern, or a folder as the output."""
    return len(scans) != 1 or scans[0].is_dir() or _is_pattern(scans[0]) or output.is_dir()


def find_scans(given: list[Path]) -> list[Path]:
    """The files that are meant: folders give the scans in them, patterns the files they match.

    They are in the order of their names, of whose numbers 9 is before 10.

    Raises UsageError for a folder without scans or a pattern that matches nothing.
    """
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            inside = (p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
            files = sorted((p for p in inside if is_scan(p)), key=_counted)
            if not files:
                raise UsageError(
                    f"{path}: no scans in this folder; they end in {' '.join(SCAN_SUFFIXES)}"
                )
        elif _is_pattern(path):
            files = sorted(map(Path, glob.glob(str(path), recursive=True)), key=_counted)
            if not files:
                raise UsageError(f"{path}: matches no file")
        else:
            files = [path]
        found += files
    return list(dict.fromkeys(found))


def _counted(path: Path) -> tuple[list[str | int], str]:
    """What sorts a path as people count: in turn text and numbers, then its own letters."""
    parts = re.split("([0-9]+)", str(path))
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], str(path)


def plan(
    scans: list[Path],
    folder: Path,
    suffix: str,
    previews: Path | None,
    target: Path | None = None,
    views: Path | None = None,
) -> list[Job]:
    """A job each: the results are named as the scans are, with the given suffix.

    ``previews`` and ``views`` are the folders of pictures and pages.

    Raises UsageError where two scans would write the same file, or a scan or the target would be
    written over.
    """
    jobs: dict[Path, Job] = {}
    read = {path.resolve(): "the scan" for path in scans}
    if target is not None:
        read[target.resolve()] = "the target"
    for scan in scans:
        output = folder / (scan_name(scan) + suffix)
        if output in jobs:
            raise UsageError(
                f"{scan} and {jobs[output].scan} would both become {output}; rename one of them"
            )
        if output.resolve() in read:
            what = read[output.resolve()]
            raise UsageError(f"{output}: would replace {what}; choose another folder")
        preview = previews and previews / (scan_name(scan) + ".png")
        view = views and views / (scan_name(scan) + ".html")
        jobs[output] = Job(scan, output, preview, target, view)
    return list(jobs.values())


def run(
    jobs: list[Job], engine: Engine, begun: Begun = lambda job: None, overwrite: bool = False
) -> Iterator[Outcome]:
    """Every job that is not finished, as the engine does them; one that fails does not stop it.

    ``begun`` hears of each as it begins. Without ``overwrite`` what exists is left alone.
    """
    left = []
    for job in jobs:
        if job.finished and not overwrite:
            yield Outcome(job, "skipped")
        else:
            left.append(job)
    if left:
        yield from engine(left, begun)


def _is_pattern(path: Path) -> bool:
    return not path.exists() and glob.has_magic(str(path))


def check_folder(folder: Path, option: str) -> None:
    """Make the folder for results. Raises UsageError where a file has its name."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(
            f"{option} {folder}: is a file; several scans need a folder for their results"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PosetxError(f"{folder}: cannot be made: {error.strerror or error}") from None
