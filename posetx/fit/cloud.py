"""The network's estimate, drawn closer to the scan: a body of free pose, shape and size.

The network answers in milliseconds and errs by some centimetres where a pose is rare. Its answer
is a good place to start from: the neutral body in the estimated pose is fitted to the points by
Gauss-Newton steps (articulated ICP), and the fitted pose is what the network's decoder then gives
to the target. Points are matched with the nearest point of the body, where nearness counts the
part that the network sees in a point as well: a hand on a hip is matched with the hand.

Where a limb is far off, no small step leads home: so other places for each limb are tried too
(:mod:`posetx.fit.limbs`), and the body that explains the points best is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from posetx.bodies.body import BodyModel
from posetx.bodies.skeleton import JOINTS
from posetx.fit.figure import JOINT_COUNT, Figure, FreeBody, Placed
from posetx.fit.habits import TURNS, Habits
from posetx.fit.limbs import LimbSearch, Misfit, least, nearest_points, short, squared_distances
from posetx.fit.seen import Seen
from posetx.fit.sides import Sides
from posetx.models.encoder import PointFeatures
from posetx.models.pose_mae import PoseCode
from posetx.models.refine import Estimate

HEAD = (JOINTS.index("neck"), JOINTS.index("head"))


@dataclass(frozen=True)
class FitSettings:
    """Lengths are in the pose's normalised frame, whose unit is about a metre for an adult."""

    iterations: int = 12
    body_points: int = 1500
    #: components of the shape space that are free; their weight keeps them near the mean body
    components: int = 24
    shape_weight: float = 3e-4
    #: keeps parts near the network's rotations where no points say otherwise
    pose_weight: float = 5e-4
    #: turn (radians) away from the network's word that quarters its pull on a part in sight, where
    #: limbs are tried elsewhere: the first 32 pairs of `scan` have a mean PMD of 0.19e-4 with
    #: it, 2.6e-4 without, which pulled an arm that was found off its place again
    word_reach: float = 0.7
    #: that of neck and head, relative to the other parts': a hat turns no head
    head_weight: float = 10.0
    #: that of all parts of a dressed figure, relative to a bare one's
    dressed: float = 4.0
    #: pull to what people do, a unit of the energy of :class:`Habits`: the first 20 pairs of
    #: `front` (heading known) have a mean PMD of 2.4e-4 with it, 3.8e-4 without, 2.5e-4 with 2.5
    #: times as much, with which hands held behind the back (`scan`) are lost
    habit_weight: float = 1e-6
    #: the misfit of an unusual pose is raised by this power of how unusual it is
    habit_share: float = 0.07
    #: distance off the skin at which a point counts half
    doubt: float = 0.1
    #: distance beyond which a point pulls no more, at first and in the end
    reach: tuple[float, float] = (0.2, 0.03)
    #: what a match with a part that the network does not see in the point costs, at first; the
    #: network's word counts less and less
    part_distance: float = 0.07
    #: what a match with a place of the body costs that the scan cannot show: the first 32 pairs of
    #: `front` have a geometric mean PMD that is 13 % larger without it
    concealed: float = 0.05
    #: pull of the body's points to the scan, relative to the scan's to the body: a scan may lack
    #: a side, and a body may not
    body_to_scan: float = 0.4
    #: weight of a match's distance along the surface, relative to that across it
    along: float = 0.3
    damping: float = 1e-4
    #: the fits that other places of limbs are tried by: steps, samples of the body's surface and
    #: of the cloud, reach
    trials: int = 5
    trial_samples: int = 400
    trial_points: int = 512
    trial_reach: tuple[float, float] = (0.4, 0.1)
    #: starts with other limbs a round, and rounds; 0 rounds trust the network's word on all limbs
    starts: int = 32
    rounds: int = 3
    #: how much better (a share of the misfit) another start has to be
    margin: float = 0.01
    #: ... of a dressed figure, where the misfit says less
    margin_dressed: float = 0.1
    #: distance from which on a point has no part of the body near it, and shares of the cloud and
    #: of the body (as far as it is shown) that may be as far from each other where every limb is
    #: where it should be, and no other place is tried: of 72 bare figures 49 are so, and the search
    #: for limbs brought none of them nearer to the truth by as much as 0.3e-4
    away: float = 0.06
    clear: tuple[float, float] = (0.002, 0.04)
    #: of a body that is followed: reach of the first steps, how far (a pelvis) the network's word
    #: may be from where it was, and how much better (a share of the misfit) its pose has to be
    follow_reach: tuple[float, float] = (0.2, 0.06)
    astray: float = 0.3
    margin_follow: float = 0.03
    #: what a limb has to explain of the cloud, as a share of what it is of the body; one that does
    #: not goes back to where the network has it
    worth: float = 0.05


