"""The target: a stylised character in several parts, with materials and a painted texture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from posetx.bodies.body import forward_kinematics, skin
from posetx.bodies.skeleton import JOINTS

from .accessories import belt_part, buckle_part, hat_part
from .body import Body
from .figure import figure_part
from .obj import MATERIALS, Part, write_obj
from .paint import Painter
from .texture import make_texture

CHARACTER = (0.05, 0.72, 0.80, 0.85, 0.30, 0.5)  # phenotypes
# bone scales that make the character a cartoon
SCALES = {
    "head": 1.42, "neck": 1.1, "hand": 1.3, "foot": 1.3, "collar": 1.12, "chest": 1.06,
    "forearm": 1.1, "thigh": 0.94, "shin": 0.94,
}  # fmt: skip


def make_target(painter: Painter, rotations: torch.Tensor, folder: Path, truth: Path | None) -> int:
    """Write OBJ, MTL and PNG (and the posed truth); returns the number of vertices."""
    body = painter.body
    rest, joints = character(body)
    belt, front = belt_part(rest, painter)
    parts = [
        figure_part(rest, painter),
        eye_part(rest, body, 1, "eye_left"),
        eye_part(rest, body, 2, "eye_right"),
        hat_part(rest, painter),
        belt,
        buckle_part(rest, body, front),
    ]
    write_obj(folder / "target.obj", parts, [part.vertices for part in parts])
    (folder / "target.mtl").write_text(MATERIALS)
    make_texture(painter, folder / "target.png")
    if truth:
        placed = forward_kinematics(joints, rotations)
        posed = []
        for part in parts:
            points = torch.from_numpy(part.vertices).float()[None]
            weights = torch.from_numpy(part.weights).float()
            posed.append(skin(points, weights, joints, placed, rotations)[0].numpy())
        write_obj(truth, parts, posed)
    return sum(len(part.vertices) for part in parts)


def character(body: Body) -> tuple[np.ndarray, torch.Tensor]:
    """Rest vertices (V, 3) and joints (1, 19, 3) of the character on the body's mesh."""
    rest, joints = body.model.rest(body.shape(CHARACTER))
    scales = torch.tensor([[[SCALES.get(name.split(".")[0], 1.0)] for name in JOINTS]])
    placed = forward_kinematics(joints, torch.eye(3).expand(1, len(JOINTS), 3, 3), scales)
    linear = torch.eye(3) * scales.unsqueeze(-1)
    rest = skin(rest, body.model.weights, joints, placed, linear)[0]
    ground = rest[:, 1].min() * torch.tensor([0.0, 1.0, 0.0])
    return (rest - ground).numpy(), placed - ground


def eye_part(rest: np.ndarray, body: Body, side: int, name: str) -> Part:
    quad = body.part[body.quads[:, 0]] == side
    used, index = np.unique(body.quads[quad], return_inverse=True)
    used_uv, index_uv = np.unique(body.quad_uv[quad], return_inverse=True)
    corners = np.stack([index.reshape(-1, 4), index_uv.reshape(-1, 4)], -1)
    part = Part(name, rest[used], body.weights[used], body.uv[used_uv])
    # a triangle may be a quad with a corner twice
    part.faces[name, "eyes"] = [list(dict.fromkeys(map(tuple, p))) for p in corners.tolist()]
    return part
