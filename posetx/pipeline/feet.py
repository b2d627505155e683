"""Feet that stand stay: a target's legs are bent so that its ankles keep their places.

Turns of parts alone, given to a body whose thighs and shins have another ratio, move its feet over
the ground; so does noise of scans. As Kovar, Schreiner and Gleicher have it (Footskate Cleanup for
Motion Capture Editing, 2002): when a foot stands is seen in the motion, its place is where it is
on average meanwhile, the way there and back is taken softly by the frames about, and thigh and shin
are turned about hip and knee until the ankle is there. The foot keeps its turn.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from scipy.ndimage import binary_closing, binary_opening
from scipy.spatial.transform import Rotation

from posetx.arrays import Floats, Mask
from posetx.bodies.skeleton import LEG_BONES
from posetx.geometry.rotations import turn_between

#: a foot stands whose ankle goes by less than so many lengths of a leg in a second
SLOW = 0.3
#: ... for at least so many seconds, and gaps that are no longer than this are none
LEAST, GAP = 0.12, 0.07
#: seconds over which a foot comes to its place, and leaves it
BLEND = 0.25
#: a foot that would have to move by more (lengths of a leg) stays as it is
FARTHEST = 0.12
#: ... and one that has to by less, too
NOTHING = 1e-6
#: share of a leg's length that is left of its bend where the place is farther away: a straight knee
#: has no side to bend to, and snaps
STRAIGHT = 0.999


def standing(ankles: Floats, legs: float, fps: float) -> Mask:
    """In which frames a foot with these ankles (F, 3) stands, (F,); ``legs`` is a leg's length."""
    if len(ankles) < 3:
        return np.zeros(len(ankles), dtype=bool)
    speed = np.linalg.norm(np.gradient(ankles, axis=0), axis=1) * fps
    slow: Mask = speed < SLOW * legs
    shortest = max(round(GAP * fps), 1) + 1, max(round(LEAST * fps), 1)
    for act, frames in zip((binary_closing, binary_opening), shortest, strict=True):
        padded = np.pad(slow, frames, mode="edge")
        slow = act(padded, np.ones(frames, dtype=bool))[frames:-frames]
    return slow


def offsets(ankles: Floats, stands: Mask, legs: float, fps: float) -> Floats:
    """What brings a foot's ankles (F, 3) to where it stands, (F, 3); softly in the frames about."""
    away = np.zeros_like(ankles)
    begins = np.flatnonzero(np.diff(stands.astype(int), prepend=0) == 1)
    ends = np.flatnonzero(np.diff(stands.astype(int), append=0) == -1) + 1
    kept = []
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        moved = ankles[begin:end].mean(0) - ankles[begin:end]
        if np.linalg.norm(moved, axis=1).max() <= FARTHEST * legs:
            away[begin:end] = moved
            kept.append((begin, end))
    most = max(round(BLEND * fps), 1)
    bounds = [(0, 0), *kept, (len(ankles), len(ankles))]
    for (_, left), (right, _) in pairwise(bounds):
        frames = np.arange(left, right)
        count = min(most, len(frames))
        if left > 0:
            away[frames] += _soft((frames - left + 1) / (count + 1)) * away[left - 1]
        if right < len(ankles):
            away[frames] += _soft((right - frames) / (count + 1)) * away[right]
    return away


def _soft(share: Floats) -> Floats:
    """(F, 1) from 1 at 0 to 0 at 1 and beyond, level at both ends."""
    left = np.clip(1 - share, 0, 1)
    return np.asarray((left**2 * (3 - 2 * left))[:, None])


def locked(
    rotations: Floats, places: Floats, ankles: list[Floats], legs: float, fps: float
) -> tuple[Floats, Floats]:
    """Joints whose feet stay while they stand.

    Parameters
    ----------
    rotations : (F, 19, 3, 3)
        global
    places : (F, 19, 3)
        of the joints
    ankles : (F, 3) of the left and of the right foot
        as the motion has them, in lengths such as ``places`` have: they tell when a foot stands
    legs : float
        length of a leg
    fps : float
        frames a second

    Returns
    -------
    the rotations and places of before, with other thighs, shins and feet; what ends with the frame
    that it begins with still does
    """
    rotations, places = rotations.copy(), places.copy()
    loop = len(rotations) > 1 and np.allclose(rotations[0], rotations[-1], rtol=0, atol=1e-9)
    for own, ((hip, knee), (_, foot)) in zip(ankles, (LEG_BONES[:2], LEG_BONES[2:]), strict=True):
        away = offsets(places[:, foot], standing(own, legs, fps), legs, fps)
        if loop:
            left = np.arange(len(away))[::-1]
            away += _soft(left / max(BLEND * fps, 1)) * (away[0] - away[-1])
        moved = np.flatnonzero(np.abs(away).max(axis=1) > NOTHING * legs)
        if not len(moved):
            continue
        at = places[moved]
        turns, ends = _bent(at[:, hip], at[:, knee], at[:, foot], at[:, foot] + away[moved],
                            rotations[moved, knee, :, 0])  # fmt: skip
        for joint, turn in zip((hip, knee), turns, strict=True):
            rotations[moved, joint] = turn @ rotations[moved, joint]
        places[moved, knee], places[moved, foot] = ends
    return rotations, places


def _bent(
    hip: Floats, knee: Floats, ankle: Floats, to: Floats, across: Floats
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Turns (K, 3, 3) of thigh and shin, and where knee and ankle (K, 3) are then.

    ``across`` (K, 3) is the knee's axis, for legs that are straight.
    """
    thigh, shin = _length(knee - hip), _length(ankle - knee)
    whole = _length(ankle - hip)
    wanted = np.clip(_length(to - hip), np.abs(thigh - shin) * 1.001,
                     np.maximum(STRAIGHT * (thigh + shin), whole))  # fmt: skip
    normal = np.cross(knee - hip, ankle - knee)
    size = _length(normal)
    straight = size < 1e-3 * thigh * shin
    # the knee goes forward: from the axis that points to the left, thigh and shin bend back
    normal = np.where(straight, across, normal / np.where(straight, 1.0, size))
    # by how much the leg's triangle gets wider at the hip, and at the knee
    at_hip = _angle(thigh, wanted, shin) - _angle(thigh, whole, shin)
    at_knee = _angle(thigh, shin, wanted) - _angle(thigh, shin, whole)
    first = _about(normal, -at_hip)
    second = _about(normal, -at_hip - at_knee)
    knee_then = hip + _turned(first, knee - hip)
    ankle_then = knee_then + _turned(second, ankle - knee)
    away = [torch.as_tensor(end - hip) for end in (ankle_then, to)]
    swing: Floats = turn_between(*away).numpy()
    first, second = swing @ first, swing @ second
    knee_then = hip + _turned(first, knee - hip)
    return (first, second), (knee_then, knee_then + _turned(second, ankle - knee))


def _length(vectors: Floats) -> Floats:
    return np.asarray(np.linalg.norm(vectors, axis=1, keepdims=True))


def _angle(one: Floats, other: Floats, opposite: Floats) -> Floats:
    """(K, 1) between two sides of a triangle."""
    cosine = (one**2 + other**2 - opposite**2) / (2 * one * other)
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)))


def _turned(turns: Floats, vectors: Floats) -> Floats:
    return np.asarray(np.einsum("kij,kj->ki", turns, vectors))


def _about(axis: Floats, angle: Floats) -> Floats:
    """(K, 3, 3) turns about axes (K, 3) of length 1 by angles (K, 1)."""
    return np.asarray(Rotation.from_rotvec(axis * angle).as_matrix())
