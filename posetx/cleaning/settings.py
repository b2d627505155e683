"""What a user can set of cleaning; costs nothing to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: how points are thinned: evenly and fast, or exactly so many and as far apart as can be
Sampling = Literal["voxel", "farthest"]


@dataclass(frozen=True)
class CleanSettings:
    """What of cleaning is done; see `posetx clean --help`."""

    outliers: bool = True
    planes: bool = True
    clusters: bool = True
    #: thin what is left to at most so many points
    points: int | None = None
    sampling: Sampling = "voxel"
    #: of the draws of the plane search
    seed: int = 0
