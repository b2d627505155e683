"""What `posetx bodies` is to write; costs nothing to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Poses = Literal["rest", "prior", "clips"]
Layout = Literal["plain", "npt"]
Format = Literal["ply", "obj"]


@dataclass(frozen=True)
class BodiesSettings:
    """What to write.

    ``poses`` is "rest" (between A and T), "prior" (the fitted prior) or "clips" (of ``mocap``).
    ``layout`` "plain" gives ``count`` bodies ``body_0000`` with an identity and a pose each;
    "npt" gives ``identities`` times ``count`` bodies ``id{i}_{j}.obj``, pose j the same for all,
    as in the SMPL-NPT data set. ``views`` None draws one to eight cameras a scan.
    """

    count: int
    poses: Poses = "prior"
    layout: Layout = "plain"
    format: Format = "ply"
    identities: int = 16
    scan: bool = False
    scan_points: int = 20_000
    views: int | None = None
    mocap: Path | None = None
    seed: int = 0
