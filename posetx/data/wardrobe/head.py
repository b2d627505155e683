"""What people and characters wear on the head: hair of all lengths, hats, helmets, hoods, horns."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from posetx.bodies.skeleton import JOINTS
from posetx.data.wardrobe.chart import CHEST, HEAD, NECK, Chart
from posetx.data.wardrobe.dice import Dice
from posetx.data.wardrobe.piece import (
    Piece,
    Shape,
    around,
    ball,
    grid,
    rigid,
    ring,
    tube,
    two_sided,
)

#: joints that long hair and hoods lie on
DOWN = (HEAD, NECK, CHEST, 1)
#: heights at rest (m) between which long hair goes over from the head to the chest
LOOSE, LYING = 0.74, 0.5


def _hanging(chart: Chart, shape: Shape) -> Piece:
    """Hair that hangs from the head and lies on back and shoulders."""
    points, faces = shape
    share = ((LOOSE - points[:, 1]) / (LOOSE - LYING)).clamp(0, 1)
    share = share * share * (3 - 2 * share)
    weights = torch.zeros(len(points), len(JOINTS))
    weights[:, HEAD], weights[:, CHEST] = 1 - 0.9 * share, 0.9 * share
    return Piece(points, faces, weights, chart.anchors(points, DOWN))


def _on_head(chart: Chart, shape: Shape) -> Piece:
    return rigid(chart, shape, (HEAD,), head=1.0)


def _direction(polar: float, angle: float) -> Tensor:
    """From the middle of the skull; ``polar`` 0 is up, ``angle`` 0 the face and a quarter +x."""
    p, a = torch.tensor(polar), torch.tensor(angle)
    return torch.stack([p.sin() * a.sin(), p.cos(), p.sin() * a.cos()])


def dome(
    chart: Chart, dice: Dice, thick: float, front: float, back: float, rough: float = 0.0
) -> Shape:
    """A cap ``thick`` off the skull, down to polar angles ``front`` and ``back``.

    Its rim lies in the skin; ``rough`` (share of ``thick``) makes locks of it.
    """
    angle = around(None, 32)
    end = back + (front - back) * ((1 + angle.cos()) / 2).pow(1.5)
    share = torch.cat([torch.linspace(0.02, 1, 14), torch.tensor([1.0])]).unsqueeze(1)
    polar = share * end
    lift = torch.full(polar.shape, thick)
    lift[-1] = -0.01  # into the skin: no gap at the rim
    towards = torch.stack([polar.sin() * angle.sin(), polar.cos(), polar.sin() * angle.cos()], -1)
    if rough:
        waves = dice.waves(towards.reshape(-1, 3), 0.5).reshape(polar.shape)
        lift[:-1] *= 1 + rough * waves[:-1]
    points = chart.skull + towards * (chart.skull_radii + lift.unsqueeze(-1))
    # below the ears hair falls straight, it does not follow the skull inward
    low = (polar - 1.75).clamp_min(0)
    points[..., 1] -= 0.05 * low
    return grid(points, closed=True, top=True)


def hair(chart: Chart, dice: Dice) -> list[Piece]:
    """One head of hair."""
    style = dice.weighed(
        {"short": 0.22, "long": 0.24, "buns": 0.2, "tails": 0.14, "big": 0.1, "spikes": 0.1}
    )
    thick = dice.size(0.004, 0.03)
    if style == "big":
        thick = dice.size(0.05, 0.17)
    cap = dome(chart, dice, thick, dice.size(0.75, 1.05), dice.size(1.9, 2.25), dice.size(0, 0.4))
    made = [_on_head(chart, cap)]
    if style == "long":
        made.append(_fall(chart, dice, thick))
    elif style == "buns":
        made += _buns(chart, dice, thick)
    elif style == "tails":
        made += _tails(chart, dice)
    elif style == "spikes":
        made += _spikes(chart, dice, thick)
    return made


def _fall(chart: Chart, dice: Dice, thick: float) -> Piece:
    """Long hair: a sheet from the sides of the head down the back."""
    bottom = dice.size(0.0, 0.66)
    start = float(chart.skull[1]) + 0.02
    y = torch.linspace(start, bottom, max(6, int((start - bottom) / 0.035)))
    width, _, back = (chart.skull_radii + thick + 0.004).tolist()
    _, middle, depth = chart.girth(y)
    low = ((0.72 - y) / 0.12).clamp(0, 1)
    # behind the back, wherever that is
    behind = float(chart.skull[2]) - (middle - depth) + 0.012 + dice.size(0.0, 0.02)
    deep = torch.maximum(torch.full_like(y, back), low * behind)
    wide = width + dice.size(0.0, 0.08) * low
    half = 2.2 - (2.2 - dice.size(1.0, 1.5)) * ((0.78 - y) / 0.12).clamp(0, 1)
    angle = 3.1416 + half.unsqueeze(1) * torch.linspace(-1, 1, 24)
    points = ring(angle, y, wide, torch.full_like(y, float(chart.skull[2])), deep)
    return _hanging(chart, two_sided(grid(points, closed=False), 0.006))


def _buns(chart: Chart, dice: Dice, thick: float) -> list[Piece]:
    """One bun or two, from small to as large as the head."""
    radius = dice.size(0.03, 0.12)
    polar, pair = dice.size(0.3, 1.5), dice.chance(0.65)
    sides = (1.0, -1.0) if pair else (1.0,)
    angle = dice.size(1.3, 2.6) if pair else 3.1416
    flat = dice.size(0.75, 1.15)
    made = []
    for side in sides:
        towards = _direction(polar, side * angle)
        reach = chart.skull_radii + thick + radius * 0.6
        made.append(
            _on_head(chart, ball(chart.skull + towards * reach, (radius, flat * radius, radius)))
        )
    return made


def _tails(chart: Chart, dice: Dice) -> list[Piece]:
    """A ponytail, or one at each side; stiff ones stand off, long ones lie on the back."""
    pair = dice.chance(0.5)
    polar, length = dice.size(0.6, 1.5), dice.size(0.12, 0.75)
    width, out = dice.size(0.02, 0.06), dice.size(0.05, 0.3)
    made = []
    for side in (1.0, -1.0) if pair else (1.0,):
        towards = _direction(polar, side * dice.size(1.5, 1.9) if pair else 3.1416)
        share = torch.linspace(0, 1, 14).unsqueeze(1)
        away = F.normalize(towards * torch.tensor([1.0, 0.0, 1.0]), dim=0)
        path = chart.skull + towards * chart.skull_radii
        path = path + away * out * (share * 2.2).clamp_max(1.0).sin() + 0.04 * towards * share
        path = path - torch.tensor([0.0, 1.0, 0.0]) * length * share.pow(1.5)
        radii = width * (0.35 + 1.2 * (share * 3.1416 * 0.9).sin()).squeeze(1)
        radii[-1] = 0.008
        made.append(_hanging(chart, tube(path, radii)))
    return made


def _spikes(chart: Chart, dice: Dice, thick: float) -> list[Piece]:
    """Cones all over the scalp, as heroes of cartoons have them."""
    made = []
    length, width = dice.size(0.06, 0.25), dice.size(0.025, 0.05)
    for _ in range(int(dice.size(6, 16))):
        towards = _direction(dice.size(0.0, 1.5), dice.size(1.0, 5.3))
        made.append(_cone(chart, towards, length * dice.size(0.6, 1.2), width, thick))
    return made


def _cone(chart: Chart, towards: Tensor, length: float, width: float, thick: float = 0.0) -> Piece:
    """A spike, horn or ear that stands on the skull."""
    share = torch.linspace(0, 1, 6).unsqueeze(1)
    foot = chart.skull + towards * (chart.skull_radii + thick - 0.03)
    bend = torch.tensor([0.0, 0.3, 0.0]) * length * share * share
    path = foot + towards * (length + 0.03) * share + bend
    return _on_head(chart, tube(path, width * (1 - share.squeeze(1)) + 0.005, 8))


def horns(chart: Chart, dice: Dice) -> list[Piece]:
    """Horns, or the ears of an animal."""
    polar, angle = dice.size(0.4, 1.3), dice.size(0.9, 1.9)
    length, width = dice.size(0.06, 0.3), dice.size(0.012, 0.05)
    return [_cone(chart, _direction(polar, side * angle), length, width) for side in (1.0, -1.0)]


def _turned(chart: Chart, rows: list[tuple[float, float]], lining: bool = False) -> Shape:
    """A body of revolution on the head: rows of (share of the skull's radii, height over it)."""
    table = torch.tensor(rows)
    size, y = table[:, 0], chart.skull[1] + table[:, 1]
    width, depth = size * chart.skull_radii[0], size * chart.skull_radii[2]
    points = ring(around(None, 32), y, width, torch.full_like(y, float(chart.skull[2])), depth)
    shape = grid(points, closed=True, top=not lining)
    return two_sided(shape, 0.005) if lining else shape


def hat(chart: Chart, dice: Dice) -> list[Piece]:
    """A hat with a brim, a cap with a shade, a tall hat or a witch's, a crown."""
    style = dice.one_of("brim", "cap", "tall", "witch", "crown")
    sits, loose = dice.size(0.02, 0.06), dice.size(1.06, 1.25)
    if style == "cap":
        cap = dome(chart, dice, dice.size(0.01, 0.03), 1.2, dice.size(1.4, 1.7))
        return [_on_head(chart, cap), _shade(chart, dice)]
    if style == "crown":
        high = dice.size(0.03, 0.12)
        rows = [(loose * dice.size(1.0, 1.3), sits + high), (loose, sits)]
        return [_on_head(chart, _turned(chart, rows, lining=True))]
    high = {
        "brim": dice.size(0.08, 0.14),
        "tall": dice.size(0.18, 0.4),
        "witch": dice.size(0.25, 0.6),
    }[style]
    top_size = {"brim": 0.85, "tall": dice.size(0.8, 1.3), "witch": 0.1}[style] * loose
    brim = loose * (dice.size(1.4, 3.2) if style != "tall" else dice.size(1.2, 1.8))
    sag = dice.size(-0.03, 0.05)
    rows = [(0.04, sits + high), (top_size, sits + high - 0.01 * loose)]
    for share in (0.25, 0.5, 0.75):
        rows.append((top_size + (loose - top_size) * share, sits + high * (1 - share)))
    rows += [
        (loose, sits + 0.01),
        (brim, sits - sag),
        (brim, sits - sag - 0.008),
        (loose, sits - 0.004),
    ]
    shape = _turned(chart, rows)
    if style == "witch":  # the tip bends
        points = shape[0]
        up = ((points[:, 1] - chart.skull[1] - sits) / high).clamp(0, 1)
        points[:, 2] -= dice.size(0.0, 0.25) * up.square()
    return [_on_head(chart, shape)]


def _shade(chart: Chart, dice: Dice) -> Piece:
    """The shade of a cap: a half ring at the forehead."""
    size = torch.tensor([1.0, 1.0 + dice.size(0.5, 1.0)])
    width, depth = (
        size.clamp_max(1.25) * (chart.skull_radii[0] + 0.02),
        size * (chart.skull_radii[2] + 0.02),
    )
    y = chart.skull[1] + torch.tensor([0.035, 0.015])
    points = ring(
        around((-1.2, 1.2), 16), y, width, torch.full_like(y, float(chart.skull[2])), depth
    )
    return _on_head(chart, two_sided(grid(points, closed=False), 0.004))


def helmet(chart: Chart, dice: Dice) -> list[Piece]:
    """A helmet, open or closed at the face, some with a crest or horns."""
    closed = dice.chance(0.35)
    front = 2.3 if closed else dice.size(1.0, 1.3)
    made = [_on_head(chart, dome(chart, dice, dice.size(0.025, 0.06), front, dice.size(1.8, 2.3)))]
    if dice.chance(0.35):
        made += horns(chart, dice)
    if dice.chance(0.35):
        centre = chart.skull + torch.tensor([0.0, 0.1, -0.01])
        made.append(
            _on_head(chart, ball(centre, (0.012, dice.size(0.05, 0.14), dice.size(0.1, 0.16))))
        )
    return made


def hood(chart: Chart, dice: Dice) -> list[Piece]:
    """A hood or cowl: over the head, around the neck, onto the shoulders."""
    thick = dice.size(0.015, 0.05)
    made = [_on_head(chart, dome(chart, dice, thick, dice.size(0.95, 1.25), 2.0))]
    y = torch.tensor([0.84, 0.79, 0.74, 0.70, 0.67, 0.64, 0.60, 0.55])
    low = ((0.70 - y) / 0.15).clamp(0, 1)
    width = chart.skull_radii[0] + thick + (dice.size(0.12, 0.17)) * low
    depth = chart.skull_radii[2] + thick + 0.04 * low
    half = dice.size(2.0, 2.5)
    angle = 3.1416 + half * torch.linspace(-1, 1, 28)
    points = ring(angle, y, width, torch.full_like(y, float(chart.skull[2]) - 0.01), depth)
    at, faces = two_sided(grid(points, closed=False), 0.006)
    share = ((0.76 - at[:, 1]) / 0.1).clamp(0, 1)
    weights = torch.zeros(len(at), len(JOINTS))
    chest = ((0.70 - at[:, 1]) / 0.06).clamp(0, 1)
    weights[:, HEAD], weights[:, NECK] = 1 - share, share * (1 - chest)
    weights[:, CHEST] = share * chest
    made.append(Piece(at, faces, weights, chart.anchors(at, (HEAD, NECK, CHEST, 5, 9))))
    return made


def scarf(chart: Chart, dice: Dice) -> list[Piece]:
    """A scarf or high collar around the neck."""
    thick = dice.size(0.015, 0.04)
    down = torch.linspace(0, 6.2832, 9)
    # the section runs around the ring's own middle, outward from the top on
    high = dice.size(0.03, 0.05)
    y = 0.675 + high * down.cos()
    out = 0.075 + thick * (1 + down.sin())
    points = ring(around(None), y, out, torch.full_like(y, 0.028), out)
    at, faces = grid(points, closed=True)
    weights = torch.zeros(len(at), len(JOINTS))
    chest = ((0.68 - at[:, 1]) / 0.08).clamp(0, 1)
    weights[:, NECK], weights[:, CHEST] = 1 - chest, chest
    return [Piece(at, faces, weights, chart.anchors(at, (NECK, CHEST, 5, 9)))]
