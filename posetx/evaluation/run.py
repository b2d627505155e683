"""A model on the protocols: figures per pair, their means, the same every time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from posetx.arrays import Floats
from posetx.bodies.metrics import means, position_metrics
from posetx.cleaning.clean import clean_scan
from posetx.evaluation.attacked import adversarial_sample
from posetx.evaluation.protocols import PAIRS, PROTOCOLS, Pair, Protocol, pairs
from posetx.evaluation.subjects import Subjects
from posetx.geometry.mesh import edge_distortion, flipped_share
from posetx.geometry.restore import restore_detail
from posetx.geometry.rotations import matrix_from_yaw
from posetx.models.pose_mae import PoseCode
from posetx.models.predictor import IdentityFrame, Predictor, pose_sample
from posetx.reading.reader import PoseReader, Reading
from posetx.target.prepared import TargetFit, give, prepared

#: pairs of each protocol that also go through detail restoration, which takes a second each
RESTORED = 40


class Evaluator(Subjects):
    """One 3D-PoseMAE on the test bodies, used as transfer uses it."""

    def __init__(
        self,
        predictor: Predictor,
        mocap: Path | None = None,
        seed: int = 0,
        refine: bool = False,
    ):
        super().__init__(mocap, seed)
        self.predictor = predictor
        self.reader = PoseReader(predictor, self.body, refine)
        self.targets = TargetFit(predictor, self.body.to(predictor.device)) if refine else None
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
        if protocol.views:
            read, turn = self.read(pair, protocol)
            code = read.code
        else:
            turn, size = np.eye(3), self.predictor.model.config.pose_points
            sample = pose_sample(pair.points.double().numpy(), size)
            if protocol.attack:
                sample = adversarial_sample(
                    self.predictor, protocol.attack, sample, target, truth, self.faces, self.seed
                )
            code = self.reader.pose(sample, turn)
        predicted = self.predict(code, turn, target)
        frame, aim = IdentityFrame.of(target, self.faces), IdentityFrame.of(truth, self.faces)
        figures = self.errors(predicted, frame, truth, aim)
        figures["edge"] = edge_distortion(target, self.faces, predicted)
        figures["edge_truth"] = edge_distortion(target, self.faces, truth)
        if protocol.views:
            figures["distance"] = read.distance
            if read.missed is not None:
                figures["missed"] = read.missed
            off = turn @ matrix_from_yaw(torch.tensor(pair.yaw)).double().numpy()
            error = float(np.degrees(np.arccos(np.clip((np.trace(off) - 1) / 2, -1, 1))))
            figures["orientation_degrees"] = error
            figures["orientation_within_15"] = float(error < 15)
        if restore:
            kept = restore_detail(target, self.faces, predicted).vertices
            figures["edge_restored"] = edge_distortion(target, self.faces, kept)
            figures["flipped_restored"] = flipped_share(target, self.faces, kept)
            figures["pmd_unrestored"] = figures["pmd"]  # of the same few pairs
            figures["pmd_restored"] = position_metrics(kept, truth)["pmd"]
        return figures

    def read(self, pair: Pair, protocol: Protocol) -> tuple[Reading, Floats]:
        """What is read off a scan, as transfer does it, and the turn (3, 3) from y up to upright.

        Which axis is up is told, but where the protocol is about just that.
        """
        points = clean_scan(pair.points.double().numpy()).points
        read = self.reader.read(points, up="auto" if protocol.any_up else "y")
        return read, np.roll(read.orientation.rotation, -pair.roll, 1)

    def predict(self, code: PoseCode, turn: Floats, target: Floats) -> Floats:
        """The target's vertices in a pose, in metres about the target's centre.

        They are turned back to where ``turn`` (3, 3) brought the pose's source from.
        """
        frame = IdentityFrame.of(target, self.faces)
        normal = frame.to_normal(target)
        ready = prepared(self.predictor, self.targets, normal, self.faces)
        return frame.from_normal(give(self.predictor, code, ready) @ turn)
