"""Reading a cleaned scan: which way it is turned, and what pose it shows."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial import cKDTree

from posetx.arrays import Floats, Mask
from posetx.bodies.body import BodyModel
from posetx.fit.cloud import Begun, BodyFit
from posetx.fit.dense import DenseFit
from posetx.fit.figure import Figure, neutral_figure
from posetx.fit.limbs import squared_distances
from posetx.fit.seen import LEAST_BODY, lifts, lifts_at
from posetx.fit.sides import Sides
from posetx.geometry.frames import normalise_pose
from posetx.geometry.rotations import matrix_from_yaw
from posetx.geometry.sampling import voxel_thin
from posetx.models.pose_mae import PoseCode
from posetx.models.predictor import Predictor, pose_sample
from posetx.reading.fitted import Fitted
from posetx.reading.orient import NeutralBody, Orientation, distance_to_prediction, orient
from posetx.reading.pieces import without_pieces

#: what is farther than this from the fitted body (in metres of an adult) is no part of it, where it
#: is at least this share of the points: simulated scans of nothing but bodies have at most 0.013
FAR, FURNITURE = 0.08, 0.05
#: so often a body is read anew; each time at most this share of what was missed may still be
READINGS, BETTER = 3, 0.97
#: what a share of the scan that is far from the body counts beside a share of the body that is far
#: from the scan: less of the scan explained has to be worth it. Who sits on a chair is missed by
#: 0.11 with it and 0.07 without it, a tenth of the scan; with an arm left out, as large, by 0.099
#: for 0.102. Nothing is gained by explaining more of a scan: furniture is no body's
OF_SCAN = 0.1
#: a body with at most this share of it far from the scan is in place: one beside a table has 0.024,
#: and a forearm with its hand is another 0.05
IN_PLACE = 0.04
#: the fit's last stage takes one point of each voxel of this size (the cloud's frame): 4,000 of
#: a whole body
VOXEL = 0.02
#: ways to leave a piece of the scan out that are tried
GUESSES = 2
#: one of them is fitted thoroughly if its first body misses less than so many times what it may: in
#: 3 of 44 such tries the search for limbs left less than 0.95 of that
PROMISING = 1.05
#: the network's word on a point's being no body's, from which on the scan is tried without it
CLUTTER = 0.1


@dataclass
class PoseReading:
    """What a scan shows.

    ``distance`` (see Orientation) and ``missed``, the share of the fitted body that is far from
    the scan, are of the whole scan; ``of_body`` (n,) says which of its points were read in the
    end, of which ``samples`` (P, 3) are an even sample. ``missed`` is None where nothing was
    fitted; so is ``noise``, that of the points about the fitted body (see `Ended`). ``figure`` is
    that body, in the frame that ``code`` is of; where nothing was fitted the neutral one.
    """

    orientation: Orientation
    code: PoseCode
    figure: Figure
    distance: float
    missed: float | None
    of_body: Mask
    samples: Floats
    noise: float | None = None

    @property
    def metre(self) -> float:
        """An adult's metre in the scan's unit."""
        return _metre(self.samples)

    @property
    def joints(self) -> Floats:
        """The body's joints (19, 3) in the scan's frame and unit."""
        turned = self.code.joints[0].double().cpu().numpy() @ self.orientation.rotation
        joints: Floats = _metre(self.samples) * turned + self.samples.mean(0)
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
class _Body:
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


@dataclass
class _Begun:
    """A body begun on samples (P, 3) that were turned, and what share of it is far from them."""

    samples: Floats
    rotation: Floats
    code: PoseCode
    fit: Begun
    missed: float


class PoseReader:
    """A network, and with ``refine`` a body that is fitted to what the network sees."""

    def __init__(self, predictor: Predictor, body: BodyModel, refine: bool = True):
        self.predictor = predictor
        self.neutral = NeutralBody(body, predictor)
        self.joints = body.joint_template.to(predictor.device)
        self.fit = BodyFit(body.to(predictor.device)) if refine else None
        self.end = DenseFit(body, self.fit.settings.components) if self.fit else None

    def orientation(self, samples: Floats, up: str = "auto", front: str = "auto") -> Orientation:
        """How a scan is turned; ``samples`` (P, 3) as :func:`pose_sample` makes them.

        Where two directions explain the scan about equally well to the network, a body is fitted
        in each, and the network's word and the fit's decide together: of a scan from one side
        either alone may take the back for the front. Front is then where the fitted pelvis faces.
        Raises UsageError for impossible axes.
        """
        found = orient(self.predictor, self.neutral, samples, up, front, lying=True)
        if self.fit is None or (front != "auto" and not found.rivals):
            return found
        best, forward = self.settled(samples, found)
        rotation = best.rotation
        if front == "auto":
            heading = torch.atan2(forward[0], forward[2])
            rotation = matrix_from_yaw(-heading).double().cpu().numpy() @ rotation
        distance = distance_to_prediction(self.predictor, self.neutral, samples, rotation)
        return replace(found, rotation=rotation, up=best.up, distance=distance)

    def settled(self, samples: Floats, found: Orientation) -> tuple[Orientation, torch.Tensor]:
        """Of a direction and its rivals the one that explains the samples (P, 3) best.

        Second is the forward axis (3,) of the pelvis fitted in it.
        """
        assert self.fit is not None  # a reader without fits has nothing to say on this
        best, least, forward = found, math.inf, torch.zeros(3)
        for candidate in (found, *found.rivals):
            begun = self._begun(self.fit, samples, candidate.rotation)
            misfit = self.fit.misfit(begun.fit)
            badness = candidate.habit * candidate.distance * misfit
            if badness < least:
                best, least = candidate, badness
                forward = begun.fit.figure.rotations[0, 0, :, 2]
        return best, forward

    def misfit(self, samples: Floats, rotation: Floats) -> float:
        """How badly a body fitted in a direction (3, 3) explains samples (P, 3): 0 to 1.6."""
        assert self.fit is not None  # a reader without fits has nothing to say on this
        return self.fit.misfit(self._begun(self.fit, samples, rotation).fit)

    def pose(self, samples: Floats, rotation: Floats) -> tuple[PoseCode, float | None]:
        """The pose of a scan that ``rotation`` (3, 3) turns upright and to the front.

        Second is the noise of its points about the fitted body, None without a fit.
        """
        if self.fit is None:
            return self._seen(samples, rotation)[1], None
        code, body = self._fitted(self.fit, samples, rotation)
        return self._ended(self.fit, samples, samples, rotation, code, body)[:2]

    def read(
        self,
        points: Floats,
        up: str = "auto",
        front: str = "auto",
        furniture: bool = True,
        stage: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext(),
    ) -> PoseReading:
        """How a cleaned scan (n, 3) is turned and what pose it shows.

        With ``furniture`` something large that is touched is told from the body. ``stage`` is
        entered with the name of each step. Raises UsageError for impossible axes.
        """
        every = np.ones(len(points), dtype=bool)
        with stage("orient"):
            samples = self._sample(points)
            found = self.orientation(samples, up, front)
        if self.fit is None:
            with stage("read"):
                code = self._seen(samples, found.rotation)[1]
            figure = neutral_figure(self.joints, code.estimate, 0)
            return PoseReading(found, code, figure, found.distance, None, every, samples)
        with stage("read"):
            code, body = self._fitted(self.fit, samples, found.rotation)
        read = PoseReading(found, code, body.figure, found.distance, body.missed, every, samples)
        if furniture:
            with stage("furniture"):
                read, body = self._without_furniture(
                    self.fit, points, samples, read, body, up, front
                )
        with stage("surface"):
            rotation = read.orientation.rotation
            read.code, read.noise, read.figure = self._ended(
                self.fit, points[read.of_body], read.samples, rotation, read.code, body
            )
        return read

    def _without_furniture(
        self,
        fit: BodyFit,
        points: Floats,
        samples: Floats,
        read: PoseReading,
        body: _Body,
        up: str,
        front: str,
    ) -> tuple[PoseReading, _Body]:
        """``read`` anew, where much of the scan is far from the ``body`` that was fitted to it.

        A chair that is touched is one piece with who sits on it, and draws the fit. So the scan is
        read without what is far, and without the pieces that look least like a body. The points of
        a limb that was placed wrongly are as far: unless the whole body is in place, what is read
        anew has to leave less of it without points, and not much more of the points without it.
        """
        for attempt in range(READINGS):
            near, was = body.near(points), body
            if near.mean() > 1 - FURNITURE:
                break
            if body.missed < IN_PLACE:
                fewer = self._sample(points[near])
                code, body = self._fitted(fit, fewer, read.orientation.rotation)
                read = replace(read, code=code, of_body=near, samples=fewer)
                break
            tries = [near]
            if not attempt:
                rotation = read.orientation.rotation
                tries += without_pieces(
                    self.predictor, self.neutral, points, samples, rotation, GUESSES
                )
                tries += self._without_clutter(points, samples, read.code)
            least, worst = BETTER * body.missed, body.badness(points)
            for used in tries:
                fewer = self._sample(points[used])
                # what is left of a body that was read anew is turned as the rest was
                found = self.orientation(fewer, up, front) if not attempt else read.orientation
                begun = self._begun(fit, fewer, found.rotation)
                if begun.missed > PROMISING * least:
                    continue
                code, other = self._searched(fit, begun)
                badness = other.badness(points)
                if other.missed <= least and badness <= worst:
                    body, least, worst = other, other.missed, badness
                    read = replace(read, orientation=found, code=code, of_body=used, samples=fewer)
            if body is was:  # none was better
                break
        return read, body

    def _without_clutter(self, points: Floats, samples: Floats, code: PoseCode) -> list[Mask]:
        """The points (n,) that the network takes for a body's, if that is some of them.

        ``code`` is of the ``samples``; who is nearest to one is as it is.
        """
        body = (code.features.shares.sum(2)[0] > 1 - CLUTTER).cpu().numpy()
        kept = body[cKDTree(samples).query(points)[1]]
        return [kept] if LEAST_BODY < kept.mean() < 1 else []

    def _sample(self, points: Floats) -> Floats:
        return pose_sample(points, self.predictor.model.config.pose_points)

    def _fitted(self, fit: BodyFit, samples: Floats, rotation: Floats) -> tuple[PoseCode, _Body]:
        return self._searched(fit, self._begun(fit, samples, rotation))

    def _begun(self, fit: BodyFit, samples: Floats, rotation: Floats) -> _Begun:
        cloud, code = self._seen(samples, rotation)
        begun = fit.begun(cloud, code.features, code.estimate)
        return _Begun(samples, rotation, code, begun, _missed(fit, begun.figure, begun))

    def _searched(self, fit: BodyFit, begun: _Begun) -> tuple[PoseCode, _Body]:
        figure, code, samples = fit.searched(begun.fit), begun.code, begun.samples
        missed = _missed(fit, figure, begun.fit)
        surface = fit.fine.place(figure).surface[0].double().cpu().numpy()
        metre, lift = _metre(samples), lifts(code.features)[0].double().cpu().numpy()
        surface = metre * (surface @ begun.rotation) + samples.mean(0)
        body = _Body(figure, missed, surface, metre, samples, metre * lift)
        return fit.posed(code, figure), body

    def _ended(
        self,
        fit: BodyFit,
        points: Floats,
        samples: Floats,
        rotation: Floats,
        code: PoseCode,
        body: _Body,
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
        few = voxel_thin(near, VOXEL)
        ended = self.end.ended(
            body.figure,
            near[few],
            sides=None if sides.all_shown else sides,
            lift=body.lifts(points[few]) / body.metre,
        )
        return fit.posed(code, ended.figure), ended.noise, ended.figure

    def _seen(self, samples: Floats, rotation: Floats) -> tuple[torch.Tensor, PoseCode]:
        # about the middle: the network's single precision would not hold surveyors' coordinates
        turned = ((samples - samples.mean(0)) @ rotation.T)[None]
        return self.predictor.normalised(turned), self.predictor.encode_pose(turned)


def _missed(fit: BodyFit, figure: Figure, begun: Begun) -> float:
    """The share of a figure (1) that is far from what is seen, also of what was hidden."""
    return float(fit.search.misfit(figure, begun.seen).body)


def _metre(samples: Floats) -> float:
    """An adult's metre in the unit of a cloud (P, 3)."""
    return float(normalise_pose(torch.as_tensor(samples - samples.mean(0))[None])[2])
