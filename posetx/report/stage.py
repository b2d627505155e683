"""The subjects of a picture set up to be drawn: one frame, one scale, one ground, coloured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posetx.arrays import Floats
from posetx.errors import PosetxError
from posetx.geometry.ramp import SCALAR_COLORS, palette

#: Degrees the camera goes round the subject, from its front to its left.
VIEWS = {"front": 0.0, "side": 90.0, "back": 180.0, "three-quarter": 35.0}

#: Degrees the camera looks down: enough to see that the subject stands on a ground.
ELEVATION = 7.0

#: Share of a cell that stays empty on each side.
MARGIN = 0.07

#: Points of a cloud that are drawn; more would cover each other.
POINT_LIMIT = 100_000

#: From the ground up, for a cloud without colours of its own.
CLOUD_COLORS = ((24, 92, 128), (52, 164, 168), (172, 212, 158))

MESH_COLOR = (178, 187, 202)


@dataclass(frozen=True)
class Column:
    """One subject of a picture.

    Attributes
    ----------
    title : str
        stands above the column.
    points : (n, 3) float
        vertices or points, any unit, all columns in one frame.
    faces : (m, 3) int, optional
        triangles; without, the points are drawn as points.
    colors : (n, 3), optional
        per-vertex colours: uint8, or float in 0 … 1.
    scalars : (n,) float, optional
        per-vertex values, drawn from blue to red, with a legend; `colors` go before them.
    scalar_range : (low, high), optional
        what the ends of the colours stand for; the least and greatest value, if not given.
    color : (r, g, b), optional
        of everything, 0 … 255, where there are neither colours nor scalars. A cloud that has
        none of the three is coloured by height.
    note : str
        small text below the title.
    """

    title: str
    points: ArrayLike
    faces: ArrayLike | None = None
    colors: ArrayLike | None = None
    scalars: ArrayLike | None = None
    scalar_range: tuple[float, float] | None = None
    color: tuple[int, int, int] | None = None
    note: str = ""

    def limits(self) -> tuple[float, float] | None:
        """What the ends of the colour scale stand for; None without scalars to be seen."""
        if self.scalars is None or self.colors is not None:
            return None
        if self.scalar_range is not None:
            return self.scalar_range
        values = np.asarray(self.scalars, float)
        values = values[np.isfinite(values)]
        return (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)


@dataclass(frozen=True)
class Subject:
    """A column ready to draw: x to its left, y up, z where it looks; its lowest point at y = 0."""

    points: NDArray[np.float32]
    faces: NDArray[np.int32] | None
    #: Of each point (n, 3), or of all (3,).
    colors: NDArray[np.uint8]
    #: The points that have to be in the picture: without the few far ones of a cloud.
    solid: NDArray[np.float32]
    #: Typical distance between neighbours in a cloud.
    spacing: float


@dataclass(frozen=True)
class Stage:
    """Subjects and cameras. Plane coordinates of a view are (to the right, up), in units."""

    subjects: list[Subject]
    #: (views, 3, 3): right, up and toward the viewer, as rows.
    axes: Floats
    #: (subjects, views, 2): the middle of each cell in the plane of its view.
    centers: Floats
    #: Half the height of a cell, in units.
    half_height: float
    #: Pixels, width and height.
    cell: tuple[int, int]


def set_stage(
    columns: Sequence[Column],
    views: Sequence[str],
    up: Sequence[float],
    front: Sequence[float],
    cell: tuple[int, int],
) -> Stage:
    """Everything in the frame of the picture, with cameras that see all of it at one scale."""
    frame = upright_frame(up, front)
    subjects = [prepare(column, frame) for column in columns]
    axes = np.stack([camera_axes(VIEWS[view]) for view in views])
    low = np.zeros((len(subjects), len(axes), 2))
    high = np.zeros_like(low)
    for i, subject in enumerate(subjects):
        for j, view_axes in enumerate(axes):
            plane = subject.solid @ view_axes[:2].T
            low[i, j], high[i, j] = plane.min(axis=0), plane.max(axis=0)
    # Sideways each subject is in the middle of its cell. In height all share one ground: the
    # row is as high as its highest and lowest subjects together.
    low[..., 1] = low[..., 1].min(axis=0)
    high[..., 1] = high[..., 1].max(axis=0)
    width, height = cell
    extent = (high - low).reshape(-1, 2).max(axis=0)
    half = max(extent[1] / 2.0, extent[0] / 2.0 * height / width, 1e-9)
    return Stage(subjects, axes, (low + high) / 2.0, half / (1.0 - 2.0 * MARGIN), cell)


def upright_frame(up: Sequence[float], front: Sequence[float]) -> Floats:
    """The rotation (3, 3), axes as rows, into x to the subject's left, y up, z to its front."""
    y = np.asarray(up, float)
    z = np.asarray(front, float)
    x = np.cross(y, z)
    if not (np.isfinite(x).all() and np.linalg.norm(x) > 1e-6):
        raise PosetxError(f"no picture: up {tuple(up)} and front {tuple(front)} make no frame")
    y, x = y / np.linalg.norm(y), x / np.linalg.norm(x)
    return np.stack([x, y, np.cross(x, y)])


