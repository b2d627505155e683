"""Workers as processes of this machine."""

from __future__ import annotations

import os
import pickle
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from posetx.pipeline.batch import Job, Outcome
from posetx.pipeline.engine import Task, begin_worker

#: what numeric libraries read when they are loaded
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
#: seconds that a worker has to end when asked to
PATIENCE = 10.0


class Processes:
    """A :class:`posetx.pipeline.engine.Pool` of ``size`` processes with ``threads`` threads each.

    They are begun when there is something for them to do.
    """

    def __init__(self, task: Task, size: int, threads: int):
        self.size, self.threads = size, threads
        #: a pipe would make each process wait until the one before has loaded its libraries
        self._task = tempfile.TemporaryDirectory(prefix="posetx-")
        self._path = Path(self._task.name) / "task"
        self._path.write_bytes(pickle.dumps(task))
        self._processes: dict[Connection, BaseProcess] = {}
        self._under_way: dict[Connection, Job] = {}

    def give(self, job: Job) -> None:
        """See :class:`posetx.pipeline.engine.Pool`."""
        free = [pipe for pipe in self._processes if pipe not in self._under_way]
        pipe = free[0] if free else self._begin()
        self._under_way[pipe] = job
        with suppress(OSError):  # it died since; `take` will find out
            pipe.send(job)

    def take(self) -> tuple[Job, Outcome | str]:
        """See :class:`posetx.pipeline.engine.Pool`."""
        pipe = next(pipe for pipe in wait(list(self._under_way)) if isinstance(pipe, Connection))
        job = self._under_way.pop(pipe)
        try:
            outcome: Outcome = pipe.recv()
        except (EOFError, OSError):
            process = self._processes.pop(pipe)
            process.join(PATIENCE)
            pipe.close()
            return job, f"the process that did it ended with {process.exitcode}"
        return job, outcome

    def close(self) -> None:
        """See :class:`posetx.pipeline.engine.Pool`."""
        for process in self._processes.values():
            process.terminate()
        for pipe, process in self._processes.items():
            process.join(PATIENCE)
            if process.is_alive():
                process.kill()
            pipe.close()
        self._processes.clear()
        self._task.cleanup()

    def _begin(self) -> Connection:
        ours, theirs = get_context("spawn").Pipe()
        process = get_context("spawn").Process(
            target=_serve, args=(theirs, self._path, Path.cwd(), self.threads), daemon=True
        )
        with _threads(self.threads):
            process.start()
        theirs.close()
        self._processes[ours] = process
        return ours


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """What libraries of a process that is begun now take for the number of threads."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection, path: Path, folder: Path, threads: int) -> None:
    """A worker's life: it does jobs until nobody gives it any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's business, which ends us
    signal.signal(signal.SIGTERM, _end)
    begin_worker(folder, threads)
    task: Task = pickle.loads(path.read_bytes())
    with suppress(EOFError, OSError):  # whoever gave us jobs is gone
        while True:
            pipe.send(task.do(pipe.recv()))


def _end(*_: Any) -> None:
    """Asked to end: as an exception, so that nothing half-written stays behind."""
    raise SystemExit(1)
