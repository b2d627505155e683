"""The picture of a network's codes in the plane, coloured by what they should tell apart."""

from __future__ import annotations

from pathlib import Path

from posetx.report.charts import COLORS, Chart, Series, draw_charts
from posetx.studies.codes import Codes


def draw_codes(path: Path, poses: Codes, identities: Codes) -> None:
    """Write a PNG: pose codes by pose, identity codes by body and by the pose it stands in.

    Raises MissingError if pyvista is not here, or cannot draw on this machine.
    """
    charts = [
        _chart("pose codes, a colour a pose", poses),
        _chart("identity codes, a colour a body", identities),
        _chart("identity codes, a colour a pose that bodies stand in", identities.other_way),
    ]
    draw_charts(path, charts)


def _chart(title: str, codes: Codes) -> Chart:
    first, second = "first direction", f"second; both are {100 * codes.share:.0f} % of the variance"
    chart = Chart(title, first, second)
    for place, group in enumerate(codes.plane):
        color = COLORS[place % len(COLORS)]
        chart.series.append(Series(group[:, 0].tolist(), group[:, 1].tolist(), color, line=False))
    return chart
