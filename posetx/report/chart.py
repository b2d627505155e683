"""Draws charts with pyvista; run as a child of `posetx.report.charts`: see `posetx.report.render`.

    python -m posetx.report.chart < job.json > picture.png

The job has `size`, the pixels of a chart, `shape`, how many there are down and across, and
`charts`: those of :class:`posetx.report.charts.Chart`.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

from posetx.system.child import answer_stream

#: Pixels of a line, of a faint one, and of a point.
LINE, FAINT, POINT = 2.5, 1.0, 7.0

#: How opaque a faint line is, of 255.
PALE = 70


def draw(job: dict[str, Any]) -> Any:
    """The picture, (height, width, 3) bytes."""
    import pyvista as pv

    (width, height), (down, across) = job["size"], job["shape"]
    size = [width * across, height * down]
    plotter = pv.Plotter(off_screen=True, shape=(down, across), window_size=size, border=False)
    plotter.set_background("white", all_renderers=True)
    for place, given in enumerate(job["charts"]):
        plotter.subplot(place // across, place % across)
        plotter.add_chart(chart_of(pv, given))
    picture = plotter.screenshot(return_img=True)
    plotter.close()
    return picture


def chart_of(pv: Any, given: dict[str, Any]) -> Any:
    """One of pyvista's, of one of the job's."""
    chart = pv.Chart2D(x_label=given["x"], y_label=given["y"])
    chart.title = given["title"]
    chart.y_axis.log_scale = given["log"]
    chart.legend_visible = any(series["label"] for series in given["series"])
    for series in given["series"]:
        told = {"label": series["label"]}
        if series["line"]:
            color = (*series["color"], PALE if series["faint"] else 255)
            width = FAINT if series["faint"] else LINE
            chart.line(series["x"], series["y"], color=color, width=width, **told)
        else:
            told |= {"color": series["color"], "style": "x" if series["cross"] else "o"}
            chart.scatter(series["x"], series["y"], size=POINT, **told)
    return chart


def main() -> None:
    """Reads a job, draws it, writes the picture."""
    from PIL import Image

    with answer_stream() as stream:
        picture = draw(json.loads(sys.stdin.buffer.read()))
        answer = io.BytesIO()
        Image.fromarray(picture).save(answer, format="PNG")
        stream.write(answer.getbuffer())


if __name__ == "__main__":
    main()
