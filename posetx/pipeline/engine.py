"""Who does the jobs of a batch: this process one after the other, or workers side by side.

A worker is a process that holds all it needs, loaded once, and does one job at a time; so as much
memory is used as there are workers, however many jobs wait. One that dies takes nothing with it
but its job, which another one does again.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from posetx.errors import PosetxError
from posetx.pipeline.batch import Begun, Job, Outcome

#: how often a job is begun at most: a worker may be killed for want of memory that others took
TRIES = 3


@dataclass(frozen=True)
class Task:
    """What a worker does with each job; it is pickled, so none of it may be made in a function.

    ``work`` does a job and returns its report, ``explain`` puts an error in one line.
    """

    work: Callable[[Job], dict[str, Any]]
    explain: Callable[[Exception], str]

    def do(self, job: Job) -> Outcome:
        """One job; whatever goes wrong is told in its outcome."""
        start = time.perf_counter()
        try:
            report = self.work(job)
        except Exception as error:
            # what is wrong with a file is wrong at the next try, too
            again = not isinstance(error, PosetxError)
            seconds = time.perf_counter() - start
            return Outcome(job, "failed", seconds, error=self.explain(error), again=again)
        return Outcome(job, "done", time.perf_counter() - start, report)

    def in_turn(self, jobs: Sequence[Job], begun: Begun) -> Iterator[Outcome]:
        """All jobs in this process."""
        for job in jobs:
            begun(job)
            yield self.do(job)


class Pool(Protocol):
    """Workers that do a job each."""

    #: how many work at a time
    size: int

    def give(self, job: Job) -> None:
        """To a worker that is free, or a new one; at most ``size`` may be under way."""

    def take(self) -> tuple[Job, Outcome | str]:
        """Waits for one of those under way; a line instead of an outcome if its worker died."""

    def close(self) -> None:
        """End all workers, also those at work."""


def side_by_side(pool: Pool, jobs: Sequence[Job], begun: Begun) -> Iterator[Outcome]:
    """All jobs on a pool's workers, in the order in which they are done; closes it."""
    waiting, tries, under_way = deque(jobs), Counter[Job](), 0
    try:
        while waiting or under_way:
            while waiting and under_way < pool.size:
                job = waiting.popleft()
                tries[job] += 1
                begun(job)
                pool.give(job)
                under_way += 1
            job, outcome = pool.take()
            under_way -= 1
            if isinstance(outcome, str):
                why = f"{job.scan}: {outcome}, {tries[job]} times; is there too little memory?"
                outcome = Outcome(job, "failed", error=why, again=True)
            if outcome.again and tries[job] < TRIES:
                waiting.append(job)
            else:
                yield outcome
    finally:
        pool.close()


def cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def begin_worker(folder: Path, threads: int) -> None:
    """Make this process a worker: paths are those of ``folder``, and so many threads are used."""
    import torch

    if not folder.is_dir():
        raise PosetxError(f"{folder}: a worker does not see this folder; its files must be shared")
    os.chdir(folder)
    torch.set_num_threads(threads)
