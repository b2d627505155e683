"""A whole dressed figure: the body and what it wears, as one mesh with exact skinning.

Bodies and their poses have come from a model all along; what people bring is dressed. Everything
here is drawn anew for each figure, from plain clothes to what characters of games wear.
"""

from __future__ import annotations

import torch
from torch import Tensor

from posetx.data.wardrobe import head, sheets, shells, things
from posetx.data.wardrobe.chart import Chart
from posetx.data.wardrobe.dice import Dice
from posetx.data.wardrobe.piece import Piece, joined

#: how often each style wears what
STYLES = {
    "plain": {
        "hair": 0.85, "hat": 0.15, "helmet": 0.03, "hood": 0.05, "horns": 0.0, "scarf": 0.15,
        "trousers": 0.7, "skirt": 0.3, "top": 0.95, "coat": 0.2, "boots": 0.85, "gloves": 0.1,
        "plates": 0.0, "pauldrons": 0.0, "cape": 0.02, "belt": 0.25, "backpack": 0.15,
        "tail": 0.0, "wings": 0.0, "held": 0.03,
    },
    "anime": {
        "hair": 1.0, "hat": 0.15, "helmet": 0.0, "hood": 0.02, "horns": 0.3, "scarf": 0.2,
        "trousers": 0.45, "skirt": 0.5, "top": 0.9, "coat": 0.2, "boots": 0.8, "gloves": 0.25,
        "plates": 0.05, "pauldrons": 0.05, "cape": 0.1, "belt": 0.3, "backpack": 0.05,
        "tail": 0.15, "wings": 0.05, "held": 0.1,
    },
    "fantasy": {
        "hair": 0.6, "hat": 0.15, "helmet": 0.3, "hood": 0.25, "horns": 0.15, "scarf": 0.15,
        "trousers": 0.7, "skirt": 0.35, "top": 0.9, "coat": 0.3, "boots": 0.95, "gloves": 0.6,
        "plates": 0.7, "pauldrons": 0.5, "cape": 0.35, "belt": 0.6, "backpack": 0.1,
        "tail": 0.05, "wings": 0.05, "held": 0.3,
    },
}  # fmt: skip
STYLE_SHARES = {"plain": 0.45, "anime": 0.28, "fantasy": 0.27}
#: the share of outfits in whose mesh the skin under the clothes stays
LAYERED = 0.5
#: skin this far (m) within a garment's edge is what others leave out
HIDDEN = 0.03


def dress(chart: Chart, generator: torch.Generator) -> Piece:
    """A random dressed figure: one mesh, its skin whole or only where it shows."""
    dice = Dice(generator)
    wears = STYLES[dice.weighed(STYLE_SHARES)]
    worn = {name: dice.chance(share) for name, share in wears.items()}
    pieces, covers = _clothes(chart, dice, worn)
    pieces += _on_head(chart, dice, worn)
    layer = 0.03 if worn["coat"] else 0.015
    for name in ("backpack", "pauldrons", "tail", "wings", "held", "belt"):
        if worn[name]:
            pieces += getattr(things, name)(chart, dice, layer)
    if worn["cape"]:
        pieces.append(sheets.cape(chart, dice, layer))
    return joined([_skin(chart, covers, whole=dice.chance(LAYERED)), *pieces])


def bare(chart: Chart) -> Piece:
    """The body as it is, with nothing on."""
    own = torch.arange(len(chart.rest))
    anchors = chart.own(own, torch.zeros(len(own)))
    return Piece(chart.rest, chart.faces, chart.body.weights, anchors)


def _skin(chart: Chart, covers: list[Tensor], *, whole: bool) -> Piece:
    """The body, or what of it is not well under clothes."""
    skin = bare(chart)
    if whole or not covers:
        return skin
    hidden = torch.stack(covers).amax(0) > HIDDEN
    used, faces = chart.cut(~hidden[chart.faces].all(1))
    anchors = chart.own(used, torch.zeros(len(used)))
    return Piece(chart.rest[used], faces, chart.body.weights[used], anchors)


def _clothes(chart: Chart, dice: Dice, worn: dict[str, bool]) -> tuple[list[Piece], list[Tensor]]:
    """Layer over layer, from the skin outward, and where each covers the skin (V,)."""
    pieces: list[Piece] = []
    covers: list[Tensor] = []

    def put(made: tuple[Piece, Tensor]) -> None:
        pieces.append(made[0])
        covers.append(made[1])

    layer = 0.002
    if worn["trousers"]:
        put(shells.trousers(chart, dice, layer))
    if worn["boots"]:
        put(shells.boots(chart, dice, 0.006 if worn["trousers"] else layer))
    if worn["gloves"]:
        put(shells.gloves(chart, dice, layer))
    if worn["top"]:
        put(shells.top(chart, dice, 0.008))
        layer = 0.012
    if worn["skirt"]:
        waist = dice.size(0.16, 0.3)
        bottom = dice.size(-0.25, -0.02) if dice.chance(0.5) else dice.size(-0.78, -0.3)
        pieces.append(sheets.skirt(chart, dice, layer, waist, bottom))
    if worn["coat"]:
        put(shells.top(chart, dice, 0.02))
        gap = dice.size(0.15, 0.8)
        pieces.append(sheets.skirt(chart, dice, 0.02, 0.24, dice.size(-0.7, -0.1), gap))
    if worn["plates"]:
        pieces += shells.plates(chart, dice, 0.02)
    return pieces, covers


def _on_head(chart: Chart, dice: Dice, worn: dict[str, bool]) -> list[Piece]:
    """Hair, one thing over it (what is larger looks out), and what else is there."""
    cover = next((name for name in ("hood", "helmet", "hat") if worn[name]), "")
    pieces: list[Piece] = []
    for name in ("hair", cover, "horns", "scarf"):
        if worn.get(name):
            pieces += getattr(head, name)(chart, dice)
    return pieces
