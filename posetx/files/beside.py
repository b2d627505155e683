"""Files that another file names: buffers, materials, textures. The one gate they go through.

A mesh from somewhere must not make posetx read or copy what is no part of it. Only regular files
at or below the folder of the file that names them will do, of the kinds that it may name, and not
hidden; links count as what they lead to. Names are checked as they are meant, not as they are
spelt: whoever decodes percent signs does it before.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from posetx.errors import PosetxError
from posetx.files.unfinished import FOLDER, HELD, LOOK

BUFFERS = (".bin", ".glbin")
MATERIALS = (".mtl",)
IMAGES = (
    ".png", ".jpg", ".jpeg", ".webp", ".ktx", ".ktx2", ".basis", ".dds", ".gif", ".bmp", ".tga",
    ".tif", ".tiff", ".hdr", ".exr", ".psd",
)  # fmt: skip


class NotBeside(PosetxError):
    """A name that is not followed; the message is why, as the end of a sentence."""


def relative_name(name: str, kinds: tuple[str, ...]) -> PurePosixPath:
    """The name as a path below a folder. Raises NotBeside for one that leads elsewhere."""
    pure = PurePosixPath(name.strip().strip('"').replace("\\", "/"))
    if not pure.parts or "\0" in name:
        raise NotBeside("is no file name")
    if pure.is_absolute() or ".." in pure.parts or ":" in pure.parts[0]:
        raise NotBeside("lies outside the folder")
    _check_kind(pure, kinds)
    return pure


def one_name(name: str, kinds: tuple[str, ...]) -> str:
    """The one way to spell a name, `a.png` of `./a.png`; one that leads elsewhere as it is."""
    try:
        return str(relative_name(name, kinds))
    except NotBeside:
        return name


def find_beside(folder: Path, name: str, kinds: tuple[str, ...]) -> Path:
    """The regular file, without links, that `name` means in a file that lies in `folder`.

    Raises NotBeside for whatever is none.
    """
    relative = relative_name(name, kinds)
    try:
        root = folder.resolve()
        found = (root / relative).resolve()
        mode = found.stat().st_mode
    except FileNotFoundError:
        raise NotBeside("is missing") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise NotBeside(f"cannot be looked at ({error})") from None
    if not found.is_relative_to(root):
        raise NotBeside("is a link that leads out of the folder")
    _check_kind(PurePosixPath(*found.relative_to(root).parts), kinds)
    if not stat.S_ISREG(mode):
        raise NotBeside("is not an ordinary file")
    return found


@contextmanager
def open_beside(folder: Path, name: str, kinds: tuple[str, ...]) -> Iterator[BinaryIO]:
    """As :func:`find_beside`, opened: no link that is put there meanwhile is followed."""
    root, found = folder.resolve(), find_beside(folder, name, kinds)
    try:
        with held(root, found.relative_to(root).parent.parts) as at:
            stream = os.fdopen(os.open(found.name if HELD else found, LOOK, dir_fd=at), "rb")
    except OSError as error:
        raise NotBeside(f"cannot be read ({error.strerror or error})") from None
    with stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise NotBeside("is not an ordinary file")
        yield stream


def read_beside(folder: Path, name: str, kinds: tuple[str, ...], most: int | None = None) -> bytes:
    """The content of what :func:`open_beside` opens, refused beyond `most` bytes."""
    with open_beside(folder, name, kinds) as stream:
        size = os.fstat(stream.fileno()).st_size
        if most is not None and size > most:
            raise NotBeside(f"has {size:,} bytes, where {most:,} are the most")
        return stream.read()


@contextmanager
def held(root: Path, parts: Sequence[str], make: bool = False) -> Iterator[int | None]:
    """A descriptor of the folder at `parts` below `root`, come to by no link; or None on Windows.

    With `make` folders that are not there are made. Raises OSError.
    """
    if not HELD:
        if make:
            root.joinpath(*parts).mkdir(parents=True, exist_ok=True)
        yield None
        return
    at = os.open(root, FOLDER)
    try:
        for part in parts:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=at)
            below = os.open(part, FOLDER | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)


def _check_kind(path: PurePosixPath, kinds: tuple[str, ...]) -> None:
    if any(part.startswith(".") for part in path.parts):
        raise NotBeside("is a hidden file")
    if path.suffix.lower() not in kinds:
        raise NotBeside(f"is none of {' '.join(kinds)}")
