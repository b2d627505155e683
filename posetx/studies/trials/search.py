"""Runs trials: each at the baseline's number of samples, then at its CPU time; measures both.

CPU time, not the clock's, as it depends less on what else the machine does.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Container
from dataclasses import replace
from pathlib import Path

import torch

from posetx.bodies.body import BodyModel
from posetx.data.poses import PoseBank
from posetx.studies.results import parameters
from posetx.studies.trained import Learning, trained
from posetx.studies.trials.catalogue import Trial
from posetx.studies.trials.results import Plan, Results, Run, setup
from posetx.training.loop import TrainSettings
from posetx.training.validation import CASES, validate

DEVICE = torch.device("cpu")


def search(
    results: Results,
    names: Container[str],
    banks: dict[str, PoseBank],
    on_run: Callable[[Run], None],
) -> None:
    """Do what is not in ``results`` yet, and add it there run by run.

    Parameters
    ----------
    names : the trials wanted; the baseline's run comes first in any case, as it sets the time.
    banks : "train" and "unseen" poses.
    on_run : is told of each run after it was added.
    """
    body, folder = BodyModel.load(DEVICE), results.path.parent

    def do(trial: Trial, equal: str, samples: int) -> None:
        run = train(trial, results.plan, equal, samples, body, banks, folder)
        results.add(run)
        on_run(run)

    for trial in results.trials:
        if trial is not results.baseline and trial.name not in names:
            continue
        if results.find(trial, "samples") is None:
            do(trial, "samples", results.plan.samples)
        if results.at_equal_minutes(trial) is None:
            samples = results.samples_in_equal_minutes(trial)
            assert samples is not None  # both speeds are known by now
            do(trial, "minutes", samples)


def train(
    trial: Trial,
    plan: Plan,
    equal: str,
    samples: int,
    body: BodyModel,
    banks: dict[str, PoseBank],
    folder: Path,
) -> Run:
    """Train a trial on so many samples and measure its EMA weights; ``folder`` is left as it was.

    A run that is broken off leaves nothing: it is a matter of minutes.
    """
    settings = TrainSettings(samples=samples, batch=plan.batch, seed=plan.seed)
    bank = trial.bank(banks["train"].local)
    learning = Learning(
        replace(settings, **trial.train), trial.network, trial.stream, trial.learner
    )
    trainer, seconds = trained(folder, learning, body, bank, DEVICE, keep=False)

    def measured(split: str, *cases: str) -> dict[str, float]:
        return validate(
            trainer.model,
            trainer.ema,
            body,
            banks[split],
            trial.measured_on,
            plan.validation,
            cases,
        )

    unseen = measured("unseen", *CASES)
    return Run(
        trial.name,
        equal,
        plan,
        setup(trial),
        trainer.samples,
        seconds,
        parameters(trainer.model),
        {
            "seen": measured("train", "clean")["clean"],
            "unseen": unseen.pop("clean"),
            **unseen,
        },
        datetime.date.today().isoformat(),
    )
