"""What the stages of the pipeline are called on the screen, and a bar that counts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from posetx.system.console import progress_bar

LABELS = {
    "files": "reading",
    "load": "loading the model",
    "target": "fitting the target",
    "clean": "cleaning the scan",
    "orient": "finding up and front",
    "read": "reading the pose",
    "furniture": "telling body and furniture apart",
    "give": "giving the pose to the target",
    "restore": "restoring detail",
    "measure": "measuring",
    "write": "writing",
    "preview": "drawing the preview",
}


@contextmanager
def stage_bar(
    names: Sequence[str], labels: Mapping[str, str] = LABELS
) -> Iterator[Callable[[str], None]]:
    """A bar over stages that will be announced, in order, by the function that is yielded."""
    with progress_bar() as bar:
        task = bar.add_task("", total=len(names))

        def on_stage(name: str) -> None:
            bar.update(task, description=labels[name], completed=names.index(name))

        yield on_stage
        bar.update(task, completed=len(names))
