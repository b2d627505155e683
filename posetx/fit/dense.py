"""The fit's last stage: a body that ends where the surface is.

The early stages (:mod:`posetx.fit.cloud`) bring every limb to its place and stop some centimetres
off: they have few points, and the network's word pulls. Here thousands of points are matched with
the nearest places on the body's triangles, and the body's own places with the nearest points,
across the surface alone. It is a maximum a posteriori fit: the noise is estimated with the pose,
and points count by one over its square. So a clean scan is trusted to the millimetre; where it is
noisy, dressed or not there, the prior has its say: where the early stages ended, and what people
do (:mod:`posetx.fit.habits`).

The pull is to the early stages' end and not to the network's word, which the search for limbs may
have had reason to leave: with the word, `dressed` and `noise` got worse by far (6 pairs each,
median PMD 35e-4 to 116e-4 and 5.3e-4 to 8.3e-4; with the end 33e-4 and 5.5e-4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from posetx.arrays import Floats, Indices
from posetx.bodies.body import BodyModel
from posetx.fit.figure import Figure, FreeBody
from posetx.fit.habits import TURNS, Habits
from posetx.fit.sides import Sides
from posetx.fit.surface import BodySurface, Contacts, Skin, outward

#: the standard deviation of what has this median from zero, of a normal distribution
NORMAL = 1.4826


@dataclass(frozen=True)
class DenseSettings:
    """Lengths are in the cloud's frame, whose unit is about a metre for an adult."""

    iterations: int = 12
    #: distance beyond which a match pulls no more: at first, and after so many steps as many
    #: standard deviations of the noise, but no more than the last: cloth and noise are on all sides
    reach: float = 0.06
    narrowing: int = 6
    deviations: float = 3.0
    widest: float = 0.03
    #: places of the body that are matched with points
    samples: int = 3000
    #: their weight, relative to that of the points
    body_to_scan: float = 0.4
    #: noise below this is what the body model itself is wrong by
    least_noise: float = 0.0015
    #: points that tell something new: the noise of neighbours is much the same
    independent: float = 1000.0
    #: standard deviation (radians) of the early stages' error in a part's direction: with 0.06 for
    #: 0.12 the first 8 pairs of `scan` have a PMD of 0.53e-4 for 0.18e-4, `front` 37.5 for 35.8,
    #: and `noise` and `dressed` are the same
    early: float = 0.12
    #: distance off the skin at which a point counts half: the first 24 pairs of `dressed` have a
    #: geometric mean of 26e-4 with it, 29e-4 with 0.03, 30e-4 if no point is off the skin
    doubt: float = 0.015
    #: least cosine of the normals of a match
    facing: float = 0.3
    #: steps, and those of narrowing, of a body that is followed, which begins next to its end:
    #: joints of 20 frames of a walk are 2.7 mm off with all steps and with these
    followed: tuple[int, int] = (6, 2)
    #: the fit has ended when no joint turns by more (radians)
    still: float = 1e-3


@dataclass
class Ended:
    """A fit that is done: the figure, and the points' noise (standard deviation) about it."""

    figure: Figure
    noise: float


