"""Draws meshes and point clouds off screen with pyvista; run as a child of `posetx.report.preview`.

A process of its own because VTK does not raise where a graphics driver fails: it aborts or
crashes, and that must not take a finished transfer with it.

    python -m posetx.report.render < job.npz > images.npy

The job holds, of each subject i, `points_i` (n, 3) and `colors_i` (n, 3) uint8 or (3,), `faces_i`
(m, 3) for a mesh, `spacing` (subjects,); and of the cells what `posetx.report.stage.Stage` says:
`axes`, `centers`, `half_height`, and `size`, the pixels of a cell. The
answer is an array (subjects, views, height, width, 4) uint8.
"""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np

from posetx.system.child import answer_stream

#: Degrees between two facets from which on their edge is drawn sharp.
FEATURE_ANGLE = 50.0

#: Faces up to which sharp edges are looked for; finer meshes have none that one would see.
SPLIT_LIMIT = 400_000

#: Smallest and largest size of a drawn point.
POINT_PIXELS = (3.0, 16.0)

# Direction from the subject in the camera's frame (right, up, toward the viewer), intensity, tint.
LIGHTS = [
    ((-0.65, 0.95, 1.0), 0.92, (1.0, 0.985, 0.96)),  # key: from above the viewer's left shoulder
    ((0.8, 0.1, 1.0), 0.42, (0.90, 0.95, 1.0)),  # fill: cool, from the right
    ((0.3, 0.9, -1.0), 0.40, (1.0, 1.0, 1.0)),  # rim: from behind, sets the outline off
]


def draw(job: dict[str, np.ndarray]) -> np.ndarray:
    """All cells of the job, with a transparent background."""
    import pyvista as pv

    width, height = (int(pixels) for pixels in job["size"])
    subjects, views = job["centers"].shape[:2]
    half_height = float(job["half_height"])
    images = np.zeros((subjects, views, height, width, 4), np.uint8)
    for i in range(subjects):
        plotter = pv.Plotter(off_screen=True, window_size=[width, height], lighting="none")
        plotter.disable_anti_aliasing()  # the page scales the cells down, which does the same
        plotter.render_window.SetMultiSamples(0)
        add_subject(plotter, job, i, pixels_per_unit=height / (2.0 * half_height))
        plotter.enable_parallel_projection()
        for j in range(views):
            axes = job["axes"][j]
            plotter.remove_all_lights()
            for direction, intensity, tint in LIGHTS:
                towards = np.asarray(direction) @ axes
                light = pv.Light(color=tint, intensity=intensity, light_type="scene light")
                light.positional = False
                light.position, light.focal_point = tuple(towards), (0.0, 0.0, 0.0)
                plotter.add_light(light)
            aim_camera(plotter, axes, job["centers"][i, j], half_height)
            plotter.render()  # a screenshot by itself repeats the last one
            shot = plotter.screenshot(transparent_background=True, return_img=True)
            images[i, j] = shot[:height, :width]
        plotter.close()
    return images


def aim_camera(plotter: Any, axes: np.ndarray, center: np.ndarray, half_height: float) -> None:
    """A camera without perspective that sees `half_height` above and below the centre."""
    right, up, toward = axes
    focus = right * center[0] + up * center[1]
    camera = plotter.camera
    camera.focal_point = tuple(focus)
    camera.position = tuple(focus + toward * half_height * 10.0)
    camera.up = tuple(up)
    camera.parallel_scale = half_height
    plotter.renderer.ResetCameraClippingRange()


def add_subject(plotter: Any, job: dict[str, np.ndarray], i: int, pixels_per_unit: float) -> None:
    """Puts subject i of the job on the stage."""
    import pyvista as pv

    points, colors = job[f"points_{i}"], job[f"colors_{i}"]
    faces = job.get(f"faces_{i}")
    paint: dict[str, Any] = {"color": tuple(colors / 255.0)}
    if faces is None:
        cloud = pv.PolyData(points)
        if colors.ndim == 2:
            cloud["colors"] = colors
            paint = {"scalars": "colors", "rgb": True}
        size = float(job["spacing"][i]) * pixels_per_unit
        plotter.add_mesh(
            cloud,
            style="points",
            point_size=float(np.clip(1.3 * size, *POINT_PIXELS)),
            render_points_as_spheres=True,
            ambient=0.50,
            diffuse=0.62,
            specular=0.0,
            **paint,
        )
        return
    cells = np.hstack([np.full((len(faces), 1), 3, faces.dtype), faces])
    mesh = pv.PolyData(points, cells.ravel())
    if colors.ndim == 2:
        mesh["colors"] = colors
        paint = {"scalars": "colors", "rgb": True}
    mesh = mesh.compute_normals(
        cell_normals=False,
        consistent_normals=False,
        auto_orient_normals=False,
        split_vertices=len(faces) <= SPLIT_LIMIT,
        feature_angle=FEATURE_ANGLE,
    )
    plotter.add_mesh(
        mesh,
        smooth_shading=True,
        ambient=0.30,
        diffuse=0.78,
        specular=0.14,
        specular_power=18.0,
        **paint,
    )


def main() -> None:
    """Reads a job, draws it, writes the images."""
    with answer_stream() as stream:
        with np.load(io.BytesIO(sys.stdin.buffer.read())) as job:
            images = draw(dict(job))
        answer = io.BytesIO()  # numpy asks a real file where it stands, which a pipe does not know
        np.save(answer, images)
        stream.write(answer.getbuffer())


if __name__ == "__main__":
    main()
