"""What a target mesh is to the rest of posetx: vertices, triangles, and a way to write it back."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from posetx.errors import PosetxError, UsageError
from posetx.files.atomic import write_bytes_atomic
from posetx.files.checks import problem, read_bytes, usable_rows
from posetx.files.codecs import blender, meshlab
from posetx.files.dress import Dress
from posetx.files.looks import Looks
from posetx.files.targets.blender_write import by_blender
from posetx.files.targets.dressed import SUFFIXES, files_beside, holds, lost_in, write_dressed
from posetx.geometry.mesh import weld
from posetx.geometry.rig import Rig, RigPose

# suffix: module below posetx.files.targets with a function read(data, path) -> Target
_READERS = {
    ".obj": "obj",
    ".ply": "ply",
    ".glb": "gltf",
    ".gltf": "gltf",
    ".vrm": "gltf",
    ".stl": "stl",
    ".off": "off",
    **dict.fromkeys(blender.SUFFIXES, "blender"),
    **dict.fromkeys(meshlab.SUFFIXES, "meshlab"),
}
# Formats that only targets in certain formats can be written in.
_GLTF = (".glb", ".gltf", ".vrm")
_WITH_SKELETON = (*_GLTF, *blender.SUFFIXES)
_FROM = {".gltf": _GLTF, ".vrm": (".vrm",)}
_CONVERSIONS = (".obj", ".ply", ".stl", ".off", ".glb", *blender.SUFFIXES)
# In which other format Blender gets a target that it shall write; those not here as a GLB.
_TO_BLENDER = {".obj": ".obj", ".ply": ".ply", ".stl": ".stl"}
TARGET_SUFFIXES = tuple(suffix for suffix in _READERS if suffix not in meshlab.SUFFIXES)
"""Formats that are both read and written."""


class Target(ABC):
    """A mesh that keeps everything its file says but where the vertices are.

    Attributes
    ----------
    vertices : (n, 3) float64
        positions in the file's own frame and unit, as a viewer shows them; vertices that no face
        uses are among them. Where a format repeats vertices along UV seams, so does this array:
        `welds` joins them.
    faces : (m, 3) int64
        triangles; polygons are cut into fans here, and stay whole in the file
    path : Path
        where it was read
    notes : list of str
        what a user should know about how the file was understood
    face_object : (m,) int64
        which of the file's objects or nodes each triangle is of, see `object_name`; -1 none
    face_skeleton : (m,) int64 or None
        which of the file's skeletons moves each triangle, -1 none; None in a file without any
    made_of : set of Path
        other files that it is made of, beside those that :meth:`beside` finds in it
    """

    # The suffixes that are written without loss, and what only those can hold.
    own_suffixes: tuple[str, ...] = ()
    # Whether a clip can be written of its rig; what :meth:`for_clips` returns can.
    rig_takes_clips = True

    def __init__(
        self, path: Path, vertices: np.ndarray, faces: np.ndarray, notes: list[str] | None = None
    ) -> None:
        self.path = path
        self.vertices = np.ascontiguousarray(vertices, dtype=np.float64).reshape(-1, 3)
        self.faces = np.ascontiguousarray(faces, dtype=np.int64).reshape(-1, 3)
        self.notes = list(notes or [])
        self.face_object = np.full(len(self.faces), -1)
        self.face_skeleton: np.ndarray | None = None
        self.made_of: set[Path] = set()
        # What a plain triangle format cannot hold: "quads", "materials".
        self.extras: list[str] = []
        self._check()

    def _check(self) -> None:
        n = len(self.vertices)
        if not n:
            raise problem(self.path, "has no vertices", "give a mesh as the target")
        if not len(self.faces):
            raise problem(
                self.path,
                "has no faces, only points",
                "a target must be a mesh; reconstruct its surface first",
            )
        if self.faces.min() < 0 or self.faces.max() >= n:
            raise problem(
                self.path,
                f"has faces that name a vertex which is not among its {n}",
                "the file may be cut off; export it again",
            )
        unusable = np.flatnonzero(~usable_rows(self.vertices))
        if len(unusable):
            raise problem(
                self.path,
                f"vertex {unusable[0] + 1} of {n} is not a finite number",
                "repair the mesh and export it again",
            )

    def object_name(self, index: int) -> str:
        """What the file calls an object of `face_object`; "" if nothing."""
        return ""

    def welds(self) -> tuple[np.ndarray, np.ndarray]:
        """Vertices that stand at exactly the same place, joined.

        Returns
        -------
        first : (k,) int64
            one vertex of each place, rising
        place : (n,) int64
            the place of each vertex; `vertices[first][place]` equals `vertices`
        """
        return weld(self.vertices)

    def save(self, path: Path, vertices: np.ndarray) -> list[str]:
        """Write the mesh with other vertex positions; whole or not at all, replacing `path`.

        Parameters
        ----------
        path : Path
            the output; its suffix is its format. The input's own format loses nothing; of OBJ,
            PLY and glTF another one of OBJ and GLB gets what it can hold, with files beside an
            OBJ; others get positions and triangles.
        vertices : (n, 3) float
            the new positions, in the frame and order of `self.vertices`

        Returns
        -------
        list of str
            what could not be carried over, for the user to read
        """
        path = Path(path)
        vertices = self._checked(path, vertices)
        suffix = path.suffix.lower()
        if suffix in self.own_suffixes:
            return self._write(path, vertices)
        if suffix in blender.SUFFIXES:
            kind = _TO_BLENDER.get(self.path.suffix.lower(), ".glb")
            return by_blender(path, lambda private: self.save(private, vertices), kind)
        return self._convert(path, suffix, vertices)

    def _checked(self, path: Path, vertices: np.ndarray) -> np.ndarray:
        """New positions (n, 3) as float64. Raises PosetxError for what is not finite."""
        vertices = np.ascontiguousarray(vertices, dtype=np.float64)
        if vertices.shape != self.vertices.shape:
            raise ValueError(f"vertices are {vertices.shape}, not {self.vertices.shape}")
        unusable = np.flatnonzero(~usable_rows(vertices))
        if len(unusable):
            raise PosetxError(
                f"{path}: {len(unusable)} of {len(vertices)} new positions are not finite; "
                "nothing was written"
            )
        return vertices

    def rig(self, figure: np.ndarray) -> tuple[Rig | None, str]:
        """The file's own skeleton that moves a figure, `figure` (n,) bool of its vertices.

        Returns
        -------
        Rig or None
        str
            why a file with skins has none that can take a pose; else empty
        """
        return None, ""

    def save_posed(self, path: Path, vertices: np.ndarray, rig: Rig, pose: RigPose) -> list[str]:
        """Write the mesh with its own skeleton in another pose, as :meth:`save` otherwise.

        Parameters
        ----------
        path : Path
            in a format that :func:`holds_skeleton`
        vertices : (n, 3) float
            the new positions of what follows no node of the rig; others are not looked at
        rig : from :meth:`rig`
        """
        raise NotImplementedError

    def for_clips(self) -> Target:
        """The same target as clips are written of it, with the skeleton that it has."""
        return self

    def looks(self) -> Looks | None:
        """How the triangles are painted; None where the file says nothing of it.

        Raises PosetxError where what it says is damaged.
        """
        return None

    def dress(self, vertices: np.ndarray) -> Dress | None:
        """What the mesh has beside positions and triangles, to write it in another format.

        `vertices` (n, 3) are the positions that will be written; normals are turned with them.
        None where there is nothing. Raises PosetxError where it is damaged.
        """
        return None

    def colors(self) -> np.ndarray | None:
        """(n, 3) uint8: the vertices' own colours; None where the file has none."""
        return None

    def beside(self, path: Path) -> set[Path]:
        """Files that may be written beside `path` when it is, and those that they are copies of.

        A folder among them stands for all that is in it.
        """
        found = self._beside(self.path) | self.made_of
        suffix = path.suffix.lower()
        if suffix in blender.WITH_TEXTURES:
            found.add(path.parent / blender.TEXTURES)
        if suffix in self.own_suffixes:
            return found | self._beside(path)
        if suffix in SUFFIXES:
            with suppress(PosetxError):  # what it wears is damaged, and left out
                found |= files_beside(path, self.dress(self.vertices) or Dress())
        return found

    def _beside(self, path: Path) -> set[Path]:
        """Those that the file names, in the place that they have where it is at `path`."""
        return set()

    @abstractmethod
    def _write(self, path: Path, vertices: np.ndarray) -> list[str]:
        """Write in the input's own format; return notes."""

    def _convert(self, path: Path, suffix: str, vertices: np.ndarray) -> list[str]:
        check_output_suffix(path, self.path)
        lost, notes = list(self.extras), []
        dress = None
        if suffix in SUFFIXES:
            try:
                dress = self.dress(vertices)
            except PosetxError as error:  # what it wears is damaged, the mesh is not
                notes.append(str(error))
        if dress is None or not holds(path, dress):
            dress = None
            import trimesh  # here, because its start-up time is felt

            export(trimesh.Trimesh(vertices, self.faces, process=False), path)
        else:
            lost = lost_in(path, dress, lost)
            if suffix == ".glb" and len(np.unique(self.faces)) < len(vertices):
                lost.append("vertices of no triangle")
            notes += write_dressed(path, self.welds()[1], vertices, self.faces, dress)
        if suffix == ".stl":
            lost.append("shared vertices")
        if not lost:
            return notes
        how = "which keeps positions and triangles, not" if dress is None else "without"
        return [f"written as {suffix}, {how}: {', '.join(lost)}", *notes]


