"""Files that a mesh names (materials, textures): copied along when it is written elsewhere.

What may be read is settled by :mod:`posetx.files.beside`; what is written stays below the output's
folder, goes through no link and replaces nothing.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from posetx.errors import PosetxError, UsageError
from posetx.files.atomic import DiskTrouble, atomic_file, disk_trouble
from posetx.files.beside import (
    IMAGES,
    MATERIALS,
    NotBeside,
    find_beside,
    held,
    one_name,
    open_beside,
    read_beside,
    relative_name,
)
from posetx.files.codecs.mtl import textures_named
from posetx.files.unfinished import LOOK

#: Bytes of a material library, at most; those of games have some 100 kB.
LARGEST_MATERIAL = 1 << 24
#: Files that a mesh may name, at most, and as many notes about them as are shown.
MOST_NAMES, MOST_NOTES = 1000, 10


def copy_beside(
    source: Path, output: Path, names: Iterable[str], kinds: tuple[str, ...], made: list[Path]
) -> list[str]:
    """Copy files named by `source` to the same relative names beside `output`.

    Never replaces a file, never writes outside the output's folder or through a link.

    Parameters
    ----------
    source, output : Path
        the file that holds the names, and the file written
    names : str
        paths relative to the folder of `source`
    kinds : suffixes of files that `source` may name
    made : gets the files that were written

    Returns
    -------
    list of str
        a note for each file that could not be carried over

    Raises
    ------
    DiskTrouble
        the disk is full: the mesh would lack what it names
    """
    notes = []
    wanted = list(dict.fromkeys(names))
    for name in wanted[:MOST_NAMES]:
        try:
            with open_beside(source.parent, name, kinds) as here:
                there = output.parent / relative_name(name, kinds)
                note = _copy(here, output.parent, there, made)
        except NotBeside as error:
            note = f"{name}, which {source.name} names, {error}: not copied"
        except DiskTrouble:
            raise
        except PosetxError as error:
            note = f"{name} could not be copied ({error})"
        except OSError as error:
            note = f"{name} could not be copied ({error.strerror or error})"
        if note:
            notes.append("".join(c if c.isprintable() else " " for c in note))
    more = len(wanted[MOST_NAMES:]) + len(notes[MOST_NOTES:])
    return notes[:MOST_NOTES] + ([f"{more} more files likewise"] if more else [])


def places_of(names: Iterable[str], path: Path, kinds: tuple[str, ...]) -> list[Path]:
    """Where files that a file at `path` names are to be; those that lie elsewhere are left out."""
    found = []
    for name in list(dict.fromkeys(names))[:MOST_NAMES]:
        with suppress(NotBeside):
            found.append(path.parent / relative_name(name, kinds))
    return found


def check_others(beside: Iterable[Path], others: Mapping[str, Path | None]) -> None:
    """Refuse files of a command that are also those of its target, `beside` it or its output.

    Parameters
    ----------
    beside : see :meth:`Target.beside`; in none of its folders is anything of others, either
    others : files that will be written, by the names of the fields that say so

    Raises UsageError.
    """
    taken = {Path(os.path.normcase(os.path.realpath(path))) for path in beside}
    for name, path in others.items():
        if path is None:
            continue
        place = Path(os.path.normcase(os.path.realpath(path)))
        if taken & {place, *place.parents}:
            raise UsageError(f"{path}: is a file of the target's; choose another `{name}`")


def _copy(here: BinaryIO, folder: Path, there: Path, made: list[Path]) -> str:
    """Copy a file into a place below `folder` that is free; a note where it is not."""
    root, above = folder.resolve(), there.parent.resolve()
    if not above.is_relative_to(root):
        return f"{there} would lie outside of {folder}: not copied"
    with disk_trouble(there), held(root, above.relative_to(root).parts, make=True) as at:
        name = there.name if at is not None else str(there)
        if not _free(name, at):
            if _same(here, name, at):
                return ""
            return f"{there} exists and differs from the input's: kept as it is"
        with atomic_file(there, at) as stream:
            shutil.copyfileobj(here, stream)
    made.append(there)
    return ""


def _free(name: str, folder: int | None) -> bool:
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    return False


def _same(here: BinaryIO, name: str, folder: int | None) -> bool:
    """Whether there is a regular file of the same content."""
    try:
        there = os.fdopen(os.open(name, LOOK, dir_fd=folder), "rb")
    except OSError:  # a link
        return False
    with there:
        one, other = (os.fstat(stream.fileno()) for stream in (here, there))
        if not stat.S_ISREG(other.st_mode) or one.st_size != other.st_size:
            return False
        while part := here.read(1 << 20):
            if part != there.read(len(part)):
                return False
    return True


def material_files(folder: Path, libraries: list[str]) -> tuple[list[str], list[str]]:
    """The MTL files and the textures an OBJ uses, as names relative to its `folder`.

    Parameters
    ----------
    folder : Path
        where the OBJ lies
    libraries : list of str
        what stands after each `mtllib`: one name with spaces, or several names
    """
    textures: dict[str, None] = {}
    seen: set[Path] = set()
    found = library_names(folder, libraries)
    for name in found:
        try:
            library = find_beside(folder, name, MATERIALS)
        except NotBeside:  # which is told when it is to be copied
            continue
        if library in seen:  # under another name
            continue
        seen.add(library)
        above = relative_name(name, MATERIALS).parent
        for texture in _textures(folder, name):
            try:
                textures[str(above / relative_name(texture, IMAGES))] = None
            except NotBeside:
                textures[texture] = None
    return found, list(textures)


def library_names(folder: Path, libraries: Iterable[str]) -> list[str]:
    """The names after `mtllib`, each file's once, MOST_NAMES at most: see :func:`material_files`.

    A line is one name with spaces in it, or several names.
    """
    found: dict[str, None] = {}
    for line in list(dict.fromkeys(one_name(line, MATERIALS) for line in libraries))[:MOST_NAMES]:
        names = line.split()
        if len(names) < 2 or not all(name.lower().endswith(".mtl") for name in names):
            names = [line]
        else:
            with suppress(NotBeside):
                find_beside(folder, line, MATERIALS)
                names = [line]
        found.update(dict.fromkeys(one_name(name, MATERIALS) for name in names))
    return list(found)[:MOST_NAMES]


def _textures(folder: Path, library: str) -> list[str]:
    """The image names in an MTL file; none when it cannot be read."""
    try:
        data = read_beside(folder, library, MATERIALS, most=LARGEST_MATERIAL)
    except NotBeside:
        return []
    return textures_named(data.decode("utf-8", "replace"))
