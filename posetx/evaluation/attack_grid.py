"""Attacks on a whole protocol: every method at every budget, number of steps and number of views.

The poster's tables ("On the Robustness of 3D Human Pose Estimation": MPJPE and JDR by epsilon,
iterations and views; a view is a depth camera of the virtual scanner) and 3D-PoseMAE's Table 2.
All clouds of a cell are attacked in one batch. The network alone is attacked and measured: its
heading is told, nothing is fitted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from posetx.attacks.ascent import Attacked
from posetx.attacks.budget import Budget
from posetx.attacks.methods import METHODS
from posetx.attacks.scan import picked_vertices
from posetx.attacks.settings import AttackSettings
from posetx.attacks.victim import Victim, turned
from posetx.bodies.metrics import means
from posetx.bodies.skeleton import JOINTS
from posetx.cleaning.clean import clean_scan
from posetx.evaluation.protocols import PROTOCOLS, Pair, pairs_of
from posetx.evaluation.subjects import Subjects
from posetx.geometry.mesh import edge_distortion
from posetx.geometry.rotations import matrix_from_yaw
from posetx.models.predictor import IdentityFrame, NetworkPredictor, pose_sample

#: scans that are attacked together
BATCH = 64


@dataclass
class Case:
    """A pair as the grid sees it: upright, facing +z, metres."""

    pair: Pair
    sample: np.ndarray  # (S, 3)
    truth: np.ndarray  # (V, 3) turned as the sample is
    frame: IdentityFrame
    aim: IdentityFrame
    vertices: np.ndarray  # (V, 3) the target in its frame
    shown: Tensor  # (1, I, 3) its surface sample


@dataclass
class Crowd:
    """Cases as one batch; positions in the identities' frames, whose units are ``metres`` (B,)."""

    cases: list[Case]
    clouds: Tensor  # (B, S, 3)
    queries: Tensor  # (B, I + V, 3)
    truth: Tensor  # (B, V, 3)
    metres: Tensor

    def victim(self, predictor: NetworkPredictor) -> Victim:
        return Victim(predictor, self.queries)


