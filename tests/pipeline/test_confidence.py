"""Confidence is a likelihood: calibrated on pairs, checked on others, never up with distance."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from posetx.cli import app
from posetx.pipeline.confidence import RIGHT, check_curves, confidence, inputs
from posetx.studies.calibrate import calibrate, markdown

CURVE = np.array([2.0, -6.0, -1.5])


def measured(count: int, fitted: bool, seed: int = 0) -> list[dict[str, float]]:
    """Pairs whose results are right as often as CURVE says."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        pair = {"distance": float(0.02 * np.exp(rng.normal(scale=0.4)))}
        if fitted:
            pair["missed"] = float(0.1 * np.exp(rng.normal(scale=0.5)))
        x = inputs(pair["distance"], pair.get("missed"))
        right = rng.random() < 1 / (1 + np.exp(-x @ CURVE[: len(x)]))
        pair["pmd"] = RIGHT * (0.2 if right else 5.0)
        pairs.append(pair)
    return pairs


@pytest.mark.parametrize("fitted", [True, False])
def test_what_is_said_comes_true(fitted: bool) -> None:
    name, found, table = calibrate(measured(4000, fitted))
    assert name == ("fitted" if fitted else "network")
    assert np.allclose(found["curve"], CURVE[: len(found["curve"])], rtol=0.35)
    assert sum(row["pairs"] for row in table) == 2000
    assert all(abs(row["said"] - row["right"]) < 0.1 for row in table if row["pairs"] > 100)
    assert markdown(table).count("\n") == len(table) + 1


def test_farther_is_never_likelier() -> None:
    """Even where the pairs happen to say so."""
    pairs = measured(400, True)
    for pair in pairs:
        pair["distance"] = 4e-4 / pair["distance"]
    name, found, _ = calibrate(pairs)
    card = {"confidence": {name: found}}
    said = [confidence(card, d, 0.1) for d in (0.01, 0.02, 0.04, 0.1, 1.0)]
    assert said == sorted(said, reverse=True)


def test_what_is_beyond_all_that_was_measured_is_not_trusted() -> None:
    flat = {"confidence": {"network": {"curve": [3.0, 0.0], "farthest": 0.03}}}
    assert confidence(flat, 0.02, None) == confidence(flat, 0.03, None) > 0.9
    assert confidence(flat, 0.036, None) < 0.4
    assert confidence(flat, 0.06, None) < 0.01


def test_extremes_are_numbers_and_no_curve_is_none() -> None:
    card = {"confidence": {"fitted": {"curve": CURVE.tolist(), "farthest": 0.05}}}
    assert confidence(card, 1e9, 1.0) < 1e-6
    assert confidence(card, 0.0, 0.0) > 0.99
    assert confidence(card, 0.02, None) is None
    assert confidence({}, 0.02, 0.1) is None
    assert confidence({"confidence": "high"}, 0.02, 0.1) is None


def test_the_command_writes_the_card(tmp_path: Path) -> None:
    model, details = tmp_path / "m.safetensors", tmp_path / "details.json"
    model.write_bytes(b"x")
    model.with_suffix(".json").write_text('{"name": "m"}')
    unseen = [{"pmd": 1.0}]  # no scans, so no evidence
    details.write_text(json.dumps({"scan": measured(300, True), "unseen": unseen}))
    run = CliRunner().invoke(app, ["calibrate", str(model), str(details)])
    assert run.exit_code == 0, run.output
    card = json.loads(model.with_suffix(".json").read_text())
    assert card["name"] == "m"
    assert 0.5 < confidence(card, 0.02, 0.1) < 1.0
    assert sum(row["pairs"] for row in card["reliability"]["fitted"]) == 150
    assert "| confidence |" in run.stdout


@pytest.mark.parametrize(
    "curve", [[1e308, -1e308, 1.0], [10**400, 1, 1], [math.nan, 1, 1], [1, 1], "abc", None, [[1]]]
)
def test_a_curve_of_no_numbers_is_refused(curve: object) -> None:
    with pytest.raises(ValueError, match="the curve 'fitted' is none"):
        check_curves({"confidence": {"fitted": {"curve": curve, "farthest": 0.1}}})
