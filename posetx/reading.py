"""Reading a cleaned scan: which way it is turned, and what pose it shows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from posetx.bodies.body import BodyModel
from posetx.fit.cloud import BodyFit
from posetx.geometry.rotations import matrix_from_yaw
from posetx.models.pose_mae import PoseCode
from posetx.models.predictor import Predictor
from posetx.scan.orient import NeutralBody, Orientation, distance_to_prediction, orient

Floats = NDArray[np.float64]


@dataclass
class Reading:
    """A pose, and the share of the body fitted to the scan that is far from it (None: no fit)."""

    code: PoseCode
    missed: float | None = None


class PoseReader:
    """A network, and with ``refine`` a body that is fitted to what the network sees."""

    def __init__(self, predictor: Predictor, body: BodyModel, refine: bool = True):
        self.predictor = predictor
        self.neutral = NeutralBody(body, predictor)
        self.fit = BodyFit(body.to(predictor.device)) if refine else None

    def orientation(self, samples: Floats, up: str = "auto", front: str = "auto") -> Orientation:
        """How a scan is turned; ``samples`` (P, 3) as :func:`pose_sample` makes them.

        Where two directions explain the scan about equally well to the network, a body is fitted
        in each, and the network's word and the fit's decide together: of a scan from one side
        either alone may take the back for the front. Front is then where the fitted pelvis faces.
        Raises UsageError for impossible axes.
        """
        found = orient(self.predictor, self.neutral, samples, up, front, lying=True)
        if self.fit is None:
            return found
        best, least = found, math.inf
        for candidate in (found, *found.rivals):
            cloud, code = self._seen(samples, candidate.rotation)
            figure, misfit = self.fit.quick(cloud, code)
            badness = candidate.distance * float(misfit.whole)
            if badness < least:
                best, least = candidate, badness
                forward = figure.rotations[0, 0, :, 2]
        rotation = best.rotation
        if front == "auto":
            heading = torch.atan2(forward[0], forward[2])
            rotation = matrix_from_yaw(-heading).double().cpu().numpy() @ rotation
        distance = distance_to_prediction(self.predictor, self.neutral, samples, rotation)
        return replace(found, rotation=rotation, up=best.up, distance=distance)

    def pose(self, samples: Floats, rotation: Floats) -> Reading:
        """The pose of a scan that ``rotation`` (3, 3) turns upright and to the front."""
        cloud, code = self._seen(samples, rotation)
        if self.fit is None:
            return Reading(code)
        figure = self.fit.figures(cloud, code)
        missed = float(self.fit.search.misfit(figure, cloud).body)
        return Reading(self.fit.posed(code, figure), missed)

    def _seen(self, samples: Floats, rotation: Floats) -> tuple[torch.Tensor, PoseCode]:
        # about the middle: the network's single precision would not hold surveyors' coordinates
        turned = ((samples - samples.mean(0)) @ rotation.T)[None]
        return self.predictor.normalised(turned), self.predictor.encode_pose(turned)
