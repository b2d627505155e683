"""What tests look for in a page: its data, read as its scripts read it, and small files to show."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from posetx.report.view.pack import unpacked


def data_of(page: Path) -> dict[str, Any]:
    """The page's JSON."""
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.S
    )
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


def points_in(content: dict[str, Any], packed: dict[str, Any]) -> np.ndarray:
    """Points (n, 3) of a frame."""
    grid = unpacked(content["buffers"][packed["buffer"]]).reshape(-1, 3)
    return grid.astype(np.float64) * packed["step"] + np.array(packed["origin"])


def array_in(content: dict[str, Any], place: int) -> np.ndarray:
    """A flat array."""
    return unpacked(content["buffers"][place])


def sphere(rings: int = 24, around: int = 48) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (n, 3), triangles (m, 3) and places in an image (n, 2), with a seam of two rows."""
    v, u = np.meshgrid(np.linspace(0, 1, rings), np.linspace(0, 1, around), indexing="ij")
    high, turn = np.pi * v, 2 * np.pi * u
    points = np.stack([np.sin(high) * np.sin(turn), np.cos(high), np.sin(high) * np.cos(turn)], -1)
    corner = np.arange(rings * around).reshape(rings, around)
    a, b, c, d = corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3)
    return points.reshape(-1, 3) * [0.5, 0.9, 0.5], faces, np.stack([u, v], -1).reshape(-1, 2)


def write_obj(path: Path, points: np.ndarray, faces: np.ndarray, uv: np.ndarray | None) -> None:
    """An OBJ; with ``uv`` a material `skin` of an image, half red and half blue, beside it."""
    lines = ["v {:.6f} {:.6f} {:.6f}".format(*p) for p in points.tolist()]
    if uv is not None:
        lines = ["mtllib skin.mtl", *lines]
        lines += [f"vt {u:.6f} {1 - v:.6f}" for u, v in uv.tolist()] + ["usemtl skin"]
        lines += ["f " + " ".join(f"{i}/{i}" for i in face) for face in (faces + 1).tolist()]
        (path.parent / "skin.mtl").write_text("newmtl skin\nKd 1 1 1\nmap_Kd skin.png\n")
        image = np.zeros((64, 64, 3), np.uint8)
        image[:32], image[32:] = (220, 30, 30), (30, 30, 220)
        Image.fromarray(image).save(path.parent / "skin.png")
    else:
        lines += ["f {} {} {}".format(*face) for face in (faces + 1).tolist()]
    path.write_text("\n".join(lines) + "\n")