@dataclass
class Begun:
    """A body next to the network's word on one cloud; no other places for limbs were tried."""

    seen: Seen
    start: Figure  # at the network's word
    figure: Figure
    sides: Sides | None  # those that the cloud shows, if it is not all


class BodyFit:
    """Fits a body to clouds."""

    def __init__(self, body: BodyModel, settings: FitSettings | None = None):
        self.settings = s = settings or FitSettings()
        self.fine = FreeBody(body, s.body_points, s.components)
        self.coarse = FreeBody(body, s.trial_samples, s.components)
        self.search = LimbSearch(self.coarse)
        self.habits = Habits()

    def posed(self, pose: PoseCode, figures: Figure) -> PoseCode:
        """``pose`` with the estimate that the figures show."""
        joints = self.fine.place(figures).joints
        return replace(pose, estimate=Estimate(figures.rotations, joints))

    @torch.no_grad()
    def figures(self, clouds: Tensor, pose: PoseCode) -> Figure:
        """The bodies that fit ``clouds`` (B, N, 3) best, B of them.

        The clouds are in the normalised frame that ``pose`` is of, all points of which it has
        features, and their first points alone cover the body, as
        :func:`posetx.models.predictor.pose_sample` makes them. Each cloud is fitted by itself;
        the result is the same every time.
        """
        return Figure.joined(
            [
                self.searched(
                    self.begun(cloud, pose.features.of_cloud(row), pose.estimate[row : row + 1])
                )
                for row, cloud in enumerate(clouds.split(1))
            ]
        )

    @torch.no_grad()
    def followed(self, cloud: Tensor, pose: PoseCode, last: Figure) -> Figure:
        """The figure of one cloud (1, N, 3) whose body was ``last`` a moment ago.

        It keeps its size and shape. Steps begin at the last pose, and at the network's word on this
        one; that which explains the cloud better is gone on with.
        """
        s, seen = self.settings, Seen.of(cloud, pose.features)
        word = self.fine.begin(pose.estimate)
        word = replace(word, size=last.size, shape=last.shape)
        root = self.fine.place(last).joints[:, :1]
        word.where = word.where + pose.estimate.joints[:, :1] - self.fine.place(word).joints[:, :1]
        both = Figure.joined([last, word])
        if (root - pose.estimate.joints[:, :1]).norm() > s.astray:
            both = both[:1]  # the network is elsewhere
        sides: Sides | None = self._sides(last, seen)
        both = self._solve(
            self.coarse, both, both, seen, s.trials, s.follow_reach, sides, held=True
        )
        misfit = self.search.misfit(both, seen, sides).whole
        best = int(len(both.size) > 1 and misfit[1] < (1 - s.margin_follow) * misfit[0])
        figure = both[best : best + 1]
        reach = (s.trial_reach[1], s.reach[1])
        return self._solve(self.fine, figure, figure, seen, s.trials, reach, sides, held=True)

    def _sides(self, figure: Figure, seen: Seen) -> Sides | None:
        """What of a figure a cloud shows; None where that is all."""
        placed = self.fine.place(figure)
        squared = squared_distances(seen.points, placed.surface).amin(1)
        sides = Sides(placed, squared, seen.points, seen.dressed)
        return None if sides.all_shown else sides

    @torch.no_grad()
    def begun(self, cloud: Tensor, features: PointFeatures, estimate: Estimate) -> Begun:
        """The first half of :meth:`figures`, of one cloud (1, N, 3): next to the estimate."""
        s, seen = self.settings, Seen.of(cloud, features)
        start = self.fine.begin(estimate)
        figure = self._solve(self.fine, start, start, seen, s.iterations, s.reach, None, True)
        sides = self._sides(figure, seen)
        if sides is None:
            return Begun(seen, start, figure, None)
        figure = self._solve(self.fine, start, start, seen, s.iterations, s.reach, sides, True)
        return Begun(seen, start, figure, sides)

    @torch.no_grad()
    def misfit(self, begun: Begun) -> float:
        """How badly what was begun explains its cloud, see :meth:`badness`."""
        figure = begun.figure
        misfit = self.search.misfit(figure, begun.seen, begun.sides)
        return float(self.badness(figure, misfit))

    def badness(self, figures: Figure, misfit: Misfit) -> Tensor:
        """How badly figures (B) explain a cloud (B,): their misfit, the more the less usual.

        Some of what is wrong explains a cloud better than the truth, with limbs that bend as none
        does; the more so where much of the cloud is no body's.
        """
        return misfit.whole * self.habits.unusual(figures.rotations) ** self.settings.habit_share

    @torch.no_grad()
    def searched(self, begun: Begun) -> Figure:
        """The second half of :meth:`figures`: with every limb where it explains the cloud best."""
        s, seen, sides = self.settings, begun.seen, begun.sides
        figure, start = begun.figure, begun.start
        few = seen.few(s.trial_points)
        best = self.search.misfit(figure, seen, sides)
        leaders = figure
        rounds = 0 if self._clear(begun) else s.rounds
        margin = s.margin_dressed if seen.dressed else s.margin
        for _ in range(rounds):
            first = leaders[:1]
            # without the network's word on whose points are whose: it may be why a limb went wrong
            others = self.search.starts(first, few, s.starts, sides)
            others = self._solve(self.coarse, others, start, few, s.trials, s.trial_reach, sides)
            others = Figure.joined([first, others])
            badness = self.badness(others, self.search.misfit(others, seen, sides))
            leaders = others[badness.topk(2, largest=False).indices]
            if not badness.min() < (1 - margin) * badness[0]:
                break
        if rounds:
            reach = (s.trial_reach[1], s.reach[1])
            steps = s.iterations // 2
            leaders = self._solve(self.fine, leaders, start, seen, steps, reach, sides)
            misfit = self.search.misfit(leaders, seen, sides)
            badness = self.badness(leaders, misfit)
            winner = int(badness.argmin())
            better = badness[winner] < (1 - margin) * self.badness(figure, best)
            # a limb that the scan lacks could else hide in the trunk, which explains nothing
            if better and misfit.cloud[winner] < best.cloud:
                figure = leaders[winner : winner + 1]
        return self.search.returned(figure, start, seen, s.worth)

    def _clear(self, begun: Begun) -> bool:
        """Whether every limb is where it should be, next to the network's word."""
        s, placed = self.settings, self.fine.place(begun.figure)
        seen, sides = begun.seen, begun.sides
        squared = squared_distances(seen.points, placed.surface)
        cloud = short(squared.amin(2), seen.lift) > s.away**2
        shown = torch.ones_like(placed.surface[..., 0])
        if sides is not None:
            shown = sides.weights(placed.surface, placed.normals)
        body = shown * (short(squared.amin(1), 0.0) > s.away**2)
        return bool((cloud.float().mean() < s.clear[0]) & (body.sum() < s.clear[1] * shown.sum()))

    def _solve(
        self,
        body: FreeBody,
        figure: Figure,
        start: Figure,
        seen: Seen,
        iterations: int,
        reach: tuple[float, float],
        sides: Sides | None,
        by_word: bool = False,
        held: bool = False,
    ) -> Figure:
        """Gauss-Newton steps from ``figure`` on, all of its batch for the same cloud.

        ``start`` is the network's word on the pose. With ``by_word`` it counts in full, and that
        on the points' parts too; without it is taken to be wrong about what is far from it, but of
        dressed figures: a sleeve is where wings are, too. Size and shape are ``held``, or free.
        """
        s, cloud = self.settings, seen.points
        strange = s.part_distance**2 * (1 - seen.parts[:, :, body.part]) if by_word else None
        doubt = 1 / (1 + (seen.lift[0] / s.doubt).square())
        for iteration in range(iterations):
            left = 1 - iteration / max(iterations - 1, 1)
            far = reach[1] + left * (reach[0] - reach[1])
            placed, jacobian = body.place(figure), body.jacobian(figure)
            squared = squared_distances(cloud, placed.surface)
            to_scan = nearest_points(placed.surface, cloud)
            shown = torch.ones_like(placed.surface[..., 0])
            cost = squared if strange is None else squared + left * strange
            if sides is not None:
                shown = sides.weights(placed.surface, placed.normals)
                cost = cost + s.concealed**2 * (1 - shown).unsqueeze(1)
            to_body = least(cost)
            matched = _Matched(placed)
            apart = placed.surface - cloud[0, to_scan]
            apart = apart + seen.lift[0, to_scan].unsqueeze(-1) * placed.normals
            matched.add(apart, far, s.body_to_scan * shown * doubt[to_scan])
            which = to_body.unsqueeze(-1).expand(-1, -1, 3)
            apart = placed.surface.gather(1, which) - cloud
            apart = apart + seen.lift.unsqueeze(-1) * placed.normals.gather(1, which)
            matched.add(apart, far, doubt, to_body)
            doubted = None if by_word or seen.dressed else shown
            normal, aim = self._priors(figure, start, body, seen.dressed, doubted)
            by_points = matched.normal_equations(jacobian, s.along)
            normal, aim = normal + by_points[0], aim + by_points[1]
            if held:
                normal, aim = body.held(normal, aim)
            step = torch.linalg.solve(normal, aim)
            figure = body.moved(figure, -step)
        return figure

    def _priors(
        self,
        figure: Figure,
        start: Figure,
        body: FreeBody,
        dressed: bool,
        shown: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Normal matrix (B, P, P) and gradient (B, P) of all that is not about points.

        The network's word pulls fully; or, of parts whose surface (B, N) is ``shown``, those less
        that are far from it.
        """
        s, turns = self.settings, TURNS
        batch = len(figure.size)
        normal = torch.eye(body.columns, device=figure.size.device) * (s.damping / JOINT_COUNT)
        normal = normal.repeat(batch, 1, 1)
        aim = normal.new_zeros(batch, body.columns)
        word = s.pose_weight * (s.dressed if dressed else 1.0) / JOINT_COUNT
        weights = torch.full((JOINT_COUNT, 1), word, device=normal.device)
        weights[list(HEAD)] *= s.head_weight
        if shown is not None:
            in_sight = shown @ body.weights / body.weights.sum(0).clamp_min(1e-6)
            away = 3 - (figure.rotations * start.rotations).sum((-2, -1))  # squared, of small turns
            doubted = 1 - (1 + away / s.word_reach**2) ** -2
            weights = weights * (1 - in_sight * doubted).unsqueeze(-1)
        said = body.turned_back(figure.rotations, start.rotations, weights)
        normal[:, :turns, :turns] += said[0]
        aim[:, :turns] = said[1]
        stiff, slope = self.habits.normal_equations(figure.rotations)
        normal[:, :turns, :turns] += s.habit_weight * stiff
        aim[:, :turns] += s.habit_weight * slope
        weight = s.shape_weight / s.components
        normal.diagonal(dim1=1, dim2=2)[:, turns + 4 :] += weight
        aim[:, turns + 4 :] = weight * figure.shape
        return normal, aim


class _Matched:
    """Where a body's surface samples are drawn to, by their matches with a cloud's points."""

    def __init__(self, placed: Placed):
        self.normals = placed.normals
        self.pull = placed.surface.new_zeros(placed.surface.shape[:2])  # (B, N) sum of weights
        self.apart = torch.zeros_like(placed.surface)  # (B, N, 3) weighted sum of distances

    def add(
        self, apart: Tensor, reach: float, weight: Tensor | float, sample: Tensor | None = None
    ) -> None:
        """Matches (B, M, 3) of the samples with these indices (B, M); of all in turn without."""
        # Geman-McClure: the full pull near by, none from far away
        near = reach**2 / (apart.square().sum(-1) + reach**2)
        pull = weight * near.square() / near.shape[1]
        pulled = pull.unsqueeze(-1) * apart
        if sample is None:
            self.pull += pull
            self.apart += pulled
        else:
            self.pull.scatter_add_(1, sample, pull)
            self.apart.scatter_add_(1, sample.unsqueeze(-1).expand(-1, -1, 3), pulled)

    def normal_equations(self, jacobian: Tensor, along: float) -> tuple[Tensor, Tensor]:
        """Matrix (B, P, P) and gradient (B, P) of the distances across the surface and along it.

        ``along`` is the weight of the latter. ``jacobian`` is (B, N, 3, P).
        """
        normals = self.normals.unsqueeze(-1)
        across = (1 - along) * (normals.transpose(2, 3) @ jacobian)  # (B, N, 1, P)
        weighted = self.pull[..., None, None] * (along * jacobian + normals * across)
        rows = jacobian.flatten(1, 2).transpose(1, 2)  # (B, P, 3 N)
        depth = (self.normals * self.apart).sum(-1, keepdim=True)
        aim = along * self.apart + (1 - along) * depth * self.normals
        return rows @ weighted.flatten(1, 2), (rows @ aim.flatten(1).unsqueeze(-1)).squeeze(-1)
