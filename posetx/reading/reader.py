"""Reading a cleaned scan: which way it is turned, and what pose it shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np
import torch
from scipy.spatial import cKDTree

from posetx.arrays import Floats, Mask
from posetx.bodies.body import BodyModel
from posetx.fit.cloud import BodyFit
from posetx.fit.figure import Figure, neutral_figure
from posetx.fit.seen import LEAST_BODY, Seen
from posetx.geometry.rotations import matrix_from_yaw
from posetx.models.pose_mae import PoseCode
from posetx.models.predictor import Predictor
from posetx.reading.found import FittedBody, PoseReading, metre_of
from posetx.reading.orient import (
    NeutralBody,
    Orientation,
    about,
    distance_to_prediction,
    explain,
    orient,
)
from posetx.reading.pieces import without_pieces
from posetx.reading.start import Start
from posetx.reading.steps import Steps, fitted_body, misfit_of

#: what is far from the fitted body is no part of it, where it is at least this share of the points:
#: simulated scans of nothing but bodies have at most 0.013
FURNITURE = 0.05
#: so often a body is read anew; each time at most this share of what was missed may still be
READINGS, BETTER = 3, 0.97
#: a body with at most this share of it far from the scan is in place: one beside a table has 0.024,
#: and a forearm with its hand is another 0.05
IN_PLACE = 0.04
#: ways to leave a piece of the scan out that are tried
GUESSES = 2
#: one of them is fitted thoroughly if its first body misses less than so many times what it may: in
#: 3 of 44 such tries the search for limbs left less than 0.95 of that
PROMISING = 1.05
#: a pelvis leans by more than this (radians) in 2 % of what people do: a direction counts as worse
#: the more it does, twice as bad at a right angle. The same body fits as well with another axis up
LEANS = math.pi / 4
#: what explains a cloud as badly as this may be no body's (`Orientation.badness`): bare people have
#: at most 0.006 (16 of `scan`), dressed and noisy ones 0.011, crates, rims and arms alone that were
#: taken for one 0.012 to 0.03; something else is, if it is explained so many times better
STRANGE, FAMILIAR = 0.008, 1.1
#: points with such noise about the body may show another one that faces elsewhere: of `scan` and
#: `objects` those that are read rightly have less. It does, if noise times what is missed of it is
#: less than this share
LOOSE, TURNED = 0.009, 0.6
#: the network's word on a point's being no body's, from which on the scan is tried without it
CLUTTER = 0.1


class PoseReader(Steps):
    """Finds which way a scan is turned, and what pose it shows, with a body fitted or without."""

    def __init__(self, predictor: Predictor, body: BodyModel, refine: bool = True):
        super().__init__(predictor, body, refine)
        self.neutral = NeutralBody(body, predictor)
        self.joints = body.joint_template.to(predictor.device)

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
            rotation = _to_front(forward) @ rotation
        distance = distance_to_prediction(self.predictor, self.neutral, samples, rotation)
        return replace(
            found, rotation=rotation, up=best.up, distance=distance, badness=best.badness
        )

    def settled(self, samples: Floats, found: Orientation) -> tuple[Orientation, torch.Tensor]:
        """Of a direction and its rivals the one that explains the samples (P, 3) best.

        Second is the forward axis (3,) of the pelvis fitted in it.
        """
        assert self.fit is not None  # a reader without fits has nothing to say on this
        best, least, forward = found, math.inf, torch.zeros(3)
        for candidate in (found, *found.rivals):
            begun = self._begun(self.fit, samples, candidate.rotation)
            misfit = self.fit.misfit(begun.fit)
            pelvis = begun.fit.figure.rotations[0, 0]
            badness = candidate.habit * candidate.distance * misfit * _leaning(pelvis)
            if badness < least:
                best, least = candidate, badness
                forward = pelvis[:, 2]
        return replace(best, badness=least), forward

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
        others: Iterable[tuple[Floats, str]] = (),
    ) -> PoseReading:
        """How a cleaned scan (n, 3) is turned and what pose it shows.

        With ``furniture`` something large that is touched is told from the body. ``stage`` is
        entered with the name of each step. Where the points look like no body, one of the
        ``others``, points (k, 3) and their ``up``, may take their place: see
        :attr:`PoseReading.chosen`. Raises UsageError for impossible axes.
        """
        with stage("orient"):
            samples = self._sample(points)
            found = self.orientation(samples, up, front)
            chosen, limit = 0, found.badness / FAMILIAR
            for place, (other, other_up) in enumerate(others if found.badness > STRANGE else (), 1):
                fewer = self._sample(other)
                turned = self.orientation(fewer, other_up, front)
                if turned.badness < limit:
                    chosen, limit = place, turned.badness
                    points, samples, found = other, fewer, turned
        every = np.ones(len(points), dtype=bool)
        if self.fit is None:
            with stage("read"):
                code = self._seen(samples, found.rotation)[1]
            figure = neutral_figure(self.joints, code.estimate, 0)
            return PoseReading(found, code, figure, found.distance, None, every, samples)
        with stage("read"):
            code, body = self._fitted(self.fit, samples, found.rotation)
        read = PoseReading(
            found, code, body.figure, found.distance, body.missed, every, samples, chosen=chosen
        )
        if furniture:
            with stage("furniture"):
                read, body = self._without_furniture(
                    self.fit, points, samples, read, body, up, front
                )
        with stage("surface"):
            self._draw(self.fit, points, read, body)
            if front == "auto":
                read = self._faced(self.fit, points, read, body)
        return read

    def _faced(
        self, fit: BodyFit, points: Floats, read: PoseReading, body: FittedBody
    ) -> PoseReading:
        """``read`` anew with the body facing elsewhere, where that explains the scan far better.

        A box at a foot is enough for the network to take a back for a front, and all that follows
        ends with limbs that are bent to where something is. Then points lie about the body, and
        some of the body has none. About who is dressed they lie loosely anyway: that tells nothing.
        """
        if read.noise is None or read.noise < LOOSE or body.lift.any():
            return read
        samples, best, missed = read.samples, read, body.missed
        for turn in about(4)[[2, 1, 3]]:
            begun = self._begun(fit, samples, turn @ read.orientation.rotation)
            if begun.missed > PROMISING * missed:
                continue
            forward = begun.fit.figure.rotations[0, 0, :, 2]
            begun = self._begun(fit, samples, _to_front(forward) @ begun.rotation)
            code, other = self._searched(fit, begun)
            distance = distance_to_prediction(self.predictor, self.neutral, samples, begun.rotation)
            found = replace(best.orientation, rotation=begun.rotation, distance=distance)
            turned = replace(
                read, orientation=found, code=code, distance=distance, missed=other.missed
            )
            self._draw(fit, points, turned, other)
            assert best.noise is not None and turned.noise is not None
            if other.missed * turned.noise < TURNED * missed * best.noise:
                best, missed = turned, other.missed
        return best

    def follow(
        self,
        points: Floats,
        start: Start,
        stage: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext(),
    ) -> PoseReading:
        """The pose in a cleaned scan (n, 3) of a body that was at ``start`` a moment ago.

        Which way is up, the body's size and its shape are known; what is far from it is no part of
        it. Of a reader with fits alone.
        """
        fit = self.fit
        assert fit is not None
        rotation = start.faced
        with stage("read"):
            samples = self._sample(points)
            cloud, code = self._seen(samples, rotation)
            distance = float(explain(self.predictor, self.neutral, cloud, code)[0])
            last = self._known(start, samples, rotation)
            figure = fit.followed(cloud, code, last)
            seen = Seen.of(cloud, code.features)
            body = fitted_body(fit, figure, samples, rotation, seen, code)
            near = body.near(points)
        if near.mean() < LEAST_BODY:
            near[:] = True
        found = Orientation(rotation, start.up, distance, math.inf)
        with stage("surface"):
            code, noise, figure = self._ended(
                fit, points[near], samples, rotation, fit.posed(code, figure), body, held=True
            )
        missed, misfit = body.missed, misfit_of(fit, figure, seen)
        return PoseReading(
            found, code, figure, found.distance, missed, near, samples, noise, misfit
        )

    def _known(self, start: Start, samples: Floats, rotation: Floats) -> Figure:
        """The body at ``start`` in the frame of these samples (P, 3), turned by (3, 3)."""
        assert self.fit is not None
        free = self.fit.fine
        shape = torch.as_tensor(start.shape).float().to(free.joint_template.device)
        pelvis = free.joint_template[0] + shape @ free.joint_components[:, 0]
        pelvis_at: Floats = pelvis.double().cpu().numpy()
        figure = start.figure(rotation, samples.mean(0), metre_of(samples), pelvis_at)
        return figure.to(self.predictor.device)

    def _without_furniture(
        self,
        fit: BodyFit,
        points: Floats,
        samples: Floats,
        read: PoseReading,
        body: FittedBody,
        up: str,
        front: str,
    ) -> tuple[PoseReading, FittedBody]:
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


def _to_front(forward: torch.Tensor) -> Floats:
    """The turn (3, 3) about y by which what faces ``forward`` (3,) comes to face +z."""
    turn: Floats = matrix_from_yaw(-torch.atan2(forward[0], forward[2])).double().cpu().numpy()
    return turn


def _leaning(pelvis: torch.Tensor) -> float:
    """How much worse a direction is in which the fitted pelvis (3, 3) leans so far: 1 or more."""
    lean = math.acos(min(max(float(pelvis[1, 1]), -1.0), 1.0))
    return float((1 + (lean / LEANS) ** 4) ** 0.25)
