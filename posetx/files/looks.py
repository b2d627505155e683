"""How a mesh is coloured: materials, texture coordinates and images, for whoever draws it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from posetx.files.dress import to_srgb

#: of a material that a file names and does not describe
GREY = (178, 187, 202)


@dataclass(frozen=True)
class Material:
    """What a triangle is painted with.

    ``color`` is sRGB, 0 to 255; the image, the place of one in `Looks.images` or -1, is multiplied
    by it. With ``cut`` nothing is drawn where the image is more than half transparent.
    """

    color: tuple[int, int, int] = GREY
    image: int = -1
    cut: bool = False


@dataclass
class Looks:
    """How the triangles of a mesh are painted.

    Attributes
    ----------
    materials : list of Material
    face_material : (m,) int64
        which of them each triangle has
    corner_uv : (m, 3, 2) float64 or None
        where in its image each corner of a triangle is: to the right and down from the upper left
        corner, an image wide and high; finite. None where there is no image
    images : list of bytes
        as they are stored: PNG, JPEG and others
    notes : list of str
        what a user should know of images that are not here
    """

    materials: list[Material]
    face_material: np.ndarray
    corner_uv: np.ndarray | None
    images: list[bytes]
    notes: list[str] = field(default_factory=list)


def byte_colors(values: np.ndarray | None) -> np.ndarray | None:
    """(n, 3) uint8 of values (n, 3 or more) from 0 to 1, or to 255; None of what are no colours."""
    if values is None or values.ndim != 2 or values.shape[1] < 3 or not len(values):
        return None
    shares = np.nan_to_num(np.asarray(values[:, :3], dtype=np.float64), posinf=0.0, neginf=0.0)
    scale = 255.0 if shares.max() <= 1.0 else 1.0
    colors: np.ndarray = np.clip(np.round(shares * scale), 0, 255).astype(np.uint8)
    return colors


def srgb(linear: float) -> int:
    """A linear share of light, 0 to 1, as a byte of sRGB; what is no such share is clipped."""
    return round(255 * float(to_srgb(float(linear))))
