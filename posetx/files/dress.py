"""What a mesh wears: materials, images, normals and names, to write it in another format.

:mod:`posetx.files.looks` is the part of it that a page shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

OPAQUE, MASK, BLEND = "OPAQUE", "MASK", "BLEND"
#: The place of what is not there: an image, a material, a normal.
NONE = -1


@dataclass(frozen=True)
class Paint:
    """A material.

    Attributes
    ----------
    name : str
        as the file has it; "" of what has none
    color : (float, float, float)
        sRGB, 0 to 1; the image is multiplied by it
    opacity : float
        0 to 1
    image : int
        its place in `Dress.pictures`, or NONE
    mode : str
        OPAQUE, MASK (nothing is drawn where opacity is less than half) or BLEND, as in glTF
    roughness : float
        0 to 1
    double_sided : bool
        whether a triangle is seen from behind
    normal_image : int
        of the image that has the directions of its normals, as glTF's: green is up; or NONE
    bump : float
        by how much they count
    """

    name: str = ""
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    opacity: float = 1.0
    image: int = NONE
    mode: str = OPAQUE
    roughness: float = 1.0
    double_sided: bool = True
    normal_image: int = NONE
    bump: float = 1.0


@dataclass(frozen=True)
class Picture:
    """An image file: its name without folder and suffix, and its bytes as they are stored."""

    name: str
    data: bytes


@dataclass
class Dress:
    """What a mesh of n vertices and m triangles has beside them.

    Attributes
    ----------
    paints : list of Paint
    face_paint : (m,) int64
        which of them each triangle has, NONE where the file gives it no material
    pictures : list of Picture
    corner_uv : (m, 3, 2) float64 or None
        as in :class:`~posetx.files.looks.Looks`: right and down from the image's upper left
        corner; 0 where a corner has none
    normals : (k, 3) float64 or None
        of the new positions
    corner_normal : (m, 3) int64 or None
        which of them each corner has, NONE where it has none
    colors : (n, 3) float64 or None
        of the vertices, sRGB, 0 to 1
    objects, groups : list of str
        names
    face_object, face_group : (m,) int64 or None
        which of them each triangle is of, NONE before the first; None where the file knows none
    seams : bool
        whether the format repeats vertices where images or normals have a seam
    carried : set of str
        what of `Target.extras` is in here
    lost : list of str
        what of the file is not in here, beside the other extras
    notes : list of str
        what a user should know of files that could not be read
    """

    paints: list[Paint] = field(default_factory=list)
    face_paint: np.ndarray | None = None
    pictures: list[Picture] = field(default_factory=list)
    corner_uv: np.ndarray | None = None
    normals: np.ndarray | None = None
    corner_normal: np.ndarray | None = None
    colors: np.ndarray | None = None
    objects: list[str] = field(default_factory=list)
    face_object: np.ndarray | None = None
    groups: list[str] = field(default_factory=list)
    face_group: np.ndarray | None = None
    seams: bool = False
    carried: set[str] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def runs(keys: list[np.ndarray | None], count: int) -> list[np.ndarray]:
    """Rows 0 to `count` of equal `keys`, each (count,) int64 or None: groups, rising by the keys.

    Within a group rows stay in order, and each row is in one group.
    """
    given = [key for key in keys if key is not None]
    if not given:
        return [np.arange(count)]
    order = np.lexsort(given[::-1])
    changed = np.zeros(count - 1, dtype=bool)
    for key in given:
        changed |= key[order][1:] != key[order][:-1]
    return np.split(order, np.flatnonzero(changed) + 1)


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """Shares of light, 0 to 1, of sRGB values, 0 to 1."""
    values = np.clip(np.nan_to_num(np.asarray(srgb, dtype=np.float64)), 0.0, 1.0)
    curved = ((values + 0.055) / 1.055) ** 2.4
    return np.where(values <= 0.04045, values / 12.92, curved)


def to_srgb(linear: np.ndarray | float) -> np.ndarray:
    """sRGB values, 0 to 1, of shares of light, 0 to 1."""
    values = np.clip(np.nan_to_num(np.asarray(linear, dtype=np.float64)), 0.0, 1.0)
    curved = 1.055 * values ** (1 / 2.4) - 0.055
    return np.where(values <= 0.0031308, 12.92 * values, curved)


def srgb_colors(values: np.ndarray) -> np.ndarray:
    """sRGB, 0 to 1, of a glTF's colours (n, 3), which are shares of light.

    Larger ones, of files that do not say that theirs are bytes, are taken for sRGB.
    """
    largest = float(np.nan_to_num(values).max(initial=0.0))
    return np.clip(np.nan_to_num(values) / 255.0, 0.0, 1.0) if largest > 1.0 else to_srgb(values)
