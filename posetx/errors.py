"""The errors a user can cause or meet, each with the exit code the command line ends with.

A message is one line: which file or option, what is wrong, what to do about it.
"""

from __future__ import annotations


class PosetxError(Exception):
    """An item failed (exit code 1): a file that cannot be read, a scan without a body in it."""

    exit_code = 1


class UsageError(PosetxError):
    """The command was called wrongly (exit code 2): a bad option value, an existing output."""

    exit_code = 2


class MissingError(PosetxError):
    """Weights or a dependency are not here (exit code 3)."""

    exit_code = 3
