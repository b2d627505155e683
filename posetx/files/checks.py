"""What every reader does first and last: open a file safely, and fail in one clear line."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from posetx.errors import PosetxError

# Coordinates beyond this are as useless as NaN: their squares and cubes leave the number range.
LARGEST_COORDINATE = 1e30


def problem(path: Path, what: str, remedy: str) -> PosetxError:
    """The error `path: what; remedy`, always on one line."""
    line = f"{path}: {what}; {remedy}"
    return PosetxError("".join(c if c.isprintable() else " " for c in line))


def truncated(path: Path, what: str) -> PosetxError:
    """The error of a file that ends before what its header promises."""
    return problem(path, f"is truncated or damaged: {what}", "copy or export it again")


def read_bytes(path: Path) -> bytes:
    """The whole content of an ordinary, readable, non-empty file."""
    path = Path(path)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise problem(path, "is a folder", "name a file")
        if not stat.S_ISREG(mode):
            # A pipe or a device could block or never end.
            raise problem(path, "is not an ordinary file", "save it to a file first")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise problem(path, "does not exist", "check the name") from error
    except PermissionError as error:
        raise problem(path, "may not be read", "check its permissions") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise problem(path, f"cannot be read ({reason})", "check the name and the disk") from error
    except MemoryError as error:
        raise problem(path, "does not fit into memory", "downsample it first") from error
    if not data:
        raise problem(path, "is empty", "copy or export it again")
    return data


@contextmanager
def only_posetx_errors(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever else goes wrong while decoding a damaged file into one clear line.

    Parameters
    ----------
    path : Path
        the file being decoded
    kind : str
        what it should be, as a user calls it: "PLY", "OBJ"
    """
    try:
        # Garbage numbers overflow; the checks for finite values say so later.
        with np.errstate(all="ignore"):
            yield
    except PosetxError:
        raise
    except MemoryError as error:
        raise problem(path, "does not fit into memory", "downsample it first") from error
    except Exception as error:
        reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
        raise problem(
            path, f"cannot be read as {kind} ({reason})", "check that the file is whole"
        ) from error


def usable_rows(points: np.ndarray) -> np.ndarray:
    """(n,) bool: the rows of `points` (n, 3) that are finite and not absurdly large."""
    with np.errstate(invalid="ignore"):
        if len(points) and max(-points.min(), points.max()) <= LARGEST_COORDINATE:
            return np.ones(len(points), dtype=bool)  # the usual case, and no copy of a huge scan
        return np.asarray((np.abs(points) <= LARGEST_COORDINATE).all(axis=1))
