"""Which sides of the body a scan shows: what one camera cannot see is no reason to move a limb."""

from __future__ import annotations

import torch
from torch import Tensor

from posetx.fit.figure import Placed
from posetx.fit.views import Views, cameras, sphere

DIRECTIONS = 64
#: how narrowly a direction stands for those about it
SHARPNESS = 4.0
#: distance from the scan at which a body's point counts as shown by 1/e
NEAR = 0.05
#: a side that is not shown counts this much
LEAST = 0.05
#: a side counts as shown from this share of the best one's on
SHOWN = 0.45


class Sides:
    """For each direction, what share of the body's surface that faces it is near the scan.

    Nothing has to be known about the cameras: whatever their number, the sides that they saw are
    near points all over the body, and the others are a body's thickness away.
    """

    def __init__(self, placed: Placed, squared: Tensor, cloud: Tensor, dressed: bool = False):
        """Of one placed body, and the squared distances (1, N) of its surface to the scan.

        ``cloud`` (1, M, 3) is the scan. Of a ``dressed`` figure nothing is known to be hidden: its
        clothes hide all of it.
        """
        self.directions = sphere(DIRECTIONS).to(squared.device)
        near = torch.exp(-squared.clamp_min(0) / NEAR**2)
        by_direction = self._kernel(placed.normals)[0]  # (N, D)
        shown = (near @ by_direction)[0] / by_direction.sum(0).clamp_min(1e-6)
        self.shown = (shown / shown.max().clamp_min(1e-6)).clamp_min(LEAST)
        self.views = Views(cloud, cloud.new_zeros(0, 3) if dressed else cameras(placed, near[0]))

    @property
    def all_shown(self) -> bool:
        """Whether the scan goes all around the body, and no part of it hides another."""
        return not len(self.views.directions) and bool(self.shown.min() > SHOWN)

    def weights(self, places: Tensor, normals: Tensor) -> Tensor:
        """What surface samples (B, N, 3) with these normals count: (B, N), from 0 to 1."""
        kernel = self._kernel(normals)
        return self.views.open(places) * (kernel @ self.shown) / kernel.sum(-1)

    def _kernel(self, normals: Tensor) -> Tensor:
        return torch.exp(SHARPNESS * (normals @ self.directions.T - 1))
