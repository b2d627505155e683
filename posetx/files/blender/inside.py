"""The child: Blender, told on stdin what to do, answers on stdout, and says the rest on stderr."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, BinaryIO

from posetx.files.blender.protocol import (
    ANSWER,
    REFUSED,
    STARTED,
    Arrays,
    Refused,
    packed,
    unpacked,
)

LEAST_MEMORY, MEMORY_PER_BYTE = 12 << 30, 100
"""Bytes that the child may have: what Blender takes for itself, and for each byte of the file."""


def main() -> None:
    """Do what stdin says, and end the process."""
    stream = _quiet_stdout()
    die_with(os.getppid())
    told, arrays = unpacked(sys.stdin.buffer.read())
    limit_memory(told.get("size", 0))
    code = 1
    try:
        import bpy  # noqa: F401

        say(STARTED)
        stream.write(ANSWER + packed(*_work(told, arrays)))
        stream.flush()
        code = 0
    except Refused as error:
        say(REFUSED + str(error))
    except MemoryError:
        say(f"{REFUSED}it does not fit into memory")
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        say(f"{REFUSED}{type(error).__name__}: {lines[0] if lines else ''}"[:300])
    # Blender's own end may crash when all is done.
    sys.stderr.flush()
    os._exit(code)


def say(line: str) -> None:
    """A line on stderr."""
    sys.stderr.write("\n" + " ".join(line.split()) + "\n")
    sys.stderr.flush()


def _work(told: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
    from posetx.files.blender.looking import look
    from posetx.files.blender.opening import open_file
    from posetx.files.blender.saving import save

    pose = open_file(told["path"])
    if told["do"] == "look":
        return look(told["path"], told["posed"])
    return save(told, arrays, pose), {}


def _quiet_stdout() -> BinaryIO:
    """Where the answer goes; all that anything prints goes to stderr from now on."""
    sys.stdout.flush()
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return stream


def die_with(parent: int) -> None:
    """On Linux, end when whoever asked is killed."""
    with suppress(Exception):
        import ctypes
        import signal

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def limit_memory(size: int) -> None:
    """Let a small file not ask for all of the memory."""
    with suppress(Exception):  # no such limit on Windows
        import resource

        most = LEAST_MEMORY + MEMORY_PER_BYTE * size
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
