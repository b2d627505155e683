"""Training on a bare GPU machine lent by the minute: torch, numpy and safetensors are enough.

    python -m posetx.training.recipe --pack CLIPS poses.safetensors
    python -m posetx.training.recipe --data poses.safetensors --folder runs/gpu --minutes 9 \\
        --total-minutes 25 --out OUT

The first line runs where the BVH clips are, the second where the GPU is: it stops by itself, and
the next call goes on from the folder's checkpoint. ``posetx train`` is the same training with
more options, for machines on which all of posetx is installed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from posetx.attacks.methods import TRAINING
from posetx.bodies.body import BodyModel
from posetx.data.poses import PoseBank, read_banks, write_banks
from posetx.data.splits import pose_banks
from posetx.data.stream import StreamSettings
from posetx.errors import PosetxError, UsageError
from posetx.files.atomic import write_bytes_atomic, write_text_atomic
from posetx.models.pose_mae import PoseMAEConfig
from posetx.system.device import resolve_device
from posetx.system.hardware import peak_memory
from posetx.training import distributed
from posetx.training.adversarial import AdversarialSettings
from posetx.training.checkpoint import load_state
from posetx.training.export import export
from posetx.training.loop import Progress, Trainer, TrainSettings
from posetx.training.validation import validate

PROGRAM = "python -m posetx.training.recipe"
MODEL = "posemae.safetensors"


@dataclass(frozen=True)
class Preset:
    """What a run on a kind of machine begins with."""

    batch: int
    lr: float
    network: PoseMAEConfig
    stream: StreamSettings


PRESETS = {
    "cpu": Preset(192, 2e-3, PoseMAEConfig(), StreamSettings()),
    # large enough that a GPU computes most of the time instead of being told what to compute
    "gpu": Preset(
        4096,
        3e-3,
        PoseMAEConfig(
            width=384,
            values=32,
            code=512,
            depth=3,
            refine_width=192,
            refine_depth=2,
            decoder_width=128,
            decoder_blocks=3,
            pose_points=256,
            identity_points=256,
        ),
        StreamSettings(pose_points=1024, identity_points=256, pool=2048),
    ),
}

#: of a call's minutes, what is kept for the last checkpoint, the validation and the export
RESERVE = (0.5, 0.1)  # minutes at most, share at most
SAVE_MINUTES = 1.0
REPORT_SECONDS = 10.0
#: a lent machine gives back no larger files
PIECE = 15 * 2**20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    started = time.monotonic()
    options = parser().parse_args(arguments)
    try:
        if options.pack:
            pack(Path(options.pack[0]), Path(options.pack[1]))
        else:
            train(options, started)
    except PosetxError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Time-boxed training with torch, numpy and safetensors alone. A folder's run "
        "goes on with the preset and the other options that it began with.",
    )
    add = p.add_argument
    add("--pack", nargs=2, metavar=("CLIPS", "FILE"), help="pack a folder's BVH clips and stop")
    add("--data", type=Path, help="the packed poses; without, those of the shipped prior")
    add("--folder", type=Path, default=Path("runs/gpu"), help="the run's (default: %(default)s)")
    add("--minutes", type=float, default=9.0, help="this call's, all in (default: %(default)s)")
    add(
        "--total-minutes",
        type=float,
        help="training in all calls together, which the learning rate's fall is timed by; default: "
        "this call is all, or what the run was begun with",
    )
    add("--out", type=Path, help="where the model, its card and report.json go")
    add("--preset", choices=PRESETS, help="default: by the device")
    add("--batch", type=int, help="instead of the preset's")
    add("--lr", type=float, help="instead of the preset's")
    add("--adversarial", choices=("none", *TRAINING), default="none")
    add("--adversarial-from", type=float, default=0.0, help="share of the run that is clean before")
    add("--adversarial-share", type=float, default=0.5, help="share of a batch that is attacked")
    add("--adversarial-steps", type=int, default=3, help="of pgd, free (default: %(default)s)")
    add("--adversarial-alignment", type=float, default=0.0, help="as in posetx train")
    add("--epsilon", type=float, default=0.08, help="as in posetx train")
    add("--validation", type=int, default=1024, help="samples of each kind (default: %(default)s)")
    add("--device", default="auto")
    add("--seed", type=int, default=0)
    return p


def pack(mocap: Path, path: Path) -> None:
    """Write the training and the unseen subjects' poses of a folder of BVH clips to one file.

    Raises PosetxError where a split has no clips, or a clip cannot be read.
    """
    body = BodyModel.load()
    banks = {split: PoseBank.from_bvh(mocap, body, split) for split in ("train", "unseen")}
    write_banks(path, banks)
    counts = ", ".join(f"{len(bank)} {split}" for split, bank in banks.items())
    say(f"{path}: {counts} poses, {path.stat().st_size / 2**20:.1f} MiB")


def train(options: argparse.Namespace, started: float) -> None:
    """Train for what is left of the call's minutes since ``started``, then validate and export."""
    if options.minutes <= 0:
        raise UsageError("--minutes: has to be more than 0")
    device = distributed.start(resolve_device(options.device))
    body = BodyModel.load(device)
    banks = read_banks(options.data) if options.data else pose_banks(body, None, options.seed)
    if not {"train", "unseen"} <= banks.keys():
        raise PosetxError(f"{options.data}: has not both train and unseen poses; use --pack")
    reserve = min(RESERVE[0], RESERVE[1] * options.minutes)
    box = options.minutes - reserve - (time.monotonic() - started) / 60
    if box <= 0:
        raise UsageError(f"--minutes {options.minutes:g}: over before the training could begin")
    trainer = prepare(options, body, banks, box, device)
    before = trainer.samples, trainer.seconds
    if distributed.first():
        count = sum(p.numel() for p in trainer.model.parameters()) / 1e6
        say(
            f"{count:.1f} M parameters, batch {trainer.settings.batch} on {device}; "
            f"{before[0]} samples in {before[1] / 60:.1f} minutes so far, "
            f"{trainer.share_done():.0%} of the run"
        )
    report = Report(device)
    trainer.run(report.update, minutes=box)
    if not distributed.finish():
        return
    seconds = max(trainer.seconds - before[1], 1e-9)
    document = {
        "samples": trainer.samples,
        "minutes": trainer.seconds / 60,
        "share": trainer.share_done(),
        "samples_per_second": (trainer.samples - before[0]) / seconds,
        "peak_memory_gib": peak_memory(device),
        "terms": report.terms,
    }
    if options.validation > 0:
        unseen, weights = banks["unseen"].to(device), trainer.result
        document["validation_pmd"] = figures = validate(
            trainer.model, weights, body, unseen, trainer.stream.settings, options.validation
        )
        text = "  ".join(f"{name} {value * 1e4:.2f}" for name, value in figures.items())
        say(f"PMD x1e-4 on unseen poses, training frame: {text}")
    if trainer.watch:
        trainer.watch.tell(say)
        document["robustness"] = trainer.watch.summary()
    say(
        f"{document['share']:.0%} of the run, {trainer.samples} samples, "
        f"{document['samples_per_second']:.0f}/s, peak {document['peak_memory_gib']:.1f} GiB"
    )
    source = f"poses of {options.data}" if options.data else "the shipped pose prior"
    path = options.folder / MODEL
    export(trainer, path, source, PROGRAM)
    if options.out:
        deliver(path, options.out)
        write_text_atomic(options.out / "report.json", json.dumps(document, indent=2) + "\n")
        say(f"{options.out}: {', '.join(sorted(p.name for p in options.out.iterdir()))}")