class AttackGrid:
    """One network's cases for one seed; ``surrogate`` is what attacks are made with instead."""

    def __init__(
        self,
        predictor: NetworkPredictor,
        subjects: Subjects,
        surrogate: NetworkPredictor | None = None,
    ):
        self.subjects, self.seed = subjects, subjects.seed
        self.predictor, self.attacker = predictor, surrogate or predictor

    def crowd(self, name: str, count: int, views: int | None = None) -> Crowd:
        """The first ``count`` pairs of a protocol; with ``views`` through the virtual scanner."""
        protocol = PROTOCOLS[name]
        if views is not None:
            protocol = replace(protocol, views=views)
        ev = self.subjects
        stream = pairs_of(protocol, ev.body, ev.banks, count, self.seed)
        cases = [self._case(pair) for pair in stream]
        picked = picked_vertices(len(cases[0].truth), self.seed)

        def tensor(rows: list[np.ndarray]) -> Tensor:
            return torch.as_tensor(
                np.stack(rows), dtype=torch.float32, device=self.predictor.device
            )

        shown = torch.cat([case.shown for case in cases])
        some = tensor([case.vertices[picked] for case in cases])
        aims = [(c.truth[picked] - c.aim.centre) / c.frame.unit for c in cases]
        return Crowd(
            cases,
            tensor([case.sample - case.sample.mean(0) for case in cases]),
            torch.cat([shown, some], 1),
            tensor(aims),
            torch.tensor([c.frame.unit for c in cases], device=self.predictor.device),
        )

    def _case(self, pair: Pair) -> Case:
        turn = matrix_from_yaw(torch.tensor(-pair.yaw)).double().numpy()
        points = np.roll(pair.points.double().numpy(), -pair.roll, 1)
        if pair.scanned:
            points = clean_scan(points).points
        target, truth = pair.target.double().numpy(), pair.truth.double().numpy() @ turn.T
        faces = pair.faces.numpy()
        frame = IdentityFrame.of(target, faces)
        normal = frame.to_normal(target)
        return Case(
            pair,
            pose_sample(points @ turn.T, self.predictor.network.config.pose_points),
            truth,
            frame,
            IdentityFrame.of(truth, faces),
            normal,
            self.predictor.identity_sample(normal, faces),
        )

    def figures(self, crowd: Crowd, clouds: Tensor) -> dict[str, float]:
        """Mean figures of these clouds (B, S, 3) instead of the crowd's own."""
        return means(self._figures(crowd, clouds))

    def cell(
        self, crowd: Crowd, settings: AttackSettings, turn_degrees: float | None = None
    ) -> dict[str, Any]:
        """The figures after an attack; with ``turn_degrees`` one that wants the own pose turned.

        ``success`` is the share of scans whose PMD is at least the settings', or, of a targeted
        attack, that came at least halfway to what it wants.
        """
        targeted = turn_degrees is not None
        aim = self._turned(crowd, turn_degrees) if turn_degrees is not None else crowd.truth
        started = time.perf_counter()
        result = self.attacked(crowd, settings, aim if targeted else None)
        if self.predictor.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        clouds = result.clouds
        figures = self._figures(crowd, clouds)
        sizes = Budget(settings.norm, 1.0).size(clouds - crowd.clouds)
        row: dict[str, Any] = {
            **means(figures),
            "success": float(np.mean([row["pmd"] >= settings.success for row in figures])),
            "size_mm": 1000 * float(sizes.mean()),
            "queries": result.queries,
            "ms_per_scan": 1000 * seconds / len(clouds),
        }
        if targeted:
            row |= self._nearness(crowd, clouds, aim)
        parts = self._by_part(crowd, clouds)
        if parts:
            row["by_part"] = parts
        if settings.defence:
            row["pmd_defended"] = self._behind(crowd, clouds, settings.defence)
            row["pmd_clean_defended"] = self._behind(crowd, crowd.clouds, settings.defence)
        return row

    def _turned(self, crowd: Crowd, degrees: float) -> Tensor:
        """The clean predictions (B, V, 3), turned about upright by so many degrees."""
        return turned(crowd.victim(self.predictor).predicted(crowd.clouds), degrees)

    def attacked(
        self, crowd: Crowd, settings: AttackSettings, wanted: Tensor | None = None
    ) -> Attacked:
        """The crowd's clouds after an attack, BATCH at a time; ``wanted`` (B, V, 3) is its aim."""
        aim = crowd.truth if wanted is None else wanted
        results = [
            self._batch(crowd, slice(start, start + BATCH), aim, settings, wanted is not None)
            for start in range(0, len(crowd.clouds), BATCH)
        ]
        clouds, traces = ([getattr(r, name) for r in results] for name in ("clouds", "trace"))
        return Attacked(torch.cat(clouds), torch.cat(traces, 1), results[0].queries)

    def _batch(
        self, crowd: Crowd, rows: slice, aim: Tensor, settings: AttackSettings, wanted: bool
    ) -> Attacked:
        clouds = crowd.clouds[rows]
        generator = torch.Generator(device=clouds.device).manual_seed(settings.seed)
        attacker, defence = crowd.victim(self.attacker)[rows], None
        if settings.adaptive:
            defence = settings.defence
        objective = attacker.objective(aim[rows], clouds.shape[1], wanted, defence, generator)
        # one goal for the whole batch: that of a body of mean size
        goal = math.log(settings.success / float(crowd.metres[rows].square().mean()))
        return settings.run(objective, clouds, generator, goal)[0]

    def _nearness(self, crowd: Crowd, clouds: Tensor, wanted: Tensor) -> dict[str, float]:
        """How far clean and attacked predictions are from what was wanted, on average, in mm."""
        victim, metres = crowd.victim(self.predictor), crowd.metres.view(-1, 1)
        before, after = (
            ((victim.predicted(c) - wanted).norm(dim=-1) * metres).mean(1)
            for c in (crowd.clouds, clouds)
        )
        return {
            "from_wanted_mm": 1000 * float(after.mean()),
            "clean_from_wanted_mm": 1000 * float(before.mean()),
            "success": float((after <= 0.5 * before).float().mean()),
        }

    def _by_part(self, crowd: Crowd, clouds: Tensor) -> dict[str, dict[str, float]]:
        """Of each body part its share of the squared displacements, and of the points.

        3D-PoseMAE's Figure 5 as figures. Empty for scans: they do not know whose points are whose.
        """
        vertices = self.subjects.body.weights
        if len(crowd.cases[0].pair.points) != len(vertices):
            return {}
        own = vertices.argmax(1).cpu().numpy()
        moved = (clouds - crowd.clouds).square().sum(-1).cpu().double().numpy()
        moved /= np.maximum(moved.sum(1, keepdims=True), 1e-300)
        energy, points = np.zeros(len(JOINTS)), np.zeros(len(JOINTS))
        for case, displacement in zip(crowd.cases, moved, strict=True):
            nearest = cKDTree(case.pair.points.double().numpy()).query(case.sample)[1]
            energy += np.bincount(own[nearest], displacement, len(JOINTS))
            points += np.bincount(own[nearest], minlength=len(JOINTS)) / len(nearest)
        count = len(crowd.cases)
        return {
            name: {"perturbation": float(e / count), "points": float(p / count)}
            for name, e, p in zip(JOINTS, energy, points, strict=True)
        }

    @torch.no_grad()
    def _behind(self, crowd: Crowd, clouds: Tensor, defence: str) -> float:
        """Mean squared error (m²) of what a defence hands on, about the bodies' middles."""
        generator = torch.Generator(device=clouds.device).manual_seed(self.seed)
        victim = crowd.victim(self.predictor)
        harm = victim.objective(crowd.truth, clouds.shape[1], False, defence, generator)(clouds)
        return float((harm.exp() * crowd.metres.square()).mean())

    def _figures(self, crowd: Crowd, clouds: Tensor) -> list[dict[str, float]]:
        rows = []
        for case, cloud in zip(crowd.cases, clouds, strict=True):
            moved = self.predictor.move(cloud[None], case.vertices, case.shown)
            predicted = case.frame.from_normal(moved)
            weights, faces = case.pair.weights.double().numpy(), case.pair.faces.numpy()
            errors = self.subjects.errors(predicted, case.frame, case.truth, case.aim, weights)
            target = case.frame.from_normal(case.vertices)
            errors["edge"] = edge_distortion(target, faces, predicted)
            rows.append(errors)
        return rows


