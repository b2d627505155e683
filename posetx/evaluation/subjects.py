"""The bodies and poses that models are measured on, and how a result is compared with the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetx.arrays import Floats, Indices
from posetx.bodies.body import BodyModel
from posetx.bodies.metrics import (
    half_head,
    joint_metrics,
    joint_regressor,
    position_metrics,
    surface_pmd,
)
from posetx.data.splits import pose_banks
from posetx.evaluation.follower import followed
from posetx.geometry.mesh import vertex_areas
from posetx.models.predictor import IdentityFrame


class Subjects:
    """What all models on the protocols have in common; ``mocap`` as in :func:`pose_banks`."""

    def __init__(self, mocap: Path | None = None, seed: int = 0):
        self.seed = seed
        self.body = BodyModel.load()
        self.banks = pose_banks(self.body, mocap, seed)
        self.poses = "clips" if mocap else "prior"
        self.faces = self.body.faces.numpy()
        self.weights = self.body.weights.double().numpy()
        self.regressor = joint_regressor(self.weights)

    def errors(
        self,
        predicted: Floats,
        frame: IdentityFrame,
        truth: Floats,
        aim: IdentityFrame,
        weights: Floats | None = None,
        faces: Indices | None = None,
    ) -> dict[str, float]:
        """Position and joint metrics of vertices (V, 3) in metres; each in its own frame.

        ``weights`` (V, 19) and ``faces`` (F, 3) are those of a target that is not a bare body.
        """
        regressor = self.regressor if weights is None else joint_regressor(weights)
        within = half_head(self.weights if weights is None else weights, truth)
        areas = vertex_areas(truth, self.faces if faces is None else faces)
        return {
            **position_metrics(predicted - frame.centre, truth - aim.centre),
            "pmd_surface": surface_pmd(predicted, truth, areas),
            **joint_metrics(regressor @ predicted, regressor @ truth, within),
        }

    def beside_follower(
        self,
        errors: dict[str, float],
        clean: Floats,
        attacked: Floats,
        origin: Indices,
        truth: Floats,
    ) -> dict[str, float]:
        """What the ideal follower makes of a cloud's attack, and by how much ``errors`` exceed it.

        ``clean``, ``attacked`` (S, 3) in metres, ``origin`` (S,) which vertex of the bare body
        each point is of, -1 of none; ``truth`` (V, 3) of such a body, turned as the cloud is.
        """
        weights = np.where(origin[:, None] < 0, 0.0, self.weights[origin])
        moved = followed(clean, attacked, truth[origin], weights, truth, self.weights)
        own = {
            "": position_metrics(moved, truth)["pmd"],
            "_surface": surface_pmd(moved, truth, vertex_areas(truth, self.faces)),
        }
        found: dict[str, float] = {}
        for kind, value in own.items():
            found |= {f"follower{kind}": value, f"excess{kind}": errors[f"pmd{kind}"] - value}
        return found
