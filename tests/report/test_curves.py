"""Training curves: what is read of logs, which charts there are, and that they are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posetx.errors import PosetxError, UsageError
from posetx.report.charts import COLORS
from posetx.report.curves import POINTS, Run, charts_of, draw_curves, running_mean
from posetx.training.log import TrainingLog


def run(folder: Path, steps: int, worth: float, **more: float) -> Path:
    """A run whose error falls, and some other terms that stay."""
    folder.mkdir()
    log = TrainingLog(folder)
    for step in range(1, steps + 1):
        terms = {"places": -2.0, "pmd": worth / step, **more}
        log.add(100 * step, 0.5 * step, 200.0, terms)
    log.close()
    return folder


def test_a_chart_for_each_figure_and_a_colour_for_each_run(tmp_path: Path) -> None:
    one = run(tmp_path / "one", 40, 1.0)
    other = run(tmp_path / "other", 2 * POINTS, 2.0, unseen=0.5)
    runs = [Run.read(one), Run.read(other / "log.csv")]
    assert [r.name for r in runs] == ["one", "other"]
    charts = {chart.title: chart for chart in charts_of(runs)}
    assert list(charts) == ["pmd", "samples_per_second", "places", "unseen"]
    assert charts["pmd"].log and not charts["places"].log
    pale, mean, _, longer = charts["pmd"].series
    assert pale.faint and not mean.faint and (mean.label, longer.label) == ("one", "other")
    assert mean.color == COLORS[0] != longer.color == charts["unseen"].series[1].color
    assert pale.x[0] == 0.1 and pale.y == pytest.approx([1.0 / s for s in range(1, 41)])
    assert len(longer.x) == POINTS
    assert charts_of(runs[:1], "minutes")[0].series[1].x[-1] == pytest.approx(20.0)
    assert charts_of(runs[:1])[0].series[1].label == ""


def test_a_mean_of_few_at_the_ends() -> None:
    found = running_mean(np.array([1.0, 2.0, 6.0, 3.0]), 1)
    np.testing.assert_allclose(found, [1.5, 3.0, 11 / 3, 4.5])


def test_a_row_that_is_half_written_is_left_out(tmp_path: Path) -> None:
    folder = run(tmp_path / "one", 5, 1.0)
    with (folder / "log.csv").open("a") as stream:
        stream.write("60")
    assert len(Run.read(folder).columns["pmd"]) == 5
    (folder / "log.csv").write_text("samples,minutes,pmd\n")
    with pytest.raises(PosetxError, match="no rows"):
        Run.read(folder)
    (folder / "log.csv").write_text("samples,minutes\n1,2\n")
    with pytest.raises(UsageError, match="nothing to draw"):
        draw_curves(tmp_path / "c.png", [Run.read(folder)])


def test_curves_are_drawn_in_their_colours(tmp_path: Path) -> None:
    runs = [Run.read(run(tmp_path / name, 30, worth)) for name, worth in (("a", 1.0), ("b", 9.0))]
    assert draw_curves(tmp_path / "c.png", runs) == ["pmd", "samples_per_second", "places"]
    picture = np.asarray(Image.open(tmp_path / "c.png").convert("RGB")).astype(int)
    first = picture[:, : picture.shape[1] // 3]
    for color in COLORS[:2]:
        near = np.abs(first - color).max(axis=2) < 30
        assert near.sum() > 100, color
    # the one whose error is larger is above
    rows = [np.nonzero(np.abs(first - c).max(axis=2) < 30)[0].mean() for c in COLORS[:2]]
    assert rows[1] < rows[0]
