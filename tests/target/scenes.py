"""Figures with other things in their file, and the truth: what stays, and what is posed how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from trimesh.creation import box, cylinder, icosphere

from posetx.bodies.body import BodyModel
from posetx.data.splits import pose_banks
from posetx.data.wardrobe.wardrobe import Wardrobe
from posetx.evaluation.dressed import dressed
from posetx.evaluation.protocols import eligible_bodies
from posetx.files.sources import array_target
from posetx.files.targets import Target

Shape = tuple[np.ndarray, np.ndarray]
UPRIGHT = trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0])


@dataclass
class Figure:
    """A bare or dressed figure at rest, on the ground, metres, y up, facing +z."""

    rest: np.ndarray  # (V, 3)
    truth: np.ndarray  # (V, 3) in the pose of the scan
    faces: np.ndarray

    @property
    def height(self) -> float:
        return float(np.ptp(self.rest[:, 1]))

    @property
    def hand(self) -> np.ndarray:
        """Where its left hand is, about."""
        return self.rest[self.rest[:, 0].argmax()]

    @property
    def mesh(self) -> trimesh.Trimesh:
        return trimesh.Trimesh(self.rest.copy(), self.faces.copy(), process=False)


@dataclass
class Scene:
    """A target, and of each of its vertices (n,) whether it belongs to the figure."""

    target: Target
    belongs: np.ndarray
    figure: slice  # rows that `Figure.truth` is of


def figures() -> tuple[np.ndarray, list[Figure]]:
    """A scan (P, 3) of somebody bare, and a bare and three dressed figures in the same pose."""
    body = BodyModel.load()
    generator = torch.Generator().manual_seed(11)
    rotations = pose_banks(body, None)["unseen"].draw(1, generator)
    rows = eligible_bodies(body)
    still = torch.eye(3).expand(1, 19, 3, 3)
    scan = body.pose(body.bank[rows[5:6]], rotations)[0].double().numpy()
    shape = body.bank[rows[40:41]]
    vertices = [body.pose(shape, turn)[0].double().numpy() for turn in (still, rotations)]
    made = [(vertices[0], vertices[1], body.faces.numpy())]
    wardrobe = Wardrobe(body)
    for seed in (1, 2, 3):
        who = dressed(wardrobe, body.bank[rows[seed]], seed)
        pair = [who.pose(turn[0]).double().numpy() for turn in (still, rotations)]
        made.append((pair[0], pair[1], who.figure.faces.numpy()))
    grounded = []
    for rest, truth, faces in made:
        low = rest[np.unique(faces), 1].min()
        grounded.append(Figure(rest - [0, low, 0], truth - [0, low, 0], faces))
    return scan, grounded


def _at(mesh: trimesh.Trimesh, *place: float) -> trimesh.Trimesh:
    mesh = mesh.subdivide_to_size(0.15) if len(mesh.faces) < 5000 else mesh
    mesh.apply_translation(place)
    return mesh


def _base(f: Figure) -> trimesh.Trimesh:
    return _at(cylinder(0.33, 0.06, transform=UPRIGHT), 0, -0.03, 0)


def _small_base(f: Figure) -> trimesh.Trimesh:
    feet = f.rest[f.rest[:, 1] < 0.05]
    wide = np.ptp(feet, axis=0) + 0.12
    return _at(box([wide[0], 0.04, wide[2]]), *(feet.mean(0) * [1, 0, 1] - [0, 0.02, 0]))


def _plinth(f: Figure) -> trimesh.Trimesh:
    return _at(box([0.7, 0.9, 0.7]), 0, -0.45, 0)


def _rock(f: Figure) -> trimesh.Trimesh:
    rock = icosphere(4, 1.0)
    rock.vertices *= [0.6, 0.25, 0.5]
    rock.vertices[:, 1] += 0.03 * np.sin(9 * rock.vertices[:, 0])
    return _at(rock, 0, -0.25, 0)


def _crate(f: Figure) -> trimesh.Trimesh:
    return _at(box([0.4, 0.7, 0.4]), f.hand[0] + 0.5, 0.35, 0)


def _crate_that_touches(f: Figure) -> trimesh.Trimesh:
    return _at(box([0.6, 0.3, 0.6]), 0, 0.15, f.rest[f.rest[:, 1] < 0.3, 2].min() - 0.3)


def _ground(f: Figure) -> trimesh.Trimesh:
    return trimesh.Trimesh(
        [[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]], [[0, 2, 1], [0, 3, 2]], process=False
    )


def _wide_ground(f: Figure) -> trimesh.Trimesh:
    ground = _ground(f)
    ground.vertices = ground.vertices * 15
    return ground


def _wall(f: Figure) -> trimesh.Trimesh:
    back = f.rest[:, 2].min() - 0.01
    return _at(box([2.5, 2.4, 0.05]), 0, 1.2, back - 0.025)


def _helper(f: Figure) -> trimesh.Trimesh:
    return icosphere(2, 1.0)


def _dome(f: Figure) -> trimesh.Trimesh:
    return icosphere(3, 30.0)


def _twin(f: Figure) -> trimesh.Trimesh:
    return _at(f.mesh, -2.2 * abs(f.rest[:, 0]).max() - 0.1, 0, 0.1)


def _child(f: Figure) -> trimesh.Trimesh:
    child = f.mesh
    child.vertices *= 0.5
    return _at(child, 2.0, 0, -1.0)


def _pillar(f: Figure) -> trimesh.Trimesh:
    return _at(cylinder(0.2, 2.2, transform=UPRIGHT), 0, 1.1, f.rest[:, 2].min() - 0.21)


def _tree(f: Figure) -> trimesh.Trimesh:
    crown = icosphere(3, 0.7)
    crown.apply_translation([0, 2.2, 0])
    trunk = cylinder(0.12, 2.0, transform=UPRIGHT)
    trunk.apply_translation([0, 1.0, 0])
    return _at(trimesh.util.concatenate([crown, trunk]), -1.6, 0, 0)


def _chair(f: Figure) -> trimesh.Trimesh:
    legs = [(x, 0.22, z) for x in (-0.2, 0.2) for z in (-0.2, 0.2)]
    parts = [box([0.04, 0.44, 0.04]) for _ in legs]
    for part, place in zip(parts, legs, strict=True):
        part.apply_translation(place)
    seat, back = box([0.46, 0.05, 0.46]), box([0.46, 0.5, 0.04])
    seat.apply_translation([0, 0.45, 0])
    back.apply_translation([0, 0.72, -0.22])
    return _at(trimesh.util.concatenate([*parts, seat, back]), -1.3, 0, 0.2)


def _sword(f: Figure) -> trimesh.Trimesh:
    return _at(box([0.03, 0.9, 0.01]), *(f.hand + [-0.04, -0.3, 0]))


def _staff(f: Figure) -> trimesh.Trimesh:
    hand = f.hand - [0.05, 0, 0]
    return _at(cylinder(0.015, 1.8, transform=UPRIGHT), hand[0], 0.9, hand[2])


def _halo(f: Figure) -> trimesh.Trimesh:
    ring = trimesh.creation.torus(0.12, 0.015, transform=UPRIGHT)
    return _at(ring, *f.rest[f.rest[:, 1].argmax()] + [0, 0.08, 0])


def _shell(f: Figure) -> trimesh.Trimesh:
    shell = f.mesh
    shell.vertices = shell.vertices + 0.004 * shell.vertex_normals
    return shell


def _gown(f: Figure) -> trimesh.Trimesh:
    waist = 0.58 * f.height
    at = f.rest[np.abs(f.rest[:, 1] - waist) < 0.03]
    at = at[np.abs(at[:, 0] - np.median(at[:, 0])) < 0.2]
    gown = trimesh.creation.revolve([[0.55, 0.02], [0.4, waist / 2], [0.15, waist]])
    gown.apply_transform(trimesh.transformations.rotation_matrix(-np.pi / 2, [1, 0, 0]))
    return _at(gown, at[:, 0].mean(), 0, at[:, 2].mean())


def _cat(f: Figure) -> trimesh.Trimesh:
    """Something round with legs, larger than a head, on the ground."""
    trunk = icosphere(3, 1.0)
    trunk.vertices *= [0.12, 0.1, 0.3]
    trunk.apply_translation([0, 0.25, 0])
    legs = []
    for x in (-0.07, 0.07):
        for z in (-0.2, 0.2):
            leg = cylinder(0.025, 0.25, transform=UPRIGHT)
            leg.apply_translation([x, 0.125, z])
            legs.append(leg)
    return _at(trimesh.util.concatenate([trunk, *legs]), 0.6, 0, 0.5)


#: other things, which stay, and things that belong to the figure, which move
OTHERS: dict[str, Callable[[Figure], trimesh.Trimesh]] = {
    "base": _base, "small base": _small_base, "plinth": _plinth, "rock": _rock, "crate": _crate,
    "crate that touches": _crate_that_touches, "ground": _ground, "wide ground": _wide_ground,
    "wall": _wall, "helper": _helper, "dome": _dome, "twin": _twin, "child": _child,
    "pillar": _pillar, "tree": _tree, "chair": _chair, "cat": _cat,
}  # fmt: skip
OWN: dict[str, Callable[[Figure], trimesh.Trimesh]] = {
    "sword": _sword, "staff": _staff, "halo": _halo, "shell": _shell, "gown": _gown,
}  # fmt: skip


def scene(figure: Figure, names: list[str], first: bool = False) -> Scene:
    """A figure with things, which come ``first`` in the file or last."""
    things = [{**OTHERS, **OWN}[name](figure) for name in names]
    own = np.concatenate(
        [np.full(len(t.vertices), n in OWN) for n, t in zip(names, things, strict=True)]
    )
    more = trimesh.util.concatenate(things)
    parts: list[Shape] = [(figure.rest, figure.faces), (more.vertices, more.faces)]
    masks = [np.ones(len(figure.rest), dtype=bool), own]
    begin = 0
    if first:
        parts, masks, begin = parts[::-1], masks[::-1], len(own)
    faces = [parts[0][1], parts[1][1] + len(parts[0][0])]
    target = array_target(np.concatenate([v for v, _ in parts]), np.concatenate(faces))
    return Scene(target, np.concatenate(masks), slice(begin, begin + len(figure.rest)))
