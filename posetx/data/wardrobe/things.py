"""Things that are worn or carried: packs, belts, pouches, swords, shoulder plates, tails, wings."""

from __future__ import annotations

import torch

from posetx.bodies.skeleton import JOINTS
from posetx.data.wardrobe.chart import ABDOMEN, CHEST, PELVIS, Chart
from posetx.data.wardrobe.dice import Dice
from posetx.data.wardrobe.piece import Piece, around, ball, grid, rigid, ring, tube, two_sided
from posetx.geometry.rotations import matrix_from_axis_angle

BACK = (PELVIS, ABDOMEN, CHEST)


def backpack(chart: Chart, dice: Dice, layer: float) -> list[Piece]:
    """A pack on the back, some with a roll on top."""
    size = (dice.size(0.09, 0.17), dice.size(0.12, 0.25), dice.size(0.04, 0.13))
    y = dice.size(0.38, 0.48)
    _, middle, depth = chart.girth(torch.tensor([y]))
    back = float(middle - depth) - layer
    centre = torch.tensor([0.0, y, back - 0.85 * size[2]])
    made = [rigid(chart, ball(centre, size, dice.size(0.25, 0.7)), (CHEST, ABDOMEN), chest=1.0)]
    if dice.chance(0.4):
        high, wide = centre + torch.tensor([0.0, size[1] + 0.03, 0.0]), dice.size(0.15, 0.3)
        made.append(rigid(chart, ball(high, (wide, 0.05, 0.05), 0.4), (CHEST,), chest=1.0))
    return made


def belt(chart: Chart, dice: Dice, layer: float) -> list[Piece]:
    """A belt with pouches and perhaps a sword at the hip."""
    y, half = dice.size(0.13, 0.22), dice.size(0.015, 0.04)
    down = torch.linspace(0, 6.2832, 9)
    width, middle, depth = chart.girth(torch.full((9,), y))
    out = layer + 0.012 + 0.008 * down.sin()
    points = ring(
        around(None, 32), y + half * down.cos(), 1.04 * width + out, middle, 1.06 * depth + out
    )
    at, faces = grid(points, closed=True)
    weights = torch.zeros(len(at), len(JOINTS))
    weights[:, PELVIS], weights[:, ABDOMEN] = 0.7, 0.3
    made = [Piece(at, faces, weights, chart.anchors(at, (PELVIS, ABDOMEN)))]
    rx, rz = float(width[0]) + layer, float(depth[0]) + layer
    for _ in range(int(dice.size(0, 4))):
        angle, size = dice.size(0.6, 5.7), dice.size(0.03, 0.06)
        a = torch.tensor(angle)
        centre = torch.stack(
            [(rx + size / 2) * a.sin(), torch.tensor(y - 0.03), (rz + size / 2) * a.cos()]
        )
        centre[2] += middle[0]
        shape = ball(centre, (size, size * dice.size(0.9, 1.6), size * 0.6), 0.35)
        made.append(rigid(chart, shape, (PELVIS, 13, 16), pelvis=1.0))
    if dice.chance(0.4):
        side = 1.0 if dice.chance(0.7) else -1.0
        turn = matrix_from_axis_angle(torch.tensor([dice.size(0.2, 1.2), 0.0, 0.0]))
        centre = torch.tensor([side * (rx + 0.05), y - 0.15, -0.1])
        shape = ball(centre, (0.015, dice.size(0.3, 0.5), 0.03), 0.4, turn)
        made.append(rigid(chart, shape, (PELVIS, 13, 16), pelvis=1.0))
    return made


def pauldrons(chart: Chart, dice: Dice, layer: float) -> list[Piece]:
    """Shoulder plates; they follow collar bone and upper arm alike."""
    radius, flat = dice.size(0.075, 0.15) + layer, dice.size(0.6, 1.0)
    made = []
    for joint, side, names in (
        (6, 1.0, ("collar_L", "upperarm_L")),
        (10, -1.0, ("collar_R", "upperarm_R")),
    ):
        centre = chart.joints[joint] + torch.tensor([side * 0.01, 0.005, 0.0])
        shape = ball(centre, (radius, flat * radius, radius), dice.size(0.7, 1.0))
        made.append(rigid(chart, shape, (CHEST, joint, joint - 1), **dict.fromkeys(names, 0.5)))
    return made


def tail(chart: Chart, dice: Dice, layer: float) -> list[Piece]:
    """An animal's tail."""
    share = torch.linspace(0, 1, 14).unsqueeze(1)
    length, rise = dice.size(0.3, 0.9), dice.size(-0.5, 0.6)
    path = torch.tensor([0.0, 0.1, -0.07]) + share * torch.tensor([0.0, rise, -1.0]) * length
    path[:, 1] += dice.size(-0.2, 0.2) * (share * 6.0).sin().squeeze(1)
    radii = dice.size(0.02, 0.06) * (1 - 0.7 * share.squeeze(1))
    return [rigid(chart, tube(path, radii), (PELVIS,), pelvis=1.0)]


def wings(chart: Chart, dice: Dice, layer: float) -> list[Piece]:
    """Two stiff wings on the back."""
    span, high, sweep = dice.size(0.3, 0.9), dice.size(0.1, 0.5), dice.size(-0.2, 0.4)
    made = []
    out, up = torch.linspace(0, 1, 9).view(1, -1), torch.linspace(1, -1, 7).view(-1, 1)
    for side in (1.0, -1.0):
        x = side * (0.03 + span * out).expand(7, -1)
        y = 0.5 + sweep * out + high * up * (0.25 + 1.5 * out * (1.1 - out))
        z = (-0.09 - layer - 0.25 * span * out).expand(7, -1)
        points = torch.stack([x.expand_as(y), y, z.expand_as(y)], -1)
        made.append(rigid(chart, two_sided(grid(points, closed=False), 0.012), (CHEST,), chest=1.0))
    return made


def held(chart: Chart, dice: Dice, layer: float) -> list[Piece]:
    """A sword or staff in a hand, or a shield on a forearm."""
    left = dice.chance(0.3)
    joint, name = (8, "hand_L") if left else (12, "hand_R")
    grip = chart.joints[joint] + 0.3 * (chart.joints[joint] - chart.joints[joint - 1])
    if dice.chance(0.3):
        centre = (chart.joints[joint] + chart.joints[joint - 1]) / 2
        centre = centre + torch.tensor([0.07 if left else -0.07, 0.03, -0.02])
        radius = dice.size(0.15, 0.35)
        turn = matrix_from_axis_angle(torch.tensor([0.0, 1.2 if left else -1.2, 0.0]))
        shape = ball(centre, (radius, radius * dice.size(0.9, 1.4), 0.025), 0.8, turn)
        return [rigid(chart, shape, (joint - 1,), **{name.replace("hand", "forearm"): 1.0})]
    length = dice.size(0.3, 0.8)
    turn = matrix_from_axis_angle(torch.tensor([1.2 * dice.size(0.0, 1.0), 0.0, 0.0]))
    middle = grip + turn @ torch.tensor([0.0, length * dice.size(-0.2, 0.7), 0.0])
    width = dice.size(0.012, 0.03)
    shape = ball(middle, (width, length, dice.size(1.0, 2.0) * width), 0.5, turn)
    return [rigid(chart, shape, (joint,), **{name: 1.0})]
