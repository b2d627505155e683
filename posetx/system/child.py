"""A module of this package run in a process of its own: native libraries that may crash or hang."""

from __future__ import annotations

import os
import subprocess
import sys

from posetx.system.paths import PACKAGE


def run_module(
    module: str, *arguments: str, seconds: float, without: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run `python -m module arguments`, with the same Python and the same posetx, and wait for it.

    Parameters
    ----------
    module : str
        of this package, with an `if __name__ == "__main__"`
    seconds : float
        when it is ended
    without : tuple of str
        environment variables that it shall not see

    Returns
    -------
    subprocess.CompletedProcess
        whatever its exit code is, with what it printed

    Raises
    ------
    subprocess.TimeoutExpired
        it did not end in time
    """
    environment = {name: value for name, value in os.environ.items() if name not in without}
    search = [str(PACKAGE.parent), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(search)
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )


def ending(code: int) -> str:
    """How a process with this exit code, not 0, came to its end, for a message."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"
