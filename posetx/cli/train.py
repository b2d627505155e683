"""`posetx train`: a 3D-PoseMAE, on synthetic bodies or on the user's own meshes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posetx.attacks.methods import TRAINING
from posetx.cli.common import (
    MOST,
    DeviceOption,
    JsonOption,
    MocapOption,
    OverwriteOption,
    QuietOption,
    SeedOption,
    VerboseOption,
    choice,
    emit_json,
    in_options,
)
from posetx.models.known import KNOWN
from posetx.system.console import say
from posetx.training.options import TrainOptions


def names_of_networks(incomplete: str) -> list[str]:
    """For a shell's completion."""
    from posetx.models.registry import CONFIGS

    return [name for name in CONFIGS if name.startswith(incomplete)]


def train(
    folder: Annotated[Path, typer.Argument(help="The run's folder: checkpoints and the model.")],
    mocap: MocapOption = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="A folder of meshes id{identity}_{pose}.obj that share their faces, y up, facing "
            "+z, as in SMPL-NPT: train on those instead of synthetic bodies."
        ),
    ] = None,
    unsupervised: Annotated[
        bool,
        typer.Option(
            help="Without ground truth (mapconnet): --data needs no poses in common, just a folder "
            "of meshes for each identity, people or animals."
        ),
    ] = False,
    max_minutes: Annotated[float | None, typer.Option(min=0.01, help="Time budget.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, max=10**12, help="Sample budget.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the folder's checkpoint.")] = False,
    init_from: Annotated[
        str | None, typer.Option(help="Begin with the weights of a model, by name or path.")
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "-m",
            "--model",
            autocompletion=names_of_networks,
            help=f"One of {', '.join(KNOWN)}; posemae by default.",
        ),
    ] = "",
    width: Annotated[
        int | None, typer.Option(min=8, max=8_192, help="The network's width; the paper's without.")
    ] = None,
    head: Annotated[
        str | None, choice(("skin", "coords"), help="Of posemae; skin by default.")
    ] = None,
    batch: Annotated[
        int, typer.Option(min=2, max=1_000_000, help="Of all processes together.")
    ] = 192,
    lr: Annotated[float, typer.Option(min=0.0, help="Muon's; AdamW has half of it.")] = 2e-3,
    pose_points: Annotated[
        int,
        typer.Option(min=32, max=65_536, help="Points of a pose source that are encoded at once."),
    ] = 128,
    seen_points: Annotated[
        int | None,
        typer.Option(
            min=32,
            max=65_536,
            help="Points of a pose source in all; of posemae by default four times as many.",
        ),
    ] = None,
    identity_points: Annotated[
        int, typer.Option(min=32, max=65_536, help="Points of an identity.")
    ] = 128,
    scan_share: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="Pose sources through the virtual scanner; 0.4, with --data 0."
        ),
    ] = None,
    adversarial: Annotated[
        str, choice(("none", *TRAINING), help="Attacks on pose sources to learn from.")
    ] = "none",
    epsilon: Annotated[
        float,
        typer.Option(min=0.0, help="Largest displacement, root mean square a coordinate, ~metres."),
    ] = 0.08,
    adversarial_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of each batch that is attacked.")
    ] = 0.5,
    adversarial_from: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the run that is clean before.")
    ] = 0.0,
    adversarial_steps: Annotated[
        int,
        typer.Option(min=1, max=MOST, help="Of pgd; of free, times a batch is learnt from."),
    ] = 3,
    adversarial_alignment: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Weight of gradient alignment (GradAlign), which keeps fgm from teaching how to "
            "mislead it; see docs/training.md.",
        ),
    ] = 0.0,
    precision: Annotated[str, choice(("auto", "bf16", "fp32"), help="Of products.")] = "auto",
    checkpoint_minutes: Annotated[float, typer.Option(min=0.01)] = 3.0,
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help="CPU threads.")] = None,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Train a network, on synthetic bodies or --data; stop and go on at any time.

    Writes FOLDER/checkpoint.pt every few minutes and, at the end, FOLDER/MODEL.safetensors with
    its card. A run that is over can be prolonged: --resume with a larger budget. Several GPUs or
    machines: torchrun --nproc-per-node N -m posetx train FOLDER ...
    """
    options = TrainOptions(
        folder=folder,
        mocap=mocap,
        data=data,
        unsupervised=unsupervised,
        max_minutes=max_minutes,
        samples=samples,
        resume=resume,
        init_from=init_from,
        model=model or ("mapconnet" if unsupervised else "posemae"),
        width=width,
        head=head,
        batch=batch,
        lr=lr,
        pose_points=pose_points,
        seen_points=seen_points,
        identity_points=identity_points,
        scan_share=scan_share,
        adversarial=adversarial,
        epsilon=epsilon,
        adversarial_share=adversarial_share,
        adversarial_from=adversarial_from,
        adversarial_steps=adversarial_steps,
        adversarial_alignment=adversarial_alignment,
        precision=precision,
        checkpoint_minutes=checkpoint_minutes,
        threads=threads,
        device=device,
        seed=seed,
        overwrite=overwrite,
    )
    options.check()

    from posetx.training.command import train_model

    document = train_model(options, lambda told: say(in_options(told)))
    if document and as_json:
        emit_json(document)
