"""Attacks on a whole protocol: every method at every budget, number of steps and number of views.

The poster's tables ("On the Robustness of 3D Human Pose Estimation": MPJPE and JDR by epsilon,
iterations and views; a view is a depth camera of the virtual scanner) and 3D-PoseMAE's Table 2.
All clouds of a cell are attacked in one batch. The network alone is attacked and measured: its
heading is told, nothing is fitted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from posetx.arrays import Floats, Indices, Mask
from posetx.attacks.budget import Budget
from posetx.attacks.scan import moved_along, picked_vertices
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
    turn: Floats  # (3, 3) from the pair's heading, y up
    body: Indices  # (n,) the source's points that cleaning leaves
    sample: Floats  # (S, 3) of them
    origin: Indices | None  # (S,) the vertex of the body that each is of, -1 of none, if known
    truth: Floats  # (V, 3) turned as the sample is
    frame: IdentityFrame
    aim: IdentityFrame
    vertices: Floats  # (V, 3) the target in its frame
    shown: Tensor  # (1, I, 3) its surface sample

    def scan(self, displacement: Floats, left: Mask) -> Floats:
        """The pose source (N, 3) as it came, its body's points gone along with the sample's.

        ``displacement`` (S, 3) of the sample, of which the attack has ``left`` (S,).
        """
        points = _upright(self.pair)
        own = points[self.body] @ self.turn.T
        moved, still = moved_along(own, self.sample, displacement, left)
        points[self.body] = moved @ self.turn
        return np.roll(np.delete(points, self.body[~still], 0), self.pair.roll, 1)


def _upright(pair: Pair) -> Floats:
    """A pair's source (N, 3) with y up."""
    return np.roll(pair.points.double().numpy(), -pair.roll, 1)


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


