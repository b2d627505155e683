"""The one way in which studies train: so many samples by one setting, on from a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from posetx.bodies.body import BodyModel
from posetx.data.poses import PoseBank
from posetx.data.stream import StreamSettings
from posetx.models.registry import Config
from posetx.training.learners import Learner
from posetx.training.loop import Progress, Trainer, TrainSettings


@dataclass(frozen=True)
class Learning:
    """A network's sizes, what it is shown, and how long and by which losses it learns.

    The losses are the network's own where ``learner`` is None; a run by others is not resumed.
    """

    settings: TrainSettings
    config: Config
    stream: StreamSettings
    learner: Learner | None = None


class Unkept(Trainer):
    """A run of minutes without checkpoints: one that is broken off leaves nothing."""

    def save(self, path: Path | None = None) -> None:
        """Nothing is saved."""


def trained(
    folder: Path,
    learning: Learning,
    body: BodyModel,
    poses: PoseBank,
    device: torch.device,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    keep: bool = True,
) -> tuple[Trainer, float]:
    """Train to the end, and the processor seconds that the steps of this call took.

    A ``folder`` with a checkpoint goes on from it; there are none without ``keep``.
    """
    settings = learning.settings
    if keep and learning.learner is None and (folder / "checkpoint.pt").is_file():
        trainer = Trainer.resumed(folder, body, poses, settings, device)
    else:
        trainer = (Trainer if keep else Unkept)(
            folder, body, poses, settings, learning.config, learning.stream, device,
            learning.learner,
        )  # fmt: skip
    begin = time.process_time()
    trainer.run(on_progress)
    return trainer, time.process_time() - begin
