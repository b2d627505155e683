"""Outputs that appear whole or not at all, and the check before any work that they can be."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from posetx.errors import PosetxError, UsageError
from posetx.files.unfinished import Unfinished, sweep

#: What a disk does, by the numbers of errors.
_DISK_TROUBLE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than the disk allows",
    errno.EROFS: "the disk is read-only",
    errno.EIO: "the disk reports an input/output error",
}


class DiskTrouble(PosetxError):
    """The disk is full, read-only or broken."""


def _check_folder(path: Path) -> None:
    folder = path.parent
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise PosetxError(f"{path}: the folder {folder} {what}; create it or choose another output")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _write_problem(path, OSError(_why_closed(folder), ""))


def _why_closed(folder: Path) -> int:
    """The error's number, of a folder that may not be written to."""
    if hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY:
        return errno.EROFS
    return errno.EACCES


def _followed(path: Path) -> Path:
    """What is written: where a link leads."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


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
    told = "{}: cannot be written: {}; free or choose another place"
    if error.errno in (errno.EACCES, errno.EPERM):
        return PosetxError(told.format(path, f"no permission to write in {path.parent}"))
    if error.errno in _DISK_TROUBLE:
        return DiskTrouble(told.format(path, _DISK_TROUBLE[error.errno]))
    return PosetxError(told.format(path, error.strerror or error))


@contextmanager
def atomic_file(path: Path, folder: int | None = None) -> Iterator[BinaryIO]:
    """A stream to write to; what was written becomes `path` when the block ends well.

    Parameters
    ----------
    path : Path
        the final name; an existing file is replaced, with its permissions kept. A symbolic link is
        followed.
    folder : int, optional
        a descriptor of the folder of `path`, in which no link is followed

    Yields
    ------
    BinaryIO
        After any exception, Ctrl-C included, nothing is left of it and `path` is as it was.
    """
    with _unfinished(Path(path), folder) as file, disk_trouble(path):
        yield file.stream
        _place(file, path)


def write_bytes_atomic(path: Path, data: bytes | bytearray | memoryview) -> None:
    """Write `data` to `path`, whole or not at all."""
    with written({path: data}):
        pass


@contextmanager
def written(files: Mapping[Path, bytes | bytearray | memoryview]) -> Iterator[list[Path]]:
    """Write files that are of no use without each other: all of them, or none.

    Within the block they are on the disk and not in their folders. It is given a list for whatever
    else it makes: these files go, too, where it fails.
    """
    with ExitStack() as stack:
        begun = {Path(path): stack.enter_context(_unfinished(Path(path))) for path in files}
        for file, (path, data) in zip(begun.values(), files.items(), strict=True):
            with disk_trouble(path):
                file.write(data)
        made: list[Path] = []
        placed: list[Unfinished] = []
        try:
            yield made
            for path, file in begun.items():
                placed.append(file)
                _place(file, path)
        except BaseException:
            for file in placed:
                file.take_back()
            for path in made:
                with suppress(OSError):
                    path.unlink()
            raise


@contextmanager
def _unfinished(path: Path, folder: int | None = None) -> Iterator[Unfinished]:
    """The file that will be `path`, in which a link is followed. Raises PosetxError."""
    final = _followed(path) if folder is None else path
    if folder is None:
        _check_folder(final)
        _check_replaceable(final, PosetxError)
    file = Unfinished(final, folder)
    try:
        try:  # in here, or Ctrl-C just after it would leave the file behind
            file.begin()
        except OSError as error:
            raise _write_problem(path, error) from error
        yield file
    finally:
        file.close()


def _place(file: Unfinished, path: Path) -> None:
    try:
        file.place()
    except OSError as error:
        raise _write_problem(path, error) from error


@contextmanager
def disk_trouble(path: Path) -> Iterator[None]:
    """Explain what a disk does, and no more: other errors may be about other files."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_TROUBLE:
            raise _write_problem(path, error) from error
        raise


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
    _check_folder(_followed(Path(path)))


def check_outputs(
    outputs: Mapping[str, Path | None], inputs: Iterable[Path], overwrite: bool
) -> None:
    """Refuse outputs that cannot or may not be written; call before the work starts.

    What killed writers have left in their folders goes.

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
    paths = [Path(path) for path in outputs.values() if path is not None]
    for path in paths:
        check_output(path, overwrite)
    for folder in {path.parent for path in paths}:
        sweep(folder)


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
        read_only = _why_closed(above) == errno.EROFS
        why = "the disk is read-only" if read_only else f"no permission to write in {above}"
        raise PosetxError(f"{folder}: {why}; name another one")


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
