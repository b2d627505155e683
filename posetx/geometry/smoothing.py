"""Motions smoothed over time, by the filter of Savitzky and Golay (1964).

A polynomial is fitted to the frames about each one. Of rotations it is fitted to their matrices,
and the nearest rotation taken: their mean on the manifold in the chordal sense (Moakher 2002).
Joints hang on each other by bones that the parts' global rotations turn, so that smooth matrices
make smooth places.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import savgol_filter
from scipy.spatial.transform import Rotation

from posetx.arrays import Floats

#: of the polynomials
ORDER = 2


def smooth_places(places: Floats, window: int) -> Floats:
    """Places (F, ...) in frames, smoothed over ``window`` of them; as they are below ORDER + 2."""
    window = min(window, len(places))
    window -= 1 - window % 2  # the filter is symmetric
    if window < ORDER + 2:
        return places
    smooth: Floats = savgol_filter(places, window, ORDER, axis=0)
    return smooth


def smooth_rotations(rotations: Floats, window: int) -> Floats:
    """Rotations (F, J, 3, 3) in frames, likewise."""
    means = smooth_places(rotations, window)
    nearest: Floats = Rotation.from_matrix(means.reshape(-1, 3, 3)).as_matrix()
    return nearest.reshape(rotations.shape)


def frames_in(seconds: float, fps: float) -> int:
    """The odd number of frames that a window of so many seconds has."""
    return 2 * int(np.floor(seconds * fps / 2)) + 1
