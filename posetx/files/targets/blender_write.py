"""Writing through Blender: into a private folder first, and from there whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from posetx.files.atomic import written
from posetx.files.beside import IMAGES
from posetx.files.checks import only_posetx_errors, problem, read_bytes
from posetx.files.codecs.blender import ask, found_blender
from posetx.files.codecs.glb import encode_glb
from posetx.files.codecs.gltf import Gltf
from posetx.files.targets.sidecars import copy_beside

#: What Blender writes beside a GLB with clips: the same without them, in its pose.
STILL = "still.glb"
_PLACES = ("matrix", "translation", "rotation", "scale")


@contextmanager
def made_by_blender(
    source: Path, path: Path, told: dict[str, Any], arrays: dict[str, np.ndarray], size: int
) -> Iterator[tuple[Path, list[str]]]:
    """A private file of the format of `path`, as long as it holds; and notes.

    Parameters
    ----------
    source : Path
        what Blender opens
    path : Path
        the output, of which nothing is written yet
    told, arrays : what :mod:`posetx.files.blender.giving` takes; no arrays for no change
    size : int
        bytes of the source

    Raises
    ------
    MissingError
        there is no Blender
    PosetxError
        Blender failed
    """
    found_blender(path)  # without one the output's format is to blame, not the source's
    with tempfile.TemporaryDirectory(prefix="posetx-") as private:
        made = Path(private) / f"{path.stem}{path.suffix.lower()}"
        task = {
            "do": "save",
            "path": str(source.resolve()),
            "output": str(made),
            "final": str(path.resolve().parent),
        }
        answer, _ = ask(source, told | task, arrays, size)
        with only_posetx_errors(path, "what Blender answers"):
            notes = [str(note) for note in answer["notes"]]
        if not made.is_file() or not made.stat().st_size:
            raise problem(path, "Blender wrote nothing", "see docs/blender.md")
        yield made, notes


def place(made: Path, path: Path) -> list[str]:
    """Write what Blender made as `path`, its images beside it, all of it or nothing; notes."""
    data = read_bytes(made)
    still = made.with_name(STILL)
    if made.suffix == ".glb" and still.exists():
        with only_posetx_errors(path, "GLB"):
            data = _in_pose(Gltf(data, made), Gltf(read_bytes(still), still))
    beside = [str(p.relative_to(made.parent)) for p in sorted(made.parent.rglob("*"))]
    names = [name for name in beside if name.lower().endswith(IMAGES)]
    with written({path: data}) as others:
        return copy_beside(made, path, names, IMAGES, others)


def by_blender(path: Path, write: Callable[[Path], list[str]], kind: str) -> list[str]:
    """Write in a format that Blender alone writes, from a private file of another `kind`.

    `write` is given its place. Returns notes, raises as :func:`made_by_blender`.
    """
    with tempfile.TemporaryDirectory(prefix="posetx-") as private:
        source = Path(private) / f"{path.stem}{kind}"
        notes = write(source)
        with made_by_blender(source, path, {}, {}, source.stat().st_size) as (made, more):
            return [*notes, *more, *place(made, path)]


def _in_pose(moving: Gltf, still: Gltf) -> bytes:
    """A GLB with clips, its nodes where those of the one without are."""
    nodes, others = moving.entries("nodes"), still.entries("nodes")
    if [node.get("name") for node in nodes] != [node.get("name") for node in others]:
        raise ValueError("Blender wrote other nodes with clips than without")
    for node, other in zip(nodes, others, strict=True):
        for key in _PLACES:
            node.pop(key, None)
            if key in other:
                node[key] = other[key]
    return encode_glb(moving.document, bytearray(moving.buffers[0]), [])