class DenseFit:
    """Ends fits. ``free`` is of the body model that the figures are of."""

    def __init__(self, body: BodyModel, components: int, settings: DenseSettings | None = None):
        self.settings = s = settings or DenseSettings()
        body = body.to("cpu")
        self.surface = BodySurface(body, components, s.samples)
        self.free = FreeBody(body, 1, components)
        self.habits = Habits()

    @torch.no_grad()
    def ended(
        self,
        figure: Figure,
        points: Floats,
        normals: Floats | None = None,
        sides: Sides | None = None,
        lift: Floats | None = None,
        held: bool = False,
    ) -> Ended:
        """The figure (1) drawn to the surface; with its size and shape ``held``, or free.

        ``points`` (N, 3) are all over what is there of the body's surface, ``normals`` (N, 3) are
        theirs, of any length, all outward or all inward. Of the body those ``sides`` are in the
        scan; all without. ``lift`` (N,) is how far the points lie off the skin, as far as known.
        """
        s, tree, device = self.settings, cKDTree(points), figure.size.device
        figure = figure.to("cpu")
        early, noise = figure.rotations[0].double(), np.inf
        steps, narrowing = s.followed if held else (s.iterations, s.narrowing)
        for step in range(steps):
            skin = self.surface.skin(figure)
            of_points = _Matches(self.surface.nearest(skin, points), points)
            of_body = self._of_body(skin, points, tree, sides)
            if lift is not None:
                of_points.lifted(lift, s.doubt)
                of_body.lifted(lift[of_body.index], s.doubt)
            if normals is not None and not step:
                normals = outward(normals, of_points.contacts.normals)
            if normals is not None:
                of_points.facing(normals, s.facing)
                of_body.facing(normals[of_body.index], s.facing)
            noise = max(of_points.noise(), s.least_noise)
            left = max(1 - step / narrowing, 0.0)
            reach = max(min(s.deviations * noise, s.widest), left * s.reach)
            matrix, gradient = self._priors(figure, early)
            for matches, weight in ((of_points, 1.0), (of_body, s.body_to_scan)):
                rows = self.surface.across(figure, matches.contacts)
                pull = weight * s.independent / noise**2 * matches.pull(reach)
                weighted = torch.as_tensor(pull).float().unsqueeze(1) * rows
                matrix += (rows.T @ weighted).double()
                gradient -= (weighted.T @ torch.as_tensor(matches.depth).float()).double()
            if held:
                matrix, gradient = self.free.held(matrix, gradient)
            step_taken = -torch.linalg.solve(matrix, gradient)
            figure = self.free.moved(figure, step_taken.float().unsqueeze(0))
            if not left and step_taken[:TURNS].abs().max() < s.still:
                break
        return Ended(figure.to(device), noise)

    def _of_body(self, skin: Skin, points: Floats, tree: cKDTree, sides: Sides | None) -> _Matches:
        """The body's even places and the points next to them."""
        contacts = self.surface.even(skin)
        index = tree.query(contacts.where)[1]
        matches = _Matches(contacts, points[index], index)
        if sides is not None:
            where = torch.as_tensor(contacts.where[None]).float()
            facing = torch.as_tensor(contacts.normals[None]).float()
            matches.weight *= sides.weights(where, facing)[0].double().numpy()
        return matches

    def _priors(self, figure: Figure, early: Tensor) -> tuple[Tensor, Tensor]:
        """Normal matrix (P, P) and gradient (P,) of all that is not about points."""
        free = self.free
        # a shape has unit variance over people; place, size and turns are damped as little
        matrix = torch.eye(free.columns, dtype=torch.float64)
        gradient = torch.zeros(free.columns, dtype=torch.float64)
        stiff, slope = self.habits.normal_equations(figure.rotations.double())
        trust = torch.full((len(early), 1), 1 / self.settings.early**2, dtype=torch.float64)
        back = free.turned_back(figure.rotations[0].double(), early, trust)
        matrix[:TURNS, :TURNS] += stiff[0] + back[0]
        gradient[:TURNS] = slope[0] + back[1]
        gradient[TURNS + 4 :] = figure.shape[0].double()
        return matrix, gradient


class _Matches:
    """Places on the body and points that they are drawn to."""

    def __init__(self, contacts: Contacts, points: Floats, index: Indices | None = None):
        apart = points - contacts.where
        self.contacts, self.index = contacts, index
        self.depth = (apart * contacts.normals).sum(1)  # (N,) of the points, positive outside
        self.square = (apart**2).sum(1)
        self.weight = np.ones(len(points))

    def facing(self, normals: Floats, least: float) -> None:
        """Leave out those whose points' normals (N, 3) turn away from the body's."""
        self.weight *= (normals * self.contacts.normals).sum(1) > least

    def lifted(self, lift: Floats, doubt: float) -> None:
        """Take off what lies between skin and points (N,), where that leaves them nearer.

        With a lift of ``doubt`` a point counts half: there is cloth, and who knows how much.
        """
        above = np.where(np.abs(self.depth) < np.abs(self.depth - lift), 0.0, lift)
        self.square = np.maximum(self.square - self.depth**2, 0) + (self.depth - above) ** 2
        self.depth = self.depth - above
        self.weight *= 1 / (1 + (above / doubt) ** 2)

    def noise(self) -> float:
        """Standard deviation across the surface, whatever the outliers."""
        return NORMAL * float(np.median(np.abs(self.depth[self.weight > 0])))

    def pull(self, reach: float) -> Floats:
        """What each counts (N,), by Geman and McClure: fully near by, nothing far away."""
        near = reach**2 / (self.square + reach**2)
        pull: Floats = self.weight * near**2 / len(near)
        return pull
