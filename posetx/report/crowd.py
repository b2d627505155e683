"""Many figures on one picture: a grid of them, each a mesh, as docs show what training makes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from posetx.files.atomic import atomic_file
from posetx.report.page import BORDER, gradient, rounded
from posetx.report.preview import draw
from posetx.report.stage import Column, set_stage


def render_crowd(
    path: str | os.PathLike[str],
    columns: Sequence[Column],
    across: int = 12,
    view: str = "three-quarter",
    cell: tuple[int, int] = (120, 150),
) -> None:
    """Write a PNG with ``across`` subjects a row, all seen from one side, on one scale.

    ``cell`` is in pixels. Raises MissingError where pyvista cannot draw.
    """
    stage = set_stage(columns, (view,), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), cell)
    images = draw(stage)
    width, height = cell
    rows = -(-len(columns) // across)
    sheet = gradient(across * width, rows * height)
    for index, image in enumerate(images[:, 0]):
        figure = Image.fromarray(image, "RGBA").resize(cell, Image.Resampling.LANCZOS)
        sheet.paste(figure, (index % across * width, index // across * height), figure)
    page = Image.new("RGB", (sheet.width + BORDER, sheet.height + BORDER), (255, 255, 255))
    page.paste(sheet, (BORDER // 2, BORDER // 2), rounded(sheet.size))
    with atomic_file(Path(path)) as stream:
        page.save(stream, format="PNG", optimize=True)
