"""The bodies and poses that models are measured on, and how a result is compared with the truth."""

from __future__ import annotations

from pathlib import Path

from posetx.arrays import Floats
from posetx.bodies.body import BodyModel
from posetx.bodies.metrics import half_head, joint_metrics, joint_regressor, position_metrics
from posetx.data.splits import pose_banks
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
    ) -> dict[str, float]:
        """Position and joint metrics of vertices (V, 3) in metres; each in its own frame.

        ``weights`` (V, 19) are those of a target that is not a bare body.
        """
        regressor = self.regressor if weights is None else joint_regressor(weights)
        within = half_head(self.weights if weights is None else weights, truth)
        return {
            **position_metrics(predicted - frame.centre, truth - aim.centre),
            **joint_metrics(regressor @ predicted, regressor @ truth, within),
        }
