"""What every reader does first and last: open a file safely, and fail in one clear line."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from posetx.errors import PosetxError

#: How much larger what is packed may be than the packed file, and what any file may be, in bytes:
#: text of points packs to a quarter, hardly ever to a tenth.
MOST_PACKED, LEAST_UNPACKED = 40, 1 << 26
#: Bytes that are unpacked at once.
PIECE = 1 << 20
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

#: Coordinates beyond this are as useless as NaN: their squares and cubes leave the number range. A
#: power of two, so that none of 64 bits comes to lie beyond it when it is written in 32.
LARGEST_COORDINATE = 2.0**100


def problem(path: Path, what: str, remedy: str) -> PosetxError:
    """The error `path: what; remedy`, always on one line."""
    line = f"{path}: {what}; {remedy}"
    return PosetxError("".join(c if c.isprintable() else " " for c in line))


def truncated(path: Path, what: str) -> PosetxError:
    """The error of a file that ends before what its header promises."""
    return problem(path, f"is truncated or damaged: {what}", "copy or export it again")


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The whole content of an ordinary, readable, non-empty file of at most `most` bytes.

    The one gate that input goes through; raises PosetxError for whatever is no such file.
    """
    path = Path(path)
    try:
        _check_ordinary(path, os.stat(path).st_mode)
        # Without blocking, and looked at again: it may be another one by now.
        with open(os.open(path, _READ), "rb") as stream:
            found = os.fstat(stream.fileno())
            _check_ordinary(path, found.st_mode)
            if most is not None and found.st_size > most:
                raise problem(path, f"has {found.st_size:,} bytes", f"{most:,} are the most")
            data = stream.read()
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


def unpacked(data: bytes, path: Path) -> bytes:
    """The content of a gzip file. Raises PosetxError where it grows beyond belief."""
    most = max(LEAST_UNPACKED, MOST_PACKED * len(data))
    content = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            while piece := stream.read(PIECE):
                content += piece
                if len(content) > most:
                    raise problem(path, f"unpacks to over {most:,} bytes", "unpack it first")
    except EOFError as error:
        raise truncated(path, "it ends within its packed data") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise truncated(path, "its packed data is damaged") from error
    return bytes(content)


def check_archive(members: Iterable[zipfile.ZipInfo], size: int, path: Path) -> None:
    """Refuse a zip archive of `size` bytes whose members grow beyond belief."""
    most = max(LEAST_UNPACKED, MOST_PACKED * size)
    if sum(member.file_size for member in members) > most:
        raise problem(path, f"unpacks to over {most:,} bytes", "save it without compression")


def _check_ordinary(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise problem(path, "is a folder", "name a file")
    if not stat.S_ISREG(mode):
        # A pipe or a device could block or never end.
        raise problem(path, "is not an ordinary file", "save it to a file first")


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
