"""The picture of training runs: what their logs hold, a chart a figure, a colour a run."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from posetx.arrays import Floats
from posetx.errors import PosetxError, UsageError
from posetx.report.charts import COLORS, Chart, Series, draw_charts

#: What a log is called in a run's folder.
LOG = "log.csv"

#: What curves go along.
By = Literal["samples", "minutes"]

#: Columns that are no figures of their own.
BESIDE = ("samples", "minutes")

#: The figure that is drawn first.
FIRST = "pmd"

#: The mean of so much of a run is drawn, as the losses of a step vary; and so many points of it.
SMOOTH, POINTS = 0.02, 600


@dataclass
class Run:
    """A run's log: its name, and (n,) values by column; nan where a row has none."""

    name: str
    columns: dict[str, Floats]

    @classmethod
    def read(cls, path: Path) -> Run:
        """That of a run's folder, or of a log itself.

        Raises PosetxError where there is no log, or it has no rows of numbers.
        """
        log = path / LOG if path.is_dir() else path
        try:
            with log.open(newline="", encoding="utf-8", errors="replace") as stream:
                rows = list(csv.DictReader(stream))
        except OSError as error:
            raise PosetxError(
                f"{log}: {error.strerror}; name the folder of a run of `posetx train`"
            ) from None
        except csv.Error as error:
            raise PosetxError(f"{log}: no log of a training: {error}") from None
        names = [name for name in (rows[0] if rows else []) if name]
        columns = {name: np.array([_number(row.get(name)) for row in rows]) for name in names}
        whole = np.isfinite([columns[name] for name in BESIDE if name in columns])
        if len(whole) < len(BESIDE) or not whole.all(axis=0).any():
            raise PosetxError(f"{log}: no log of a training: it has no rows of samples and minutes")
        kept = whole.all(axis=0)
        name = path.resolve().name if path.is_dir() else log.resolve().parent.name
        return cls(name, {column: values[kept] for column, values in columns.items()})


def draw_curves(path: Path, runs: Sequence[Run], by: By = "samples") -> list[str]:
    """Write a PNG with a chart for each figure that the runs have; returns these.

    Raises UsageError where they have none, MissingError if pyvista is not here, or cannot draw.
    """
    charts = charts_of(runs, by)
    if not charts:
        raise UsageError("no figures in these logs: nothing to draw")
    draw_charts(path, charts)
    return [chart.title for chart in charts]


def charts_of(runs: Sequence[Run], by: By = "samples") -> list[Chart]:
    """A chart for each figure; logarithmic where no value is nought or less."""
    names = dict.fromkeys(name for run in runs for name in run.columns if name not in BESIDE)
    charts = []
    for name in sorted(names, key=lambda name: name != FIRST):
        chart = Chart(name, "thousand samples" if by == "samples" else by, "", log=True)
        for place, run in enumerate(runs):
            values = run.columns.get(name, np.zeros(0))
            there = np.isfinite(values)
            if not there.any():
                continue
            x = run.columns[by][there] / (1000 if by == "samples" else 1)
            y = values[there]
            chart.log &= bool((y > 0).all())
            color, label = COLORS[place % len(COLORS)], run.name if len(runs) > 1 else ""
            thin = np.unique(np.linspace(0, len(x) - 1, min(len(x), POINTS)).round().astype(int))
            chart.series.append(Series(x[thin].tolist(), y[thin].tolist(), color, faint=True))
            smooth = running_mean(y, max(round(SMOOTH * len(y)), 1))
            chart.series.append(Series(x[thin].tolist(), smooth[thin].tolist(), color, label))
        if chart.series:
            charts.append(chart)
    return charts


def running_mean(values: Floats, reach: int) -> Floats:
    """The mean of each value (n,) and those up to ``reach`` places before and after it."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    begin, end = (place - reach).clip(0), (place + reach + 1).clip(max=len(values))
    mean: Floats = (sums[end] - sums[begin]) / (end - begin)
    return mean


def _number(text: str | None) -> float:
    try:
        value = float(text or "nan")
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
