"""The stages that the pipeline announces as it enters them, and how long each took.

What will be announced is known before: :meth:`Options.stages` lists it, so that a bar of progress
knows its length.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: the stages of :meth:`Pipeline.prepare`, :meth:`Pipeline.read` and :meth:`Pipeline.give`
PREPARE = ("target",)
READ = ("clean", "orient", "read", "furniture", "surface")
GIVE = ("give", "restore", "skeleton", "measure")

OnStage = Callable[[str], None]


def unheard(name: str) -> None:
    """For callers who do not want to hear of stages."""


class Stages:
    """Announces stages to a listener; ``seconds`` holds how long each took."""

    def __init__(self, on_stage: OnStage = unheard):
        self.on_stage = on_stage
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self.on_stage(name)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)
