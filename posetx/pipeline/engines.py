"""The door to all engines: what was asked for, and who does a batch then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from posetx.errors import FieldError
from posetx.pipeline.batch import Begun, Job, Outcome
from posetx.pipeline.engine import Pool, Task, cores, side_by_side
from posetx.pipeline.on_ray import RayPool, check_ray
from posetx.pipeline.options import Engine
from posetx.pipeline.processes import Processes
from posetx.system.device import resolve_device

#: scans a worker from which on there are several: to load its libraries and the model takes one
#: some 5 processor seconds, as much as a scan with fits; the command itself has loaded them anyway
PAYS = 4


@dataclass(frozen=True)
class Engines:
    """What does a batch.

    Attributes
    ----------
    engine : where the workers are
    workers : how many; without, one for each core where that pays, one for a GPU
    address : of a Ray cluster, "auto" for the one that is here; without, one is begun here
    device : what each computes on
    """

    engine: Engine = "local"
    workers: int | None = None
    address: str | None = None
    device: str = "cpu"

    def check(self) -> None:
        """Raises FieldError for what is impossible, MissingError where Ray is not installed."""
        if self.engine not in get_args(Engine):
            raise FieldError("engine", self.engine, "use " + " or ".join(get_args(Engine)))
        if self.address is not None and self.engine != "ray":
            raise FieldError("address", self.address, "is of a Ray cluster; add `engine ray`")
        if self.engine == "ray":
            check_ray()

    def run(self, task: Task, jobs: Sequence[Job], begun: Begun) -> Iterator[Outcome]:
        """Do all jobs. Raises FieldError where there is no such cluster."""
        pool = self._pool(task, len(jobs))
        return side_by_side(pool, jobs, begun) if pool else task.in_turn(jobs, begun)

    def _pool(self, task: Task, count: int) -> Pool | None:
        """The workers; None where this process is enough."""
        if self.engine == "ray":
            gpu = self.device.startswith("cuda")
            return RayPool(task, self.workers, gpu=gpu, address=self.address)
        cpu = resolve_device(self.device).type == "cpu"
        size = min(self.workers or (min(cores(), count // PAYS) if cpu else 1), count)
        return Processes(task, size, max(cores() // size, 1)) if size > 1 else None
