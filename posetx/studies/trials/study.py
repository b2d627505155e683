"""A measured search for the better learner; what ran is in FOLDER/trials.json, run by run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from posetx.bodies.body import BodyModel
from posetx.data.splits import pose_banks
from posetx.errors import FieldError
from posetx.files.alone import alone_in
from posetx.files.atomic import write_text_atomic
from posetx.studies.results import cpu_threads, understood
from posetx.studies.trials.catalogue import TRIALS
from posetx.studies.trials.results import Plan, Results, Run
from posetx.studies.trials.search import DEVICE, search
from posetx.studies.trials.table import table
from posetx.system.hardware import describe
from posetx.training.validation import BATCH


@dataclass(frozen=True)
class TrialsOptions:
    """What is trained, on what, how much of it, and where the results go."""

    folder: Path
    mocap: Path | None = None
    samples: int = 24000
    #: few, for many steps
    batch: int = 64
    seed: int = 0
    #: samples of each kind
    validation: int = 512
    #: just these trials, and the baseline; by default all
    only: tuple[str, ...] = ()
    threads: int = 1
    #: a Markdown file of what ran
    table: Path | None = None

    def check(self) -> None:
        """Raises FieldError."""
        chosen(self.only)
        for name in ("samples", "batch", "validation"):
            if getattr(self, name) < 1:
                raise FieldError(name, getattr(self, name), "has to be 1 or more")
        if self.validation > BATCH and self.validation % BATCH:
            raise FieldError("validation", self.validation, f"not a multiple of {BATCH}")


def run(options: TrialsOptions, command: str, on_run: Callable[[Run], None]) -> Results:
    """Do the trials and write the table, which an interruption does not prevent.

    ``command`` is what the table says to call; ``on_run`` is told of each run after it was added.
    Raises UsageError where another process works in the folder.
    """
    options.check()
    with alone_in(options.folder):
        return _run(options, command, on_run)


def _run(options: TrialsOptions, command: str, on_run: Callable[[Run], None]) -> Results:
    """As :func:`run`, with the folder for itself."""
    poses = f"clips of {options.mocap}" if options.mocap else "the shipped pose prior"
    plan = Plan(
        options.samples, options.batch, options.seed, options.validation, poses, describe(DEVICE)
    )
    results = Results(options.folder / "trials.json", plan, TRIALS)
    try:
        with cpu_threads(options.threads):
            banks = pose_banks(BodyModel.load(), options.mocap, options.seed)
            search(results, chosen(options.only), banks, on_run)
    finally:
        if options.table and results.find(results.baseline, "samples"):
            with understood(results.path, "trials"):
                told = table(results, command)
            write_text_atomic(options.table, told)
    return results


def chosen(names: Sequence[str]) -> Sequence[str]:
    """The names asked for, by default all. Raises FieldError for one that is no trial's."""
    known = [trial.name for trial in TRIALS]
    for name in names:
        if name not in known:
            raise FieldError("only", name, f"no such trial; known are {', '.join(known)}")
    return names or known
