"""A training run on the screen: a bar where there is a terminal, a line a minute where not."""

from __future__ import annotations

import time

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from posetx.system.console import console, say
from posetx.training import loop
from posetx.training.log import TrainingLog


class TrainingDisplay:
    """Shows loss, samples a second and time left; ``update`` is told after every few steps.

    What it is told also goes into the ``log``, if there is one.
    """

    def __init__(self, settings: loop.TrainSettings, log: TrainingLog | None = None):
        self.settings, self.log = settings, log
        self.last: dict[str, float] = {}
        self.bar = Progress(
            TextColumn("training"),
            BarColumn(),
            TextColumn("{task.percentage:.0f} %  {task.fields[text]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=console.quiet or not console.is_terminal,
        )
        self.task = self.bar.add_task("", total=1.0, text="")
        self._line_at = 0.0

    def __enter__(self) -> TrainingDisplay:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
        if self.log is not None:
            self.log.close()

    def update(self, progress: loop.Progress) -> None:
        self.last = {**progress.terms, "samples_per_second": progress.samples_per_second}
        if self.log is not None:
            rate = progress.samples_per_second
            self.log.add(progress.samples, progress.minutes, rate, progress.terms)
        text = (
            f"{progress.samples} samples  {progress.samples_per_second:.0f}/s  "
            f"PMD {progress.terms['pmd'] * 1e4:.1f}e-4"
        )
        self.bar.update(self.task, completed=min(progress.share, 1.0), text=text)
        if not console.is_terminal and time.monotonic() - self._line_at > 60:
            self._line_at = time.monotonic()
            terms = " ".join(f"{name} {value:.3g}" for name, value in progress.terms.items())
            say(f"{progress.minutes:.1f} min  {text}  {terms}")
