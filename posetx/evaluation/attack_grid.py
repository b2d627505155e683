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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from posetx.attacks.ascent import Attacked
from posetx.attacks.budget import Budget
from posetx.attacks.scan import picked_vertices
from posetx.attacks.settings import AttackSettings
from posetx.attacks.victim import Victim, turned
from posetx.bodies.skeleton import JOINTS
from posetx.evaluation.protocols import PROTOCOLS, Pair, Protocol, pairs_of
from posetx.evaluation.run import Evaluator
from posetx.fit.target import Prepared, give, prepared
from posetx.geometry.rotations import matrix_from_yaw
from posetx.models.predictor import IdentityFrame, Predictor, pose_sample
from posetx.scan.clean import clean_scan

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
    ready: Prepared


@dataclass
class Crowd:
    """Cases as one batch; positions in the identities' frames, whose units are ``metres`` (B,)."""

    cases: list[Case]
    clouds: Tensor  # (B, S, 3)
    queries: Tensor  # (B, I + V, 3)
    truth: Tensor  # (B, V, 3)
    metres: Tensor

    def victim(self, predictor: Predictor) -> Victim:
        return Victim(predictor, self.queries)


class AttackGrid:
    """One network's cases for one seed; ``surrogate`` is what attacks are made with instead."""

    def __init__(
        self,
        predictor: Predictor,
        mocap: Path | None = None,
        seed: int = 0,
        surrogate: Predictor | None = None,
    ):
        self.evaluator = Evaluator(predictor, mocap, seed)
        self.predictor, self.attacker, self.seed = predictor, surrogate or predictor, seed

    def crowd(self, name: str, count: int, views: int | None = None) -> Crowd:
        """The first ``count`` pairs of a protocol; with ``views`` through the virtual scanner."""
        protocol = PROTOCOLS[name]
        if views is not None:
            protocol = replace(protocol, views=views)
        ev = self.evaluator
        stream = pairs_of(protocol, ev.body, ev.banks, count, self.seed)
        cases = [self._case(protocol, pair) for pair in stream]
        picked = picked_vertices(len(cases[0].truth), self.seed)

        def tensor(rows: list[np.ndarray]) -> Tensor:
            return torch.as_tensor(
                np.stack(rows), dtype=torch.float32, device=self.predictor.device
            )

        shown = torch.cat([case.ready.sample for case in cases])
        some = tensor([case.ready.vertices[picked] for case in cases])
        aims = [(c.truth[picked] - c.aim.centre) / c.frame.unit for c in cases]
        return Crowd(
            cases,
            tensor([case.sample - case.sample.mean(0) for case in cases]),
            torch.cat([shown, some], 1),
            tensor(aims),
            torch.tensor([c.frame.unit for c in cases], device=self.predictor.device),
        )

    def _case(self, protocol: Protocol, pair: Pair) -> Case:
        ev, turn = self.evaluator, matrix_from_yaw(torch.tensor(-pair.yaw)).double().numpy()
        points = np.roll(pair.points.double().numpy(), -pair.roll, 1)
        if protocol.views:
            points = clean_scan(points).points
        target, truth = pair.target.double().numpy(), pair.truth.double().numpy() @ turn.T
        frame = IdentityFrame.of(target, ev.faces)
        return Case(
            pair,
            pose_sample(points @ turn.T, self.predictor.model.config.pose_points),
            truth,
            frame,
            IdentityFrame.of(truth, ev.faces),
            prepared(self.predictor, None, frame.to_normal(target), ev.faces),
        )

    def clean(self, crowd: Crowd) -> dict[str, Any]:
        """The figures without an attack."""
        return _mean(self._figures(crowd, crowd.clouds))

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
        results = [
            self._attacked(crowd, slice(start, start + BATCH), aim, settings, targeted)
            for start in range(0, len(crowd.clouds), BATCH)
        ]
        if self.predictor.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        clouds = torch.cat([result.clouds for result in results])
        figures = self._figures(crowd, clouds)
        sizes = Budget(settings.norm, 1.0).size(clouds - crowd.clouds)
        row = {
            **_mean(figures),
            "success": float(np.mean([row["pmd"] >= settings.success for row in figures])),
            "size_mm": 1000 * float(sizes.mean()),
            "queries": results[0].queries,
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

    def _attacked(
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
        vertices = self.evaluator.body.weights
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
            code = self.predictor.encode_pose(cloud[None])
            predicted = case.frame.from_normal(give(self.predictor, code, case.ready))
            rows.append(self.evaluator.errors(predicted, case.frame, case.truth, case.aim))
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
        rows.append({**begin, "method": "none", **grid.clean(crowd)})
        on_cell()
        for one in settings:
            for degrees in turn_degrees:
                row = grid.cell(crowd, one, degrees)
                rows.append({**begin, **_told(one), "turn_degrees": degrees, **row})
                on_cell()
    return rows


def _mean(rows: list[dict[str, float]]) -> dict[str, Any]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def _told(settings: AttackSettings) -> dict[str, Any]:
    told: dict[str, Any] = {"method": settings.method, "seed": settings.seed}
    if settings.method == "drop":
        return {**told, "share": settings.share}
    told |= {"norm": settings.norm, "epsilon": settings.epsilon}
    if settings.method in ("fgm", "noise"):
        return told
    return {**told, "steps": settings.steps, "restarts": settings.restarts}
