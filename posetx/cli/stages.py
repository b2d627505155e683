"""What the stages of the pipeline are called on the screen, and a bar that counts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from posetx.system.console import console, progress_bar, say

#: the stage at which the work has begun: the files are there and are what they should be
BEGUN = 2

LABELS = {
    "files": "reading",
    "load": "loading the model",
    "target": "fitting the target",
    "clean": "cleaning the scan",
    "orient": "finding up and front",
    "read": "reading the pose",
    "furniture": "telling body and furniture apart",
    "surface": "drawing the body to the surface",
    "give": "giving the pose to the target",
    "restore": "restoring detail",
    "skeleton": "turning the joints",
    "measure": "measuring",
    "body": "measuring the body",
    "write": "writing",
    "preview": "drawing the preview",
    "view": "making the page",
}


@contextmanager
def stage_bar(
    names: Sequence[str], labels: Mapping[str, str] = LABELS, began: str = ""
) -> Iterator[Callable[[str], None]]:
    """A bar over stages that will be announced, in order, by the function that is yielded.

    Where there is no terminal to show one, a line says once that the work `began`: when the first
    files are read, so that a mistake in them stays one line.
    """
    with progress_bar() as bar:
        task = bar.add_task("", total=len(names))

        def on_stage(name: str) -> None:
            nonlocal began
            if began and not console.is_terminal and names.index(name) == BEGUN:
                say(f"{began}: begun, takes some seconds")
                began = ""
            bar.update(task, description=labels[name], completed=names.index(name))

        yield on_stage
        bar.update(task, completed=len(names))
