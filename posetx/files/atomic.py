"""Outputs that appear whole or not at all: written beside the final name, then renamed."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from posetx.errors import PosetxError, UsageError

_DISK_TROUBLE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than the disk allows",
    errno.EROFS: "the disk is read-only",
    errno.EIO: "the disk reports an input/output error",
}


def _name_beside(path: Path) -> Path:
    """A name of its own in the folder of `path`, same suffix."""
    _check_folder(path)
    _check_replaceable(path, PosetxError)
    return path.parent / f".posetx-{secrets.token_hex(6)}{path.suffix}"


def _create(temporary: Path, path: Path) -> None:
    """An empty file, to become `path`, which an error names."""
    try:
        # Not tempfile: it makes files that only the owner may read, the user's umask decides here.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise _write_problem(path, error) from error


def _check_folder(path: Path) -> None:
    folder = path.parent
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise PosetxError(f"{path}: the folder {folder} {what}; create it or choose another output")
    if not os.access(folder, os.W_OK | os.X_OK):
        read_only = OSError(errno.EACCES, "")
        raise _write_problem(path, read_only)


def _check_replaceable(path: Path, kind: type[PosetxError]) -> None:
    """Refuse what a file must not take the place of: a folder, a pipe, a device."""
    try:
        mode = path.stat().st_mode
    except OSError:  # nothing is there, or a link to nothing
        return
    if stat.S_ISDIR(mode):
        raise kind(f"{path}: is a folder; name a file in it")
    if not stat.S_ISREG(mode):
        raise kind(f"{path}: is a device or a pipe, not a file; choose another name")


def _write_problem(path: Path, error: OSError) -> PosetxError:
    if error.errno in (errno.EACCES, errno.EPERM):
        what = f"no permission to write in {path.parent}"
    else:
        what = _DISK_TROUBLE.get(error.errno or 0, error.strerror or str(error))
    return PosetxError(f"{path}: cannot be written: {what}; free or choose another place")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it becomes `path` when the block ends without an exception.

    Parameters
    ----------
    path : Path
        the final name; an existing file is replaced, with its permissions kept. A symbolic link is
        followed.

    Yields
    ------
    Path
        an empty file in the same folder with the same suffix. After any exception, Ctrl-C
        included, it is removed and `path` is as it was.
    """
    path = Path(path)
    final = Path(os.path.realpath(path)) if path.is_symlink() else path
    temporary = _name_beside(final)
    try:
        _create(temporary, final)  # in here, or Ctrl-C just after it would leave the file behind
        yield temporary
        if final.exists():
            with suppress(OSError):
                os.chmod(temporary, final.stat().st_mode & 0o7777)
        try:
            os.replace(temporary, final)
        except OSError as error:
            raise _write_problem(path, error) from error
    except OSError as error:
        # Only what a disk does is explained here; other errors may be about other files.
        if error.errno in _DISK_TROUBLE:
            raise _write_problem(path, error) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes_atomic(path: Path, data: bytes | bytearray | memoryview) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())  # or, after a power cut, the new name may be of an empty file


def write_text_atomic(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8 with the line endings it has, whole or not at all."""
    write_bytes_atomic(path, text.encode("utf-8"))


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse an output that cannot be or may not be written; call before the work starts.

    Raises
    ------
    UsageError
        when `path` exists and may not be replaced.
    PosetxError
        when its folder does not exist.
    """
    check_free(path, overwrite)
    _check_folder(Path(path))


def check_outputs(
    outputs: Mapping[str, Path | None], inputs: Iterable[Path], overwrite: bool
) -> None:
    """Refuse outputs that cannot or may not be written; call before the work starts.

    Parameters
    ----------
    outputs : the files that will be written, by the names of the fields that say so
    inputs : the files that are read, which none of them may replace
    overwrite : whether files that are there may be replaced

    Raises
    ------
    UsageError
        two outputs are one file, one of them is an input, or is there and may not be replaced
    PosetxError
        a folder is missing, or may not be written to
    """
    check_distinct(outputs, inputs)
    for path in outputs.values():
        if path is not None:
            check_output(path, overwrite)


def check_distinct(outputs: Mapping[str, Path | None], inputs: Iterable[Path]) -> None:
    """The part of :func:`check_outputs` that looks at names alone. Raises UsageError."""
    seen: dict[str, str] = {}
    read = {_identity(Path(path)) for path in inputs}
    for name, path in outputs.items():
        if path is None:
            continue
        who = _identity(path)
        if who in read:
            raise UsageError(f"{path}: is read by this command; choose another `{name}`")
        if who in seen:
            raise UsageError(f"{path}: is both `{seen[who]}` and `{name}`; name two files")
        seen[who] = name


def _identity(path: Path) -> str:
    """What two names of one file have in common."""
    try:
        found = path.stat()
    except OSError:
        return os.path.normcase(os.path.realpath(path))
    return f"{found.st_dev}:{found.st_ino}"


def check_can_be_folder(folder: Path) -> None:
    """Refuse a folder for results that cannot be made, or written in; it is not made yet.

    Raises
    ------
    PosetxError
    """
    above = Path(os.path.abspath(folder))
    while not os.path.lexists(above):
        above = above.parent
    if not above.is_dir():
        raise PosetxError(f"{folder}: {above} is not a folder; name another one")
    if not os.access(above, os.W_OK | os.X_OK):
        raise PosetxError(f"{folder}: no permission to write in {above}; name another one")


def check_free(path: Path, overwrite: bool) -> None:
    """Refuse an output that is there already, unless `overwrite`; its folder may be missing.

    Raises
    ------
    UsageError
        when `path` exists and may not be replaced.
    """
    path = Path(path)
    _check_replaceable(path, UsageError)
    if os.path.lexists(path) and not overwrite:
        raise UsageError(f"{path}: exists already; choose another name or pass `overwrite`")
