"""Poses from BVH files, carried over to the body model's joints.

A joint's rotation is the BVH joint's global rotation times the fixed turn that takes the body's
rest bone direction to the BVH's, so that an A-pose body takes over a T-pose skeleton's motion.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from posetx.bodies.skeleton import BONE_END, JOINTS, LEG_BONES, PARENTS
from posetx.data.bvh_match import match, rest_positions, upright_rest
from posetx.errors import PosetxError
from posetx.files.checks import read_bytes

#: angles and lengths beyond this are damage
LARGEST = 1e9
#: frames a second of a clip that does not say its own
UNKNOWN_RATE = 30.0
#: seconds between frames that no clip has less of, and more
SHORTEST, LONGEST = 1e-6, 1e3
#: so many no skeleton has, fingers, face and helpers counted
MOST_JOINTS = 5_000
#: frames that any file may have, six minutes of the fastest cameras; and a file's bytes for each
#: further one: frames of a person have some hundred numbers
FREE_FRAMES, FRAME = 50_000, 80


@dataclass(frozen=True)
class Clip:
    """A clip of F frames, carried over to the body model's joints.

    Attributes
    ----------
    rotations : (F, 19, 3, 3) float32, global, relative to the body's rest pose
    roots : (F, 3) float64, places of the pelvis in the clip's unit, y up
    legs : how long the clip's own legs are, hip to ankle, in its unit
    seconds : between frames
    """

    rotations: np.ndarray
    roots: np.ndarray
    legs: float
    seconds: float


def read_bvh(path: Path, rest_joints: np.ndarray) -> np.ndarray:
    """Global joint rotations (F, 19, 3, 3) of every frame of a clip: see :func:`read_clip`."""
    return read_clip(path, rest_joints).rotations


def read_clip(path: Path, rest_joints: np.ndarray) -> Clip:
    """The frames of a clip.

    Parameters
    ----------
    path : a BVH file; its zero pose stands upright along an axis, y as a rule.
    rest_joints : (19, 3) joint positions of the body model at rest.

    Raises
    ------
    PosetxError : the file is no BVH, is truncated, or lacks a joint that a pose needs.
    """
    names, parents, offsets, channels, motion, seconds = _parse(path)
    frames = len(motion)
    found, positions = match(path, names, parents), rest_positions(parents, offsets)
    upright = upright_rest(found, positions)
    positions = positions @ upright.T
    rotations: list[np.ndarray] = []
    shifts: list[np.ndarray] = []
    column = 0
    for joint, parent in enumerate(parents):
        own: Rotation | None = None
        # a joint's position, where the frames have one, is in the place of its offset
        shift = np.broadcast_to(offsets[joint], (frames, 3))
        for channel in channels[joint]:
            if channel.endswith("rotation"):
                angle = motion[:, column : column + 1]
                turn = Rotation.from_euler(channel[0].lower(), angle, degrees=True)
                own = turn if own is None else own * turn
            elif channel.endswith("position"):
                shift = shift.copy()
                shift[:, "XYZ".index(channel[0])] = motion[:, column]
            column += 1
        shifts.append(shift)
        # a joint that does not turn takes no memory: a file has room for very many of them
        above = rotations[parent] if parent >= 0 else np.broadcast_to(np.eye(3), (frames, 3, 3))
        if own is not None:
            above = above @ (upright @ own.as_matrix() @ upright.T)
        rotations.append(above)

    turns = _rest_turns(found, positions, rest_joints)
    out = np.empty((frames, len(JOINTS), 3, 3), np.float32)
    for joint, source in enumerate(found):
        out[:, joint] = out[:, PARENTS[joint]] if source < 0 else rotations[source] @ turns[joint]
    pelvis = found[0]
    roots = shifts[pelvis] @ upright.T
    while (parent := parents[pelvis]) >= 0:  # up the chain that the pelvis hangs on
        roots = np.einsum("fij,fj->fi", rotations[parent], roots) + shifts[parent] @ upright.T
        pelvis = parent
    return Clip(out, roots, _leg_length(found, positions), seconds)


def _leg_length(found: list[int], positions: np.ndarray) -> float:
    """Mean length from hip over knee to ankle, where the clip has one; else from hip to knee."""
    bones = [
        positions[found[end]] - positions[found[start]]
        for start, end in LEG_BONES
        if found[start] >= 0 and found[end] >= 0
    ]
    return float(np.linalg.norm(bones, axis=1).sum()) / 2


def _parse(
    path: Path,
) -> tuple[list[str], list[int], np.ndarray, list[list[str]], np.ndarray, float]:
    """Names, parents (-1 for none), offsets (j, 3), channels; motion (F, all channels), seconds."""
    text = read_bytes(path).decode("utf-8", "replace")
    header, _, rest = text.partition("MOTION")
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[list[str]] = []
    stack: list[int] = []
    end_site = False
    try:
        for line in header.splitlines():
            word = line.split()
            if not word:
                continue
            if word[0] in ("ROOT", "JOINT"):
                parents.append(stack[-1] if stack else -1)
                names.append(line.split(None, 1)[1].strip())
                offsets.append([0.0, 0.0, 0.0])
                channels.append([])
            elif word[0] == "End":
                end_site = True
            elif word[0] == "{":
                stack.append(-2 if end_site else len(names) - 1)
            elif word[0] == "}":
                stack.pop()
                end_site = False
            elif word[0] == "OFFSET" and not end_site:
                offsets[stack[-1]] = [float(x) for x in word[1:4]]
            elif word[0] == "CHANNELS":
                channels[stack[-1]] = word[2:]
        values = rest.split()
        frames = int(values[values.index("Frames:") + 1])
        start = values.index("Time:") + 2
        seconds = float(values[start - 1])
        width = sum(len(c) for c in channels)
        numbers = np.array(values[start : start + frames * width], np.float64)
        motion = numbers.reshape(frames, width)
        places = np.array(offsets).reshape(len(names), 3)
        largest = np.maximum(np.abs(motion).max(initial=0.0), np.abs(places).max(initial=0.0))
        if frames < 0 or not largest < LARGEST or len(names) > MOST_JOINTS:
            raise ValueError
        if not width:  # then any number of frames is there
            raise ValueError
        if any(c[0] not in "XYZ" for joint in channels for c in joint):
            raise ValueError
        if frames > max(FREE_FRAMES, len(text) // FRAME):
            raise ValueError
        # some exporters write 0: a clip of unknown rate
        if not SHORTEST <= seconds <= LONGEST:
            seconds = 1 / UNKNOWN_RATE
    except (ValueError, IndexError, OverflowError, MemoryError):
        raise PosetxError(f"{path}: not a complete BVH file; export it again") from None
    if not names or not frames:
        raise PosetxError(f"{path}: a BVH file without joints or frames")
    return names, parents, places, channels, motion, seconds


def _rest_turns(found: list[int], positions: np.ndarray, rest_joints: np.ndarray) -> np.ndarray:
    turns = np.tile(np.eye(3), (len(JOINTS), 1, 1))
    for joint, end in BONE_END.items():
        if found[joint] < 0 or found[end] < 0:
            continue
        body = rest_joints[end] - rest_joints[joint]
        clip = positions[found[end]] - positions[found[joint]]
        turns[joint] = _turn(body, clip)
    for hand, forearm in ((8, 7), (12, 11)):  # a hand is in line with its forearm at rest
        turns[hand] = turns[forearm]
    return turns


def _turn(source: np.ndarray, destination: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(source), np.linalg.norm(destination)
    a, b = source / max(lengths[0], 1e-12), destination / max(lengths[1], 1e-12)
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis)
    if not sine >= 1e-9:  # in line, or a bone without a length
        return np.eye(3)
    turn: np.ndarray = Rotation.from_rotvec(axis / sine * np.arctan2(sine, a @ b)).as_matrix()
    return turn
