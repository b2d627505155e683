"""What the `posetx` script and `python -m posetx` call."""

from __future__ import annotations

import io
import signal
import sys
import warnings
from typing import Any

from posetx.errors import Terminated


def main() -> None:
    """Run the command line; a Ctrl-C while it is still being imported gets its line, too."""
    if not sys.warnoptions:  # numbers of damaged files overflow; what comes of it is told in words
        warnings.simplefilter("ignore", RuntimeWarning)
    for stream in (sys.stdout, sys.stderr):  # which may be ASCII, or a name may be no UTF-8
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, terminate)
    try:
        from posetx.cli import main as command

        command()
    except Terminated:
        sys.stderr.write("error: terminated\n")
        sys.exit(143)
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)


def terminate(*_: Any) -> None:
    """Makes a signal an exception, so that nothing half-written stays behind."""
    Terminated.asked = True
    raise Terminated


if __name__ == "__main__":
    main()
