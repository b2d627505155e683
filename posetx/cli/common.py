"""What the commands share: option types, how an error becomes one line, JSON on a clean stdout."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import math
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from posetx.errors import FieldError, MissingError, PosetxError, Terminated, UsageError
from posetx.system.console import PlainConsole, console
from posetx.system.console import error as error_line

INTERRUPTED = 130
"""The exit code of a command stopped by Ctrl-C: 128 + SIGINT."""
TERMINATED = 143
"""That of a command that was asked to end, by `kill` or a scheduler: 128 + SIGTERM."""

COMMON = "Common options"

MOST = 10**9
"""Of anything that is counted: whoever asks for more has mistyped."""


def choice(names: Iterable[str], *flags: str, help: str) -> Any:
    """An option of one or several of the library's names: in the help, completed, checked.

    What is none of them is a FieldError, so one line as all errors.
    """
    known = tuple(names)

    def complete(incomplete: str) -> list[str]:
        return [name for name in known if name.startswith(incomplete)]

    def check(ctx: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
        for one in [value] if isinstance(value, str) else value or []:
            if one not in known and not ctx.resilient_parsing:
                raise FieldError(str(param.name), one, f"use {', '.join(known)}")
        return value

    listed = f"{help} One of {', '.join(known)}."
    return typer.Option(*flags, help=listed, autocompletion=complete, callback=check)


DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="auto, cpu, cuda, cuda:N or mps.",
        rich_help_panel=COMMON,
    ),
]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        max=2**63 - 1,
        help="Seed of all random choices.",
        rich_help_panel=COMMON,
    ),
]
ModelOption = Annotated[
    str,
    typer.Option("-m", "--model", metavar="NAME|PATH", help="Which weights; see `posetx models`."),
]
MocapOption = Annotated[
    Path | None,
    typer.Option(help="A folder of BVH clips; without it the shipped pose prior serves."),
]
OverwriteOption = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace files that exist.", rich_help_panel=COMMON),
]
AxisOption = Annotated[str, typer.Option(metavar="AXIS", help="x, y, z, -x, -y, -z or auto.")]
ViewOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PAGE.html",
        help="Also make a page to turn and compare it all: HTML; of several scans, a folder.",
    ),
]
TimeViewOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PAGE.html",
        help="Also make a page to turn and compare it all, with a slider for time: HTML.",
    ),
]
# The parameters below must be called as_json, quiet and verbose: `guarded` reads them by name.
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="One JSON document on stdout.", rich_help_panel=COMMON),
]
QuietOption = Annotated[
    bool,
    typer.Option("-q", "--quiet", help="No messages, no bars.", rich_help_panel=COMMON),
]
VerboseOption = Annotated[
    bool,
    typer.Option("-v", "--verbose", help="More messages; tracebacks.", rich_help_panel=COMMON),
]

DEFAULT_MODEL = "posemae"

_documents: list[str] | None = None
"""While a command runs under --json: what `emit_json` has been given, written when it ends."""


def emit_json(document: Any) -> None:
    """Puts one JSON document on stdout; under `--json`, when the command has ended."""
    text = json_text(document)
    if _documents is None:
        typer.echo(text)
    else:
        _documents.append(text)


def json_text(document: Any) -> str:
    """A document with paths and arrays in it, as it is shown and as it is written to files."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=_plain)
    # bytes of a file's name that are no UTF-8: as JSON spells them
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    """What json does not know: paths, and the scalars and arrays of numpy and torch."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} does not go into JSON")


def check_preview(path: Path) -> None:
    """Raises UsageError for a picture that is no PNG, MissingError where none can be drawn."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path}: the preview is a PNG; name it something.png")
    check_drawing()


def check_drawing() -> None:
    """Raises MissingError where the library that draws is not installed."""
    if importlib.util.find_spec("pyvista") is None:
        raise MissingError("no picture: pyvista is not installed; pip install pyvista")


def check_input(path: Path, what: str) -> None:
    """Raises PosetxError for a file that is not there; `what` it is: the scan, the target."""
    if not path.exists():
        raise PosetxError(f"{path}: {what} does not exist; check the name")


def emit_table(table: Table) -> None:
    """Prints a table as the result of a command, so on stdout."""
    PlainConsole().print(table)


def table_width() -> int:
    """Characters that a line of a table may have."""
    return PlainConsole().width


def guarded(function: Callable[..., Any]) -> Callable[..., None]:
    """The function as a command: every failure is one line on stderr and an exit code.

    `-q` silences the console while it runs, `-v` shows the traceback of a failure, and `--json`
    keeps everything but the document off stdout.
    """

    @functools.wraps(function)
    def command(*args: Any, **options: Any) -> None:
        quiet_before = console.quiet
        console.quiet = bool(options.get("quiet")) or quiet_before
        try:
            with json_only() if options.get("as_json") else contextlib.nullcontext():
                check_finite(options)
                function(*args, **options)
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise  # Typer's own business
        except (Exception, KeyboardInterrupt) as error:
            raise typer.Exit(fail(error, verbose=bool(options.get("verbose")))) from None
        finally:
            console.quiet = quiet_before

    return command


def check_finite(options: Mapping[str, Any]) -> None:
    """Raises FieldError for an option that is no number, or an infinite one."""
    for name, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, float) and not math.isfinite(one):
                raise FieldError(name, one, "give a finite number")


def fail(error: BaseException, verbose: bool = False) -> int:
    """Says on stderr, in one line, what went wrong; returns the exit code for it."""
    message, code = explain(error)
    quiet, console.quiet = console.quiet, False  # -q is about progress, not about errors
    try:
        if verbose:
            trace = "".join(traceback.format_exception(error))
            console.print(trace.rstrip(), soft_wrap=True, style="dim")
        error_line(" ".join(message.split()))
    finally:
        console.quiet = quiet
    return code


def explain(error: BaseException) -> tuple[str, int]:
    """The line and the exit code for an error that ended a command."""
    if isinstance(error, FieldError):
        return in_options(error.told(flag(error.field))), error.exit_code
    if isinstance(error, PosetxError):
        return in_options(str(error)) or type(error).__name__, error.exit_code
    if isinstance(error, Terminated):
        return "terminated", TERMINATED
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", INTERRUPTED
    if _out_of_memory(error):
        return "out of memory; try fewer points, one file at a time, or --device cpu", 1
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("posetx."):
        return f"{error.name} is not installed; `posetx doctor` says what is missing", 3
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror or error}", 1
    if Terminated.asked:
        return explain(Terminated())
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"unexpected {what}; run with -v for the traceback", 1


def in_options(text: str) -> str:
    """A line of the library's, which names fields `like_this`, with options: --like-this.

    `output a.obj` is one of the files that a field is about.
    """
    return re.sub("`([a-z]+(?:_[a-z]+)*)( [^`]*)?`", lambda f: flag(f[1]) + (f[2] or ""), text)


def flag(field: str) -> str:
    """The option of the command line that fills a field of the library."""
    return "--" + field.replace("_", "-")


def _out_of_memory(error: BaseException) -> bool:
    """Torch has an error class of its own on a GPU, and a plain RuntimeError on the CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


@contextlib.contextmanager
def json_only() -> Iterator[None]:
    """While it holds, what anything prints goes to stderr; the JSON documents follow at its end.

    The file descriptor is turned, not just `sys.stdout`: native libraries print from C++.
    """
    global _documents
    documents: list[str] = []
    _documents = documents
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _documents = None
        os.dup2(saved, 1)
        os.close(saved)
        for text in documents:
            typer.echo(text)
