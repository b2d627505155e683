"""Names of files that are written beside an output: safe on every system, and free."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from posetx.files.checks import problem

#: Letters of a name, at most: the longest that disks take is 255 bytes.
LONGEST = 60


def clean_word(name: str, otherwise: str) -> str:
    """A name as one word of a text file and a part of a file's name, of letters, digits, - and _.

    A point stays within it; what would be empty is `otherwise`.
    """
    word = re.sub(r"[^\w.-]+", "_", name.strip()).strip("._-")[:LONGEST].rstrip("._-")
    return word.encode("utf-8", "replace").decode("utf-8") or otherwise


def stem_of(name: str) -> str:
    """The last part, short of its suffix, of a path as a file has it: slashes of either kind."""
    return PurePosixPath(name.replace("\\", "/")).stem


def distinct(word: str, taken: set[str]) -> str:
    """The word, with a number where it is taken, letter case aside; it is added to `taken`."""

    def numbered(number: int) -> str:
        return word if number == 1 else f"{word}_{number}"

    # By halves: a file may give thousands of things one name.
    last, free = 0, 1
    while numbered(free).casefold() in taken:
        last, free = free, 2 * free
    while free - last > 1:
        middle = (last + free) // 2
        if numbered(middle).casefold() in taken:
            last = middle
        else:
            free = middle
    taken.add(numbered(free).casefold())
    return numbered(free)


def free_beside(path: Path, data: bytes, kept: Collection[str] = ()) -> Path:
    """A file of this content beside others, under its name or one with some digits of the content.

    It is not there, or it is there and the same; names in `kept` are another file's in any case.
    Raises PosetxError where both names are another file's.
    """
    if path.name in kept or not is_free(path, data):
        digits = hashlib.sha256(data).hexdigest()[:8]
        path = path.with_name(f"{path.stem}-{digits}{path.suffix}")
    if not is_free(path, data):
        raise problem(path, "is there, and another file", "move it away")
    return path


def is_free(path: Path, data: bytes) -> bool:
    """Whether there is nothing, or a file of the same content."""
    if not os.path.lexists(path):
        return True
    same = stat.S_ISREG(os.lstat(path).st_mode) and path.stat().st_size == len(data)
    return same and path.read_bytes() == data
