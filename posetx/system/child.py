"""A module of this package run in a process of its own: native libraries that may crash or hang.

What goes to it and comes back goes through pipes: a kill leaves no files behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from posetx.system.paths import PACKAGE


@dataclass(frozen=True)
class Ended:
    """A child's exit code, what it answered on stdout, and what it said on stderr."""

    code: int
    answer: bytes
    said: str


def run_module(
    module: str,
    *arguments: str,
    seconds: float,
    without: tuple[str, ...] = (),
    given: bytes = b"",
) -> Ended:
    """Run `python -m module arguments`, with the same Python and the same posetx, and wait for it.

    Parameters
    ----------
    module : str
        of this package, with an `if __name__ == "__main__"`
    seconds : float
        when it is ended
    without : tuple of str
        environment variables that it shall not see
    given : bytes
        what it finds on stdin

    Returns
    -------
    Ended
        whatever its exit code is

    Raises
    ------
    subprocess.TimeoutExpired
        it did not end in time
    """
    environment = {name: value for name, value in os.environ.items() if name not in without}
    search = [str(PACKAGE.parent), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(search)
    child = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environment,
        input=given,
        capture_output=True,
        timeout=seconds,
        check=False,
    )
    return Ended(child.returncode, child.stdout, child.stderr.decode(errors="replace"))


def answer_stream() -> BinaryIO:
    """In the child: where its answer goes. All that anything prints goes to stderr from now on."""
    sys.stdout.flush()
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return stream


def limit(memory: int, seconds: int) -> None:
    """In the child: no more bytes of memory and processor seconds than these, where that is known.

    What asks for more memory gets none, what goes on for longer is ended by SIGXCPU.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, most in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_CPU, seconds)):
        with suppress(ValueError, OSError):  # a lower limit is there already
            resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))


def ending(code: int) -> str:
    """How a process with this exit code, not 0, came to its end, for a message."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"
