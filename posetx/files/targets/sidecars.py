"""Files that a mesh names (materials, textures): copied along when it is written elsewhere."""

from __future__ import annotations

import filecmp
import re
import shutil
from pathlib import Path, PurePosixPath

from posetx.errors import PosetxError
from posetx.files.atomic import atomic_path
from posetx.files.codecs.tokens import is_number

# Texture options of MTL that take one value; -o, -s and -t take up to three numbers.
_ONE_VALUE = {
    "-blendu", "-blendv", "-boost", "-texres", "-clamp", "-bm", "-imfchan", "-type", "-cc",
}  # fmt: skip
_NUMBERS = {"-mm": 2, "-o": 3, "-s": 3, "-t": 3}
_TEXTURE_WORDS = re.compile(r"^(map_\w+|bump|disp|decal|refl|norm)$", re.IGNORECASE)


def relative_name(name: str) -> PurePosixPath | None:
    """The name as a path below a folder; None when it is empty, absolute or leads out of it."""
    pure = PurePosixPath(name.strip().strip('"').replace("\\", "/"))
    unsafe = not pure.parts or pure.is_absolute() or ".." in pure.parts
    if unsafe or ":" in pure.parts[0] or "\0" in name:
        return None
    return pure


def copy_beside(source: Path, output: Path, names: list[str]) -> list[str]:
    """Copy files named by `source` to the same relative names beside `output`.

    Never replaces a file that differs, never writes outside the output's folder.

    Parameters
    ----------
    source, output : Path
        the file that holds the names, and the file written
    names : list of str
        paths relative to the folder of `source`

    Returns
    -------
    list of str
        a note for each file that could not be carried over
    """
    notes = []
    for name in dict.fromkeys(names):
        relative = relative_name(name)
        if relative is None:
            notes.append(f"{name} lies outside the folder of {source.name}: not copied")
            continue
        here, there = source.parent / relative, output.parent / relative
        try:
            if not here.is_file():
                notes.append(f"{name}, which {source.name} names, is missing")
            elif there.exists():
                if not here.samefile(there) and not filecmp.cmp(here, there, shallow=False):
                    notes.append(f"{there} exists and differs from the input's: kept as it is")
            else:
                there.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(there) as temporary:
                    shutil.copyfile(here, temporary)
        except PosetxError as error:  # the disk is full: the mesh itself is whole already
            notes.append(f"{name} could not be copied ({error})")
        except OSError as error:
            notes.append(f"{name} could not be copied ({error.strerror or error})")
    return notes


def material_files(folder: Path, libraries: list[str]) -> tuple[list[str], list[str]]:
    """The MTL files and the textures an OBJ uses, as names relative to its `folder`.

    Parameters
    ----------
    folder : Path
        where the OBJ lies
    libraries : list of str
        what stands after each `mtllib`: one name with spaces, or several names
    """
    found: list[str] = []
    textures: list[str] = []
    for line in libraries:
        for name in _library_names(folder, line):
            found.append(name)
            relative = relative_name(name)
            if relative is not None:
                beside = folder / relative
                textures += [
                    str(relative.parent / texture) if relative_name(texture) else texture
                    for texture in _textures(beside)
                ]
    return found, textures


def _library_names(folder: Path, line: str) -> list[str]:
    whole = relative_name(line)
    if whole is not None and (folder / whole).is_file():
        return [line]
    names = line.split()
    return names if all(n.lower().endswith(".mtl") for n in names) else [line]


def _textures(material: Path) -> list[str]:
    """The image names in an MTL file; none when it cannot be read."""
    try:
        text = material.read_bytes().decode("utf-8", "replace")
    except (OSError, ValueError):
        return []
    names = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or not _TEXTURE_WORDS.match(words[0]):
            continue
        rest = words[1:]
        while rest and (rest[0] in _ONE_VALUE or rest[0] in _NUMBERS):
            option, rest = rest[0], rest[1:]
            if option in _ONE_VALUE:
                rest = rest[1:]
                continue
            for _ in range(_NUMBERS[option]):
                if len(rest) > 1 and is_number(rest[0]):
                    rest = rest[1:]
        if rest:
            # Spaces inside the name stay as they stand in the line.
            names.append(line[line.index(rest[0], len(words[0])) :].strip())
    return names
