"""What only Blender reads: FBX, BLEND and USD, in a child process; see :mod:`posetx.files.blender`.

The child answers with arrays, which are checked here: what it read may be damaged, and it may be
another program altogether.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from posetx.errors import MissingError
from posetx.files.blender.protocol import ANSWER, REFUSED, STARTED, Arrays, packed, unpacked
from posetx.files.checks import only_posetx_errors, problem
from posetx.files.raw import Raw
from posetx.system.blender import INSTALL, Blender, find_blender
from posetx.system.child import Ended, ending

SUFFIXES = (".fbx", ".blend", ".usd", ".usda", ".usdc", ".usdz")
"""Formats that are read and written by it."""

WITH_TEXTURES, TEXTURES = (".usd", ".usda", ".usdc"), "textures"
"""Formats beside which it writes images, under names of its own, and the folder where they go."""

SECONDS, SECONDS_PER_MEGABYTE = 180.0, 4.0
"""When a child is ended: a cold start from a slow disk takes a minute, and a megabyte of FBX with a
clip, read and written, up to half a second."""

BINARY_FBX = b"Kaydara FBX Binary"


@dataclass
class Look:
    """A scene as Blender shows it, at rest, in its world: metres, z up.

    Attributes
    ----------
    points : (n, 3) float64
    faces : (m, 3) int64
        triangles
    face_part : (m,) int64
        which of the parts each is of
    parts : list of (str, int)
        objects, in the order of their vertices: names, and how many they have
    skeletons : list of int
        of each part the armature that moves it; -1 none
    bones : list of (str, str)
        armature and name of each bone, parents first
    bone_frames, armature_frames : (b, 4, 4), (a, 4, 4) float64
        in the world
    bone_parent, bone_armature : (b,) int64
        rows; -1 of a bone without a parent
    vertex, bone : (e,) int64
        which vertex follows which bone
    weight : (e,) float64
        more than 0; they need not add up to anything
    clips : list of str
        names of animations
    files : list of Path
        others that the scene is made of: images, linked scenes, layers
    packed : list of str
        what the images inside the file are called where they are written beside one
    notes : list of str
    """

    points: np.ndarray
    faces: np.ndarray
    face_part: np.ndarray
    parts: list[tuple[str, int]]
    skeletons: list[int]
    bones: list[tuple[str, str]]
    bone_frames: np.ndarray
    armature_frames: np.ndarray
    bone_parent: np.ndarray
    bone_armature: np.ndarray
    vertex: np.ndarray
    bone: np.ndarray
    weight: np.ndarray
    clips: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    packed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def scan(data: bytes, path: Path) -> Raw:
    """What Blender reads, as a scan."""
    found = look(data, path, posed=True)
    return Raw(found.points, faces=found.faces, notes=found.notes)


def look(data: bytes, path: Path, posed: bool = False) -> Look:
    """A file as Blender shows it.

    Parameters
    ----------
    data : bytes
        the file's content; Blender opens files by name
    path : Path
        with one of `SUFFIXES`
    posed : bool
        whether skeletons are in the pose of the file, not at rest

    Raises
    ------
    MissingError
        there is no Blender, or it does not work on this machine
    PosetxError
        the file cannot be read, or Blender crashed or hung on it
    """
    check_content(data, path)
    task = {"do": "look", "path": str(path.resolve()), "posed": posed}
    told, arrays = ask(path, task, {}, len(data))
    with only_posetx_errors(path, path.suffix[1:].upper()):
        return _checked(told, arrays, path)


def check_content(data: bytes, path: Path) -> None:
    """Refuse what Blender does not read whatever happens. Raises PosetxError."""
    if path.suffix.lower() == ".fbx" and not data.startswith(BINARY_FBX):
        text = b"FBXHeaderExtension" in data[:4096] or data.lstrip()[:5] == b"; FBX"
        raise problem(
            path,
            "is an FBX written as text, which Blender does not read"
            if text
            else "does not begin as a binary FBX does",
            "export it as a binary FBX" if text else "check that it is whole, or export it again",
        )


def ask(
    path: Path, told: dict[str, Any], arrays: Arrays, size: int
) -> tuple[dict[str, Any], Arrays]:
    """Have Blender do a task about a file of so many bytes; returns its answer.

    Raises as :func:`look`; `path` is for messages.
    """
    blender = found_blender(path)
    seconds = SECONDS + SECONDS_PER_MEGABYTE * size / 1e6
    try:
        child = blender.run(packed({**told, "size": size}, arrays), seconds)
    except subprocess.TimeoutExpired:
        raise problem(
            path,
            f"Blender did not end within {seconds:.0f} s",
            "the file may be damaged; export it as GLB",
        ) from None
    except OSError as error:
        raise MissingError(
            f"{path}: {blender.path} does not start ({error.strerror or error}); {INSTALL}"
        ) from None
    if child.code != 0 or ANSWER not in child.answer:
        raise _failure(path, blender, child)
    with only_posetx_errors(path, "what Blender answers"):
        return unpacked(child.answer.partition(ANSWER)[2])


def found_blender(path: Path) -> Blender:
    """The Blender that reads or writes a file; the MissingError names the file."""
    try:
        return find_blender()
    except MissingError as error:
        kind = path.suffix[1:].upper()
        raise MissingError(f"{path}: {kind} files need Blender, and {error}") from None


def _failure(path: Path, blender: Blender, child: Ended) -> Exception:
    lines = child.said.splitlines()
    said = [line for line in lines if line.strip()]
    refused = [line[len(REFUSED) :] for line in lines if line.startswith(REFUSED)]
    if refused and STARTED in lines:
        return problem(path, f"Blender cannot do it: {refused[-1][:250]}", "see docs/blender.md")
    if STARTED in lines:
        return problem(
            path,
            f"Blender crashed on it ({ending(child.code)})"
            if child.code
            else "Blender said nothing",
            "the file may be damaged; export it as GLB",
        )
    reason = (refused or said or [ending(child.code)])[-1][:200]
    if "No module named 'bpy'" in reason:
        what = f"{blender.path} has no bpy"
    else:
        what = f"{blender.path} does not work as a Blender ({reason})"
    line = f"{path}: {what}; {INSTALL}"
    return MissingError("".join(c if c.isprintable() else " " for c in line))


def _checked(told: dict[str, Any], arrays: Arrays, path: Path) -> Look:
    """The answer, with every number in it one that can be."""

    def rows(name: str, most: int, shape: tuple[int, ...] = (), least: int = 0) -> np.ndarray:
        values = arrays[name].astype(np.int64)
        if values.shape[1:] != shape or (values.size and not _within(values, least, most)):
            raise ValueError(f"its {name} are out of range")
        return values

    def numbers(name: str, *shape: int) -> np.ndarray:
        values = arrays[name].astype(np.float64)
        if values.shape[1:] != shape:
            raise ValueError(f"its {name} have another shape")
        return values

    points = numbers("points", 3)
    parts = [(str(name), int(count)) for name, count in told["parts"]]
    bones = [(str(armature), str(name)) for armature, name in told["bones"]]
    found = Look(
        points,
        rows("faces", len(points), (3,)),
        rows("face_part", len(parts)),
        parts,
        [int(number) for number in told["skeletons"]],
        bones,
        numbers("bones", 4, 4),
        numbers("armatures", 4, 4),
        rows("bone_parent", len(bones), least=-1),
        rows("bone_armature", len(arrays["armatures"])),
        rows("vertex", len(points)),
        rows("bone", len(bones)),
        numbers("weight"),
        [str(name) for name in told["clips"]],
        [Path(str(name)) for name in told["files"]],
        [Path(str(name)).name for name in told["packed"]],
        [str(note) for note in told["notes"]],
    )
    one_each = (
        (found.face_part, found.faces),
        (found.skeletons, parts),
        (found.bone_frames, bones),
        (found.bone_parent, bones),
        (found.bone_armature, bones),
        (found.bone, found.vertex),
        (found.weight, found.vertex),
    )
    if sum(count for _, count in parts) != len(points) or any(
        len(a) != len(b) for a, b in one_each
    ):
        raise ValueError("its parts do not fit together")
    if (found.bone_parent >= np.arange(len(bones))).any() or not (found.weight > 0).all():
        raise ValueError("its bones or weights are none")
    if not (_within(np.array(found.skeletons), -1, len(found.armature_frames))):
        raise ValueError("a part hangs on no skeleton of it")
    return found


def _within(values: np.ndarray, least: int, end: int) -> bool:
    return bool((values >= least).all() and (values < end).all())
