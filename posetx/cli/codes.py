"""`posetx codes`: what a model makes of poses and of bodies, as points in the plane."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posetx.attacks.methods import METHODS
from posetx.attacks.settings import AttackSettings, usual_norm
from posetx.cli.attack import NormOption
from posetx.cli.common import (
    DEFAULT_MODEL,
    MOST,
    DeviceOption,
    JsonOption,
    MocapOption,
    ModelOption,
    OverwriteOption,
    QuietOption,
    SeedOption,
    VerboseOption,
    check_preview,
    choice,
    emit_json,
)
from posetx.system.console import progress_bar, say
from posetx.system.paths import find_model

#: Groups have a colour each, of ten.
COLORED = 10
#: The attacks that need no pose to want.
ANY_HARM = tuple(name for name, method in METHODS.items() if not method.wanted)


def codes(
    output: Annotated[Path, typer.Option("-o", "--output", help="The picture: a PNG.")],
    model: ModelOption = DEFAULT_MODEL,
    groups: Annotated[
        int, typer.Option(min=2, max=COLORED, help="Poses, and bodies, that have a colour each.")
    ] = COLORED,
    members: Annotated[
        int, typer.Option(min=2, max=1000, help="Bodies of each pose, and poses of each body.")
    ] = COLORED,
    epsilon: Annotated[
        float,
        typer.Option(min=0.0, help="How far the attack moves points, in metres; 0 for no attack."),
    ] = 0.08,
    method: Annotated[str, choice(ANY_HARM, help="How points move.")] = "pgd",
    norm: NormOption = None,
    steps: Annotated[int, typer.Option(min=1, max=MOST, help="Of an iterative attack.")] = 20,
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
    directions in which the codes differ most. The pose codes are also drawn as an attack on the
    clouds leaves them.
    """
    asked = AttackSettings(method, norm or usual_norm(method), epsilon, steps, seed=seed)
    asked.check()

    from posetx.files.atomic import check_outputs

    check_preview(output)
    check_outputs({"output": output}, [find_model(model)], overwrite)

    from posetx.bodies.body import BodyModel
    from posetx.data.splits import unseen_poses
    from posetx.models.checkpoint import load_model
    from posetx.models.predictor import Predictor
    from posetx.report.codes import draw_codes
    from posetx.studies.codes import AttackedCodes, Codes, Takes, identity_codes, pose_codes
    from posetx.system.device import resolve_device

    where = resolve_device(device)
    with progress_bar() as bar:
        task = bar.add_task("encoding", total=None)
        predictor, body = Predictor(load_model(model, where)[0], where), BodyModel.load()
        poses = unseen_poses(body, mocap, seed)
        takes = Takes.draw(predictor, body, poses, groups, members, seed)
        by_pose = Codes.of(pose_codes(predictor, takes.samples))
        by_body = identity_codes(predictor, body, groups, members, seed)
        attacked = None
        if epsilon:
            bar.update(task, description="attacking")
            harmed = takes.attacked(predictor, body, asked)
            attacked = AttackedCodes.of(pose_codes(predictor, harmed), by_pose)
        draw_codes(output, by_pose, by_body, attacked)
    kinds = {"pose": by_pose, "identity": by_body, "identity_by_pose": by_body.other_way}
    for (kind, found), by in zip(kinds.items(), ("pose", "body", "pose"), strict=True):
        say(
            f"{output}: {kind.split('_')[0]} codes by {by}: {100 * found.nearest:.0f} % have their "
            f"nearest in their own group, silhouette {found.silhouette:.2f}"
        )
    told = {kind: found.to_json() for kind, found in kinds.items()}
    if attacked is not None:
        told["attacked"] = attacked.to_json()
        say(
            f"{output}: attacked pose codes: {100 * attacked.nearest:.0f} % are nearest to their "
            f"own pose, moved {attacked.moved:.2f} times as far as other poses are"
        )
    if as_json:
        emit_json({"output": output, **told})
