"""The picture of a network's codes in the plane, coloured by what they should tell apart."""

from __future__ import annotations

import itertools
from pathlib import Path

from posetx.arrays import Floats
from posetx.report.charts import COLORS, Chart, Series, draw_charts
from posetx.studies.codes import AttackedCodes, Codes


def draw_codes(
    path: Path, poses: Codes, identities: Codes, attacked: AttackedCodes | None = None
) -> None:
    """Write a PNG: pose codes by pose, identity codes by body and by the pose it stands in.

    Where there are ``attacked`` pose codes, they are crosses in the clean ones' plane.
    Raises MissingError if pyvista is not here, or cannot draw on this machine.
    """
    charts = [
        _chart("pose codes, a colour a pose", poses),
        _chart("identity codes, a colour a body", identities),
        _chart("identity codes, a colour a pose that bodies stand in", identities.other_way),
    ]
    if attacked is not None:
        chart = _chart("pose codes, and as crosses after the attack", poses)
        chart.series += _series(attacked.plane, cross=True)
        charts.insert(1, chart)
    draw_charts(path, charts, across=2 if attacked else 3)


def _chart(title: str, codes: Codes) -> Chart:
    first, second = "first direction", f"second; both are {100 * codes.share:.0f} % of the variance"
    chart = Chart(title, first, second)
    chart.series += _series(codes.plane)
    return chart


def _series(plane: Floats, cross: bool = False) -> list[Series]:
    """Points (G, M, 2) of the plane, a colour a group."""
    colored = zip(plane, itertools.cycle(COLORS), strict=False)
    return [
        Series(group[:, 0].tolist(), group[:, 1].tolist(), color, line=False, cross=cross)
        for group, color in colored
    ]
