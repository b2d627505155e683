"""A model on the protocols: figures per pair, their means, the same every time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from posetx.bodies.metrics import means, position_metrics
from posetx.evaluation.attacked import adversarial_sample
from posetx.evaluation.protocols import PAIRS, PROTOCOLS, Pair, Protocol, pairs
from posetx.evaluation.subjects import Subjects
from posetx.files.sources import array_scan, array_target
from posetx.geometry.mesh import edge_distortion
from posetx.geometry.rotations import matrix_from_yaw
from posetx.models.predictor import IdentityFrame, Predictor, pose_sample
from posetx.pipeline.pipeline import Pipeline
from posetx.pipeline.results import Reading

#: pairs of each protocol that also go through detail restoration, which takes a second each
RESTORED = 40


class Evaluator(Subjects):
    """One 3D-PoseMAE on the test bodies, by the pipeline that `posetx transfer` runs."""

    def __init__(
        self,
        predictor: Predictor,
        mocap: Path | None = None,
        seed: int = 0,
        refine: bool = False,
    ):
        super().__init__(mocap, seed)
        self.pipeline, self.refine = Pipeline(predictor), refine
        self.details: dict[str, list[dict[str, float]]] = {}

    def protocol(
        self,
        name: str,
        count: int = PAIRS,
        restored: int = RESTORED,
        on_pair: Callable[[], None] = lambda: None,
    ) -> dict[str, float]:
        """Mean figures of one protocol over ``count`` pairs, ``restored`` of them restored."""
        rows: list[dict[str, float]] = []
        stream = pairs(name, self.body, self.banks, count, self.seed)
        for index, pair in enumerate(islice(stream, count)):
            rows.append(self._pair(PROTOCOLS[name], pair, restore=index < restored))
            on_pair()
        self.details[name] = rows
        return {"pairs": len(rows), **means(rows)}

    def _pair(self, protocol: Protocol, pair: Pair, restore: bool) -> dict[str, float]:
        target, truth = pair.target.double().numpy(), pair.truth.double().numpy()
        faces = pair.faces.numpy()
        reading = self.read(pair, protocol)
        ready = self.pipeline.prepare(
            array_target(target, faces), up="y", front="z", refine=self.refine
        )
        result = self.pipeline.give(reading, ready, restore=restore)
        # where the pose's source stood, with y up
        turn = np.roll(reading.orientation.rotation, -pair.roll, 1)
        frame, aim = ready.frame, IdentityFrame.of(truth, faces)
        predicted = frame.from_normal(result.predicted @ turn)
        figures = self.errors(predicted, frame, truth, aim, pair.weights.double().numpy())
        figures["edge"] = edge_distortion(target, faces, predicted)
        figures["edge_truth"] = edge_distortion(target, faces, truth)
        if pair.scanned:
            figures["distance"] = reading.distance
            if reading.missed is not None:
                figures["missed"] = reading.missed
            off = turn @ matrix_from_yaw(torch.tensor(pair.yaw)).double().numpy()
            error = float(np.degrees(np.arccos(np.clip((np.trace(off) - 1) / 2, -1, 1))))
            figures["orientation_degrees"] = error
            figures["orientation_within_15"] = float(error < 15)
        if result.restored is not None:
            kept = frame.from_normal(result.restored @ turn)
            figures["edge_restored"] = result.report.edge_distortion
            figures["flipped_restored"] = result.report.flipped_triangles
            figures["pmd_unrestored"] = figures["pmd"]  # of the same few pairs
            figures["pmd_restored"] = position_metrics(kept, truth)["pmd"]
        return figures

    def read(self, pair: Pair, protocol: Protocol) -> Reading:
        """What is read off a pair's source.

        Of scans, which axis is up is told, but where the protocol is about just that; other
        sources stand upright, face +z, have nothing else with them, and may be attacked.
        """
        points = pair.points.double().numpy()
        if pair.scanned:
            up = "auto" if protocol.any_up else "y"
            return self.pipeline.read(array_scan(points), up, refine=self.refine)
        clean = self.pipeline.read(
            array_scan(points), up="y", front="z", clean=False, refine=self.refine
        )
        if not protocol.attack:
            return clean
        predictor = self.pipeline.predictor
        sample = adversarial_sample(
            predictor,
            protocol.attack,
            pose_sample(points, predictor.model.config.pose_points),
            pair.target.double().numpy(),
            pair.truth.double().numpy(),
            pair.faces.numpy(),
            self.seed,
        )
        reader = self.pipeline.thorough if self.refine else self.pipeline.swift
        return replace(clean, code=reader.pose(sample, np.eye(3)))
