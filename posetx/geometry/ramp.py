"""Colours for numbers: a ramp of a few colours, and what lies between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posetx.arrays import Floats

#: from the low end to the high one: blue, light blue, pale, orange, red
SCALAR_COLORS = ((59, 92, 168), (120, 178, 205), (240, 236, 214), (238, 150, 88), (178, 36, 52))


def palette(stops: Sequence[tuple[int, int, int]], values: Floats) -> NDArray[np.uint8]:
    """Colours (n, 3) for values (n,) between 0 (first stop) and 1 (last); others are clipped."""
    at = np.linspace(0.0, 1.0, len(stops))
    values = np.nan_to_num(values)
    channels = [np.interp(values, at, [stop[c] for stop in stops]) for c in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)
