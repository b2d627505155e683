"""Workers as actors of a Ray cluster: on this machine, or on as many as there are."""

from __future__ import annotations

import logging
import signal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from posetx.errors import FieldError, MissingError, PosetxError
from posetx.pipeline.batch import Job, Outcome
from posetx.pipeline.engine import Task, begin_worker, cores


class RayPool:
    """A :class:`posetx.pipeline.engine.Pool` of actors.

    Parameters
    ----------
    task : goes to the cluster's store once
    size : how many work at a time; without, as many as there is room for
    threads : of each, for which it takes as many of the cluster's CPUs
    gpu : whether each takes one of its GPUs
    address : of a cluster, "auto" for the one that is here; without, one is begun here and ended

    Raises MissingError without the extra `ray`, FieldError where there is no such cluster.
    """

    def __init__(
        self,
        task: Task,
        size: int | None = None,
        threads: int = 1,
        gpu: bool = False,
        address: str | None = None,
    ):
        check_ray()
        import ray

        self._ray, self._needs = ray, {"CPU": float(threads), **({"GPU": 1.0} if gpu else {})}
        here = {} if address else {"num_cpus": max(cores(), (size or 1) * threads)}
        if not address:
            here["include_dashboard"] = False
        asked_to_end = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address or "local", logging_level=logging.ERROR, log_to_driver=False, **here)
        except (ConnectionError, ValueError) as error:
            why = " ".join(str(error).split())
            raise FieldError("address", address, f"no Ray cluster there ({why})") from None
        except Exception as error:  # of no class of its own, when it takes longer than its patience
            why = " ".join(str(error).split())
            raise PosetxError(f"Ray does not start here ({why})") from None
        if asked_to_end is not None:
            signal.signal(signal.SIGTERM, asked_to_end)  # Ray's own would end us without a summary
        self.size = max(min(size or self._room(), self._room()), 1)
        self._task = ray.put(task)
        self._actor = ray.remote(_Worker).options(
            num_cpus=threads, num_gpus=int(gpu), max_restarts=0
        )
        self._begun = (Path.cwd(), threads)
        self._free: list[Any] = []
        self._under_way: dict[Any, tuple[Any, Job]] = {}

    def give(self, job: Job) -> None:
        """See :class:`posetx.pipeline.engine.Pool`."""
        actor = self._free.pop() if self._free else self._actor.remote(self._task, *self._begun)
        self._under_way[actor.do.remote(job)] = (actor, job)

    def take(self) -> tuple[Job, Outcome | str]:
        """See :class:`posetx.pipeline.engine.Pool`."""
        (done, *_), _ = self._ray.wait(list(self._under_way), num_returns=1)
        actor, job = self._under_way.pop(done)
        try:
            outcome: Outcome = self._ray.get(done)
        except self._ray.exceptions.RayError as error:
            # a machine that is gone may have taken room with it
            self.size = max(min(self.size, self._room()), 1)
            return job, f"its worker is gone ({str(error).splitlines()[0]})"
        self._free.append(actor)
        return job, outcome

    def close(self) -> None:
        """See :class:`posetx.pipeline.engine.Pool`."""
        self._ray.shutdown()

    def _room(self) -> int:
        """How many workers the cluster has room for."""
        there = self._ray.cluster_resources()
        return int(min(there.get(what, 0.0) / count for what, count in self._needs.items()))


class _Worker:
    """What an actor does; it dies with what made it."""

    def __init__(self, task: Task, folder: Path, threads: int):
        begin_worker(folder, threads)
        self.task = task

    def do(self, job: Job) -> Outcome:
        return self.task.do(job)


def check_ray() -> None:
    """Raises MissingError where the extra is not installed."""
    if find_spec("ray") is None:
        raise MissingError("ray is not installed; pip install 'posetx[ray]'")
