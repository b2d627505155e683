"""The scan: a dressed person before three simulated depth cameras, with all that goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from posetx.bodies.body import forward_kinematics, skin

from .body import joint
from .mesh import blend, rasterise, smoothed, vertex_normals
from .paint import RUNNER, Painter

PERSON = (0.85, 0.66, 0.55, 0.45, 0.55, 0.6)  # phenotypes
POINTS = 84_000
HEADING_DEGREES = 130.0  # the body faces -y turned by this about z
ORIGIN_MM = (1840.0, -2310.0, 655.0)  # where the floor's middle lies
FLOOR_RADIUS = 1.2
IMAGE = (620, 620)  # rows and columns


@dataclass
class Camera:
    """A depth camera that looks at the body."""

    azimuth: float  # degrees from the body's front
    distance: float
    height: float
    pixels: float  # a metre, at the body
    exposure: tuple[float, float, float]

    def basis(self, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) and rows right, down, forward (3, 3)."""
        angle = np.deg2rad(self.azimuth)
        away = np.array([np.sin(angle), 0, np.cos(angle)]) * self.distance
        position = middle * (1, 0, 1) + away + (0, self.height, 0)
        forward = middle - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, (0, 1, 0))
        right /= np.linalg.norm(right)
        return position, np.stack([right, np.cross(forward, right), forward])


CAMERAS = (
    Camera(22, 2.5, 1.35, 190, (1.04, 1.00, 0.95)),
    Camera(148, 2.4, 1.65, 205, (0.94, 0.98, 1.03)),
    Camera(262, 2.9, 1.05, 165, (0.88, 0.88, 0.90)),
)


def make_scan(painter: Painter, rotations: torch.Tensor, path: Path) -> int:
    """Write the scan; returns its number of points."""
    rng = np.random.default_rng(5)
    vertices = pose_person(painter, rotations)
    middle = np.array([0, (vertices[:, 1].min() + vertices[:, 1].max()) / 2, 0])
    clouds, colours = [], []
    for camera in CAMERAS:
        cloud, colour = shoot(camera, vertices, painter, middle, rng)
        # the cameras' registration is never exact
        turn = np.deg2rad(0.3) * rng.standard_normal(3)
        clouds.append(cloud + np.cross(turn, cloud - middle) + 0.002 * rng.standard_normal(3))
        colours.append(colour)
    cloud, colour = np.concatenate(clouds), np.concatenate(colours)

    # a hole in the left thigh: something shiny, say
    thigh = vertices[painter.body.weights[:, joint("thigh.L")] > 0.9].mean(0)
    keep = np.linalg.norm(cloud - (thigh + (0.0, -0.02, 0.06)), axis=1) > 0.10
    keep &= rng.random(len(cloud)) < POINTS / keep.sum()
    stray = (rng.random((60, 3)) - (0.5, 0, 0.5)) * (2.4, 2.2, 2.4)
    x, y, z = np.concatenate([cloud[keep], stray]).T
    grey = rng.uniform(40, 220, (60, 1)) + np.zeros(3)
    colour = np.concatenate([colour[keep], grey]).clip(0, 255)

    cloud = np.stack([x, -z, y], 1)  # z up, facing -y
    angle = np.deg2rad(HEADING_DEGREES)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    cloud[:, :2] = cloud[:, :2] @ turn.T
    write_ply(path, cloud * 1000 + ORIGIN_MM, colour)
    return len(cloud)


def pose_person(painter: Painter, rotations: torch.Tensor) -> np.ndarray:
    """Vertices (V, 3) of the person in loose clothes, posed, standing on y = 0."""
    body = painter.body
    shape = body.shape(PERSON)
    rest, joints = body.model.rest(shape)
    rest, faces = rest[0].numpy(), body.model.faces.numpy()
    masks = painter.garments(body.template, body.weights, RUNNER)
    x, y, z = body.template.T
    fold = np.sin(31 * y + 9 * x + 2 * np.sin(17 * z)) * np.sin(23 * x - 11 * z)
    thick = {"shirt": 0.011, "trousers": 0.006, "shoes": 0.010, "hair": 0.018}
    push = sum(masks[name] * value for name, value in thick.items())
    push = push + 0.006 * fold * (masks["shirt"] | masks["trousers"])
    rest = rest + vertex_normals(rest, faces) * smoothed(push, faces, 3)[:, None]
    rest = smoothed(rest, faces, 40, masks["shoes"])  # no toes in a shoe

    placed = forward_kinematics(joints, rotations)
    points = torch.from_numpy(rest).float()[None]
    posed = skin(points, body.model.weights, joints, placed, rotations)[0].double().numpy()
    low, high = posed.min(0), posed.max(0)
    return posed - ((low[0] + high[0]) / 2, low[1] + 0.003, (low[2] + high[2]) / 2)