def camera_axes(yaw_degrees: float) -> Floats:
    """Right, up and toward the viewer as rows (3, 3), the camera `ELEVATION` above the ground."""
    yaw, pitch = np.radians([yaw_degrees, ELEVATION])
    right = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
    level = np.array([np.sin(yaw), 0.0, np.cos(yaw)])
    toward = np.cos(pitch) * level + np.sin(pitch) * np.array([0.0, 1.0, 0.0])
    return np.stack([right, np.cross(toward, right), toward])


def prepare(column: Column, frame: Floats) -> Subject:
    """Turns a column upright, puts it on the ground over the origin, colours and thins it."""
    points = np.asarray(column.points, float).reshape(-1, 3) @ frame.T
    finite = np.all(np.isfinite(points), axis=1)
    if not finite.any():
        raise PosetxError(f"no picture: {column.title} has no points")
    colors = vertex_colors(column, len(points))
    faces = None if column.faces is None else np.asarray(column.faces, np.int64).reshape(-1, 3)
    if faces is not None and len(faces):
        faces = faces[finite[faces].all(axis=1)]
        points[~finite] = points[finite][0]  # no face uses them any more
        return _on_ground(points, points[np.unique(faces)], faces.astype(np.int32), colors)
    points, colors = points[finite], colors[finite] if colors.ndim == 2 else colors
    if len(points) > POINT_LIMIT:
        kept = np.random.default_rng(0).permutation(len(points))[:POINT_LIMIT]
        points, colors = points[kept], colors[kept] if colors.ndim == 2 else colors
    solid = without_far(points)
    if column.color is None and column.colors is None and column.scalars is None:
        height = points[:, 1] - solid[:, 1].min()
        colors = palette(CLOUD_COLORS, height / max(float(np.ptp(solid[:, 1])), 1e-30))
    return _on_ground(points, solid, None, colors)


def without_far(points: Floats) -> Floats:
    """The points of a cloud less the few that lie far from all others."""
    low, high = np.percentile(points, [1, 99], axis=0)
    slack = 0.15 * (high - low).max()
    near: Floats = points[((points >= low - slack) & (points <= high + slack)).all(axis=1)]
    return near


def _on_ground(
    points: Floats, solid: Floats, faces: NDArray[np.int32] | None, colors: NDArray[np.uint8]
) -> Subject:
    """Shifts to the origin, and only then goes to single precision."""
    low, high = solid.min(axis=0), solid.max(axis=0)
    origin = (low + high) / 2.0
    origin[1] = low[1]
    shown = (solid - origin).astype(np.float32)
    spacing = 0.0 if faces is not None else point_spacing(shown)
    return Subject((points - origin).astype(np.float32), faces, colors, shown, spacing)


def point_spacing(points: NDArray[np.float32]) -> float:
    """About the distance between neighbours in a cloud, so that points this large close it."""
    from scipy.spatial import cKDTree

    asked = points[:: len(points) // 2000 + 1]
    distances, _ = cKDTree(points).query(asked, k=min(5, len(points)))
    return float(np.median(distances[:, -1])) if distances.ndim == 2 else 0.0


def vertex_colors(column: Column, count: int) -> NDArray[np.uint8]:
    """The colours of a column as uint8: (count, 3), or (3,) for one colour."""
    if column.colors is not None:
        colors = np.asarray(column.colors)[..., :3]
        if colors.shape != (count, 3):
            raise PosetxError(f"no picture: {column.title}: {count} points, {len(colors)} colours")
        if colors.dtype != np.uint8:
            # Floats above 1 are 0 … 255 all the same: some readers hand them on so.
            scale = 255.0 if np.nanmax(colors, initial=0.0) <= 1.0 else 1.0
            colors = np.clip(np.nan_to_num(colors * scale), 0, 255).round().astype(np.uint8)
        return brightened(colors) if column.faces is None else colors
    limits = column.limits()
    if limits is not None:
        low, high = limits
        values = np.asarray(column.scalars, float).reshape(count)
        return palette(SCALAR_COLORS, (values - low) / ((high - low) or 1.0))
    return np.array(column.color or MESH_COLOR, np.uint8)


def brightened(colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours (n, 3) of a dim capture, as indoor ones are, lifted; bright ones stay as they are."""
    typical = float(np.median(colors.max(axis=1))) / 255.0 if len(colors) else 1.0
    gamma = float(np.clip(np.log(0.55) / np.log(np.clip(typical, 0.01, 0.99)), 0.5, 1.0))
    return (255.0 * (colors / 255.0) ** gamma).round().astype(np.uint8)
