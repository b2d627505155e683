"""`posetx bench speed`: how long each stage takes, and how that grows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from posetx.cli.common import (
    DEFAULT_MODEL,
    DeviceOption,
    JsonOption,
    ModelOption,
    OverwriteOption,
    QuietOption,
    VerboseOption,
    choice,
    emit_json,
    emit_table,
    json_text,
)
from posetx.files.atomic import check_outputs, write_text_atomic
from posetx.models.known import KNOWN
from posetx.system.console import console, progress_bar, say

#: the field's networks
OTHERS = tuple(name for name in KNOWN if name != "posemae")


def bench_speed(
    vertices: Annotated[
        list[int] | None,
        typer.Option(min=100, max=10**8, help="Of targets; without, 1,000 to 1,000,000."),
    ] = None,
    points: Annotated[
        list[int] | None,
        typer.Option(min=1000, max=10**9, help="Of scans; without, 1,000 to 10,000,000."),
    ] = None,
    network: Annotated[
        list[str] | None,
        choice(OTHERS, "-n", "--network", help="To compare with; without, all of the field's."),
    ] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Compare with no other network.")] = False,
    patience: Annotated[
        float, typer.Option(min=1, max=10**5, help="Seconds that another network may take.")
    ] = 60.0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write it all to a file: JSON.")
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Time each stage of a transfer at targets and scans of several sizes.

    Shown are seconds of the processor, with the exponent by which they grow from 10,000 vertices
    or points on: 1 is in proportion. The field's networks pass over the same vertices.
    """
    check_outputs({"output": output}, [], overwrite)
    from posetx.pipeline.pipeline import Pipeline
    from posetx.studies.bench.speed import POINTS, VERTICES, measure
    from posetx.system.device import resolve_device

    pipeline = Pipeline.load(model, resolve_device(device))
    with progress_bar() as bar:
        task = bar.add_task("speed", total=None)

        def on_step(told: str) -> None:
            bar.update(task, description=told)
            if not console.is_terminal:
                say(told)

        names = () if alone else tuple(network or OTHERS)
        found = measure(pipeline, vertices or VERTICES, points or POINTS, names, patience, on_step)
    if output:
        write_text_atomic(output, json_text(found) + "\n")
    if as_json:
        emit_json(found)
        return
    for what in ("vertices", "points"):
        emit_table(_stages(found, what))
    emit_table(_networks(found))
    command = found["command"]
    say(
        f"{found['machine']}; the command, {command['points']:,} points to "
        f"{command['vertices']:,} vertices: {command['processor']:.1f} s of the processor, "
        f"{command['seconds']:.1f} s by the clock"
    )


def _stages(found: dict[str, Any], what: str) -> Table:
    """A row a stage, a column a size, the growth last."""
    rows = [row for row in found["rows"] if row["what"] == what]
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    table = Table("", *(f"{size:,}" for size in sizes), "growth", caption=f"by {what}, seconds")
    growth = found["growth"].get(what, {})
    for stage in dict.fromkeys(row["stage"] for row in rows):
        spent = {row["size"]: row["processor"] for row in rows if row["stage"] == stage}
        cells = [f"{spent[size]:.2f}" if size in spent else "" for size in sizes]
        table.add_row(stage, *cells, f"{growth[stage]:.2f}" if stage in growth else "")
    peaks = {row[what]: row["peak_gib"] for row in found["memory"] if what in row}
    table.add_row("peak GiB", *(f"{peaks[size]:.2f}" for size in sizes))
    return table


def _networks(found: dict[str, Any]) -> Table:
    """A row a network, a column a size: milliseconds, and how many times 3D-PoseMAE's."""
    rows = found["networks"]
    sizes = list(dict.fromkeys(row["vertices"] for row in rows))
    growth = found["growth"].get("forward", {})
    caption = "a forward pass by vertices, milliseconds"
    table = Table("", *(f"{size:,}" for size in sizes), "growth", caption=caption)
    for name in dict.fromkeys(row["network"] for row in rows):
        of = {row["vertices"]: row for row in rows if row["network"] == name}
        grows = f"{growth[name]:.2f}" if name in growth else ""
        table.add_row(name, *(_cost(of.get(size, {})) for size in sizes), grows)
    return table


def _cost(row: dict[str, Any]) -> str:
    if "processor_ms" not in row:
        return str(row.get("failed", ""))
    times = f" (x{row['ratio']:.1f})" if "ratio" in row else ""
    return f"{row['processor_ms']:.0f}{times}"
