"""Work for tests of workers; a module of its own, since each worker imports what is beside it."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from posetx.errors import PosetxError
from posetx.files.atomic import write_text_atomic

if TYPE_CHECKING:
    from posetx.pipeline.batch import Job


@dataclass
class Loaded:
    """Work that is loaded once a worker; ``deaths`` is how often a job named `dies` ends it."""

    deaths: int = 0
    loads: int = 0

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.loads += 1

    def __call__(self, job: Job) -> dict[str, Any]:
        name, log = job.scan.stem, job.scan.parent / f"{job.scan.stem}.log"
        with log.open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        begun = len(log.read_text().split())
        if name.startswith("dies") and begun <= self.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("short") and begun == 1:
            raise MemoryError
        if name.startswith("bad"):
            raise PosetxError(f"{job.scan}: no body in it")
        if name.startswith("slow"):
            time.sleep(0.5)
        write_text_atomic(job.output, name)
        threads = torch.get_num_threads()
        return {"pid": os.getpid(), "loads": self.loads, "threads": threads, "points": np.ones(3)}


def told(error: Exception) -> str:
    """What a job failed of."""
    return str(error)
