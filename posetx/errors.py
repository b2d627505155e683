"""The errors a user can cause or meet, each with the exit code the command line ends with.

A message is one line: which file or field, what is wrong, what to do about it. Fields that it names
in passing stand in backquotes, `like_this`; the command line makes options of them.
"""

from __future__ import annotations

#: what Python raises where data are not of the kind that code expects: a list for a dict, text for
#: a number, nothing at all
DAMAGED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class PosetxError(Exception):
    """An item failed (exit code 1): a file that cannot be read, a scan without a body in it."""

    exit_code = 1


class UsageError(PosetxError):
    """The command was called wrongly (exit code 2): a bad option value, an existing output."""

    exit_code = 2


class FieldError(UsageError):
    """A setting has a value that it cannot have; on the command line the field is an option.

    `field` is the setting's name as Python spells it, `message` what is wrong with the value.
    """

    def __init__(self, field: str, value: object, message: str) -> None:
        super().__init__(field, value, message)
        self.field, self.value, self.message = field, value, message

    def __str__(self) -> str:
        return self.told(self.field)

    def told(self, name: str) -> str:
        """The line, with the field under another name: `--up q: not an axis`."""
        return f"{f'{name} {self.value}'.rstrip()}: {self.message}"


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM); whatever cleans up at Ctrl-C does so now."""

    #: Whether it was asked, ever. Torch takes what is raised while it reads a storage for a failure
    #: of its own, and raises a ValueError in its place: which is then not unexpected.
    asked = False


class MissingError(PosetxError):
    """Weights or a dependency are not here (exit code 3)."""

    exit_code = 3
