"""One run a folder: what `train`, `bench` and `trials` take for as long as they work in it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from posetx.errors import PosetxError, UsageError
from posetx.files.atomic import check_can_be_folder
from posetx.files.unfinished import sweep

_TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """While it holds, no other process works in the folder, which is made.

    What killed writers have left there, and in the folders in it, goes. The system lets go of the
    folder when this process ends, however it ends. Where there are no such locks (Windows, some
    network disks) everybody may.

    Raises UsageError where another process does, PosetxError for what cannot be a folder.
    """
    check_can_be_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PosetxError(f"{folder}: cannot be made: {error.strerror or error}") from None
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _TAKEN:
                raise UsageError(
                    f"{folder}: another process works here; wait for it or name another folder"
                ) from None
        for place in (folder, *(path for path in folder.iterdir() if path.is_dir())):
            sweep(place)
        yield
    finally:
        os.close(descriptor)
