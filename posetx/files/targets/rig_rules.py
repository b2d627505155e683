"""Which joints of a file's skeleton a pose may turn or shift, and which skeletons can take none."""

from __future__ import annotations

import numpy as np

from posetx.geometry.rig import Rig

#: A skeleton with fewer joints has none for head, arms and legs.
FEWEST = 6
#: A file may ask for far more; faces of films have some hundred joints.
MOST_NODES, MOST_ROOTS = 4096, 200
#: Of the figure's vertices, the share that follows its skeleton at least.
COVERED = 0.5


def too_many(nodes: int) -> str:
    """Why a skeleton of so many nodes is not posed; "" where it is."""
    return f"its skeleton has {nodes} nodes, more than {MOST_NODES}" if nodes > MOST_NODES else ""


def roots_of(parents: np.ndarray, joint: np.ndarray, followed: np.ndarray) -> np.ndarray:
    """(k,) which joints carry all of a skeleton, so that the pose may shift them.

    A joint at the feet on which all hangs by one joint, as a game's root does, is not meant.
    """
    roots = np.zeros(len(parents), dtype=bool)
    under = np.zeros(len(parents), dtype=bool)  # below a root
    for row, parent in enumerate(parents):
        under[row] = parent >= 0 and (under[parent] or roots[parent])
        children = np.flatnonzero(parents == row)
        passed = not followed[row] and len(children) == 1 and joint[children[0]]
        roots[row] = joint[row] and not under[row] and not passed
    return roots


def below_roots(parents: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """(k,) which nodes are roots or hang on one."""
    below = roots.copy()
    for row, parent in enumerate(parents):
        below[row] |= parent >= 0 and below[parent]
    return below


def unfit(rig: Rig, figure: np.ndarray) -> str:
    """Why a skeleton cannot take a pose; "" where it can."""
    if rig.joints.sum() < FEWEST:
        return f"its skeleton has {rig.joints.sum()} joints that move anything, too few for limbs"
    if rig.roots.sum() > MOST_ROOTS:
        return f"its skeleton is in {rig.roots.sum()} pieces, more than {MOST_ROOTS}"
    if (rig.moved & figure).sum() < COVERED * figure.sum():
        return "most of the figure does not follow its skeleton"
    linear = rig.worlds(rig.still)[:, :3, :3]
    size = np.abs(linear).max(axis=(1, 2))
    flat = not (size > 0).all() or np.abs(np.linalg.det(linear / size[:, None, None])).min() < 1e-9
    return "a node of its skeleton is scaled to nothing" if flat else ""
