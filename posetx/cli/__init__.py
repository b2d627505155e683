"""The command line: a table of commands, each in a module of its own that only its use imports.

To add a command, write `posetx/cli/NAME.py` with a function `NAME` and add a line to `COMMANDS`;
a hyphen of a command, or a blank in `posetx models export`, is an underscore there.
`posetx --help` imports none of these modules, so they may import what they like at the top, though
heavy libraries are better imported in the function: `posetx NAME --help` stays fast too.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import pairwise
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from posetx import __version__
from posetx.cli.common import fail, guarded
from posetx.errors import PosetxError, UsageError

COMMANDS = {
    "transfer": "Give the pose of a scan to a target mesh.",
    "pose": "Write the pose that a scan shows, and the body fitted to it.",
    "animate": "Animate a target by the scans of a motion, or by a BVH clip.",
    "view": "Make a page to look at scans, targets and results in a browser.",
    "clean": "Take floor, strays and other objects out of a scan.",
    "attack": "Make the adversarial scan that harms a transfer most.",
    "attack-dataset": "Attack a protocol's pairs, with every method and budget.",
    "attack-tables": "Make the documents' tables of attacks on a model anew.",
    "train": "Train a model on synthetic bodies or on your own meshes.",
    "curves": "Draw the training curves of runs, several in one picture.",
    "codes": "Draw a model's codes of poses and bodies in the plane.",
    "evaluate": "Measure a model on the frozen protocols.",
    "bench": "Train and measure the field's networks alike.",
    "bench speed": "Time each stage of a transfer, and how that grows.",
    "trials": "Train and measure one change of the defaults at a time.",
    "card": "Measure all that a model's card and the documents say of it.",
    "calibrate": "Make a model's confidence a likelihood, by measured pairs.",
    "bodies": "Write synthetic bodies, poses and simulated scans to disk.",
    "models": "List the weights that are here, with hashes and figures.",
    "models export": "Write a network as ONNX, for programs without torch.",
    "doctor": "Say what is installed and whether it works.",
}
"""Name and one-line help of every command. The module and the function have the name, too."""
PROGRAM = "posetx"

CONTEXT = {"help_option_names": ["-h", "--help"]}

#: What Typer raises for a call that it cannot read; it has no public name of its own.
MISUSE: type[Exception] = typer.BadParameter.__mro__[1]


class LazyGroup(TyperGroup):
    """A group that knows its commands by name and imports one when it runs or shows its help."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in, which is enough for the list of commands and for completing their names."""
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            near = get_close_matches(args[0], COMMANDS, n=1)
            meant = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"No such command '{args[0]}'.{meant}")
        if not ctx.resilient_parsing:
            check_empty(args)
        if " ".join(args[:2]) in COMMANDS:
            args = [" ".join(args[:2]), *args[2:]]
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name in COMMANDS else command, rest

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        """Ctrl-C while arguments are looked at: Typer would end without a word."""
        with one_line():
            return super().make_context(*arguments, **settings)

    def invoke(self, ctx: Any) -> Any:
        """What happens outside a command's function: Ctrl-C, a choice that is none, a typo."""
        with one_line():
            return super().invoke(ctx)


def check_empty(arguments: list[str]) -> None:
    """Raises UsageError for an argument that is empty: as a path it would be the folder here."""
    why = "is empty; is a variable of the shell not set?"
    for before, argument in pairwise(["", *arguments]):
        if argument == "":
            raise UsageError(f"{before if before.startswith('-') else 'an argument'}: {why}")
        if argument.startswith("--") and argument.find("=") == len(argument) - 1:
            raise UsageError(f"{argument[:-1]}: {why}")


@contextmanager
def one_line() -> Iterator[None]:
    """Makes a line and an exit code of what ends a call before its command runs."""
    try:
        yield
    except (KeyboardInterrupt, PosetxError) as error:
        raise typer.Exit(fail(error)) from None
    except MISUSE as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            raise  # its message is the help
        raise typer.Exit(fail(UsageError(misuse(error)))) from None


def misuse(error: Any) -> str:
    """The line for a call that Typer cannot read, instead of its box: the option comes first."""
    text = error.format_message().rstrip(".")
    text = re.sub(r"^Got unexpected extra argument\S*", "Too many arguments:", text)
    param = getattr(error, "param", None)
    option = max(getattr(param, "opts", [""]), key=len)
    if text.startswith("Invalid value for"):
        told = error.message.removeprefix("Value error, ").rstrip(".")
        text = f"{option}: {told[:1].lower()}{told[1:]}"
    elif error.ctx and getattr(param, "param_type_name", "") == "argument":
        # which one is missing Typer only guesses, where the first takes as many as there are
        given = [p for p in error.ctx.command.params if p.param_type_name == "argument"]
        text = "Missing argument: give " + " ".join(p.metavar or p.name.upper() for p in given)
    return f"{text}; {error.ctx.command_path} -h tells more" if error.ctx else text


def load_command(name: str) -> Any:
    """Imports the module of a command and makes its function one, its errors turned to lines."""
    try:
        python = python_name(name)
        function = getattr(importlib.import_module(f"posetx.cli.{python}"), python)
    except Exception as error:
        raise typer.Exit(fail(error, verbose="-v" in sys.argv or "--verbose" in sys.argv)) from None
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    told = unwrapped(function.__doc__)
    single.command(name, help=told, context_settings=CONTEXT)(guarded(function))
    return typer.main.get_command(single)


def python_name(command: str) -> str:
    """What its module and its function are called."""
    return re.sub("[- ]", "_", command)


def unwrapped(text: str) -> str:
    """A paragraph a line, for terminals of any width: Typer would keep the breaks of the source."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


app = typer.Typer(
    name=PROGRAM,
    cls=LazyGroup,
    context_settings=CONTEXT,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def posetx(
    version: Annotated[
        bool,
        typer.Option(
            "-V", "--version", callback=show_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """The pose of a raw human scan, on any human-like mesh.

    posetx transfer scan.ply target.obj -o out.obj
    """


def main() -> None:
    """Run the command line."""
    app(prog_name=PROGRAM)