@dataclass
class Harmed:
    """A crowd's clouds (B, S, 3) after an attack, of whose points (B, S) are left."""

    clouds: Tensor
    left: Tensor
    queries: int  # for each cloud


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
        picked = [picked_vertices(len(case.truth), self.seed) for case in cases]

        def tensor(rows: list[np.ndarray]) -> Tensor:
            return torch.as_tensor(
                np.stack(rows), dtype=torch.float32, device=self.predictor.device
            )

        shown = torch.cat([case.shown for case in cases])
        some = tensor([case.vertices[rows] for case, rows in zip(cases, picked, strict=True)])
        aims = [
            (case.truth[rows] - case.aim.centre) / case.frame.unit
            for case, rows in zip(cases, picked, strict=True)
        ]
        return Crowd(
            cases,
            tensor([case.sample - case.sample.mean(0) for case in cases]),
            torch.cat([shown, some], 1),
            tensor(aims),
            torch.tensor([c.frame.unit for c in cases], device=self.predictor.device),
        )

    def _case(self, pair: Pair) -> Case:
        turn = matrix_from_yaw(torch.tensor(-pair.yaw)).double().numpy()
        points = _upright(pair)
        body = clean_scan(points).index if pair.scanned else np.arange(len(points))
        points = points[body] @ turn.T
        sample = pose_sample(points, self.predictor.network.config.pose_points)
        origin = None
        if pair.origin is not None:
            origin = pair.origin.numpy()[body][cKDTree(points).query(sample)[1]]
        target, truth = pair.target.double().numpy(), pair.truth.double().numpy() @ turn.T
        faces = pair.faces.numpy()
        frame = IdentityFrame.of(target, faces)
        normal = frame.to_normal(target)
        return Case(
            pair,
            turn,
            body,
            sample,
            origin,
            truth,
            frame,
            IdentityFrame.of(truth, faces),
            normal,
            self.predictor.identity_sample(normal, faces),
        )

    def figures(self, crowd: Crowd, harmed: Harmed | None = None) -> dict[str, float]:
        """Mean figures of a crowd, after an attack the ideal follower's too, where there is one."""
        return means(self._figures(crowd, harmed))

    def cell(
        self,
        crowd: Crowd,
        settings: AttackSettings,
        turn_degrees: float | None = None,
        also: Callable[[Harmed], dict[str, float]] | None = None,
    ) -> dict[str, Any]:
        """The figures after an attack; with ``turn_degrees`` one that wants the own pose turned.

        ``also`` is what else is to be measured of the attacked crowd. ``success`` is the share of
        scans whose PMD is at least the settings', or, of a targeted attack, that came at least
        halfway to what it wants.
        """
        targeted = turn_degrees is not None
        aim = self._turned(crowd, turn_degrees) if turn_degrees is not None else crowd.truth
        started = time.perf_counter()
        harmed = self.attacked(crowd, settings, aim if targeted else None)
        if self.predictor.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        clouds = harmed.clouds
        figures = self._figures(crowd, harmed)
        sizes = Budget(settings.norm, 1.0).size(clouds - crowd.clouds)
        row: dict[str, Any] = {
            **means(figures),
            "success": float(np.mean([row["pmd"] >= settings.success for row in figures])),
            "size_mm": 1000 * float(sizes.mean()),
            "queries": harmed.queries,
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
        return row | also(harmed) if also else row

    def _turned(self, crowd: Crowd, degrees: float) -> Tensor:
        """The clean predictions (B, V, 3), turned about upright by so many degrees."""
        return turned(crowd.victim(self.predictor).predicted(crowd.clouds), degrees)

    def attacked(
        self, crowd: Crowd, settings: AttackSettings, wanted: Tensor | None = None
    ) -> Harmed:
        """The crowd's clouds after an attack, BATCH at a time; ``wanted`` (B, V, 3) is its aim."""
        aim = crowd.truth if wanted is None else wanted
        results = [
            self._batch(crowd, slice(start, start + BATCH), aim, settings, wanted is not None)
            for start in range(0, len(crowd.clouds), BATCH)
        ]
        clouds, left = (
            torch.cat([getattr(r, name) for r in results]) for name in ("clouds", "left")
        )
        return Harmed(clouds, left, results[0].queries)

    def _batch(
        self, crowd: Crowd, rows: slice, aim: Tensor, settings: AttackSettings, wanted: bool
    ) -> Harmed:
        clouds = crowd.clouds[rows]
        generator = torch.Generator(device=clouds.device).manual_seed(settings.seed)
        attacker, defence = crowd.victim(self.attacker)[rows], None
        if settings.adaptive:
            defence = settings.defence
        objective = attacker.objective(aim[rows], clouds.shape[1], wanted, defence, generator)
        # one goal for the whole batch: that of a body of mean size
        goal = math.log(settings.success / float(crowd.metres[rows].square().mean()))
        found, left = settings.run(objective, clouds, generator, goal)
        return Harmed(found.clouds, left, found.queries)

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

        3D-PoseMAE's Figure 5 as figures. Empty where nobody knows whose points are whose.
        """
        own = self.subjects.weights.argmax(1)
        moved = (clouds - crowd.clouds).square().sum(-1).cpu().double().numpy()
        energy, points, count = np.zeros(len(JOINTS)), np.zeros(len(JOINTS)), len(crowd.cases)
        for case, squares in zip(crowd.cases, moved, strict=True):
            if case.origin is None:
                return {}
            known = case.origin >= 0
            part, share = (
                own[case.origin[known]],
                squares[known] / max(squares[known].sum(), 1e-300),
            )
            energy += np.bincount(part, share, len(JOINTS)) / count
            points += np.bincount(part, minlength=len(JOINTS)) / known.sum() / count
        return {
            name: {"perturbation": float(e), "points": float(p)}
            for name, e, p in zip(JOINTS, energy, points, strict=True)
        }

    @torch.no_grad()
    def _behind(self, crowd: Crowd, clouds: Tensor, defence: str) -> float:
        """Mean squared error (m²) of what a defence hands on, about the bodies' middles."""
        generator = torch.Generator(device=clouds.device).manual_seed(self.seed)
        victim = crowd.victim(self.predictor)
        harm = victim.objective(crowd.truth, clouds.shape[1], False, defence, generator)(clouds)
        return float((harm.exp() * crowd.metres.square()).mean())

    def _figures(self, crowd: Crowd, harmed: Harmed | None) -> list[dict[str, float]]:
        clouds = crowd.clouds if harmed is None else harmed.clouds
        rows = []
        for i, (case, cloud) in enumerate(zip(crowd.cases, clouds, strict=True)):
            moved = self.predictor.move(cloud[None], case.vertices, case.shown)
            predicted = case.frame.from_normal(moved)
            weights, faces = case.pair.weights.double().numpy(), case.pair.faces.numpy()
            errors = self.subjects.errors(
                predicted, case.frame, case.truth, case.aim, weights, faces
            )
            target = case.frame.from_normal(case.vertices)
            errors["edge"] = edge_distortion(target, faces, predicted)
            if harmed is not None and case.origin is not None:
                clean, attacked = (c.cpu().double().numpy() for c in (crowd.clouds[i], cloud))
                origin = np.where(harmed.left[i].cpu().numpy(), case.origin, -1)
                errors |= self.subjects.beside_follower(errors, clean, attacked, origin, case.truth)
            rows.append(errors)
        return rows
