"""The one rich console (stderr) and the one progress bar style that all commands share.

Names of files and words of libraries have brackets in them, which rich would take for markup, eat
or stumble over. So nothing here is markup: what has a style is a `Text`.
"""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

console = Console(stderr=True, highlight=False, markup=False, emoji=False)


def say(text: str) -> None:
    """A line for the user, not cut at the terminal's width."""
    console.print(text, soft_wrap=True)


def note(text: str) -> None:
    """A line on what a user should look at."""
    console.print(Text.assemble(("note:", "yellow"), " ", text), soft_wrap=True)


def error(text: str) -> None:
    """The line on what went wrong."""
    console.print(Text.assemble(("error:", "bold red"), " ", text), soft_wrap=True)


def progress_bar(transient: bool = True) -> Progress:
    """A progress bar on stderr; silent where it is no terminal, or the console is quiet."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=transient,
        disable=console.quiet or not console.is_terminal,
    )


def shortened(text: str, width: int) -> str:
    """The text, cut in the middle if it has more than `width` characters."""
    if len(text) <= width:
        return text
    return f"{text[: width // 2]}…{text[len(text) - (width - 1) // 2 :]}"
