"""`posetx bodies`: synthetic bodies, and what a scanner would see of them, written to a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posetx.cli.common import (
    MOST,
    JsonOption,
    OverwriteOption,
    QuietOption,
    SeedOption,
    VerboseOption,
    emit_json,
)
from posetx.data.write_settings import BodiesSettings, Format, Layout, Poses
from posetx.system.console import progress_bar, say


def bodies(
    out_dir: Annotated[
        Path, typer.Argument(metavar="OUT_DIR", help="Folder to write to; made if need be.")
    ],
    count: Annotated[
        int,
        typer.Option(
            "-n", "--count", min=1, max=MOST, help="Bodies; with --layout npt, poses of each."
        ),
    ] = 16,
    poses: Annotated[
        Poses | None,
        typer.Option(help="Between A and T, from the fitted prior, or from --mocap clips."),
    ] = None,
    mocap: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of BVH clips to take poses from."),
    ] = None,
    layout: Annotated[
        Layout, typer.Option(help="body_0000 and so on, or SMPL-NPT's id0_0.obj.")
    ] = "plain",
    identities: Annotated[
        int,
        typer.Option(min=1, max=MOST, help="People, each in every pose; only for --layout npt."),
    ] = 16,
    file_format: Annotated[
        Format | None, typer.Option("--format", help="Of the meshes; npt is always obj.")
    ] = None,
    scan: Annotated[bool, typer.Option("--scan", help="Write a simulated scan, too.")] = False,
    scan_points: Annotated[
        int, typer.Option(min=100, max=1_000_000, help="Points of a scan.")
    ] = 20_000,
    views: Annotated[
        int | None, typer.Option(min=1, max=8, help="Cameras of a scan; random if not given.")
    ] = None,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write synthetic bodies, poses and simulated scans to disk.

    Metres, y up, facing +z, feet at y = 0; all meshes share their faces and
    the order of their vertices. The same seed gives the same files.
    """
    from posetx.data.write import write_bodies

    source = poses or ("clips" if mocap else "prior")
    kind = file_format or ("obj" if layout == "npt" else "ply")
    settings = BodiesSettings(
        count=count,
        poses=source,
        layout=layout,
        format=kind,
        identities=identities,
        scan=scan,
        scan_points=scan_points,
        views=views,
        mocap=mocap,
        seed=seed,
    )
    with progress_bar() as bar:
        task = bar.add_task("bodies", total=None)
        summary = write_bodies(
            out_dir,
            settings,
            overwrite=overwrite,
            on_item=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if as_json:
        emit_json(summary)
    else:
        scans = f" and {summary['scans']} scans" if scan else ""
        say(f"wrote {summary['bodies']} bodies{scans} to {out_dir}")
