"""A file on its way: on the disk, but in its folder only when it is whole.

Until then it has no name where the system can do that (Linux, on most of its file systems), so that
it goes with its process, however that ends. Elsewhere it has a hidden name, and a lock while its
writer lives: by that the next command in the folder knows what a kill has left, and removes it.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_HIDDEN = re.compile(r"\.posetx-[0-9a-f]{12}(\.\w+)?")
#: Where files have numbers and no names, on Linux; a file without a name is linked from here.
_DESCRIPTORS = "/proc/self/fd"
_NAMELESS = getattr(os, "O_TMPFILE", 0)
#: What systems say that have no files without names.
_NO_NAMELESS = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.ENOSYS)
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", os.O_RDONLY)
LOOK = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
LOOK |= getattr(os, "O_BINARY", 0)
#: Whether names can be looked up in a folder that is held open.
HELD = os.open in os.supports_dir_fd


class Unfinished:
    """A file that will be `path`. Whoever calls :meth:`begin` has to call :meth:`close`.

    Parameters
    ----------
    path : Path
        its folder has to be there; an existing file is replaced, with its permissions kept
    folder : int, optional
        a descriptor of that folder, for whom its name may lead elsewhere by now

    All that the disk does is an OSError.
    """

    def __init__(self, path: Path, folder: int | None = None) -> None:
        self.path, self._given = path, folder
        self._folder: int | None = None
        self._stream: BinaryIO | None = None
        self._hidden = ""  # its name, as long as it has a hidden one
        self._new = False

    @property
    def stream(self) -> BinaryIO:
        """To write to, once it has begun."""
        assert self._stream is not None
        return self._stream

    def begin(self) -> None:
        """Have an empty file."""
        if self._given is not None:
            self._folder = os.dup(self._given)
        elif HELD:
            self._folder = os.open(self.path.parent, FOLDER)
        self._stream = os.fdopen(self._create(), "wb")

    def close(self) -> None:
        """Let go of it; what was not placed is gone."""
        if self._stream is not None:
            with suppress(OSError):  # a full disk, which was told by now
                self._stream.close()
        if self._hidden:
            with suppress(OSError):
                os.unlink(self._hidden, dir_fd=self._folder)
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Have all of it on the disk: after a power cut the name might be of an empty file."""
        self.stream.write(data)
        self.stream.flush()
        os.fsync(self.stream.fileno())

    def place(self) -> None:
        """Give it its name."""
        self.write(b"")
        name = self._beside(self.path.name)
        new = True
        with suppress(OSError, AttributeError):  # nothing is there; no such thing on Windows
            mode = os.stat(name, dir_fd=self._folder).st_mode & 0o7777
            new = False
            os.fchmod(self.stream.fileno(), mode)
        if not self._hidden:
            try:
                self._link(name)
                self._new = True
                return
            except FileExistsError:  # what replaces another file has to have a name
                self._hidden = self._fresh()
                self._link(self._hidden)
        if not HELD:
            self.stream.close()  # Windows moves no open files
        os.replace(self._hidden, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._hidden, self._new = "", new

    def take_back(self) -> None:
        """Remove what was placed, if nothing was there before."""
        if self._new:
            with suppress(OSError):
                os.unlink(self._beside(self.path.name), dir_fd=self._folder)

    def _link(self, name: str) -> None:
        # A source folder, which an absolute path has no use for, makes Python follow the link.
        descriptor = self.stream.fileno()
        source = f"{_DESCRIPTORS}/{descriptor}"
        os.link(source, name, src_dir_fd=descriptor, dst_dir_fd=self._folder)

    def _create(self) -> int:
        """A descriptor of the file, which is locked."""
        # Not tempfile: it makes files that only the owner may read, the user's umask decides here.
        if _NAMELESS and os.path.isdir(_DESCRIPTORS):
            try:
                found = os.open(".", _NAMELESS | os.O_WRONLY, 0o666, dir_fd=self._folder)
                _lock(found)
                return found
            except OSError as error:
                if error.errno not in _NO_NAMELESS:
                    raise
        while True:
            self._hidden = self._fresh()
            found = os.open(self._hidden, _NEW, 0o666, dir_fd=self._folder)
            _lock(found)
            try:
                os.stat(self._hidden, dir_fd=self._folder)
                return found
            except FileNotFoundError:  # somebody swept before it was locked
                os.close(found)

    def _fresh(self) -> str:
        return self._beside(f".posetx-{secrets.token_hex(6)}")

    def _beside(self, name: str) -> str:
        return name if self._folder is not None else str(self.path.parent / name)


def sweep(folder: Path) -> None:
    """Remove from a folder what killed writers have left; what is locked belongs to living ones."""
    if fcntl is None:
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _HIDDEN.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove_unlocked(entry.path)


def _remove_unlocked(path: str) -> None:
    found = os.open(path, LOOK)
    try:
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    finally:
        os.close(found)


def _lock(descriptor: int) -> None:
    """Say that the writer lives, until it closes the file or ends."""
    if fcntl is not None:
        with suppress(OSError):  # some network disks have none; then nobody can sweep there
            fcntl.flock(descriptor, fcntl.LOCK_EX)