def shoot(camera: Camera, vertices, painter: Painter, middle, rng):
    """What one camera measures: points (N, 3) in the body's frame and colours (N, 3)."""
    rows, columns = IMAGE
    faces = painter.body.model.faces.numpy()
    position, axes = camera.basis(middle)
    seen = (vertices - position) @ axes.T
    focal = camera.pixels * camera.distance
    image = seen[:, :2] / seen[:, 2:] * focal + (columns / 2, rows / 2)
    face, bary = rasterise(image[faces], seen[faces][..., 2], IMAGE)

    row, column = np.mgrid[:rows, :columns] + 0.5
    ray = [(column - columns / 2) / focal, (row - rows / 2) / focal, np.ones_like(row)]
    ray = np.stack(ray, -1) @ axes
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    length = np.full(IMAGE, np.inf)
    colour = np.zeros((*IMAGE, 3))
    chance = np.zeros(IMAGE)  # that a pixel is kept

    body = face >= 0
    corner = faces[face[body]]
    a, b, c = vertices[corner].transpose(1, 0, 2)
    length[body] = np.linalg.norm(blend(vertices, corner, bary[body]) - position, axis=1)
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-12)
    facing = -(normal * ray[body]).sum(1)
    paint = painter.colour(corner, bary[body], RUNNER)
    colour[body] = paint * (0.55 + 0.35 * facing.clip(0) + 0.15 * normal[:, 1])[:, None]
    # less where the surface turns away or is dark hair
    chance[body] = ((facing - 0.10) / 0.25).clip(0, 1) * (0.75 + 0.25 * (paint.mean(1) > 60))

    # a tiled floor with a ragged rim, where the body is not
    down = np.where(ray[..., 1] < -1e-3, -position[1] / np.minimum(ray[..., 1], -1e-3), np.inf)
    ground = position + ray * np.where(np.isfinite(down), down, 0)[..., None]
    x, z = ground[..., 0], ground[..., 2]
    ragged = 1 + 0.06 * np.sin(5 * np.arctan2(x, z) + camera.azimuth)
    floor = ~body & np.isfinite(down) & (np.hypot(x, z) < FLOOR_RADIUS * ragged)
    length[floor] = down[floor]
    colour[floor] = (132 + 10 * np.mod(np.floor(x / 0.4) + np.floor(z / 0.4), 2))[floor, None]
    chance[floor] = 0.30

    keep = rng.random(IMAGE) < chance
    length, keep = with_faults(length, keep, body, rng)
    colour = colour * camera.exposure + 4 * rng.standard_normal((*IMAGE, 1))
    return position + ray[keep] * length[keep][:, None], colour[keep]


def with_faults(length: np.ndarray, keep: np.ndarray, body: np.ndarray, rng):
    """Measured lengths of the rays, and the pixels that are kept (all (H, W))."""
    # flying pixels: between the silhouette and what lies behind it
    behind = np.roll(length, int(rng.integers(2)) * 2 - 1, axis=1)
    length = np.where(np.isfinite(length), length, 0)  # nothing measured, nothing kept
    gap = np.minimum(np.where(np.isfinite(behind), behind - length, 0.4), 0.4)
    flying = body & (gap > 0.06) & (rng.random(IMAGE) < 0.2)
    length = np.where(flying, length + gap * rng.random(IMAGE) ** 1.5, length)
    keep = keep | flying
    # noise along the ray: 3 to 4 mm, and a slow wave as depth cameras have
    row, column = np.mgrid[: IMAGE[0], : IMAGE[1]] + 0.5
    wave = 0.0015 * np.sin(0.045 * column + 3 * np.sin(0.03 * row))
    sigma = np.where(keep, 0.0034 * (length / 2.5) ** 2, 0)
    return length + wave + sigma * rng.standard_normal(IMAGE), keep


def write_ply(path: Path, points: np.ndarray, colours: np.ndarray) -> None:
    """Binary little-endian PLY: float x, y, z, uchar red, green, blue."""
    channels = ("red", "green", "blue")
    data = np.zeros(len(points), [(a, "<f4") for a in "xyz"] + [(c, "u1") for c in channels])
    for column, (axis, channel) in enumerate(zip("xyz", channels, strict=True)):
        data[axis], data[channel] = points[:, column], colours[:, column].round()
    lines = ["ply", "format binary_little_endian 1.0", "comment three depth cameras, merged"]
    lines += [f"element vertex {len(data)}", *(f"property float {axis}" for axis in "xyz")]
    lines += [*(f"property uchar {channel}" for channel in channels), "end_header", ""]
    path.write_bytes("\n".join(lines).encode() + data.tobytes())
