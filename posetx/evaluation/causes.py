"""Why a pair failed: what of the body went wrong, and whether the scan shows it at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from posetx.arrays import Floats, Indices, Mask
from posetx.bodies.skeleton import ARMS, LEGS, MIRROR, TRUNK
from posetx.geometry.mesh import vertex_areas

#: a pair with a PMD (m²) above this has failed
FAILED = 20e-4
#: a scan turned by more (degrees) than this was misread as a whole
TURNED = 15.0
#: of a limb's surface, relative to the whole body's, a scan shows at least this, or it is hidden
SHOWN = 0.2
#: share of the points taken for the body that are of other things; with more these are the cause
OTHERS = 0.03
#: what a limb is, by its joints; a trunk is no limb
LIMBS = {
    "trunk": TRUNK,
    "left arm": ARMS[:4],
    "right arm": ARMS[4:],
    "left leg": LEGS[:3],
    "right leg": LEGS[3:],
}
CAUSES = (
    "heading",
    "other things kept",
    "limb left out",
    "limb hidden",
    "limb swapped",
    "limb misplaced",
    "trunk",
)


def failures(details: Mapping[str, list[dict[str, Any]]]) -> dict[str, dict[str, int]]:
    """By protocol how many ``pairs`` there are, how many ``failed``, and of what.

    ``details`` are every pair's figures, as `evaluate --details` writes them.
    """
    found = {}
    for protocol, rows in details.items():
        of = Counter(row["cause"] for row in rows if "cause" in row)
        found[protocol] = {"pairs": len(rows), "failed": of.total(), **dict(of.most_common())}
    return found


@dataclass
class Shown:
    """What of a body (V vertices) is in a scan, and what was taken for it."""

    origin: Indices  # (N,) the vertex that each of the scan's points is of; -1 of other things
    kept: Indices  # (K,) the points that were taken for the body


def cause(
    predicted: Floats,
    truth: Floats,
    joint_weights: Floats,
    faces: Indices,
    turned: float = 0.0,
    shown: Shown | None = None,
) -> str:
    """One of CAUSES: why a result (V, 3) is not the truth (V, 3), both centred and in metres.

    ``joint_weights`` (V, 19) say which vertices are whose, ``faces`` (F, 3) whose surface is how
    large. ``turned`` is by how many degrees the scan was misread as a whole. Without ``shown`` all
    of the body counts as seen.
    """
    if turned > TURNED:
        return "heading"
    if shown is not None and (shown.origin[shown.kept] < 0).mean() > OTHERS:
        return "other things kept"
    part, areas = joint_weights.argmax(1), vertex_areas(truth, faces)
    apart = np.square(predicted - truth).sum(1)
    of_limbs = {name: np.isin(part, joints) for name, joints in LIMBS.items()}
    harm = {name: float((areas * apart)[of_limb].sum()) for name, of_limb in of_limbs.items()}
    worst = max(harm, key=lambda name: harm[name])
    if worst == "trunk":
        return "trunk"
    of_limb = of_limbs[worst]
    # what of the limb went wrong: a forearm may be hidden where its upper arm is not
    wrong = of_limb & (apart > 0.5 * np.percentile(apart[of_limb], 90))
    if shown is not None:
        least = SHOWN * float(areas[wrong].sum() / areas.sum())
        if _share(wrong, shown.origin) < least:
            return "limb hidden"
        if _share(wrong, shown.origin[shown.kept]) < least:
            return "limb left out"
    return "limb swapped" if _swapped(predicted, truth, part, worst) else "limb misplaced"


def _share(of: Mask, origin: Indices) -> float:
    """The share of a body's points (N,) that are of these vertices (V,)."""
    body = origin[origin >= 0]
    return float(of[body].mean()) if len(body) else 0.0


def _swapped(predicted: Floats, truth: Floats, part: Indices, limb: str) -> bool:
    """Whether a limb lies nearer to where the other side's should be than to its own place."""
    pairs = [
        (part == joint, part == MIRROR[joint])
        for joint in LIMBS[limb]
        if (part == joint).any() and (part == MIRROR[joint]).any()
    ]
    at = np.array([predicted[own].mean(0) for own, _ in pairs])
    to_own = np.linalg.norm(at - [truth[own].mean(0) for own, _ in pairs], axis=1)
    to_other = np.linalg.norm(at - [truth[other].mean(0) for _, other in pairs], axis=1)
    return bool(to_other.sum() < to_own.sum())
