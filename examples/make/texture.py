"""The target's texture: the body's colours on anny's atlas, and leather in its free areas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt

from .body import joint
from .mesh import blend, rasterise, triangles
from .paint import RANGER, Painter

SIZE = 1024
# corners (u, v) of the free areas that the leather is painted on
HAT_SWATCH = ((0.845, 0.84), (0.985, 0.985))
BELT_SWATCH = ((0.012, 0.22), (0.092, 0.50))


def make_texture(painter: Painter, path: Path) -> None:
    """Paint every texel by the point of the body that it belongs to."""
    body = painter.body
    faces = triangles(body.quads)
    corner = (body.uv * (SIZE, -SIZE) + (0, SIZE))[triangles(body.quad_uv)]
    face, bary = rasterise(corner, np.ones((len(faces), 3)), (SIZE, SIZE))
    filled = face >= 0
    at, bary = faces[face[filled]], bary[filled]
    x, y, _ = blend(body.template, at, bary).T
    row, column = np.nonzero(filled)
    cloth = (y < body.joints[joint("neck"), 1]) & (body.part[at[:, 0]] == 0)
    weave = 1 - 0.05 * cloth * ((row // 2 + column // 2) % 2)
    slow = 1 + 0.035 * np.sin(38 * x + 3 * np.sin(29 * y)) * np.sin(33 * y)
    pixels = np.full((SIZE, SIZE, 3), 96.0)
    pixels[filled] = painter.colour(at, bary, RANGER) * (weave * slow)[:, None]
    # beyond a chart's rim its own colours go on, so that no grey bleeds in
    distance, index = distance_transform_edt(~filled, return_indices=True)
    rim = (distance > 0) & (distance < 10)
    pixels[rim] = pixels[tuple(index[:, rim])]

    share, band = paint_leather(pixels, HAT_SWATCH, (150, 104, 60))
    band[(share > 0.515) & (share < 0.60)] = (150, 36, 34)  # red, where the crown starts
    share, belt = paint_leather(pixels, BELT_SWATCH, (86, 48, 28))
    rims = (np.abs(share - 0.2) < 0.012) | (np.abs(share - 0.47) < 0.012)  # of the outside
    belt[rims & (np.arange(belt.shape[1]) % 6 < 3)] = (206, 170, 110)  # stitches
    image = Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))
    image.save(path, optimize=True)


def paint_leather(pixels: np.ndarray, swatch, colour) -> tuple[np.ndarray, np.ndarray]:
    """Fill a swatch; returns how far up its texels are, 0 to 1, and a view of them (H, W, 3)."""
    (u0, v0), (u1, v1) = swatch
    rows = slice(int((1 - v1) * SIZE) - 4, int((1 - v0) * SIZE) + 4)
    area = pixels[rows, int(u0 * SIZE) - 4 : int(u1 * SIZE) + 4]
    y, x = np.mgrid[: area.shape[0], : area.shape[1]]
    grain = 1 + 0.05 * np.sin(0.9 * x + 2 * np.sin(0.31 * y)) * np.sin(0.7 * y + x)
    area[:] = np.array(colour) * grain[..., None]
    return 1 - y / len(area), area
