"""A run's folder: who may write it, what is in it after trouble, and that its model is sound."""

from __future__ import annotations

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from posetx.cli import app
from posetx.data.stream import StreamSettings
from posetx.errors import FieldError, PosetxError, UsageError
from posetx.files.alone import alone_in
from posetx.models.checkpoint import load_network, save_model
from posetx.models.pose_mae import PoseMAEConfig
from posetx.models.registry import build, config_named
from posetx.training.checkpoint import load_state, save_state
from posetx.training.command import not_taken, settings_of
from posetx.training.log import TrainingLog
from posetx.training.loop import Trainer, TrainSettings
from posetx.training.options import TrainOptions
from posetx.training.sound import NotFinite

CPU = torch.device("cpu")
TINY = PoseMAEConfig(width=64, code=64, decoder_width=16, decoder_blocks=1, depth=1)
STREAM = StreamSettings(pose_points=64, identity_points=64, pool=256)


def trainer(folder: Path, data: Any, samples: int, lr: float = 2e-3) -> Trainer:
    settings = TrainSettings(samples=samples, batch=8, lr=lr)
    return Trainer(folder, *data, settings, TINY, STREAM, CPU)


def unheard(*_: Any) -> None:
    pass


# Weights that are no numbers


def test_a_run_that_breaks_down_goes_back_to_its_last_good_state(tmp_path: Path, data) -> None:
    run = trainer(tmp_path, data, 8 * 12)
    run.run(unheard, report_steps=4)
    whole = (tmp_path / "checkpoint.pt").read_bytes()
    run.settings.samples = 8 * 60
    run.base_lr = [[1e30 for _ in group] for group in run.base_lr]
    with pytest.raises(NotFinite, match="lower `lr`") as broken:
        run.run(unheard, report_steps=4)
    assert broken.value.usable and 8 * 12 <= run.samples < 8 * 60
    assert all(bool(value.isfinite().all()) for value in run.ema.values())
    assert (tmp_path / "checkpoint.pt").read_bytes() == whole, "a broken state was saved"


def test_a_run_that_never_was_good_leaves_no_model(tmp_path: Path) -> None:
    arguments = ["train", str(tmp_path / "run"), "--batch", "8", "--samples", "96", "--lr", "1e30"]
    arguments += ["--model", "npt", "--width", "16", "--pose-points", "32"]
    run = CliRunner().invoke(app, [*arguments, "--identity-points", "32"])
    assert run.exit_code == 1 and run.stderr.count("error:") == 1, run.output
    assert "no finite numbers" in run.stderr and "--lr" in run.stderr
    assert not list((tmp_path / "run").glob("*.safetensors"))
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


@pytest.mark.parametrize("field", ["lr", "epsilon", "max_minutes"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_settings_are_numbers(tmp_path: Path, field: str, value: float) -> None:
    options = replace(TrainOptions(tmp_path / "run", samples=8), **{field: value})
    with pytest.raises(FieldError, match="finite"):
        options.check()


# Models


def test_the_same_tensors_are_the_same_file(tmp_path: Path) -> None:
    weights = build(TINY).state_dict()
    found = {save_model(tmp_path / "a.safetensors", TINY, weights, {}) for _ in range(12)}
    assert len(found) == 1
    load_network(str(tmp_path / "a.safetensors"))


def test_a_model_of_no_numbers_is_refused(tmp_path: Path) -> None:
    weights = build(TINY).state_dict()
    name = next(iter(weights))
    weights[name] = torch.full_like(weights[name], float("nan"))
    save_model(tmp_path / "a.safetensors", TINY, weights, {})
    with pytest.raises(PosetxError, match="no number"):
        load_network(str(tmp_path / "a.safetensors"))


@pytest.mark.parametrize(
    "sizes",
    [
        {"width": 10**9}, {"depth": 10**9}, {"pose_points": 10**9}, {"pose_points": 0},
        {"width": -1}, {"width": 8000}, {"decoder_blocks": 90}, {"width": 0}, {"width": "x"},
        {"head": "none"}, {"head": None}, {"head": 1}, {"refine": "yes"}, {"refine": 1},
        {"mask_ratio": 7.5}, {"mask_ratio": float("nan")}, {"mask_ratio": "0.2"},
        {"depth": 2.5}, {"depth": True}, {"looks": 10_000}, {"clutter": None},
    ],
)  # fmt: skip
def test_values_beyond_any_sense_are_refused_before_a_network_is_built(
    tmp_path: Path, sizes: dict[str, Any]
) -> None:
    config = TINY
    save_model(tmp_path / "a.safetensors", config, build(config).state_dict(), {})
    data = (tmp_path / "a.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    told = json.loads(header["__metadata__"]["config"]) | sizes
    header["__metadata__"]["config"] = json.dumps(told)
    text = json.dumps(header).encode()
    (tmp_path / "a.safetensors").write_bytes(
        len(text).to_bytes(8, "little") + text + data[8 + size :]
    )
    (tmp_path / "a.json").unlink()
    begin = time.process_time()
    with pytest.raises(PosetxError, match=r"a\.safetensors: not a usable") as refused:
        load_network(str(tmp_path / "a.safetensors"))
    assert "\n" not in str(refused.value) and time.process_time() - begin < 2.0


def test_a_head_that_is_none_cannot_be_trained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="posemae: head is 'none'"):
        config_named("posemae", head="none")
    assert config_named("posemae", head="coords").head == "coords"


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("model_config", {"head": "none"}), ("model_config", {"wdth": 3}), ("model", {}),
        ("settings", {"learning": 1}), ("optimizers", []),
    ],
)  # fmt: skip
def test_a_checkpoint_of_another_version_is_one_line(
    tmp_path: Path, data, part: str, value: Any
) -> None:
    run = trainer(tmp_path, data, 8)
    run.save()
    state = load_state(run.checkpoint, CPU)
    state[part] = {**state[part], **value} if part.endswith(("config", "settings")) else value
    save_state(run.checkpoint, state)
    with pytest.raises(PosetxError, match=r"checkpoint\.pt: of another posetx.*anew") as refused:
        Trainer.resumed(tmp_path, *data, run.settings, CPU)
    assert "\n" not in str(refused.value)


