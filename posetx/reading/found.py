"""What a reader finds in a scan: the pose, and the body that was fitted on the way to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.spatial import cKDTree

from posetx.arrays import Floats, Mask
from posetx.fit.figure import Figure
from posetx.fit.seen import lifts_at
from posetx.geometry.frames import normalise_pose
from posetx.models.pose_mae import PoseCode
from posetx.reading.fitted import Fitted
from posetx.reading.orient import Orientation

#: what is farther than this from the fitted body (in metres of an adult) is no part of it
FAR = 0.08
#: what a share of the scan that is far from the body counts beside a share of the body that is far
#: from the scan: less of the scan explained has to be worth it. Who sits on a chair is missed by
#: 0.11 with it and 0.07 without it, a tenth of the scan; with an arm left out, as large, by 0.099
#: for 0.102. Nothing is gained by explaining more of a scan: furniture is no body's
OF_SCAN = 0.1


@dataclass
class PoseReading:
    """What a scan shows.

    ``distance`` (see Orientation) and ``missed``, the share of the fitted body that is far from
    the scan, are of the whole scan; ``of_body`` (n,) says which of its points were read in the
    end, of which ``samples`` (P, 3) are an even sample. ``missed`` is None where nothing was
    fitted; so is ``noise``, that of the points about the fitted body (see `Ended`). ``figure`` is
    that body, in the frame that ``code`` is of; where nothing was fitted the neutral one. How
    badly it explains the scan, and the scan it, is ``misfit``, 0 to 1.6. ``chosen`` is 0, or which
    other points were read in the place of those that were given: 1 for the first others.
    """

    orientation: Orientation
    code: PoseCode
    figure: Figure
    distance: float
    missed: float | None
    of_body: Mask
    samples: Floats
    noise: float | None = None
    misfit: float | None = None
    chosen: int = 0

    @property
    def metre(self) -> float:
        """An adult's metre in the scan's unit."""
        return metre_of(self.samples)

    @property
    def joints(self) -> Floats:
        """The body's joints (19, 3) in the scan's frame and unit."""
        turned = self.code.joints[0].double().cpu().numpy() @ self.orientation.rotation
        joints: Floats = metre_of(self.samples) * turned + self.samples.mean(0)
        return joints

    @property
    def rotations(self) -> Floats:
        """Global rotations (19, 3, 3) of the parts, from a neutral upright body to the scan."""
        rotations: Floats = self.code.rotations[0].double().cpu().numpy()
        return self.orientation.rotation.T @ rotations

    @property
    def fitted(self) -> Fitted:
        """The body in the scan's frame and unit."""
        figure = self.figure.to("cpu")
        size, shape = float(figure.size), figure.shape[0].double().numpy()
        where = figure.where[0, 0].double().numpy() @ self.orientation.rotation
        return Fitted(shape, self.metre * size, self.metre * where + self.samples.mean(0))


@dataclass
class FittedBody:
    """A body fitted to a scan: what share of it is far from the scan, points of it (M, 3).

    They are in the scan's frame, in which an adult's metre is ``metre`` long; so are the samples
    (P, 3) of the scan that it was fitted to, and ``lift`` (P,), see :class:`Seen`.
    """

    figure: Figure
    missed: float
    surface: Floats
    metre: float
    samples: Floats
    lift: Floats

    def near(self, points: Floats) -> Mask:
        """Which of the scan's points (n, 3) may be of it, or of what it wears."""
        away = cKDTree(self.surface).query(points)[0] - self.lifts(points)
        near: Mask = away < FAR * self.metre
        return near

    def badness(self, points: Floats) -> float:
        """How much is missed, of the body and, counting less, of the scan (n, 3)."""
        return self.missed + OF_SCAN * float(1 - self.near(points).mean())

    def lifts(self, points: Floats) -> Floats:
        """How far each of the scan's points (n, 3) lies off the skin."""
        return lifts_at(points, self.samples, self.lift)


def metre_of(samples: Floats) -> float:
    """An adult's metre in the unit of a cloud (P, 3)."""
    return float(normalise_pose(torch.as_tensor(samples - samples.mean(0))[None])[2])
