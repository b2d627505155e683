"""A training run from its options to the model's file: what `posetx train` does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch

from posetx.bodies.body import BodyModel
from posetx.data.folder import MeshFolder
from posetx.data.groups import MeshGroups
from posetx.data.poses import PoseBank
from posetx.data.sources import PoseSource
from posetx.data.splits import training_poses, unseen_poses
from posetx.data.stream import StreamSettings
from posetx.files.alone import alone_in
from posetx.models.checkpoint import read_model
from posetx.models.pose_mae import PoseMAEConfig
from posetx.models.registry import config_named, name_of
from posetx.system.console import console
from posetx.system.device import resolve_device
from posetx.training import distributed
from posetx.training.adversarial import AdversarialSettings
from posetx.training.display import TrainingDisplay
from posetx.training.export import export
from posetx.training.log import TrainingLog
from posetx.training.loop import Trainer, TrainSettings
from posetx.training.options import TrainOptions
from posetx.training.sound import NotFinite

#: a 3D-PoseMAE's further looks see so many times the points that it encodes
SETS = 4


def train_model(options: TrainOptions, say: Callable[[str], None]) -> dict[str, Any] | None:
    """Train and write the model; returns what was done, or None in all processes but the first.

    ``say`` hears, in a line each, what a user should know.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    where = distributed.start(resolve_device(options.device))
    console.quiet |= not distributed.first()
    with alone_in(options.folder) if distributed.first() else nullcontext():
        return _trained(options, where, say)


def _trained(
    options: TrainOptions, where: torch.device, say: Callable[[str], None]
) -> dict[str, Any] | None:
    """As :func:`train_model`, with the folder for itself.

    A run that is stopped or breaks down leaves the model as far as it came.
    """
    settings = settings_of(options)
    body = BodyModel.load(where)
    poses = poses_of(options, body, where)
    # only asked for by an adversarial stage; meshes of a folder have no others
    unseen = None
    if not options.data:
        unseen = partial(unseen_poses, body, options.mocap, options.seed)
    if options.resume:
        trainer = Trainer.resumed(options.folder, body, poses, settings, where, unseen)
        if kept := not_taken(options, trainer.settings):
            say(f"{options.folder}: this run keeps its own {', '.join(kept)}; begin another one")
    else:
        trainer = begun(options, settings, body, poses, unseen, where, say)
    path = options.folder / f"{name_of(trainer.model.config)}.safetensors"
    source = "the shipped pose prior"
    if options.mocap:
        source = f"clips of {options.mocap}, without subjects 13 and 14"

    def exported() -> str:
        sha256 = export(trainer, path, str(poses) if options.data else source)
        say(f"{path}: {trainer.samples} samples in {trainer.seconds / 60:.1f} minutes")
        return sha256

    log = TrainingLog(options.folder, trainer.samples) if distributed.first() else None
    try:
        with TrainingDisplay(settings, log) as display:
            trainer.run(display.update)
    except NotFinite as error:
        if error.usable and distributed.first():
            exported()
        raise
    except KeyboardInterrupt:
        if trainer.samples and not trainer.broken and distributed.first():
            exported()
            say(f"{trainer.checkpoint}: saved; `resume` goes on from here")
        raise
    if not distributed.finish():
        return None
    sha256 = exported()
    if trainer.watch:
        trainer.watch.tell(say)
    minutes = trainer.seconds / 60
    return {
        "model": path,
        "sha256": sha256,
        "samples": trainer.samples,
        "minutes": minutes,
        "samples_per_second": trainer.samples / trainer.seconds,
        "last": display.last,
        "robustness": trainer.watch.summary() if trainer.watch else None,
    }


def settings_of(options: TrainOptions) -> TrainSettings:
    """The loop's part of the options."""
    settings = TrainSettings(
        options.max_minutes,
        options.samples,
        options.batch,
        options.lr,
        options.seed,
        options.precision,
        checkpoint_minutes=options.checkpoint_minutes,
        unsupervised=options.unsupervised,
    )
    if options.adversarial != "none":
        settings.adversarial = AdversarialSettings(
            options.adversarial,
            options.epsilon,
            options.adversarial_share,
            options.adversarial_from,
            options.adversarial_steps,
            options.adversarial_alignment,
        )
    return settings


def not_taken(options: TrainOptions, own: TrainSettings) -> list[str]:
    """The options, as `fields`, that are unlike those a run was begun with, and not the usual."""
    usual = TrainOptions(options.folder)
    settings = {"batch": own.batch, "lr": own.lr, "precision": own.precision, "seed": own.seed}
    attack = own.adversarial
    settings["adversarial"] = attack.method if attack else "none"
    if attack:
        settings |= {
            "epsilon": attack.epsilon,
            "adversarial_share": attack.share,
            "adversarial_from": attack.begin,
            "adversarial_steps": attack.pgd_steps,
            "adversarial_alignment": attack.alignment,
        }
    asked = {name: getattr(options, name) for name in settings}
    return [
        f"`{name}`"
        for name, value in asked.items()
        if value not in (settings[name], getattr(usual, name))
    ]


def poses_of(options: TrainOptions, body: BodyModel, device: torch.device) -> PoseSource:
    """What is learnt from: the user's meshes, or poses of synthetic bodies."""
    if options.data:
        kind = MeshGroups if options.unsupervised else MeshFolder
        return kind.read(options.data, device)
    return training_poses(body, options.mocap, options.seed).to(device)


def begun(
    options: TrainOptions,
    settings: TrainSettings,
    body: BodyModel,
    poses: PoseSource,
    unseen: Callable[[], PoseBank] | None,
    device: torch.device,
    say: Callable[[str], None],
) -> Trainer:
    """A new run, perhaps with another model's weights."""
    sizes = {"width": options.width, "head": options.head}
    config = config_named(
        options.model,
        pose_points=options.pose_points,
        identity_points=options.identity_points,
        **{name: size for name, size in sizes.items() if size is not None},
    )
    share = StreamSettings.scan_share if options.scan_share is None else options.scan_share
    several = SETS if isinstance(config, PoseMAEConfig) else 1
    seen = options.seen_points or several * options.pose_points
    stream = StreamSettings(seen, options.identity_points, scan_share=share)
    folder = options.folder
    trainer = Trainer(folder, body, poses, settings, config, stream, device, unseen=unseen)
    if options.init_from:
        _, weights, card = read_model(options.init_from)
        taken = trainer.start_from(weights, card)
        of = len(trainer.model.state_dict())
        say(f"{options.init_from}: {taken} of {of} tensors taken")
    return trainer
