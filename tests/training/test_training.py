"""The training loop: it learns, it resumes as if never stopped, a kill loses no checkpoint."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from posetx.cli import app
from posetx.data.stream import BodyStream, StreamSettings
from posetx.errors import PosetxError
from posetx.models.checkpoint import load_model
from posetx.models.pose_mae import PoseMAEConfig
from posetx.training.adversarial import AdversarialSettings
from posetx.training.checkpoint import KEYS, load_state, save_state
from posetx.training.loop import Trainer, TrainSettings
from posetx.training.losses import training_loss
from posetx.training.optimizer import COOL_DOWN, learning_rate_factor, orthogonalised

CPU = torch.device("cpu")
TINY = PoseMAEConfig(width=64, code=64, decoder_width=16, decoder_blocks=1, depth=1)
STREAM = StreamSettings(pose_points=64, identity_points=64, pool=256)


def trainer(folder: Path, data, samples: int) -> Trainer:
    settings = TrainSettings(samples=samples, batch=8)
    return Trainer(folder, *data, settings, TINY, STREAM, CPU)


def test_loss_falls(tmp_path: Path, data) -> None:
    """On bodies that it does not learn from: the losses of its own batches go up and down."""
    bare = {"dressed_share": 0.0, "dressed_identity_share": 0.0}
    clean = replace(STREAM, scan_share=0.0, noise_share=0.0, reposed_share=0.0, **bare)
    others = BodyStream(*data, clean, seed=9).draw(32)
    run = Trainer(tmp_path, *data, TrainSettings(samples=8 * 20, batch=8), TINY, clean, CPU)

    def losses() -> dict[str, Tensor]:
        with torch.no_grad():
            output = run.model.eval()(others.pose, others.queries, others.identity.shape[1])
        run.model.train()
        return training_loss(output, others)[1]

    before = losses()
    run.run(lambda progress: None)
    after = losses()
    assert after["position"] < 0.9 * before["position"]
    assert after["skinning"] < before["skinning"]
    assert run.samples == 8 * 20


def test_resumed_run_equals_an_unbroken_one(tmp_path: Path, data) -> None:
    whole = trainer(tmp_path / "whole", data, 8 * 4)
    whole.run(lambda progress: None)

    broken = trainer(tmp_path / "broken", data, 8 * 4)
    for _ in range(2):
        broken.step()
    broken.save()
    resumed = Trainer.resumed(tmp_path / "broken", *data, TrainSettings(samples=8 * 4), CPU)
    assert resumed.samples == 8 * 2
    resumed.run(lambda progress: None)
    for name, value in whole.model.state_dict().items():
        assert torch.allclose(value, resumed.model.state_dict()[name], atol=1e-6), name


def test_a_finished_run_goes_on_from_before_its_rate_fell(tmp_path: Path, data) -> None:
    trainer(tmp_path, data, 8 * 8).run(lambda progress: None)
    longer = Trainer.resumed(tmp_path, *data, TrainSettings(samples=8 * 40), CPU)
    assert 8 * 8 * (1 - COOL_DOWN) <= longer.samples < 8 * 8
    same = Trainer.resumed(tmp_path, *data, TrainSettings(samples=8 * 8), CPU)
    assert same.samples == 8 * 8


@pytest.mark.parametrize("card", [{}, {"earlier": 3, "training": "much"}, {"earlier": {"a": 1}}])
def test_a_run_begins_with_weights_whatever_their_card_says(tmp_path: Path, data, card) -> None:
    first = trainer(tmp_path / "first", data, 8)
    second = trainer(tmp_path / "second", data, 8)
    assert second.start_from(first.model.state_dict(), card) == len(first.model.state_dict())
    assert second.earlier == [{"sha256": None}]


def test_schedule_warms_up_stays_and_falls() -> None:
    factors = [learning_rate_factor(i / 100) for i in range(101)]
    assert factors[0] < 0.1 and factors[2] == factors[70] == 1.0 and factors[100] == 0.0
    falling = factors[75:]
    assert falling == sorted(falling, reverse=True)


def test_muon_directions_are_orthogonal() -> None:
    torch.manual_seed(0)
    for shape in ((32, 64), (64, 32)):
        values = torch.linalg.svdvals(orthogonalised(torch.randn(shape)))
        assert values.min() > 0.5 and values.max() < 1.5


def test_checkpoints_are_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_state(path, {**dict.fromkeys(KEYS, torch.arange(3)), "samples": 1.5})
    assert load_state(path, CPU)["samples"] == 1.5
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(PosetxError, match="not a posetx checkpoint"):
        load_state(path, CPU)
    with pytest.raises(PosetxError, match="without `resume`"):
        load_state(tmp_path / "none.pt", CPU)


@pytest.mark.slow
def test_killed_and_resumed_from_the_command_line(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = ["train", str(folder), "--batch", "8", "--json", "--width", "16"]
    command += ["--pose-points", "32", "--identity-points", "32", "--checkpoint-minutes", "0.01"]
    child = subprocess.Popen(
        [sys.executable, "-m", "posetx", *command, "--samples", "1000000", "--max-minutes", "10"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (folder / "checkpoint.pt").exists() and child.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    samples = load_state(folder / "checkpoint.pt", CPU)["samples"] + 80
    command += ["--samples", str(samples)]
    done = CliRunner().invoke(app, [*command, "--resume"])
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["samples"] == samples
    model, card = load_model(report["model"])
    assert card["training"]["samples"] == samples and model.config.pose_points == 32
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2 and "--resume" in refused.stderr


def test_bf16_changes_little(tmp_path: Path, data) -> None:
    """What a GPU trains in: the first steps' losses are fp32's, also of attacked batches."""
    settings = TrainSettings(samples=1600, batch=16, adversarial=AdversarialSettings())
    terms = {}
    for settings.precision in ("fp32", "bf16"):
        run = Trainer(tmp_path, *data, settings, TINY, STREAM, CPU)
        run.step()
        terms[settings.precision] = {name: float(term) for name, term in run.step().items()}
        assert all(p.grad is not None for p in run.model.parameters())
        # edges are so short that rounding shows, before the network has learnt anything
        assert terms[settings.precision].pop("edge") < 0.5
    assert terms["bf16"] == pytest.approx(terms["fp32"], rel=0.02)
