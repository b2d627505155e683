"""From a run's result to a model file with its card."""

from __future__ import annotations

import datetime
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from posetx import __version__
from posetx.models.checkpoint import save_model
from posetx.system.hardware import describe
from posetx.training.loop import Trainer


def export(trainer: Trainer, path: Path, data: str, program: str = "posetx") -> str:
    """Write ``path`` (.safetensors) and its card from the run's result; returns the sha256.

    ``data`` says what the poses came from, ``program`` what this process's arguments were given to.
    """
    return save_model(
        path,
        trainer.model.config,
        trainer.result,
        {
            "training": {
                "date": datetime.date.today().isoformat(),
                "command": shlex.join([*program.split(), *sys.argv[1:]]),
                "data": data,
                "samples": trainer.samples,
                "minutes": round(trainer.seconds / 60, 1),
                "hardware": describe(trainer.device),
                "processes": trainer.processes,
                "settings": asdict(trainer.settings),
                **({"robustness": trainer.watch.summary()} if trainer.watch else {}),
                "stream": asdict(trainer.stream.settings),
                "versions": {"posetx": __version__, "torch": torch.__version__},
            },
            "earlier": trainer.earlier,
        },
    )
