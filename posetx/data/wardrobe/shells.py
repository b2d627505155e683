"""What lies on the skin: shirts, trousers, boots, gloves, plates. The template's own faces, lifted.

A field over the template's vertices says how far (m) each lies within the garment's edge. Weights
are the skin's, smoothed, so that the cloth moves as what is under it does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from posetx.data.wardrobe.chart import HEAD, NECK, Chart
from posetx.data.wardrobe.dice import Dice
from posetx.data.wardrobe.piece import Piece

#: metres a unit of `Chart.along`, about: the template's bones
ARM, LEG = 0.26, 0.42
#: along the arm, where a glove begins; along the leg, where a shoe does
WRIST, ANKLE = 1.95, 1.93
#: no cloth crosses the middle between the legs, m
CROTCH = 0.004


def shell(chart: Chart, inside: Tensor, thick: Tensor, out: Tensor | None = None) -> Piece:
    """The template's faces where ``inside`` (V,) > 0, lifted by ``thick`` (V,) along the normals.

    ``out`` (V, 3) is added, for what hangs or flares. Faces stay on their side of the body.
    """
    vertices, faces = chart.cut((inside > 0)[chart.faces].all(1))
    offset = chart.outward[vertices] * thick[vertices, None]
    if out is not None:
        offset = offset + out[vertices]
    rest = chart.rest[vertices]
    points = rest + offset
    leg, side = chart.share["leg"][vertices] > 0.5, rest[:, 0].sign()
    x = side * (side * points[:, 0]).clamp_min(CROTCH)
    points[:, 0] = torch.where(leg, x, points[:, 0])
    lift = (points - rest).norm(dim=1)
    return Piece(points, faces, chart.weights[vertices], chart.own(vertices, lift))


def hem(inside: Tensor, width: float = 0.03) -> Tensor:
    """1 well within a garment, going to 0 at its edge over ``width`` metres."""
    share = (inside / width).clamp(0, 1)
    return share * share * (3 - 2 * share)


def _upper(chart: Chart, neckline: float, bottom: float, sleeve: float) -> Tensor:
    """Inside of a garment of the trunk, with sleeves as far along the arms as ``sleeve``."""
    _, y, z = chart.rest.unbind(1)
    trunk = torch.minimum(neckline - (y + 0.4 * (z - 0.03)), y - bottom)
    inside = torch.where(chart.share["arm"] > 0.5, (sleeve - chart.along) * ARM, trunk)
    return torch.where(chart.owner == HEAD, -1.0, inside)


def top(chart: Chart, dice: Dice, layer: float) -> tuple[Piece, Tensor]:
    """A shirt, sweater, jacket or robe's upper half, and where it covers the skin (V,).

    ``layer`` metres are under it already.
    """
    sleeve = {"none": 0.12, "short": dice.size(0.4, 0.9), "long": dice.size(1.5, 1.98)}[
        dice.weighed({"none": 0.15, "short": 0.25, "long": 0.6})
    ]
    inside = _upper(chart, dice.size(0.60, 0.70), dice.size(0.02, 0.2), sleeve)
    loose = dice.size(0.004, 0.03) if dice.chance(0.6) else dice.size(0.03, 0.07)
    trunk = 0.5 + 0.5 * hem(0.55 - chart.rest[:, 1], 0.3)  # hangs from the shoulders, free below
    thick = layer + loose * (1 + 0.4 * dice.waves(chart.rest, 0.2)) * trunk
    out = None
    if sleeve > 1.5 and dice.chance(0.4):
        out = _sleeves(chart, dice)
    edge = layer / 2 + (thick - layer / 2) * hem(inside, 0.02)
    return shell(chart, inside, edge, out), inside


def _sleeves(chart: Chart, dice: Dice) -> Tensor:
    """(V, 3) outward along the forearms, more towards the wrist, and more below than above."""
    start = dice.size(0.3, 1.2)
    share = ((chart.along - start) / (2 - start)).clamp(0, 1)
    share = torch.where(chart.share["arm"] > 0.5, share, 0.0)
    below = 1 + dice.size(0.0, 2.5) * (-chart.radial[:, 1]).clamp_min(0)
    return chart.radial * (dice.size(0.02, 0.09) * share * below).unsqueeze(1)


def trousers(chart: Chart, dice: Dice, layer: float) -> tuple[Piece, Tensor]:
    """Trousers from shorts to baggy ones, and where they cover the skin (V,)."""
    y, along = chart.rest[:, 1], chart.along
    length = dice.size(0.35, 1.0) if dice.chance(0.3) else dice.size(1.3, 1.95)
    leg = torch.where(chart.foot, -1.0, (length - along) * LEG)
    inside = torch.where(chart.share["leg"] > 0.5, leg, dice.size(0.14, 0.24) - y)
    inside = torch.where(chart.share["arm"] > 0.3, -1.0, inside)
    inside = torch.where((chart.owner == HEAD) | (chart.owner == NECK), -1.0, inside)
    width = dice.size(0.004, 0.02) if dice.chance(0.5) else dice.size(0.03, 0.09)
    widest, gathered = dice.size(0.8, 1.9), dice.chance(0.5)
    share = (along / widest).clamp(0, 1)
    if gathered:
        share = share * hem((length - along) * LEG, 0.12)
    share = torch.where(chart.share["leg"] > 0.5, 0.3 + 0.7 * share, 0.3)
    folds = 1 + 0.35 * dice.waves(chart.rest, 0.15)
    edge = hem(inside, 0.02) if gathered else torch.ones_like(inside)
    return shell(chart, inside, layer + width * share * folds * edge), inside


def boots(chart: Chart, dice: Dice, layer: float) -> tuple[Piece, Tensor]:
    """Shoes or boots with a sole, some with a wide cuff, and where they cover the skin (V,)."""
    height = dice.size(0.0, 0.1) if dice.chance(0.5) else dice.size(0.2, 0.9)
    foot = chart.foot
    inside = torch.where(foot, 1.0, (chart.along - (2 - height)) * LEG)
    inside = torch.where(chart.share["leg"] > 0.5, inside, -1.0)
    width = dice.size(0.008, 0.025)
    cuff = dice.size(0.0, 0.05) * (1 - ((chart.along - (2 - height)) / 0.3).clamp(0, 1))
    out = chart.radial * torch.where(foot, 0.0, cuff).unsqueeze(1)
    out += torch.where(foot.unsqueeze(1), chart.rounded - chart.rest, 0.0)
    # the sole goes down, the toes of some are long
    below = (chart.sole + 0.06 - chart.rest[:, 1]).clamp_min(0) / 0.06
    out[:, 1] -= dice.size(0.0, 0.05) * below
    toes = ((chart.rest[:, 2] - 0.08) / 0.12).clamp(0, 1) * foot
    out[:, 2] += dice.size(0.0, 0.1) * toes * float(dice.chance(0.3))
    return shell(chart, inside, torch.full_like(inside, layer + width), out), inside


def gloves(chart: Chart, dice: Dice, layer: float) -> tuple[Piece, Tensor]:
    """Gloves or gauntlets, some with a wide cuff, and where they cover the skin (V,)."""
    start = WRIST - dice.size(0.0, 0.6)
    inside = torch.where(chart.share["arm"] > 0.5, (chart.along - start) * ARM, -1.0)
    cuff = dice.size(0.0, 0.04) * (1 - ((chart.along - start) / 0.4).clamp(0, 1))
    hand = (chart.owner == 8) | (chart.owner == 12)
    out = chart.radial * torch.where(hand, 0.0, cuff).unsqueeze(1)
    thick = layer + dice.size(0.002, 0.009)
    return shell(chart, inside, torch.full_like(inside, thick), out), inside


def plates(chart: Chart, dice: Dice, layer: float) -> list[Piece]:
    """Armour: some of breast plate, greaves, bracers and thigh plates."""
    _, y, z = chart.rest.unbind(1)
    arm, leg = chart.share["arm"] > 0.5, chart.share["leg"] > 0.5
    trunk = torch.minimum(0.62 - (y + 0.4 * (z - 0.03)), y - dice.size(0.2, 0.36))
    chest = torch.where(arm | leg | (chart.owner == HEAD), -1.0, trunk)

    def band(where: Tensor, low: float, high: float, length: float) -> Tensor:
        near = torch.minimum(chart.along - low, high - chart.along) * length
        return torch.where(where, near, -1.0)

    fields = {
        "chest": (0.8, chest),
        "shins": (0.6, band(leg, 1.05, 1.9, LEG)),
        "forearms": (0.6, band(arm, 1.1, 1.9, ARM)),
        "thighs": (0.4, band(leg, 0.2, 0.9, LEG)),
        "upper arms": (0.3, band(arm, 0.3, 0.9, ARM)),
    }
    made = []
    for share, inside in fields.values():
        if dice.chance(share):
            thick = layer + dice.size(0.006, 0.035) * hem(inside, 0.02)
            made.append(shell(chart, inside, thick))
    return made