def export(mesh: Any, path: Path) -> None:
    """Write a trimesh in the format of the suffix, whole or not at all."""
    data = mesh.export(file_type=path.suffix[1:].lower())
    write_bytes_atomic(path, data.encode() if isinstance(data, str) else data)


def check_output_suffix(path: Path, source: Path | None = None) -> None:
    """Refuse an output name that no writer knows; for commands to call before the work starts.

    With the `source` of a target, also one that this target cannot be written as. Raises
    UsageError, and MissingError where Blender has to write it and is not here.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in TARGET_SUFFIXES:
        what = "read but not written" if suffix in _READERS else "an unknown output format"
        raise UsageError(
            f"{path}: {Path(path).suffix!r} is {what}; use one of {' '.join(TARGET_SUFFIXES)}"
        )
    own = Path(source).suffix.lower() if source is not None else suffix
    if own not in _FROM.get(suffix, (own,)):
        raise UsageError(
            f"{path}: {own} cannot be written as {suffix}; use one of {' '.join(_CONVERSIONS)}"
        )
    if suffix in blender.SUFFIXES:
        blender.found_blender(Path(path))


def holds_skeleton(path: Path) -> bool:
    """Whether a file of this name can hold a skeleton with its skin, as it was read."""
    return Path(path).suffix.lower() in _WITH_SKELETON


def is_target(path: Path) -> bool:
    """Whether a file's name is one that :func:`read_target` knows."""
    return Path(path).suffix.lower() in _READERS


def result_suffix(path: Path) -> str:
    """The suffix of results for the target at `path`: its own, or .obj if that is not written."""
    suffix = Path(path).suffix.lower()
    return ".obj" if suffix in meshlab.SUFFIXES else Path(path).suffix


def read_target(path: Path) -> Target:
    """Read a mesh that will be written back.

    Parameters
    ----------
    path : Path
        OBJ, PLY, GLB, glTF, STL or OFF; FBX, BLEND, USD, USDA, USDC or USDZ through Blender; DAE,
        3DS, X3D/X3DV, WRL, 3MF or CTM through pymeshlab, which are written as one of the others

    Raises
    ------
    MissingError
        Blender or pymeshlab is needed and not here, or does not work
    PosetxError
        in one line, whatever is wrong with the file
    """
    path = Path(path)
    name = _READERS.get(path.suffix.lower())
    if name is None and (not path.exists() or path.is_dir()):
        read_bytes(path)  # says what is wrong with it
    if name is None:
        raise problem(
            path,
            f"unknown mesh format {path.suffix!r}",
            f"export the target as one of {' '.join(_READERS)}",
        )
    reader = importlib.import_module(f"posetx.files.targets.{name}")
    target: Target = reader.read(read_bytes(path), path)
    return target
