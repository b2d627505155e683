"""Motions smoothed over time, by the filter of Savitzky and Golay (1964).

A polynomial is fitted to the frames about each one. Of rotations it is fitted to their matrices,
and the nearest rotation taken: their mean on the manifold in the chordal sense (Moakher 2002).
Joints hang on each other by bones that the parts' global rotations turn, so that smooth matrices
make smooth places.

How many frames are good depends on the noise. It is told from what a smooth motion has not, high
differences (Gasser, Sroka and Jennen-Steinmetz 1986), and of all windows that one is taken whose
error by Mallows' Cp (1973) is least: what the filter takes away, and the noise that it leaves.

A part that jumps for a single frame is no noise of that kind, and would be smeared over the frames
about it; it is found first, as Hampel's identifier (1974) does, and filled from them.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d
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
#: a part has jumped in a frame where it is so far (radians) from what the frames about it tell, and
#: so many times as far as it is in half of all frames
JUMP, OUTLYING = np.radians(12.0), 5.0


def without_jumps(rotations: Floats) -> Floats:
    """Rotations (F, J, 3, 3) in frames, those filled that are far off for a single frame.

    What the two frames before and the two after tell of one is a cubic through them. Where it
    leaves these as unlikely, the part moves so fast, and stays; so do steps to another place, and
    the first and last two frames.
    """
    if len(rotations) <= ORDER + 1:
        return rotations
    told, away = _told(rotations)
    limit = np.maximum(JUMP, OUTLYING * np.median(away, axis=0))
    jumps = (away > limit) & (away >= maximum_filter1d(away, 5, axis=0))
    jumps &= away > _apart(rotations[1:-3], rotations[3:-1])
    filled = rotations.copy()
    filled[2:-2][jumps] = told[jumps]
    jumps &= maximum_filter1d(_told(filled)[1], 5, axis=0) <= limit
    out = rotations.copy()
    out[2:-2][jumps] = told[jumps]
    return out


def _told(rotations: Floats) -> tuple[Floats, Floats]:
    """Rotations (F - 4, J, 3, 3) by the frames about each, and how far (F - 4, J) it is off."""
    near, far = rotations[1:-3] + rotations[3:-1], rotations[:-4] + rotations[4:]
    told: Floats = Rotation.from_matrix(((4 * near - far) / 6).reshape(-1, 3, 3)).as_matrix()
    told = told.reshape(near.shape)
    return told, _apart(told, rotations[2:-2])


def _apart(some: Floats, others: Floats) -> Floats:
    """Angles (F, J) between rotations (F, J, 3, 3), in radians."""
    turns = some.swapaxes(-1, -2) @ others
    angles: Floats = Rotation.from_matrix(turns.reshape(-1, 3, 3)).magnitude()
    return angles.reshape(some.shape[:2])


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
