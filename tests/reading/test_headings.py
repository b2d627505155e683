"""A back taken for a front at first is not in the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from posetx.bodies.body import BodyModel
from posetx.data.poses import PoseBank
from posetx.evaluation.protocols import pairs
from posetx.geometry.rotations import matrix_from_yaw
from posetx.models.checkpoint import load_model
from posetx.models.predictor import Predictor
from posetx.reading.reader import PoseReader


def test_a_body_that_was_begun_facing_elsewhere_is_turned(
    monkeypatch: pytest.MonkeyPatch, all_banks: dict[str, PoseBank]
) -> None:
    body = BodyModel.load()
    pair = next(pairs("unseen", body, all_banks, 1))
    reader = PoseReader(Predictor(load_model("posemae")[0], torch.device("cpu")), body)
    points = pair.points.double().numpy()
    turn = matrix_from_yaw(torch.tensor(np.pi)).numpy()
    truly = reader.orientation

    def misled(samples: np.ndarray, up: str = "auto", front: str = "auto"):
        found = truly(samples, up, front)
        return replace(found, rotation=turn @ found.rotation)

    right = reader.read(points, up="y", furniture=False)
    monkeypatch.setattr(reader, "orientation", misled)
    found = reader.read(points, up="y", furniture=False)
    assert np.linalg.norm(found.joints - right.joints, axis=1).max() < 0.03
    assert found.orientation.rotation[2] @ right.orientation.rotation[2] > 0.9