def prepare(
    options: argparse.Namespace,
    body: BodyModel,
    banks: dict[str, PoseBank],
    box: float,
    device: torch.device,
) -> Trainer:
    """The folder's run, resumed, or a new one; ``box`` are the minutes this call can train.

    Raises PosetxError where the folder's checkpoint cannot be read.
    """
    folder, total = options.folder, options.total_minutes
    poses = banks["train"].to(device)

    def unseen() -> PoseBank:
        return banks["unseen"].to(device)

    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        budget = TrainSettings(minutes=total, checkpoint_minutes=SAVE_MINUTES)
        if total is None:
            begun_with = load_state(checkpoint, torch.device("cpu"))["settings"]
            budget.minutes, budget.samples = begun_with["minutes"], begun_with["samples"]
        return Trainer.resumed(folder, body, poses, budget, device, unseen)
    preset = PRESETS[options.preset or ("gpu" if device.type == "cuda" else "cpu")]
    settings = TrainSettings(
        minutes=total or distributed.agreed(box),
        batch=options.batch or preset.batch,
        lr=options.lr or preset.lr,
        seed=options.seed,
        checkpoint_minutes=SAVE_MINUTES,
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
    network, stream = preset.network, preset.stream
    return Trainer(folder, body, poses, settings, network, stream, device, unseen=unseen)


class Report:
    """A line about the training every REPORT_SECONDS; ``terms`` are the last ones told."""

    def __init__(self, device: torch.device):
        self.device, self.terms = device, dict[str, float]()
        self.said = 0.0

    def update(self, progress: Progress) -> None:
        self.terms = progress.terms
        if time.monotonic() - self.said < REPORT_SECONDS:
            return
        self.said = time.monotonic()
        terms = "  ".join(f"{name} {value:.5f}" for name, value in progress.terms.items())
        say(
            f"{progress.minutes:.2f} min  {progress.samples} samples  "
            f"{progress.samples_per_second:.0f}/s  {peak_memory(self.device):.1f} GiB  {terms}"
        )


def deliver(path: Path, out: Path) -> None:
    """Copy a model and its card to a folder, the model in pieces if it is larger than PIECE.

    The pieces' names end in .part0, .part1, ...: ``cat NAME.part* > NAME`` joins them.
    """
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob(f"{path.name}*"):
        old.unlink()
    data = path.read_bytes()
    starts = range(0, len(data), PIECE)
    for index, start in enumerate(starts):
        name = path.name if len(starts) == 1 else f"{path.name}.part{index}"
        write_bytes_atomic(out / name, data[start : start + PIECE])
    card = path.with_suffix(".json")
    write_bytes_atomic(out / card.name, card.read_bytes())


def say(line: str) -> None:
    """A line on stdout, at once: a program that is stopped takes what it has not written along."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
