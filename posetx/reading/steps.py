"""The steps of reading a scan whose direction is known: a glance, a body begun, searched, drawn."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from posetx.arrays import Floats
from posetx.bodies.body import BodyModel
from posetx.fit.cloud import Begun, BodyFit
from posetx.fit.dense import DenseFit
from posetx.fit.figure import Figure
from posetx.fit.limbs import squared_distances
from posetx.fit.seen import Seen, lifts
from posetx.fit.sides import Sides
from posetx.geometry.frames import normalise_pose
from posetx.geometry.sampling import voxel_thin
from posetx.models.pose_mae import PoseCode
from posetx.models.predictor import Predictor, pose_sample
from posetx.reading.found import FittedBody, PoseReading, metre_of

#: the fit's last stage takes one point of each voxel of this size (the cloud's frame): 4,000 of
#: a whole body
VOXEL = 0.02
#: of a body that is followed, a sequence of which has points enough
VOXEL_FOLLOWED = 0.03


@dataclass
class _Begun:
    """A body begun on samples (P, 3) that were turned, and what share of it is far from them."""

    samples: Floats
    rotation: Floats
    code: PoseCode
    fit: Begun
    missed: float


class Steps:
    """A network, and with ``refine`` a body that is fitted to what the network sees."""

    def __init__(self, predictor: Predictor, body: BodyModel, refine: bool = True):
        self.predictor = predictor
        self.fit = BodyFit(body.to(predictor.device)) if refine else None
        self.end = DenseFit(body, self.fit.settings.components) if self.fit else None

    def _sample(self, points: Floats) -> Floats:
        return pose_sample(points, self.predictor.model.config.pose_points)

    def _fitted(
        self, fit: BodyFit, samples: Floats, rotation: Floats
    ) -> tuple[PoseCode, FittedBody]:
        return self._searched(fit, self._begun(fit, samples, rotation))

    def _begun(self, fit: BodyFit, samples: Floats, rotation: Floats) -> _Begun:
        cloud, code = self._seen(samples, rotation)
        begun = fit.begun(cloud, code.features, code.estimate)
        missed = fit.search.misfit(begun.figure, begun.seen).body
        return _Begun(samples, rotation, code, begun, float(missed))

    def _searched(self, fit: BodyFit, begun: _Begun) -> tuple[PoseCode, FittedBody]:
        figure, code = fit.searched(begun.fit), begun.code
        body = fitted_body(fit, figure, begun.samples, begun.rotation, begun.fit.seen, code)
        return fit.posed(code, figure), body

    def _ended(
        self,
        fit: BodyFit,
        points: Floats,
        samples: Floats,
        rotation: Floats,
        code: PoseCode,
        body: FittedBody,
        held: bool = False,
    ) -> tuple[PoseCode, float, Figure]:
        """The ``code`` of a body that was fitted to the samples, drawn to all the points (n, 3).

        Second is the points' noise about it, third that body.
        """
        assert self.end is not None  # there with the other fit
        turned = (samples - samples.mean(0)) @ rotation.T
        cloud, centre, unit = normalise_pose(torch.as_tensor(turned[None]))
        near = ((points - samples.mean(0)) @ rotation.T - centre[0].numpy()) / float(unit)
        placed = fit.fine.place(body.figure)
        seen = cloud.to(placed.surface)
        squared = squared_distances(seen, placed.surface).amin(1)
        sides = Sides(placed, squared, seen, bool(body.lift.any()))
        few = voxel_thin(near, VOXEL_FOLLOWED if held else VOXEL)
        ended = self.end.ended(
            body.figure,
            near[few],
            sides=None if sides.all_shown else sides,
            lift=body.lifts(points[few]) / body.metre,
            held=held,
        )
        return fit.posed(code, ended.figure), ended.noise, ended.figure

    def _seen(self, samples: Floats, rotation: Floats) -> tuple[torch.Tensor, PoseCode]:
        # about the middle: the network's single precision would not hold surveyors' coordinates
        turned = ((samples - samples.mean(0)) @ rotation.T)[None]
        return self.predictor.normalised(turned), self.predictor.encode_pose(turned)

    def _draw(self, fit: BodyFit, points: Floats, read: PoseReading, body: FittedBody) -> None:
        """End a reading of points (n, 3) with the body drawn to all of them that are its own."""
        samples, rotation = read.samples, read.orientation.rotation
        read.code, read.noise, read.figure = self._ended(
            fit, points[read.of_body], samples, rotation, read.code, body
        )
        turned = ((samples - samples.mean(0)) @ rotation.T)[None]
        seen = Seen.of(self.predictor.normalised(turned), read.code.features)
        read.misfit = misfit_of(fit, read.figure, seen)


def fitted_body(
    fit: BodyFit, figure: Figure, samples: Floats, rotation: Floats, seen: Seen, code: PoseCode
) -> FittedBody:
    """A figure (1), fitted to what is ``seen`` of samples (P, 3), in the scan's frame."""
    # also of what was hidden
    missed = float(fit.search.misfit(figure, seen).body)
    surface = fit.fine.place(figure).surface[0].double().cpu().numpy()
    metre, lift = metre_of(samples), lifts(code.features)[0].double().cpu().numpy()
    surface = metre * (surface @ rotation) + samples.mean(0)
    return FittedBody(figure, missed, surface, metre, samples, metre * lift)


def misfit_of(fit: BodyFit, figure: Figure, seen: Seen) -> float:
    """How badly the figure explains what is seen, and that the figure: 0 to 1.6."""
    return float(fit.search.misfit(figure, seen).whole)