# The folder


@pytest.mark.parametrize("command", ["train", "bench", "trials"])
def test_one_command_a_folder(tmp_path: Path, command: str) -> None:
    arguments = [command, str(tmp_path / "run"), "--samples", "8"]
    with alone_in(tmp_path / "run"):
        run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 2 and run.stderr.count("\n") == 1, run.output
    assert "run: another process works here; wait for it or name another folder" in run.stderr
    assert not list((tmp_path / "run").iterdir())


def test_one_run_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with alone_in(folder), pytest.raises(UsageError, match="another process"), alone_in(folder):
        pass
    with alone_in(tmp_path / "run"):
        pass
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_a_killed_run_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from posetx.files.alone import *\n"
        "with alone_in(Path(sys.argv[1])): print('in', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout and child.stdout.readline() == "in\n"
    with pytest.raises(UsageError), alone_in(tmp_path):
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with alone_in(tmp_path):
        pass


def test_a_full_disk_names_the_checkpoint_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    save_state(tmp_path / "checkpoint.pt", {"a": 1})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PosetxError, match=r"checkpoint\.pt: cannot be written: the disk is full"):
        save_state(tmp_path / "checkpoint.pt", {"a": torch.zeros(1000)})
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_a_checkpoint_that_is_none_is_one_line_without_dangerous_advice(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    for content in (b"", b"x" * 100, "pickle", {"a": 1}, [1]):
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(SimpleNamespace(a=1) if content == "pickle" else content, path)
        with pytest.raises(PosetxError, match=r"checkpoint\.pt: not a") as error:
            load_state(path, CPU)
        assert "weights_only" not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["npt.safetensors", "npt.json", "checkpoint.pt"])
def test_what_is_there_is_asked_about_before_training(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("old")
    options = TrainOptions(tmp_path, samples=8, model="npt")
    with pytest.raises(UsageError, match="overwrite"):
        options.check()
    replace(options, overwrite=True).check()


def test_a_folder_that_cannot_be_one_is_said_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(PosetxError, match="is not a folder"):
            TrainOptions(folder, samples=8).check()


# The log


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_losses_are_logged_and_a_resumed_run_goes_on(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path)
    for samples in (10, 20, 30):
        log.add(samples, samples / 60, 5.0, {"pmd": 1 / samples})
    log.close()
    log = TrainingLog(tmp_path, samples=20)
    log.add(25, 0.4, 5.0, {"pmd": 0.5, "new": 1.0})
    assert [row["samples"] for row in rows(log.path)] == ["10", "20", "25"]
    assert [row["pmd"] for row in rows(log.path)] == ["0.1", "0.05", "0.5"]
    assert TrainingLog(tmp_path).path.exists() is False, "a new run begins a new log"


def test_options_that_a_resumed_run_does_not_take_are_told(tmp_path: Path) -> None:
    own = settings_of(TrainOptions(tmp_path, lr=1e-3, adversarial="pgd", adversarial_share=0.4))
    again = TrainOptions(tmp_path, resume=True)
    assert not_taken(again, own) == []  # what is not said is not asked for
    assert not_taken(replace(again, lr=1e-3, adversarial="pgd"), own) == []
    asked = replace(again, lr=5e-4, adversarial="free", adversarial_share=0.75)
    assert not_taken(asked, own) == ["`lr`", "`adversarial`", "`adversarial_share`"]


def test_tensorboard_hears_of_losses_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[Any, ...]] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            heard.append((folder, purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            heard.append((name, value, step))

        def close(self) -> None:
            heard.append(("closed",))

    fake = ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    log = TrainingLog(tmp_path)
    log.add(10, 0.1, 5.0, {"pmd": 0.25})
    log.close()
    assert heard == [
        (str(tmp_path / "tensorboard"), 1), ("pmd", 0.25, 10), ("samples_per_second", 5.0, 10),
        ("closed",),
    ]  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("sent", "code", "word"),
    [
        pytest.param(signal.SIGINT, 130, "interrupted", marks=pytest.mark.slow),
        (signal.SIGTERM, 143, "terminated"),
    ],
)
def test_a_stopped_run_leaves_its_model_and_says_how_to_go_on(
    tmp_path: Path, sent: signal.Signals, code: int, word: str
) -> None:
    folder = tmp_path / "run"
    arguments = [*(sys.executable, "-m", "posetx", "train", str(folder), "--samples", "1000000")]
    arguments += ["--model", "npt", "--width", "16", "--batch", "8", "--pose-points", "32"]
    child = subprocess.Popen(
        [*arguments, "--identity-points", "32"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 240
    while not (folder / "log.csv").exists() and child.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.send_signal(sent)
    _, stderr = child.communicate(timeout=240)
    assert child.returncode == code, stderr
    assert f"error: {word}" in stderr and "checkpoint.pt: saved; --resume goes on" in stderr
    assert sorted(os.listdir(folder)) == [
        "checkpoint.pt", "log.csv", "npt.json", "npt.safetensors",
    ]  # fmt: skip
    _, card = load_network(str(folder))
    assert card["training"]["samples"] > 0
