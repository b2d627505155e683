"""Writing a target, with all that it wears, in a format that is not its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetx.files.atomic import write_bytes_atomic, written
from posetx.files.dress import Dress
from posetx.files.targets.dressed_glb import glb_of
from posetx.files.targets.dressed_obj import files_beside_obj, obj_of
from posetx.files.targets.dressed_ply import files_beside_ply, lost_in_ply, ply_of, worth_it
from posetx.files.targets.sidecars import MOST_NOTES

#: Formats that hold more than positions and triangles.
GLB, OBJ, PLY = SUFFIXES = (".glb", ".obj", ".ply")


def holds(path: Path, dress: Dress) -> bool:
    """Whether a file of this name has a place for something of this."""
    suffix = path.suffix.lower()
    return suffix in SUFFIXES and (suffix != PLY or worth_it(dress))


def lost_in(path: Path, dress: Dress, extras: list[str]) -> list[str]:
    """What a file of this name does not hold: of a target's `extras`, and of what it wears."""
    lost = [what for what in extras if what not in dress.carried] + dress.lost
    return lost_in_ply(dress, lost) if path.suffix.lower() == PLY else lost


def files_beside(path: Path, dress: Dress) -> set[Path]:
    """What :func:`write_dressed` writes beside a file of this name."""
    suffix = path.suffix.lower()
    if suffix == OBJ:
        return files_beside_obj(path, dress)
    return files_beside_ply(path, dress) if suffix == PLY else set()


def write_dressed(
    path: Path, places: np.ndarray, vertices: np.ndarray, faces: np.ndarray, dress: Dress
) -> list[str]:
    """Write a GLB, or an OBJ or PLY and what it names beside it: all of it, or nothing.

    Parameters
    ----------
    path : Path
        of one of `SUFFIXES`; replaced where it is there, which no other file is
    places : (n,) int64
        vertices of one number were at one place, see :meth:`Target.welds`
    vertices : (n, 3) float64
    faces : (m, 3) int64
    dress : of these vertices and triangles

    Returns
    -------
    list of str
        what a user should know of images that could not be had
    """
    if path.suffix.lower() == GLB:
        data, notes = glb_of(vertices, faces, dress)
        write_bytes_atomic(path, data)
    else:
        write = ply_of if path.suffix.lower() == PLY else obj_of
        made = write(path, places, vertices, faces, dress)
        notes = made.notes
        # The mesh comes last: whoever finds it finds what it names.
        with written(made.files):
            pass
    told = list(dict.fromkeys([*dress.notes, *notes]))
    more = len(told[MOST_NOTES:])
    told = ["".join(c if c.isprintable() else " " for c in note) for note in told[:MOST_NOTES]]
    return told + ([f"{more} more files likewise"] if more else [])
