"""A model on the protocols: figures per pair, their means, the same every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree

from posetx.arrays import Floats
from posetx.bodies.metrics import means, position_metrics
from posetx.evaluation.attacked import adversarial_sample
from posetx.evaluation.causes import FAILED, TURNED, Shown, cause
from posetx.evaluation.protocols import PAIRS, PROTOCOLS, Pair, Protocol, pairs
from posetx.evaluation.subjects import Subjects
from posetx.files.sources import array_scan, array_target
from posetx.geometry.mesh import edge_distortion
from posetx.geometry.rotations import matrix_from_yaw
from posetx.models.predictor import IdentityFrame, Predictor, pose_sample
from posetx.pipeline.pipeline import Pipeline
from posetx.pipeline.results import Reading
from posetx.target.ready import ReadyTarget

#: pairs of each protocol that also go through detail restoration, which takes a second each
RESTORED = 40


class Evaluator(Subjects):
    """One 3D-PoseMAE on the test bodies, by the pipeline that `posetx transfer` runs.

    Readings have a confidence where ``card`` is the model's.
    """

    def __init__(
        self,
        predictor: Predictor,
        mocap: Path | None = None,
        seed: int = 0,
        refine: bool = False,
        card: Mapping[str, Any] | None = None,
    ):
        super().__init__(mocap, seed)
        self.pipeline, self.refine = Pipeline(predictor, card), refine
        #: every pair's figures by protocol, and the cause of its failure where it has failed
        self.details: dict[str, list[dict[str, Any]]] = {}

    def protocol(
        self,
        name: str,
        count: int = PAIRS,
        restored: int = RESTORED,
        on_pair: Callable[[], None] = lambda: None,
    ) -> dict[str, float]:
        """Mean figures of one protocol over ``count`` pairs, ``restored`` of them restored."""
        rows: list[dict[str, float]] = []
        details: list[dict[str, Any]] = []
        stream = pairs(name, self.body, self.banks, count, self.seed)
        for index, pair in enumerate(islice(stream, count)):
            row, why = self._pair(PROTOCOLS[name], pair, restore=index < restored)
            rows.append(row)
            details.append(row | ({"cause": why} if why else {}))
            on_pair()
        self.details[name] = details
        median = float(np.median([row["pmd"] for row in rows]))
        return {"pairs": len(rows), "pmd_median": median, **means(rows)}

    def _pair(
        self, protocol: Protocol, pair: Pair, restore: bool
    ) -> tuple[dict[str, float], str | None]:
        """Figures of a pair, and why it has failed, if it has."""
        if protocol.attack:
            return self._attacked(protocol, pair, restore), None
        reading = self.read(pair, protocol)
        figures, compared = self._given(reading, self.ready(pair), pair, restore)
        error, shown = 0.0, None
        if pair.scanned:
            figures["distance"] = reading.distance
            if reading.missed is not None:
                figures["missed"] = reading.missed
            off = _to_y_up(reading, pair) @ matrix_from_yaw(torch.tensor(pair.yaw)).double().numpy()
            error = float(np.degrees(np.arccos(np.clip((np.trace(off) - 1) / 2, -1, 1))))
            figures["orientation_degrees"] = error
            figures["orientation_within_15"] = float(error < TURNED)
            if pair.origin is not None:
                shown = Shown(pair.origin.numpy(), reading.kept)
        if figures["pmd"] <= FAILED:
            return figures, None
        weights, faces = pair.weights.double().numpy(), pair.faces.numpy()
        return figures, cause(*compared, weights, faces, error, shown)

    def ready(self, pair: Pair) -> ReadyTarget:
        """A pair's target, ready for poses."""
        target = array_target(pair.target.double().numpy(), pair.faces.numpy())
        return self.pipeline.prepare(target, up="y", front="z", refine=self.refine)

    def given(
        self, reading: Reading, ready: ReadyTarget, pair: Pair, restore: bool = False
    ) -> dict[str, float]:
        """Figures of a pair's target in the pose that was read."""
        return self._given(reading, ready, pair, restore)[0]

    def _given(
        self, reading: Reading, ready: ReadyTarget, pair: Pair, restore: bool
    ) -> tuple[dict[str, float], tuple[Floats, Floats]]:
        """:meth:`given`, with result and truth (V, 3), each about its centre."""
        target, faces = ready.target.vertices, pair.faces.numpy()
        truth, weights = pair.truth.double().numpy(), pair.weights.double().numpy()
        result = self.pipeline.give(reading, ready, restore=restore)
        turn = _to_y_up(reading, pair)
        frame, aim = ready.frame, IdentityFrame.of(truth, ready.seen)
        predicted = frame.from_normal(result.predicted @ turn)
        figures = self.errors(predicted, frame, truth, aim, weights, faces)
        figures["edge"] = edge_distortion(target, faces, predicted)
        figures["edge_truth"] = edge_distortion(target, faces, truth)
        if result.restored is not None:
            kept = frame.from_normal(result.restored @ turn)
            figures["edge_restored"] = result.report.edge_distortion
            figures["flipped_restored"] = result.report.flipped_triangles
            figures["pmd_unrestored"] = figures["pmd"]  # of the same few pairs
            figures["pmd_restored"] = position_metrics(kept, truth)["pmd"]
        return figures, (predicted - frame.centre, truth - aim.centre)

    def read(self, pair: Pair, protocol: Protocol) -> Reading:
        """What is read off a pair's source.

        Of scans, which axis is up is told, but where the protocol is about just that; other
        sources stand upright, face +z and have nothing else with them.
        """
        scan = array_scan(pair.points.double().numpy())
        if pair.scanned:
            up = "auto" if protocol.any_up else "y"
            return self.pipeline.read(scan, up, refine=self.refine)
        return self.pipeline.read(scan, up="y", front="z", clean=False, refine=self.refine)

    def _attacked(self, protocol: Protocol, pair: Pair, restore: bool) -> dict[str, float]:
        """Figures of a pair whose sample is attacked; what it became is handed to the fits."""
        predictor = self.pipeline.predictor
        points, truth = pair.points.double().numpy(), pair.truth.double().numpy()
        clean = pose_sample(points, predictor.model.config.pose_points)
        sample = adversarial_sample(
            predictor,
            protocol.attack,
            clean,
            pair.target.double().numpy(),
            truth,
            pair.faces.numpy(),
            self.seed,
        )
        reader = self.pipeline.thorough if self.refine else self.pipeline.swift
        code, noise = reader.pose(sample, np.eye(3))
        reading = replace(self.read(pair, protocol), code=code, noise=noise)
        figures = self.given(reading, self.ready(pair), pair, restore)
        if pair.origin is None:
            return figures
        origin = pair.origin.numpy()[cKDTree(points).query(clean)[1]]
        return figures | self.beside_follower(figures, clean, sample, origin, truth)


def _to_y_up(reading: Reading, pair: Pair) -> Floats:
    """The turn (3, 3) from where the pose's source stood, with y up, to upright and the front."""
    turn: Floats = np.roll(reading.orientation.rotation, -pair.roll, 1)
    return turn
