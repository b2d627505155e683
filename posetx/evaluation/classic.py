"""Deformation transfer on the protocols: what the classical method does with whole, clean meshes.

It needs the pose source at rest as well, and triangles on both sides: of the protocols only those
without a scanner have them. Correspondences are the body model's own, as its paper's are marked by
hand.
"""

from __future__ import annotations

import numpy as np

from posetx.bodies.metrics import means
from posetx.evaluation.protocols import PROTOCOLS, pairs
from posetx.evaluation.subjects import Subjects
from posetx.geometry.deformation_transfer import deformation_transfer
from posetx.geometry.mesh import edge_distortion
from posetx.models.predictor import IdentityFrame

#: whole meshes that are shown at rest
WHOLE = ("seen", "unseen", "noise")


def figures_of_deformation_transfer(
    subjects: Subjects, count: int, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Mean figures over ``count`` pairs of each protocol in WHOLE."""
    faces = subjects.faces
    same = np.arange(len(faces))
    figures: dict[str, dict[str, float]] = {}
    for name in WHOLE:
        assert not PROTOCOLS[name].views
        rows = []
        for pair in pairs(name, subjects.body, subjects.banks, count, seed):
            rest, posed, target, truth = (
                t.double().numpy() for t in (pair.rest, pair.points, pair.target, pair.truth)
            )
            found = deformation_transfer(rest, posed, faces, target, faces, same)
            frame, aim = (IdentityFrame.of(v, faces) for v in (found, truth))
            errors = subjects.errors(found, frame, truth, aim)
            rows.append({**errors, "edge": edge_distortion(target, faces, found)})
        figures[name] = means(rows)
        figures[name]["pairs"] = len(rows)
    return figures
