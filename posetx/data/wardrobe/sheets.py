"""Cloth of its own shape that hangs from the body: skirts, coat tails, capes.

A skirt follows both thighs, the left half the left one, more and more downward; a cape follows
the chest, lower down the pelvis.
"""

from __future__ import annotations

import torch
from torch import Tensor

from posetx.bodies.skeleton import JOINTS
from posetx.data.wardrobe.chart import ABDOMEN, CHEST, PELVIS, Chart
from posetx.data.wardrobe.dice import Dice
from posetx.data.wardrobe.piece import Piece, around, grid, ring, two_sided

#: thickness of cloth that has two sides, m
CLOTH = 0.004
#: joints under a skirt, and under a cape
BELOW, BACK = (0, 1, 13, 14, 16, 17), (0, 1, 2, 5, 9)


def _ramp(values: Tensor, start: float, end: float) -> Tensor:
    """0 at ``start``, 1 at ``end``, smooth between and flat beyond."""
    share = ((values - start) / (end - start)).clamp(0, 1)
    return share * share * (3 - 2 * share)


def hanging_weights(points: Tensor, waist: float, depth: float = 0.93) -> Tensor:
    """Weights (N, 19) of cloth that hangs from the waist, at rest points (N, 3).

    ``depth`` is how much of it the thighs take at most; below the knees the shins take half of
    that, so that a long skirt lies over bent knees.
    """
    x, y, _ = points.unbind(1)
    weights = torch.zeros(len(points), len(JOINTS))
    legs = depth * _ramp(y, waist - 0.04, waist - 0.26)
    left = torch.sigmoid(x / 0.03)
    shin = 0.75 * _ramp(y, -0.25, -0.45)
    for side, first in ((left, 13), (1 - left, 16)):
        weights[:, first] = legs * side * (1 - shin)
        weights[:, first + 1] = legs * side * shin
    upper = (1 - legs) * _ramp(y, 0.14, 0.26)
    weights[:, ABDOMEN], weights[:, PELVIS] = upper, 1 - legs - upper
    return weights


def skirt(
    chart: Chart, dice: Dice, layer: float, waist: float, bottom: float, gap: float = 0.0
) -> Piece:
    """A skirt from height ``waist`` to ``bottom`` (m at rest), open ``gap`` rad at the front."""
    rows = max(5, int((waist - bottom) / 0.05))
    y = torch.linspace(waist, bottom, rows)
    width, middle, depth = chart.girth(y)
    # it never gets narrower than what it lies on
    width, depth = width.cummax(0).values, depth.cummax(0).values
    share = (waist - y) / max(waist - bottom, 0.1)
    loose = layer + 0.008 + dice.size(0.0, 0.35) * (waist - bottom) * share.pow(dice.size(0.5, 1.5))
    width, depth = 1.06 * width + loose, 1.1 * depth + loose
    angle = around((gap, 6.2832 - gap) if gap else None, 40)
    folds = dice.size(0.0, 0.08) * share.unsqueeze(1)
    folds = 1 + folds * torch.cos(angle * int(dice.size(6, 14)))
    points = ring(angle, y, width.unsqueeze(1) * folds, middle, depth.unsqueeze(1) * folds)
    shape = grid(points, closed=not gap)
    if gap or dice.chance(0.5):
        shape = two_sided(shape, CLOTH)
    at, faces = shape
    return Piece(at, faces, hanging_weights(at, waist), chart.anchors(at, BELOW))


def cape(chart: Chart, dice: Dice, layer: float) -> Piece:
    """A cape from the shoulders down the back, to between the hips and the ankles."""
    start, bottom = 0.63, dice.size(-0.75, 0.1)
    y = torch.linspace(start, bottom, 22)
    _, middle, depth = chart.girth(y)
    share = (start - y) / (start - bottom)
    depth = depth.cummax(0).values + layer + dice.size(0.015, 0.04) + dice.size(0.0, 0.3) * share
    width = 0.15 + layer + 0.05 * _ramp(share, 0.0, 0.15) + dice.size(0.0, 0.25) * share
    half = dice.size(1.0, 1.7)  # how far around the body it goes, from the back
    angle = around((3.1416 - half, 3.1416 + half), 28)
    folds = 1 + dice.size(0.0, 0.1) * share.unsqueeze(1) * torch.cos(angle * int(dice.size(6, 12)))
    points = ring(angle, y, width.unsqueeze(1) * folds, middle, depth.unsqueeze(1) * folds)
    at, faces = two_sided(grid(points, closed=False), CLOTH)
    weights = torch.zeros(len(at), len(JOINTS))
    low = 0.85 * _ramp(at[:, 1], 0.45, -0.1)
    weights[:, CHEST], weights[:, ABDOMEN], weights[:, PELVIS] = 1 - low, 0.35 * low, 0.65 * low
    return Piece(at, faces, weights, chart.anchors(at, BACK))
