"""Motions smoothed over time, by the filter of Savitzky and Golay (1964).

A polynomial is fitted to the frames about each one. Of rotations it is fitted to their matrices,
and the nearest rotation taken: their mean on the manifold in the chordal sense (Moakher 2002).
Joints hang on each other by bones that the parts' global rotations turn, so that smooth matrices
make smooth places.

How many frames are good depends on the noise. It is told from what a smooth motion has not, high
differences (Gasser, Sroka and Jennen-Steinmetz 1986), and of all windows that one is taken whose
error by Mallows' Cp (1973) is least: what the filter takes away, and the noise that it leaves.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import savgol_coeffs, savgol_filter
from scipy.spatial.transform import Rotation

from posetx.arrays import Floats

#: of the polynomials; the same as 2 but at the ends
ORDER = 3
#: windows that are tried, in frames
WINDOWS = (1, *range(5, 32, 2))
#: the difference that tells the noise, and the sum of its squared coefficients
DIFFERENCE, SQUARES = 5, 252
#: median of the square of what has unit variance, of a normal distribution
MEDIAN_SQUARE = 0.4549


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


def noise_variance(places: Floats) -> float:
    """Mean variance of the noise in the coordinates of places (F, ...); 0 of a few frames.

    Hands jitter more than a pelvis: each coordinate has its own, whatever single frames do.
    """
    if len(places) <= DIFFERENCE:
        return 0.0
    differences = np.diff(places, DIFFERENCE, axis=0)
    each = np.median(np.square(differences), axis=0)
    return float(each.mean()) / (MEDIAN_SQUARE * SQUARES)


def best_window(places: Floats) -> int:
    """How many frames places (F, ...) are best smoothed over; 1 for not at all."""
    variance = noise_variance(places)

    def risk(window: int) -> float:
        left = 1.0 if window == 1 else float(savgol_coeffs(window, ORDER)[window // 2])
        taken = np.square(smooth_places(places, window) - places).mean()
        return float(taken + 2 * variance * left)

    best: int = min((w for w in WINDOWS if w <= max(len(places), 1)), key=risk)
    return best


def frames_in(seconds: float, fps: float) -> int:
    """The odd number of frames that a window of so many seconds has."""
    return 2 * int(np.floor(seconds * fps / 2)) + 1
