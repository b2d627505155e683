"""Pictures of bodies: one column a subject, one row a view, same scale, upright, on one ground.

`render_preview` is the picture of a transfer (scan, target, result); `render_meshes` draws any
columns. No display and no graphics card is needed.
"""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posetx.arrays import Floats
from posetx.errors import MissingError
from posetx.files.atomic import atomic_file
from posetx.report.stage import MESH_COLOR, Column, Stage, set_stage, without_far
from posetx.system.child import ending, run_module

__all__ = ["Column", "render_meshes", "render_preview"]

#: Pixels of one cell, width and height.
CELL = (400, 460)

#: Drawn this many times larger and scaled down, which smooths the edges.
SUPERSAMPLING = 2

RESULT_COLOR = (232, 152, 104)

#: A scan this many times larger or smaller than the result is in another unit.
UNIT_MISMATCH = 4.0

#: Time after which drawing has failed; a million vertices take ten seconds of an idle machine.
DRAW_SECONDS = 900

#: Vertices (v, 3) and triangles (f, 3).
Mesh = tuple[ArrayLike, ArrayLike]


def render_preview(
    path: str | os.PathLike[str],
    scan_points: ArrayLike,
    target: Mesh,
    result: Mesh,
    scan_colors: ArrayLike | None = None,
    up: Sequence[float] = (0.0, 1.0, 0.0),
    front: Sequence[float] = (0.0, 0.0, 1.0),
    titles: tuple[str, str, str] = ("scan", "target", "result"),
    notes: tuple[str, str, str] = ("", "", ""),
) -> None:
    """Writes the picture of a transfer: scan, target and result, from the front and the side.

    Parameters
    ----------
    path : path
        the PNG; an existing one is replaced.
    scan_points : (n, 3) float
        the scan, turned upright into the frame of the target. Its unit may be another one: then
        it is drawn as large as the result.
    target, result : ((v, 3) float, (f, 3) int)
        vertices and triangles.
    scan_colors : (n, 3), optional
        uint8, or float in 0 … 1.
    up, front : (3,)
        what is up in that frame, and where the bodies look.
    titles, notes : three str
        above the columns, and smaller below the titles.

    Raises
    ------
    MissingError
        If pyvista is not here, or cannot draw on this machine.
    """
    points = np.asarray(scan_points, float).reshape(-1, 3)
    finite = points[np.isfinite(points).all(axis=1)]
    size = _diagonal(without_far(finite)) if len(finite) else 0.0
    ratio = size / max(_diagonal(np.asarray(result[0], float)), 1e-30)
    if ratio > 0.0 and not 1.0 / UNIT_MISMATCH < ratio < UNIT_MISMATCH:
        points = points / ratio
    columns = [
        Column(titles[0], points, colors=scan_colors, note=notes[0]),
        Column(titles[1], *target, color=MESH_COLOR, note=notes[1]),
        Column(titles[2], *result, color=RESULT_COLOR, note=notes[2]),
    ]
    render_meshes(path, columns, up=up, front=front)


def render_meshes(
    path: str | os.PathLike[str],
    columns: Sequence[Column],
    views: Sequence[str] = ("front", "side"),
    up: Sequence[float] = (0.0, 1.0, 0.0),
    front: Sequence[float] = (0.0, 0.0, 1.0),
    cell: tuple[int, int] = CELL,
) -> None:
    """Writes a PNG with a column for each subject and a row for each view.

    All subjects have one scale and stand on one ground, each in the middle of its column.
    `views` are names out of `posetx.report.stage.VIEWS`; `cell` is in pixels.

    Raises
    ------
    MissingError
        If pyvista is not here, or cannot draw on this machine.
    """
    from posetx.report.page import compose

    stage = set_stage(columns, views, up, front, cell)
    picture = compose(columns, views, stage, draw(stage))
    with atomic_file(Path(path)) as stream:
        picture.save(stream, format="PNG", optimize=True)


def draw(stage: Stage) -> NDArray[np.uint8]:
    """The cells (subjects, views, height, width, 4), drawn by `posetx.report.render`."""
    job: dict[str, NDArray[Any]] = {
        "size": np.array(stage.cell) * SUPERSAMPLING,
        "half_height": np.array(stage.half_height),
        "centers": stage.centers,
        "axes": stage.axes,
        "spacing": np.array([subject.spacing for subject in stage.subjects]),
    }
    for i, subject in enumerate(stage.subjects):
        job[f"points_{i}"], job[f"colors_{i}"] = subject.points, subject.colors
        if subject.faces is not None:
            job[f"faces_{i}"] = subject.faces
    given = io.BytesIO()
    np.savez(given, **job)  # type: ignore[arg-type]
    images: NDArray[np.uint8] = np.load(io.BytesIO(drawn_by("posetx.report.render", given)))
    return images


def drawn_by(module: str, given: io.BytesIO) -> bytes:
    """What a module of this package that draws with pyvista, in a process of its own, makes of it.

    Raises MissingError if pyvista is not here, or cannot draw on this machine.
    """
    if importlib.util.find_spec("pyvista") is None:
        raise MissingError("no picture: pyvista is not installed; pip install pyvista")
    try:
        child = run_module(
            module, seconds=DRAW_SECONDS, without=("DISPLAY",), given=given.getvalue()
        )
    except subprocess.TimeoutExpired:
        raise MissingError(f"no picture: pyvista took over {DRAW_SECONDS} s to draw it") from None
    if child.code != 0:
        lines = child.said.strip().splitlines() or ["no word"]
        ended = ending(child.code) if child.code < 0 else lines[-1]
        raise MissingError(
            f"no picture: pyvista cannot draw here ({ended}); "
            "pip install --upgrade pyvista vtk, and `posetx doctor` tells more"
        )
    return child.answer


def _diagonal(points: Floats) -> float:
    """Diagonal of the box round points (n, 3)."""
    return float(np.linalg.norm(np.nanmax(points, axis=0) - np.nanmin(points, axis=0)))
