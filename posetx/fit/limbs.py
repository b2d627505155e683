"""Other places for limbs: the poses people take with them, tried on a body whose trunk is right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from posetx.bodies.body import forward_kinematics, global_rotations, relative_rotations, skin
from posetx.bodies.skeleton import ARMS, LEGS
from posetx.data.prior import draw_prior
from posetx.fit.figure import Figure, FreeBody
from posetx.fit.seen import Seen
from posetx.fit.sides import Sides

LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG = ARMS[:4], ARMS[4:], LEGS[:3], LEGS[3:]
#: the joints that take another pose together: each limb, and two of them, since one limb that is
#: taken for another leaves both in the wrong place
LIMBS = (
    LEFT_ARM,
    RIGHT_ARM,
    LEFT_LEG,
    RIGHT_LEG,
    ARMS,
    LEGS,
    LEFT_ARM + LEFT_LEG,
    RIGHT_ARM + RIGHT_LEG,
)
#: a limb's joints from one on to its end, the longest first
CHAINS = tuple(limb[i:] for i in range(4) for limb in LIMBS[:4] if limb[i:])
#: poses of each that are looked at
CANDIDATES = 256
#: distance at which a point counts as half unexplained, in units of the cloud's frame: of the
#: figure's own, one that grows would explain more
SCALE = 0.1
#: what a body's point away from the scan counts, relative to a scan's away from the body
BODY_SHARE = 0.6


@dataclass
class Misfit:
    """Of B bodies, each (B,) from 0 to 1."""

    cloud: Tensor  # share of the cloud that is far from the body
    body: Tensor  # share of the body that is far from the cloud

    @property
    def whole(self) -> Tensor:
        return self.cloud + BODY_SHARE * self.body


class LimbSearch:
    """Finds, for the limbs of a figure, where else they could be.

    The candidates are limbs of the shipped pose prior's training half, the same every time.
    """

    def __init__(self, body: FreeBody):
        self.body = body
        self.local = _candidates().to(body.template.device)
        self.samples = [_samples(body, limb) for limb in LIMBS]
        self.chain_samples = [_samples(body, chain) for chain in CHAINS]

    def misfit(self, figures: Figure, seen: Seen, sides: Sides | None = None) -> Misfit:
        """How badly each figure (B) explains what is seen; of it the ``sides`` count."""
        placed = self.body.place(figures)
        squared = squared_distances(seen.points, placed.surface)
        to_cloud = _to_cloud(squared, seen)
        shown = None if sides is None else sides.weights(placed.surface, placed.normals)
        return _unexplained(short(squared.amin(2), seen.lift), to_cloud, shown)

    def starts(self, figure: Figure, seen: Seen, count: int, sides: Sides | None = None) -> Figure:
        """``count`` figures like ``figure`` (1) with limbs elsewhere: the best of each of LIMBS.

        What the ``sides`` know to be hidden needs no points.
        """
        each = max(count // len(LIMBS), 1)
        surface = self.body.place(figure).surface
        local = relative_rotations(figure.rotations)
        rotations = []
        for limb, samples in zip(LIMBS, self.samples, strict=True):
            others = local.repeat(CANDIDATES, 1, 1, 1)
            others[:, list(limb)] = self.local[:, list(limb)]
            others = global_rotations(others)
            misfit = self._misfits(figure, others, seen, surface, samples, sides).whole
            rotations.append(others[misfit.topk(each, largest=False).indices])
        starts = figure.repeated(each * len(LIMBS))
        starts.rotations = torch.cat(rotations)
        return starts

    def returned(self, figure: Figure, start: Figure, seen: Seen, worth: float) -> Figure:
        """``figure`` (1) with those limbs as in ``start`` (1) that explain no points.

        Where a scan lacks a limb, the pull of each body's point to the next point of the scan
        takes it into the trunk. A limb stays if the cloud would be explained worse without it, by
        the share ``worth`` of what it is of the body.
        """
        squared = squared_distances(seen.points, self.body.place(figure).surface)
        explained = _explained(short(squared.amin(2), seen.lift))
        own, other = relative_rotations(figure.rotations), relative_rotations(start.rotations)
        for chain, samples in zip(CHAINS, self.chain_samples, strict=True):
            kept = torch.ones(squared.shape[2], dtype=torch.bool, device=squared.device)
            kept[samples] = False
            saved = (explained - _explained(short(squared[:, :, kept].amin(2), seen.lift))).mean()
            if saved < worth * len(samples) / len(kept):
                own[:, list(chain)] = other[:, list(chain)]
        return replace(figure, rotations=global_rotations(own))

    def _misfits(
        self,
        figure: Figure,
        rotations: Tensor,
        seen: Seen,
        surface: Tensor,
        samples: Tensor,
        sides: Sides | None,
    ) -> Misfit:
        """Of the figure with other ``rotations`` (C, 19, 3, 3) of the limb with ``samples``.

        ``surface`` (1, M, 3) is the figure's; ``samples`` are indices of it.
        """
        body, count = self.body, len(rotations)
        rest, joints = body.rest(figure)
        joints = joints.expand(count, -1, -1)
        placed = forward_kinematics(joints, rotations)
        limb = skin(rest[:, samples], body.weights[samples], joints, placed, rotations)
        limb = figure.size * limb + figure.where
        kept = torch.ones(surface.shape[1], dtype=torch.bool, device=surface.device)
        kept[samples] = False
        still = surface[:, kept]
        # a cloud's point is explained by the limb or by the rest, which stays where it is
        apart = squared_distances(seen.points, limb)  # (C, N, limb samples)
        rest_apart = squared_distances(seen.points, still)  # (1, N, M - limb samples)
        to_body = torch.minimum(apart.amin(2), rest_apart.amin(2))
        to_cloud = [_to_cloud(x, seen).expand(count, -1) for x in (rest_apart, apart)]
        shown = None
        if sides is not None:
            views = sides.views
            shown = torch.cat([views.open(still).expand(count, -1), views.open(limb)], 1)
        return _unexplained(short(to_body, seen.lift), torch.cat(to_cloud, 1), shown)


@lru_cache(maxsize=1)
def _candidates() -> Tensor:
    """Local rotations (CANDIDATES, 19, 3, 3), drawn once for the scan's fit and the target's."""
    return draw_prior("train", CANDIDATES, seed=0).local


def squared_distances(cloud: Tensor, surface: Tensor) -> Tensor:
    """Of one cloud (1, N, 3) to many surfaces (B, M, 3): (B, N, M), zero or a little less."""
    ours = cloud.square().sum(-1).unsqueeze(-1)
    theirs = surface.square().sum(-1).unsqueeze(1)
    cloud = cloud.expand(len(surface), -1, -1)
    return torch.baddbmm(theirs, cloud, surface.transpose(1, 2), alpha=-2).add_(ours)


def nearest_points(surface: Tensor, cloud: Tensor) -> Tensor:
    """Which of one cloud's points (1, N, 3) is nearest to each of many surfaces' (B, M, 3): (B, M).

    On the CPU through numpy, whose search along rows takes a fifth of the time of torch's and a
    twentieth of that of torch's along columns.
    """
    ours = cloud.square().sum(-1).unsqueeze(1)
    cloud = cloud.expand(len(surface), -1, -1)
    apart = torch.baddbmm(ours, surface, cloud.transpose(1, 2), alpha=-2)
    return least(apart)


def least(rows: Tensor) -> Tensor:
    """Indices (B, N) of the least of each row (B, N, M); see :func:`nearest_points`."""
    if rows.device.type == "cpu":
        return torch.from_numpy(rows.numpy().argmin(2))
    return rows.argmin(2)


def _to_cloud(squared: Tensor, seen: Seen) -> Tensor:
    """From squared distances (B, N, M) those of the surface's M to the nearest point: (B, M)."""
    if not seen.dressed:  # the index takes longer than all else
        return squared.amin(1)
    nearest, which = squared.min(1)
    return short(nearest, seen.lift[0, which])


def short(squared: Tensor, lift: Tensor | float) -> Tensor:
    """Squared distances (B, N) short of what is between the skin and the point that they are to."""
    return (squared.clamp_min(0).sqrt() - lift).clamp_min(0).square()


def _samples(body: FreeBody, joints: tuple[int, ...]) -> Tensor:
    """Indices of the surface's samples that move with these joints."""
    return (body.weights[:, list(joints)].sum(1) > 0.5).nonzero().squeeze(1)


def _explained(squared: Tensor) -> Tensor:
    """From squared distances to the nearest point of the other side: 1 near by, 0 far off."""
    return SCALE**2 / (squared.clamp_min(0) + SCALE**2)


def _unexplained(cloud: Tensor, surface: Tensor, shown: Tensor | None = None) -> Misfit:
    """From squared distances (B, N), (B, M) to the nearest point of the other side.

    Of the surface's samples each counts as much as it is ``shown`` (B, M), all alike without.
    """
    far = 1 - _explained(surface)
    body = far.mean(1) if shown is None else (shown * far).sum(1) / shown.sum(1).clamp_min(1e-6)
    return Misfit(1 - _explained(cloud).mean(1), body)
