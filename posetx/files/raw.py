"""What a format's codec gives :mod:`posetx.files.scans`, which checks it and makes a scan of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Raw:
    """What a scan's file holds, before anything of it is believed.

    ``points`` (n, 3); ``normals`` (n, 3) of any length; ``colors`` (n, 3) of any range; ``faces``
    (m, 3) triangles; ``notes`` for the user. All but the points may be missing.
    """

    points: np.ndarray
    normals: np.ndarray | None = None
    colors: np.ndarray | None = None
    faces: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
