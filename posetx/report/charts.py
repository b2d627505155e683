"""Pictures of figures: charts side by side, each of lines or of points in several colours."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from PIL import Image

from posetx.files.atomic import atomic_file
from posetx.report.preview import drawn_by

#: Of one chart, in pixels.
SIZE = (520, 380)

#: Colours that are told apart: Tableau's ten.
COLORS = (
    (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189),
    (140, 86, 75), (227, 119, 194), (127, 127, 127), (188, 189, 34), (23, 190, 207),
)  # fmt: skip


@dataclass
class Series:
    """Points ``x``, ``y`` (n,) of one colour, joined by a line or not.

    ``label`` is in the legend, none where it is empty; ``faint`` lines are thin and pale; a
    ``cross`` marks points that are no discs.
    """

    x: list[float]
    y: list[float]
    color: tuple[int, int, int]
    label: str = ""
    line: bool = True
    faint: bool = False
    cross: bool = False


@dataclass
class Chart:
    """A frame with a title, named axes and what is in it; ``log`` has y go by its logarithm."""

    title: str
    x: str
    y: str
    series: list[Series] = field(default_factory=list)
    log: bool = False


def draw_charts(path: Path, charts: Sequence[Chart], across: int = 3) -> None:
    """Write a PNG with the charts, so many of them in a row.

    Raises MissingError if pyvista is not here, or cannot draw on this machine.
    """
    across = min(across, len(charts))
    job = {
        "size": SIZE,
        "shape": [math.ceil(len(charts) / across), across],
        "charts": [asdict(chart) for chart in charts],
    }
    data = drawn_by("posetx.report.chart", io.BytesIO(json.dumps(job).encode()))
    picture = Image.open(io.BytesIO(data))
    with atomic_file(path) as stream:
        picture.save(stream, format="PNG", optimize=True)
