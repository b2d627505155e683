"""FBX, BLEND and USD targets: Blender opens the file, and writes it with other poses or places.

The file itself is the only one that knows all of its content, so nothing of it is taken apart here:
what is wanted goes to a second Blender, which opens the file anew, turns its bones or moves its
vertices, and writes it in whatever format is asked for.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from posetx.files.checks import problem, read_bytes
from posetx.files.codecs.blender import SUFFIXES, look
from posetx.files.targets.base import Target
from posetx.files.targets.blender_rig import rig_of
from posetx.files.targets.blender_write import made_by_blender, place
from posetx.files.targets.gltf import read as read_gltf
from posetx.files.targets.obj import read as read_obj
from posetx.geometry.rig import Rig, RigPose

GLB, OBJ = ".glb", ".obj"


class BlenderTarget(Target):
    """A scene that Blender reads, all its meshes as one, at rest: metres, z up."""

    own_suffixes = (*SUFFIXES, GLB, OBJ)
    rig_takes_clips = False

    def __init__(self, data: bytes, path: Path) -> None:
        self._digest = hashlib.sha256(data).digest()
        self._look = look(data, path)
        found = self._look
        super().__init__(path, found.points, found.faces, found.notes)
        self.face_object = found.face_part
        if found.bones:
            self.face_skeleton = np.array(found.skeletons)[found.face_part]
        self.extras += ["materials", *(["skins"] if found.bones else [])]
        self.extras += ["animations"] if found.clips else []
        self.made_of = set(found.files)

    def object_name(self, index: int) -> str:
        return self._look.parts[index][0]

    def rig(self, figure: np.ndarray) -> tuple[Rig | None, str]:
        return rig_of(self._look, figure)

    def for_clips(self) -> Target:
        name = self.path.with_suffix(GLB)
        arrays = {"moved": np.zeros(len(self.vertices), dtype=bool)}
        with self._made(name, self.vertices, arrays) as (made, _):
            data = read_bytes(made)
        target = read_gltf(data, name)
        target.notes = [*self.notes, *target.notes]
        target.made_of = self.made_of
        return target

    def save_posed(self, path: Path, vertices: np.ndarray, rig: Rig, pose: RigPose) -> list[str]:
        vertices = self._checked(path, vertices)
        bone = rig.numbers >= 0  # not an armature, which stays
        arrays = {
            "moved": ~rig.moved & self._moved(vertices),
            "bone": rig.numbers[bone],
            "frame": rig.worlds(pose)[bone],
        }
        return self._save(path, vertices, arrays)

    def _write(self, path: Path, vertices: np.ndarray) -> list[str]:
        notes = self._save(path, vertices, {"moved": self._moved(vertices)})
        if self._look.bones and path.suffix.lower() != OBJ:
            notes.append(
                "skinned: the rest positions of the mesh change, its skeleton stays; an animation "
                "would add to the new pose"
            )
        return notes

    def _beside(self, path: Path) -> set[Path]:
        if path.suffix.lower() != OBJ:
            return set()
        names = [*self._look.packed, *(file.name for file in self._look.files)]
        return {path.with_suffix(".mtl"), *(path.with_name(name) for name in names)}

    def _moved(self, vertices: np.ndarray) -> np.ndarray:
        return np.asarray((vertices != self.vertices).any(axis=1))

    def _save(self, path: Path, vertices: np.ndarray, arrays: dict[str, np.ndarray]) -> list[str]:
        with self._made(path, vertices, arrays) as (made, notes):
            if made.suffix != OBJ:
                return notes + place(made, path)
            # as any OBJ that is written: what it names goes beside it
            target = read_obj(read_bytes(made), made)
            return notes + target.save(path, target.vertices)

    def _made(
        self, path: Path, vertices: np.ndarray, arrays: dict[str, np.ndarray]
    ) -> AbstractContextManager[tuple[Path, list[str]]]:
        data = read_bytes(self.path)
        if hashlib.sha256(data).digest() != self._digest:
            raise problem(self.path, "has changed since it was read", "run it again")
        told = {"parts": self._look.parts, "bones": self._look.bones}
        arrays = {"vertices": vertices, "shown": vertices, **arrays}
        return made_by_blender(self.path, path, told, arrays, len(data))


def read(data: bytes, path: Path) -> Target:
    """The target in a file that Blender reads."""
    return BlenderTarget(data, path)
