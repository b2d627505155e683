"""How likely the pose read off a scan is right, from what the scan looks like to the model.

Two things say it, measured on simulated scans whose truth is known: how far the scan's points lie
from the network's prediction, and how much of the fitted body is far from the scan. The curve (a
logistic one) is in the model's card, where `posetx calibrate` puts it. Beyond
what was measured nothing is known, and what is so far from every prediction is hardly a person: the
confidence falls.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from posetx.arrays import Floats

#: a pose is right whose result is off by less than this PMD (m²), about 5 cm a vertex
RIGHT = 30e-4
#: below this there is a warning
DOUBTFUL = 0.5
#: where the curve's logarithms are zero: usual values
DISTANCE, MISSED = 0.02, 0.1
#: with each such share that a scan is farther than the farthest measured one, it falls to 1/e
BEYOND = 0.15
#: numbers of curves beyond this are damage
LARGEST = 1e6
#: the card's curves: that of the network alone and that of fitted poses
KINDS = ("network", "fitted")


def confidence(card: Mapping[str, Any], distance: float, missed: float | None) -> float | None:
    """The likelihood that the result is right, from 0 to 1; None without a curve in the card.

    Parameters
    ----------
    card : the model's card
    distance : of the scan to the network's prediction, see `Orientation`
    missed : share of the fitted body that is far from the scan; None where nothing was fitted
    """
    curves = card.get("confidence")
    measured = curves.get(kind(missed)) if isinstance(curves, Mapping) else None
    if not measured:
        return None
    score = float(inputs(distance, missed) @ np.asarray(measured["curve"]))
    beyond = max(distance / measured["farthest"] - 1, 0.0) / BEYOND
    return math.exp(-beyond) / (1 + math.exp(min(max(-score, -50.0), 50.0)))


def doubts(trust: float | None) -> list[str]:
    """What is to be said of a pose that is likely wrong; nothing of others."""
    if trust is None or trust >= DOUBTFUL:
        return []
    return [
        f"low confidence ({trust:.2f}): the pose is likely wrong somewhere, or this is no "
        "person; look at the result, try `up` and `front`, or crop the scan"
    ]


def check_curves(card: Mapping[str, Any]) -> None:
    """Raises ValueError for a card whose curves are none."""
    curves = card.get("confidence", {})
    if not isinstance(curves, Mapping):
        raise ValueError("no curves")
    for name, size in zip(KINDS, (2, 3), strict=True):
        measured = curves.get(name)
        if not measured:
            continue
        try:
            told = np.array([*measured["curve"], measured["farthest"]], dtype=np.float64)
        except (TypeError, KeyError, ValueError, OverflowError):
            raise ValueError(f"the curve {name!r} is none") from None
        sensible = told.shape == (size + 1,) and bool((np.abs(told) < LARGEST).all())
        if not sensible or not told[-1] > 0:
            raise ValueError(f"the curve {name!r} is none")


def kind(missed: float | None) -> str:
    """Which of the card's curves."""
    return KINDS[missed is not None]


def inputs(distance: float, missed: float | None) -> Floats:
    """What the curve's numbers are multiplied with: (2,) or, where something was fitted, (3,)."""
    values = [1.0, math.log(max(distance, 1e-6) / DISTANCE)]
    if missed is not None:
        values.append(math.log(max(missed, 1e-6) / MISSED))
    return np.array(values)
