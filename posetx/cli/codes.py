"""`posetx codes`: what a model makes of poses and of bodies, as points in the plane."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posetx.cli.common import (
    DEFAULT_MODEL,
    DeviceOption,
    JsonOption,
    MocapOption,
    ModelOption,
    OverwriteOption,
    QuietOption,
    SeedOption,
    VerboseOption,
    check_preview,
    emit_json,
)
from posetx.system.console import progress_bar, say
from posetx.system.paths import find_model

#: Groups have a colour each, of ten.
MOST = 10


def codes(
    output: Annotated[Path, typer.Option("-o", "--output", help="The picture: a PNG.")],
    model: ModelOption = DEFAULT_MODEL,
    groups: Annotated[
        int, typer.Option(min=2, max=MOST, help="Poses, and bodies, that have a colour each.")
    ] = MOST,
    members: Annotated[
        int, typer.Option(min=2, max=1000, help="Bodies of each pose, and poses of each body.")
    ] = MOST,
    mocap: MocapOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Draw a model's codes in the plane, and say how well those of one pose or body lie together.

    Poses that no training saw, each taken by many bodies, and their pose codes; bodies that stand
    in many ways, and their identity codes, by body and by how they stand. The plane has the two
    directions in which the codes differ most.
    """
    from posetx.files.atomic import check_outputs

    check_preview(output)
    check_outputs({"output": output}, [find_model(model)], overwrite)

    from posetx.bodies.body import BodyModel
    from posetx.data.splits import unseen_poses
    from posetx.models.checkpoint import load_model
    from posetx.models.predictor import Predictor
    from posetx.report.codes import draw_codes
    from posetx.studies.codes import identity_codes, pose_codes
    from posetx.system.device import resolve_device

    where = resolve_device(device)
    with progress_bar() as bar:
        bar.add_task("encoding", total=None)
        predictor, body = Predictor(load_model(model, where)[0], where), BodyModel.load()
        poses = unseen_poses(body, mocap, seed)
        by_pose = pose_codes(predictor, body, poses, groups, members, seed)
        by_body = identity_codes(predictor, body, groups, members, seed)
        draw_codes(output, by_pose, by_body)
    kinds = {"pose": by_pose, "identity": by_body, "identity_by_pose": by_body.other_way}
    for (kind, found), by in zip(kinds.items(), ("pose", "body", "pose"), strict=True):
        say(
            f"{output}: {kind.split('_')[0]} codes by {by}: {100 * found.nearest:.0f} % have their "
            f"nearest in their own group, silhouette {found.silhouette:.2f}"
        )
    if as_json:
        emit_json({"output": output, **{kind: found.to_json() for kind, found in kinds.items()}})
