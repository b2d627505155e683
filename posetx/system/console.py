"""The one rich console (stderr) and the one progress bar style that all commands share.

Names of files and words of libraries have brackets in them, which rich would take for markup, eat
or stumble over. So nothing here is markup: what has a style is a `Text`. And names may hold what
moves a terminal's cursor or paints it: see `tame`.
"""

from __future__ import annotations

import re
from typing import Any

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

#: what a terminal takes for an order (Cc, but line breaks), and what turns the order of letters
_ORDERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def tame(text: str) -> str:
    """The text as a terminal may have it: a file's name may hold orders to it, which are spelt."""
    return _ORDERS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class PlainConsole(Console):
    """Shows texts, also those in tables, as they are, tame."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(tame(text), **options)


console = PlainConsole(stderr=True)


def counted(number: int, word: str) -> str:
    """So many of something: `1 frame`, `2 frames`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def say(text: str) -> None:
    """A line for the user, not cut at the terminal's width."""
    console.print(text, soft_wrap=True)


def note(text: str) -> None:
    """A line on what a user should look at."""
    console.print(Text.assemble(("note:", "yellow"), " ", tame(text)), soft_wrap=True)


def error(text: str) -> None:
    """The line on what went wrong."""
    console.print(Text.assemble(("error:", "bold red"), " ", tame(text)), soft_wrap=True)


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
    """The text, tame, cut in the middle if it has more than `width` characters."""
    text = tame(text)
    if len(text) <= width:
        return text
    return f"{text[: width // 2]}…{text[len(text) - (width - 1) // 2 :]}"
