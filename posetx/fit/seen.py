"""What the network sees in the points that a body is fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from posetx.arrays import Floats
from posetx.models.encoder import PointFeatures

#: where the network takes a smaller share of the points for a body's, it is not believed
LEAST_BODY = 0.3
#: a figure counts as dressed where its points lie this far off the skin in the mean, short of the
#: error to be expected: of 16 bare ones each of `unseen`, `scan`, `front` the farthest has 0.003,
#: of `noise` 0.006, and half of `dressed`, those in wide clothes, have more
DRESSED = 0.007
#: samples next to a point that tell how far it lies off the skin
ABOUT = 3


@dataclass
class Seen:
    """The M points of one cloud that are of a body, and the network's word on each.

    ``lift`` is how far a point of a dressed figure lies off the skin: cloth, hair and armour are no
    reason to move a limb there. Of a bare one, and where the network has no word on it, it is zero.
    """

    points: Tensor  # (1, M, 3)
    parts: Tensor  # (1, M, 19) shares of whose it is
    lift: Tensor  # (1, M) in the cloud's frame

    @classmethod
    def of(cls, cloud: Tensor, features: PointFeatures) -> Seen:
        """Those of a cloud (1, N, 3) with these features that the network takes for a body's.

        All of them where it has no word on that, or takes hardly any for a body's.
        """
        shares = features.shares
        body = shares.sum(-1)
        own = body[0] > 0.5
        if own.float().mean() < LEAST_BODY:
            own = torch.ones_like(own)
        parts = (shares / body.unsqueeze(-1).clamp_min(1e-6))[:, own]
        return cls(cloud[:, own], parts, lifts(features)[:, own])

    @property
    def dressed(self) -> bool:
        """Whether there is much between the points and the skin."""
        return bool(self.lift.any())

    def few(self, count: int) -> Seen:
        """The first points alone."""
        return Seen(self.points[:, :count], self.parts[:, :count], self.lift[:, :count])


def lifts(features: PointFeatures) -> Tensor:
    """(1, N) how far the points of a cloud with these lie off the skin; see :class:`Seen`."""
    places = features.places
    if places is None:
        return torch.zeros_like(features.parts[..., 0])
    said, error = places.lift, places.spread[..., 1]
    share = features.shares.sum(-1)
    mean = ((said - error).clamp_min(0) * share).sum() / share.sum().clamp_min(1e-6)
    return said * (mean > DRESSED)


def lifts_at(points: Floats, samples: Floats, lift: Floats) -> Floats:
    """How far points (n, 3) lie off the skin, if so far (P,) the samples (P, 3) about them do."""
    if not lift.any():
        return np.zeros(len(points))
    index = cKDTree(samples).query(points, k=ABOUT)[1]
    found: Floats = lift[index].mean(1)
    return found
