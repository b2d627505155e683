"""Finished runs of trials, kept in one JSON file that grows by whole runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from posetx.studies.results import as_kept, read, save, understood
from posetx.studies.trials.catalogue import Trial
from posetx.training.loop import TrainSettings

#: a run whose speed is this close to the baseline's is the one of equal CPU minutes as well
TOLERANCE = 0.1


@dataclass(frozen=True)
class Plan:
    """What all runs of a table have in common."""

    samples: int
    batch: int
    seed: int
    #: samples of each kind of batch that a run is measured on
    validation: int
    #: where the poses are from, and what all was trained on, as
    #: :func:`posetx.system.hardware.describe` has it
    poses: str
    machine: str


@dataclass(frozen=True)
class Run:
    """One finished run of a trial: what it was, what it took, how good it is."""

    trial: str
    #: what was as much as the baseline's: "samples" or "minutes"
    equal: str
    plan: Plan
    setup: dict[str, Any]
    samples: int
    cpu_seconds: float
    parameters: int
    #: PMD (m²) on seen poses, and on unseen ones: unseen, scan, reposed
    pmd: dict[str, float]
    date: str

    @property
    def rate(self) -> float:
        """Samples a CPU second."""
        return self.samples / self.cpu_seconds


def setup(trial: Trial) -> dict[str, Any]:
    """The trial's settings, for the file; losses and networks of its own are code and not here."""
    settings = {
        "network": asdict(trial.network),
        "stream": asdict(trial.stream),
        "train": asdict(replace(TrainSettings(), **trial.train)),
    }
    kept: dict[str, Any] = as_kept(settings)
    return kept


class Results:
    """The runs of one plan in a file, which may hold those of others as well.

    The first of ``trials`` is the baseline. Raises PosetxError where the file is another one.
    """

    def __init__(self, path: Path, plan: Plan, trials: Sequence[Trial]):
        self.path, self.plan, self.trials = path, plan, trials
        self.baseline = trials[0]
        self._runs = _read(path)

    @property
    def runs(self) -> list[Run]:
        """Those of this plan."""
        return [run for run in self._runs if run.plan == self.plan]

    def find(self, trial: Trial, equal: str) -> Run | None:
        """A trial's run in this plan. One of a trial whose settings have changed is none."""
        key = (trial.name, equal, self.plan, setup(trial))
        for run in self._runs:
            if (run.trial, run.equal, run.plan, run.setup) == key:
                return run
        return None

    def add(self, run: Run) -> None:
        """Write one more run at once, beside those that the file has by now."""
        self._runs = [*_read(self.path), run]
        document = {"runs": [asdict(each) for each in self._runs]}
        save(self.path, document)

    def samples_in_equal_minutes(self, trial: Trial) -> int | None:
        """Whole batches of samples that the trial manages in the baseline's CPU time.

        None while the trial's speed or the baseline's is not known.
        """
        own, base = self.find(trial, "samples"), self.find(self.baseline, "samples")
        if own is None or base is None:
            return None
        batches = own.rate * base.cpu_seconds / self.plan.batch
        return max(round(batches), 1) * self.plan.batch

    def at_equal_minutes(self, trial: Trial) -> Run | None:
        """The run that took as long as the baseline's, which may be that of equal samples."""
        own, samples = self.find(trial, "samples"), self.samples_in_equal_minutes(trial)
        if own is None or samples is None:
            return None
        if abs(samples / own.samples - 1) < TOLERANCE:
            return own
        return self.find(trial, "minutes")


def _read(path: Path) -> list[Run]:
    """Raises PosetxError where there is a file, but none of runs."""
    document = read(path, "trials")
    with understood(path, "trials"):
        kept = document["runs"] if document is not None else []
        runs = [Run(**{**run, "plan": Plan(**run["plan"])}) for run in kept]
        for run in runs:
            if not (run.samples > 0 and 0 < run.rate < math.inf):
                raise ValueError
            sum(run.pmd.values())
    return runs
