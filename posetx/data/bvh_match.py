"""Which of a BVH file's joints are the body's, and which way its skeleton stands at rest.

Programs call the same joint by many names: a side is a letter or a word, before or after, parted or
not, and whole families have a prefix. Names are brought to one form first.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posetx.bodies.skeleton import BVH_NAMES, JOINTS
from posetx.errors import PosetxError

#: before all names of a skeleton: Mixamo's, 3ds Max', VRoid's, Rigify's, Character Creator's
PREFIX = re.compile(r"(mixamorig\d*|bip0*1|j_bip|def|org|cc_base)[ _.-]+", re.IGNORECASE)
#: "LeftUpLeg", "thigh.L", "upperarm_l" and "lThigh" in pieces
PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
#: VRoid's "C" is the middle
SIDES = {"left": "l", "l": "l", "right": "r", "r": "r", "c": ""}
#: joints that move with their parents where a skeleton lacks them
OPTIONAL = ("abdomen", "chest", "neck", "collar", "hand", "foot")
#: the cosine from which on an axis is up, or left
CLEAR = 0.9


def plain(name: str) -> str:
    """A joint's name in one form: "LeftUpLeg" and "upleg.L" are "lupleg".

    >>> plain("mixamorig:LeftForeArm"), plain("DEF-thigh.R"), plain("Bip01 L UpperArm")
    ('lforearm', 'rthigh', 'lupperarm')
    """
    name = PREFIX.sub("", name.split(":")[-1], count=1)
    pieces = [piece.lower() for piece in PIECES.findall(name)]
    for place in (0, -1):
        if len(pieces) > 1 and pieces[place] in SIDES:
            return SIDES[pieces.pop(place)] + "".join(pieces)
    whole = "".join(pieces)
    for word in ("left", "right"):
        if whole.startswith(word):
            return word[0] + whole[len(word) :]
    return whole


def match(path: Path, names: list[str], parents: list[int]) -> list[int]:
    """The BVH joint of each of our joints; -1 where it moves with its parent.

    Raises PosetxError, which names the file, where one that a pose needs is not there.
    """
    # "Character1_", where all begin with it, as then do the first and the last of the alphabet
    shared = re.match(r"(.*[ _.-]).*\n\1", f"{min(names)}\n{max(names)}")
    known = [plain(name[len(shared[1]) if shared else 0 :]) for name in names]
    optional = [name.startswith(OPTIONAL) for name in JOINTS]
    found = [-1] * len(JOINTS)
    # needed ones first: a "shoulder" is a collar only where the upper arm is another one; of these
    # the pelvis last, which may be known by its thighs alone, as Rigify's "spine" is
    for joint in sorted(range(len(JOINTS)), key=lambda j: (optional[j], j == 0)):
        free = [name for name in BVH_NAMES[joint] if name in known]
        free = [name for name in free if known.index(name) not in found]
        if free:
            found[joint] = known.index(free[0])
        elif joint == 0:
            left, right = (found[JOINTS.index(f"thigh.{side}")] for side in "LR")
            found[0] = _joined(left, right, parents)
    for joint, name in enumerate(JOINTS):
        if found[joint] < 0 and not optional[joint]:
            some = ", ".join(BVH_NAMES[joint])
            raise PosetxError(f"{path}: no joint for the {name}; expected one of {some}")
    return found


def _joined(first: int, second: int, parents: list[int]) -> int:
    """The joint that two others both hang on; -1 for none, or of one that is not there."""
    above = set()
    while first >= 0:
        first = parents[first]
        above.add(first)
    while second >= 0 and second not in above:
        second = parents[second]
    return second


def rest_positions(parents: list[int], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the joints (j, 3) are in the zero pose."""
    positions = np.zeros_like(offsets)
    for joint, parent in enumerate(parents):
        positions[joint] = offsets[joint] + (positions[parent] if parent >= 0 else 0)
    return positions


def upright_rest(found: list[int], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """The turn (3, 3) by right angles that a skeleton stands upright with at rest, facing +z.

    Blender, for one, exports what has z up. Where knees, hips and sides tell no axes, none.
    """
    thighs, shins = (
        np.array([positions[found[JOINTS.index(f"{bone}.{side}")]] for side in "LR"])
        for bone in ("thigh", "shin")
    )
    axes = []
    for direction in (thighs[0] - thighs[1], (thighs - shins).mean(0)):
        cosines = direction / max(float(np.linalg.norm(direction)), 1e-12)
        if np.abs(cosines).max() < CLEAR:
            return np.eye(3)
        axes.append(np.where(np.abs(cosines) == np.abs(cosines).max(), np.sign(cosines), 0.0))
    left, up = axes
    turn = np.stack([left, up, np.cross(left, up)])
    return turn if abs(left @ up) < 0.5 else np.eye(3)
