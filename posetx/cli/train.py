"""`posetx train`: a 3D-PoseMAE, on synthetic bodies or on the user's own meshes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posetx.attacks.methods import METHODS
from posetx.cli.common import (
    DeviceOption,
    JsonOption,
    MocapOption,
    OverwriteOption,
    QuietOption,
    SeedOption,
    VerboseOption,
    choice,
    emit_json,
)
from posetx.errors import UsageError
from posetx.studies.bench.presets import NETWORKS
from posetx.system.console import console

ATTACKS = tuple(name for name, method in METHODS.items() if method.training)


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
    samples: Annotated[int | None, typer.Option(min=1, help="Sample budget.")] = None,
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
            help=f"One of {', '.join(NETWORKS)}; posemae by default.",
        ),
    ] = "",
    width: Annotated[
        int | None, typer.Option(min=8, help="The network's width; the paper's without.")
    ] = None,
    head: Annotated[
        str | None, choice(("skin", "coords"), help="Of posemae; skin by default.")
    ] = None,
    batch: Annotated[int, typer.Option(min=2, help="Of all processes together.")] = 192,
    lr: Annotated[float, typer.Option(min=0.0, help="Muon's; AdamW has half of it.")] = 2e-3,
    pose_points: Annotated[int, typer.Option(min=32, help="Points of a pose source.")] = 128,
    identity_points: Annotated[int, typer.Option(min=32, help="Points of an identity.")] = 128,
    early_points: Annotated[
        int, typer.Option(min=32, help="The most points of either in the first half of the run.")
    ] = 80,
    scan_share: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="Pose sources through the virtual scanner; 0.4, with --data 0."
        ),
    ] = None,
    adversarial: Annotated[
        str, choice(("none", *ATTACKS), help="Attacks on pose sources to learn from.")
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
    precision: Annotated[str, choice(("auto", "bf16", "fp32"), help="Of products.")] = "auto",
    checkpoint_minutes: Annotated[float, typer.Option(min=0.01)] = 3.0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
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
    if not max_minutes and not samples:
        raise UsageError("train: give a budget, --max-minutes or --samples")
    if data and mocap:
        raise UsageError("--data does not go with --mocap: its meshes have their poses already")
    if data and scan_share:
        raise UsageError("--data does not go with --scan-share: its meshes are not scanned")
    if unsupervised and adversarial != "none":
        raise UsageError("--unsupervised does not go with --adversarial: it attacks ground truth")
    model = model or ("mapconnet" if unsupervised else "posemae")
    if (folder / "checkpoint.pt").exists() and not (resume or overwrite):
        raise UsageError(f"{folder}: has a checkpoint; pass --resume, or --overwrite to start anew")

    import torch

    from posetx.bodies.body import BodyModel
    from posetx.data.folder import MeshFolder
    from posetx.data.groups import MeshGroups
    from posetx.data.sources import PoseSource
    from posetx.data.splits import training_poses
    from posetx.data.stream import StreamSettings
    from posetx.models.checkpoint import read_model
    from posetx.models.registry import config_named, name_of
    from posetx.system.device import resolve_device
    from posetx.training import distributed
    from posetx.training.adversarial import AdversarialSettings
    from posetx.training.display import TrainingDisplay
    from posetx.training.export import export
    from posetx.training.loop import Trainer, TrainSettings

    if threads:
        torch.set_num_threads(threads)
    where = distributed.start(resolve_device(device))
    console.quiet |= not distributed.first()
    settings = TrainSettings(
        max_minutes,
        samples,
        batch,
        lr,
        seed,
        precision,
        checkpoint_minutes=checkpoint_minutes,
        early_points=early_points,
        unsupervised=unsupervised,
    )
    if adversarial != "none":
        settings.adversarial = AdversarialSettings(
            adversarial, epsilon, adversarial_share, adversarial_from
        )
    body = BodyModel.load(where)
    poses: PoseSource
    if data:
        poses = MeshGroups.read(data, where) if unsupervised else MeshFolder.read(data, where)
    else:
        poses = training_poses(body, mocap, seed).to(where)
    if resume:
        trainer = Trainer.resumed(folder, body, poses, settings, where)
    else:
        sizes = {"width": width, "head": head}
        config = config_named(
            model,
            pose_points=pose_points,
            identity_points=identity_points,
            **{name: size for name, size in sizes.items() if size is not None},
        )
        share = StreamSettings.scan_share if scan_share is None else scan_share
        stream = StreamSettings(pose_points, identity_points, scan_share=share)
        trainer = Trainer(folder, body, poses, settings, config, stream, where)
        if init_from:
            _, weights, card = read_model(init_from)
            taken = trainer.start_from(weights, card)
            of = len(trainer.model.state_dict())
            console.print(f"{init_from}: {taken} of {of} tensors taken", soft_wrap=True)
    with TrainingDisplay(settings) as display:
        trainer.run(display.update)
    if not distributed.finish():
        return
    path = folder / f"{name_of(trainer.model.config)}.safetensors"
    source = f"clips of {mocap}, without subjects 13 and 14" if mocap else "the shipped pose prior"
    sha256 = export(trainer, path, str(poses) if data else source)
    minutes = trainer.seconds / 60
    console.print(f"{path}: {trainer.samples} samples in {minutes:.1f} minutes", soft_wrap=True)
    if as_json:
        emit_json(
            {
                "model": path,
                "sha256": sha256,
                "samples": trainer.samples,
                "minutes": minutes,
                "samples_per_second": trainer.samples / trainer.seconds,
                "last": display.last,
            }
        )
