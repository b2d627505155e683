"""The page a picture is set on: background, ground shadows, drawn cells, titles and legends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from posetx.geometry.ramp import SCALAR_COLORS, palette
from posetx.report.stage import Column, Stage, Subject

BACKGROUND_TOP = (249, 250, 252)
BACKGROUND_BOTTOM = (227, 231, 237)
INK = (52, 58, 70)
FAINT_INK = (128, 136, 150)
SHADOW = (70, 80, 100)

#: Pixels round the cells.
BORDER = 28

#: Pixels between the cells.
GAP = 14

#: Pixels of the texts: titles, what is below them and at the legends, names of the views.
TITLE_SIZE, NOTE_SIZE, VIEW_SIZE = 25, 15, 14

#: Pixels of the rounded corners of a row.
RADIUS = 14

#: Share of a subject's height up to which it casts a shadow on the ground below it.
SHADOW_HEIGHT = 0.25

SHADOW_STRENGTH = 0.42

#: Pixels of a colour scale.
LEGEND = (160, 10)


def compose(
    columns: Sequence[Column], views: Sequence[str], stage: Stage, images: NDArray[np.uint8]
) -> Image.Image:
    """The finished page.

    Parameters
    ----------
    columns : the subjects, for their titles, notes and legends
    views : names of the rows
    stage : what was drawn, for the shadows
    images : (columns, views, height, width, 4) uint8
        the drawn cells on a transparent ground, `stage.cell` in size or a multiple of it.
    """
    width, height = stage.cell
    noted = any(column.note for column in columns)
    header = BORDER + TITLE_SIZE + 16 + (NOTE_SIZE + 6 if noted else 0)
    legend = any(column.limits() is not None for column in columns)
    page_width = 2 * BORDER + len(columns) * width
    page_height = header + len(views) * (height + GAP) - GAP + BORDER + (34 if legend else 0)
    page = Image.new("RGB", (page_width, page_height), (255, 255, 255))
    draw = ImageDraw.Draw(page)

    for i, column in enumerate(columns):
        middle = BORDER + i * width + width // 2
        title = shortened(column.title, font(TITLE_SIZE), width - 20)
        draw.text((middle, BORDER - 4), title, INK, font(TITLE_SIZE), anchor="ma")
        if column.note:
            note = shortened(column.note, font(NOTE_SIZE), width - 20)
            top = BORDER + TITLE_SIZE + 5
            draw.text((middle, top), note, FAINT_INK, font(NOTE_SIZE), anchor="ma")

    for j, view in enumerate(views):
        top = header + j * (height + GAP)
        row = gradient(len(columns) * width, height)
        for i, subject in enumerate(stage.subjects):
            cell = Image.fromarray(images[i, j], "RGBA").resize(
                stage.cell, Image.Resampling.LANCZOS
            )
            shade = ground_shadow(subject, stage, i, j)
            row.paste(SHADOW, (i * width, 0), shade)
            row.paste(cell, (i * width, 0), cell)
        page.paste(row, (BORDER, top), rounded(row.size))
        draw.text((BORDER + 14, top + 12), view, FAINT_INK, font(VIEW_SIZE))

    for i, column in enumerate(columns):
        limits = column.limits()
        if limits is not None:
            draw_legend(page, BORDER + i * width + width // 2, page_height - 38, limits)
    return page


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font: the same on every machine."""
    return ImageFont.load_default(size)


def shortened(text: str, face: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text, cut in the middle if it is wider than `width` pixels."""
    if face.getlength(text) <= width:
        return text
    for keep in range(len(text) - 1, 1, -1):
        cut = f"{text[: (keep + 1) // 2]}…{text[len(text) - keep // 2 :]}"
        if face.getlength(cut) <= width:
            return cut
    return "…"


def gradient(width: int, height: int) -> Image.Image:
    """The light background of a row, from top to bottom."""
    share = np.linspace(0.0, 1.0, height)[:, None] ** 1.5
    column = np.array(BACKGROUND_TOP) * (1.0 - share) + np.array(BACKGROUND_BOTTOM) * share
    rows = np.broadcast_to(column[:, None, :], (height, width, 3))
    return Image.fromarray(rows.round().astype(np.uint8), "RGB")


def rounded(size: tuple[int, int]) -> Image.Image:
    """A mask with rounded corners, smoothed."""
    mask = Image.new("L", (size[0] * 2, size[1] * 2), 0)
    box = (0, 0, size[0] * 2 - 1, size[1] * 2 - 1)
    ImageDraw.Draw(mask).rounded_rectangle(box, 2 * RADIUS, fill=255)
    return mask.resize(size, Image.Resampling.LANCZOS)


def ground_shadow(subject: Subject, stage: Stage, i: int, j: int) -> Image.Image:
    """A mask of the soft shadow under a subject: what is near the ground, seen from the camera."""
    width, height = stage.cell
    solid = subject.solid
    reach = SHADOW_HEIGHT * max(float(solid[:, 1].max()), 1e-12)
    near = solid[solid[:, 1] < reach]
    on_ground = near * np.array([1.0, 0.0, 1.0])
    plane = on_ground @ stage.axes[j, :2].T - stage.centers[i, j]
    pixels_per_unit = height / (2.0 * stage.half_height)
    x = width / 2.0 + plane[:, 0] * pixels_per_unit
    y = height / 2.0 - plane[:, 1] * pixels_per_unit
    weights = 1.0 - near[:, 1] / reach
    edges = (np.arange(0, height + 4, 4), np.arange(0, width + 4, 4))
    counts, *_ = np.histogram2d(y, x, bins=edges)
    total, *_ = np.histogram2d(y, x, bins=edges, weights=weights)
    # The mean, so that the density of vertices does not matter, and small blurs fill the gaps.
    cover = np.where(counts > 0, total / np.maximum(counts, 1.0), 0.0)
    mask = Image.fromarray((255.0 * cover).astype(np.uint8), "L")
    mask = mask.filter(ImageFilter.MaxFilter(3)).resize(
        (edges[1][-1], edges[0][-1]), Image.Resampling.BICUBIC
    )
    mask = mask.crop((0, 0, width, height)).filter(ImageFilter.GaussianBlur(width / 55.0))
    return mask.point(lambda value: int(value * SHADOW_STRENGTH))


def draw_legend(page: Image.Image, middle: int, top: int, limits: tuple[float, float]) -> None:
    """A colour scale with its two ends named."""
    width, height = LEGEND
    colors = palette(SCALAR_COLORS, np.linspace(0.0, 1.0, width))
    bar = np.broadcast_to(colors[None], (height, width, 3))
    page.paste(Image.fromarray(np.ascontiguousarray(bar), "RGB"), (middle - width // 2, top))
    draw = ImageDraw.Draw(page)
    for value, side, anchor in ((limits[0], -1, "rm"), (limits[1], 1, "lm")):
        at = (middle + side * (width // 2 + 8), top + height // 2)
        draw.text(at, f"{value:.3g}", FAINT_INK, font(NOTE_SIZE), anchor=anchor)