def run_grid(
    grid: AttackGrid,
    name: str,
    count: int,
    views: Sequence[int | None],
    settings: Sequence[AttackSettings],
    turn_degrees: Sequence[float | None],
    on_cell: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """One row for each number of views and each attack.

    ``views`` None are the protocol's own; ``turn_degrees`` None is any harm, see
    :meth:`AttackGrid.cell`.
    """
    rows: list[dict[str, Any]] = []
    for seen in views:
        crowd = grid.crowd(name, count, seen)
        begin = {"protocol": name, "views": seen, "pairs": len(crowd.cases)}
        rows.append({**begin, "method": "none", **grid.figures(crowd, crowd.clouds)})
        on_cell()
        for one in settings:
            for degrees in turn_degrees:
                row = grid.cell(crowd, one, degrees)
                rows.append({**begin, **_told(one), "turn_degrees": degrees, **row})
                on_cell()
    return rows


def _told(settings: AttackSettings) -> dict[str, Any]:
    takes = METHODS[settings.method].takes
    told: dict[str, Any] = {"method": settings.method, "seed": settings.seed}
    if "share" in takes:
        told["share"] = settings.share
    if "budget" in takes:
        told |= {"norm": settings.norm, "epsilon": settings.epsilon}
    if "steps" in takes:
        told |= {"steps": settings.steps, "restarts": settings.restarts}
    return told
