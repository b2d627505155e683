"""A bench from its options: step by step, until all is done or time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from posetx.files.alone import alone_in
from posetx.studies.bench.presets import NETWORKS, PRESETS
from posetx.studies.bench.study import Study
from posetx.studies.bench.tables import markdown
from posetx.studies.results import cpu_threads, understood
from posetx.system.device import resolve_device


@dataclass(frozen=True)
class BenchOptions:
    """Which networks are trained and measured, on what, how much of it; None is the preset's."""

    folder: Path
    preset: str = "small"
    networks: tuple[str, ...] = NETWORKS
    samples: int | None = None
    pairs: int | None = None
    mocap: Path | None = None
    threads: int | None = None
    #: nothing new is begun after so long
    max_minutes: float | None = None
    device: str = "auto"
    seed: int = 0


def run(
    options: BenchOptions,
    on_step: Callable[[int, int, str], None],
    on_done: Callable[[str, float], None],
) -> tuple[dict[str, Any], bool]:
    """Do what is not done yet; returns what there is by now, and whether that is all.

    Raises UsageError where another process works in the folder, and as :class:`Study`.

    ``on_step`` hears how many steps are done, of how many, and what is being done; ``on_done``
    what was done, and the minutes since the call.
    """
    plan = PRESETS[options.preset]
    plan = replace(plan, samples=options.samples or plan.samples, pairs=options.pairs or plan.pairs)
    begin = time.monotonic()
    with alone_in(options.folder), cpu_threads(options.threads):
        device = resolve_device(options.device)
        study = Study(options.folder, plan, options.mocap, options.seed, device)
        with understood(study.path, "a bench"):
            markdown(study.results)
            steps = study.steps(options.networks)
        for done, (told, step) in enumerate(steps):
            if options.max_minutes and time.monotonic() - begin > 60 * options.max_minutes:
                return study.results, False

            def say(text: str, done: int = done, told: str = told) -> None:
                on_step(done, len(steps), f"{told}: {text}")

            on_step(done, len(steps), told)
            step(say)
            on_done(told, (time.monotonic() - begin) / 60)
    return study.results, True
