"""Calibrates a model's confidence on measured pairs, and says how far it can be trusted.

The files are what `posetx evaluate --details` wrote for protocols with scans. Every other pair
makes the curve, which goes into the model's card; the pairs between make the table.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from posetx.arrays import Floats, Mask
from posetx.errors import DAMAGED, PosetxError
from posetx.evaluation.card import update_card
from posetx.files.checks import read_bytes
from posetx.models.shipped import section
from posetx.pipeline.confidence import KINDS, RIGHT, confidence, inputs, kind
from posetx.studies.results import header

BINS = (0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 1.0)
#: keeps the curve from being steeper than the pairs can tell
RIDGE = 5e-4


def fit_curve(x: Floats, right: Mask) -> Floats:
    """Logistic regression of ``right`` (n,) on ``x`` (n, k), whose first column is ones.

    More distance and more that is missed never make a pose likelier: those slopes are not positive.
    """
    sign = np.where(right, 1.0, -1.0)

    def loss(w: Floats) -> float:
        return float(np.logaddexp(0, -sign * (x @ w)).mean() + RIDGE * (w[1:] ** 2).mean())

    bounds = [(None, None)] + [(None, 0.0)] * (x.shape[1] - 1)
    return np.asarray(minimize(loss, np.zeros(x.shape[1]), bounds=bounds).x)


def reliability(said: Floats, right: Mask, pmd: Floats) -> list[dict[str, float]]:
    """For each range of confidence: how many pairs, what was said, and what was true."""
    rows = []
    for low, high in itertools.pairwise(BINS):
        mine = (said >= low) & ((said < high) | (high == BINS[-1]))
        if mine.any():
            rows.append(
                {
                    "from": low,
                    "to": high,
                    "pairs": int(mine.sum()),
                    "said": float(said[mine].mean()),
                    "right": float(right[mine].mean()),
                    "median_pmd": float(np.median(pmd[mine])),
                }
            )
    return rows


def calibrate(
    details: list[dict[str, Any]],
) -> tuple[str, dict[str, Any], list[dict[str, float]]]:
    """Which curve, what the card says of it, and the table; ``details`` are scans of one kind."""
    x = np.stack([inputs(pair["distance"], pair.get("missed")) for pair in details])
    pmd = np.array([pair["pmd"] for pair in details])
    right = pmd < RIGHT
    curve = fit_curve(x[::2], right[::2])
    name = kind(details[0].get("missed"))
    farthest = np.quantile([pair["distance"] for pair in details[::2]], 0.99)
    measured = {"curve": curve.tolist(), "farthest": float(farthest)}
    card = {"confidence": {name: measured}}
    said = np.array([confidence(card, p["distance"], p.get("missed")) for p in details[1::2]])
    return name, measured, reliability(said, right[1::2], pmd[1::2])


def markdown(table: list[dict[str, float]]) -> str:
    """The table for the README."""
    lines = header(("confidence", "pairs", "mean of it", "were right", "median PMD ×1e-4"), texts=1)
    lines += [
        f"| {row['from']:g} to {row['to']:g} | {row['pairs']} | {row['said']:.2f} | "
        f"{row['right']:.2f} | {row['median_pmd'] * 1e4:.1f} |"
        for row in table
    ]
    return "\n".join(lines)


def calibrate_card(model: str, paths: Sequence[Path]) -> list[dict[str, float]]:
    """As :func:`calibrate_pairs`, of the pairs in files of details.

    Raises PosetxError where a file is none of details, or none of its pairs is a scan's.
    """
    details = []
    for path in paths:
        data = read_bytes(path)
        try:
            for pairs in json.loads(data).values():
                details += of_scans(pairs)
        except DAMAGED:
            raise PosetxError(f"{path}: not what `posetx evaluate --details` writes") from None
    names = ", ".join(map(str, paths))
    if len(details) < 2:
        raise PosetxError(f"{names}: no pairs of scans; evaluate protocols with scans")
    if len({kind(pair.get("missed")) for pair in details}) > 1:
        raise PosetxError(
            f"{names}: pairs of fitted poses and pairs of the network alone; calibrate with either"
        )
    return calibrate_pairs(model, details)


def of_scans(pairs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those pairs that have a confidence. Raises what damaged ones do, not one kind of error."""
    found = [pair for pair in pairs if "distance" in pair]
    for pair in found:
        numbers = [float(pair["pmd"]), *inputs(pair["distance"], pair.get("missed"))]
        if not np.isfinite(numbers).all():
            raise ValueError
    return found


def calibrate_pairs(model: str, details: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Write what is measured of ``details``, pairs of scans, into the card; returns the table."""
    name, measured, table = calibrate(details)

    def put(card: dict[str, Any]) -> None:
        kept = {k: v for k, v in section(card, "confidence").items() if k in KINDS}
        card["confidence"] = {**kept, name: measured}
        card["reliability"] = {**section(card, "reliability"), name: table}

    update_card(model, put)
    return table
