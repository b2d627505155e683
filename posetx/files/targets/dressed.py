"""Writing a target, with all that it wears, in a format that is not its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetx.files.atomic import write_bytes_atomic, written
from posetx.files.dress import Dress
from posetx.files.targets.dressed_glb import glb_of
from posetx.files.targets.dressed_obj import obj_of
from posetx.files.targets.sidecars import MOST_NOTES

#: Formats that hold more than positions and triangles.
SUFFIXES = (".obj", ".glb")


def write_dressed(
    path: Path, places: np.ndarray, vertices: np.ndarray, faces: np.ndarray, dress: Dress
) -> list[str]:
    """Write a GLB, or an OBJ and what it names beside it: all of it, or nothing.

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
    if path.suffix.lower() == ".glb":
        data, notes = glb_of(vertices, faces, dress)
        write_bytes_atomic(path, data)
    else:
        made = obj_of(path, places, vertices, faces, dress)
        notes = made.notes
        # The mesh comes last: whoever finds it finds what it names.
        with written(made.files):
            pass
    told = list(dict.fromkeys([*dress.notes, *notes]))
    more = len(told[MOST_NOTES:])
    told = ["".join(c if c.isprintable() else " " for c in note) for note in told[:MOST_NOTES]]
    return told + ([f"{more} more files likewise"] if more else [])
