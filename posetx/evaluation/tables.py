"""Figures as a rich table, and as Markdown for docs/figures.md and model cards."""

from __future__ import annotations

from rich.table import Table

from posetx.bodies.metrics import METRICS
from posetx.evaluation.causes import CAUSES, FAILED


def _text(name: str, value: float | None) -> str:
    if value is None:
        return ""
    value *= METRICS[name][1]
    size = abs(value)
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:.3f}"


def _columns(figures: dict[str, dict[str, float]]) -> list[str]:
    return [name for name in METRICS if any(name in row for row in figures.values())]


def figures_table(figures: dict[str, dict[str, float]], title: str) -> Table:
    """One row a metric, one column a protocol; the metric's definition beside it."""
    table = Table(title=title, title_justify="left")
    table.add_column("metric", no_wrap=True)
    for protocol in figures:
        table.add_column(protocol, justify="right", no_wrap=True)
    table.add_column("definition", style="dim")
    for name in _columns(figures):
        values = [_text(name, row.get(name)) for row in figures.values()]
        table.add_row(METRICS[name][0], *values, METRICS[name][2])
    return table


def figures_markdown(figures: dict[str, dict[str, float]]) -> str:
    """The same as a Markdown table."""
    lines = [
        "| metric | " + " | ".join(figures) + " |",
        "|---|" + "---:|" * len(figures),
    ]
    for name in _columns(figures):
        values = [_text(name, row.get(name)) for row in figures.values()]
        lines.append(f"| {METRICS[name][0]} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def failures_text(found: dict[str, dict[str, int]]) -> str:
    """A line a protocol: how many of its pairs failed, and why."""
    lines = []
    for protocol, counts in found.items():
        why = ", ".join(f"{counts[cause]} {cause}" for cause in CAUSES if cause in counts)
        share = f"{counts['failed']} of {counts['pairs']} pairs over {FAILED * 1e4:.0f}e-4"
        lines.append(f"{protocol}: {share}" + (f" ({why})" if why else ""))
    return "\n".join(lines)


def failures_markdown(found: dict[str, dict[str, int]]) -> str:
    """The same as a Markdown table, a row a protocol."""
    lines = [
        f"| protocol | pairs | over {FAILED * 1e4:.0f}e-4 | " + " | ".join(CAUSES) + " |",
        "|---|" + "---:|" * (2 + len(CAUSES)),
    ]
    for protocol, counts in found.items():
        cells = [counts["pairs"], counts["failed"], *(counts.get(cause, 0) for cause in CAUSES)]
        lines.append(f"| {protocol} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)
