"""Several processes: they learn what one does, they resume, they stop together.

Run by torchrun, this file is what its processes do in the tests (see ``work``).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from posetx.bodies.body import BodyModel
from posetx.data.splits import training_poses
from posetx.data.stream import Batch, BodyStream, StreamSettings
from posetx.errors import UsageError
from posetx.models.pose_mae import PoseMAEConfig
from posetx.training import distributed
from posetx.training.adversarial import AdversarialSettings
from posetx.training.loop import Progress, Trainer, TrainSettings
from posetx.training.losses import training_loss

CPU = torch.device("cpu")
TINY = PoseMAEConfig(width=64, code=64, decoder_width=16, decoder_blocks=1, depth=1)
STREAM = StreamSettings(pose_points=64, identity_points=64, pool=256)
BATCH, STEPS = 16, 8
#: how far weights are apart that learnt the same: one process ends 1.2e-4 away where each batch is
#: in another order, and was 7.5e-3 away of two that counted a part of the loss differently
ROUNDING = 5e-4


class SplitStream(BodyStream):
    """Draws the batch of all processes and gives each its slice: rank, rank + W, ..."""

    def draw(self, count: int, points: int | None = None) -> Batch:
        self.generator.manual_seed(self.step)
        self.step += 1
        whole, world = super().draw(BATCH, points), distributed.world()
        return part_of(whole, slice(torch.distributed.get_rank() if world > 1 else 0, None, world))

    step = 0


def part_of(batch: Batch, rows: slice) -> Batch:
    """Some of the samples of a batch that knows everything."""
    return replace(batch, **{f.name: getattr(batch, f.name)[rows] for f in fields(Batch)})


def trainer(folder: Path, samples: int = BATCH * STEPS, **settings) -> Trainer:
    body = BodyModel.load()
    # in bf16 the order of sums shows
    settings = TrainSettings(samples=samples, batch=BATCH, precision="fp32", **settings)
    poses = training_poses(body, None)
    return Trainer(folder, body, poses, settings, TINY, STREAM, CPU, unseen=lambda: poses)


def learn_from_split_batches(folder: Path) -> tuple[Trainer, Progress]:
    run = trainer(folder)
    run.stream = SplitStream(run.stream.body, run.stream.poses, STREAM)
    seen: list[Progress] = []
    run.run(seen.append, report_steps=STEPS)
    return run, seen[0] if seen else Progress(0, 0, 0, 0)


def break_off_and_resume(folder: Path) -> list[Trainer]:
    """An unbroken run, and one that is resumed halfway; half of each batch is attacked."""
    adversarial = AdversarialSettings(begin=0.25, alignment=0.1)
    whole = trainer(folder / "whole", adversarial=adversarial)
    whole.run(lambda progress: None)
    broken = trainer(folder / "broken", adversarial=adversarial)
    for _ in range(STEPS // 2):
        broken.step()
    broken.save()
    # the others may not look for the file before the first process has written it
    distributed.agreed(0)
    budget = TrainSettings(samples=BATCH * STEPS)
    body, poses = broken.stream.body, broken.stream.poses
    resumed = Trainer.resumed(folder / "broken", body, poses, budget, CPU, lambda: poses)
    assert resumed.hardening and resumed.samples == BATCH * STEPS // 2
    resumed.run(lambda progress: None)
    return [whole, resumed]


def work(folder: Path) -> None:
    """What one of two processes does; what it has in the end is written for the tests."""
    distributed.start(CPU)
    begin = time.monotonic()
    run, progress = learn_from_split_batches(folder / "split")
    seconds = time.monotonic() - begin  # no less than what the rate was taken over
    whole, resumed = break_off_and_resume(folder)
    state = {
        "split": run.model.state_dict(),
        "ema": run.ema,
        "terms": progress.terms,
        "samples": run.samples,
        "rate_counts_all": progress.samples_per_second * seconds >= BATCH * STEPS,
        "whole": whole.model.state_dict(),
        "resumed": resumed.model.state_dict(),
        "robustness": [run.watch.summary() if run.watch else None for run in (whole, resumed)],
        "muon": [resumed.optimizers[0].state_dict(), whole.optimizers[0].state_dict()],
    }
    assert distributed.own_share(10) == 5
    try:
        distributed.own_share(9)
    except (UsageError, SystemExit) as error:
        state["refused"] = (type(error).__name__, str(error))
    rank = torch.distributed.get_rank()
    torch.save(state, folder / f"{rank}.pt")
    assert distributed.finish() == (rank == 0)


def torchrun(*arguments: str | Path) -> tuple[str, str]:
    """stdout and stderr of this Python with ``arguments``, run by two processes."""
    launch = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
    child = subprocess.Popen(
        [*launch, "2", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        # they need seconds; minutes, where others keep a small machine busy
        out, err = child.communicate(timeout=500)
    finally:
        if child.poll() is None:  # torchrun and what it started: its session's only processes
            os.killpg(child.pid, signal.SIGKILL)
    assert child.returncode == 0, err[-3000:]
    return out, err


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What each of two processes had in the end."""
    folder = tmp_path_factory.mktemp("processes")
    torchrun(Path(__file__), folder)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def apart(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(worked: list[dict], tmp_path: Path) -> None:
    begin = {k: v.clone() for k, v in trainer(tmp_path).model.state_dict().items()}
    alone, progress = learn_from_split_batches(tmp_path)
    weights = alone.model.state_dict()
    assert apart(weights, begin) > 5e-3, "they learn something"
    assert apart(worked[0]["split"], weights) < ROUNDING
    assert apart(worked[0]["ema"], alone.ema) < ROUNDING
    assert worked[0]["samples"] == alone.samples == BATCH * STEPS
    assert worked[0]["rate_counts_all"]
    assert worked[0]["terms"] == pytest.approx(progress.terms, rel=1e-4)


@pytest.mark.slow
def test_all_processes_hold_the_same(worked: list[dict]) -> None:
    for name in ("split", "ema", "resumed"):
        assert apart(worked[0][name], worked[1][name]) == 0.0, name
    first, second = (state["muon"][0]["state"] for state in worked)
    for index, buffers in first.items():
        assert torch.equal(buffers["momentum_buffer"], second[index]["momentum_buffer"])


@pytest.mark.slow
def test_resumed_processes_equal_unbroken_ones(worked: list[dict]) -> None:
    for state in worked:
        assert apart(state["whole"], state["resumed"]) < 1e-6
    before, after = (found["before"] for found in worked[0]["robustness"])
    assert before == after and before["samples"] == BATCH * STEPS // 4
    assert worked[1]["robustness"] == [None, None], "only the first process measures"
    assert worked[1]["terms"] == {}, "only the first process tells how it goes"


def command(folder: Path, *more: str) -> list[str]:
    return [
        *("-m", "posetx", "train", str(folder), "--pose-points", "32", "--identity-points", "32"),
        *("--batch", "8", "--json", *more),
    ]


@pytest.mark.slow
def test_one_command_for_one_and_for_several(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    out, err = torchrun(*command(folder, "--max-minutes", "0.03"))
    report = json.loads(out)
    assert report["samples"] % 8 == 0 and report["samples"] > 0
    assert err.count("posemae.safetensors") == 1
    card = json.loads((folder / "posemae.json").read_text())
    assert card["training"]["processes"] == 2
    assert sorted(p.suffix for p in folder.iterdir()) == [".json", ".pt", ".pt", ".safetensors"]
    # another number of processes goes on with it
    more = report["samples"] + 80
    alone = subprocess.run(
        [sys.executable, *command(folder, "--samples", str(more), "--resume")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(alone.stdout)["samples"] >= more


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_out_is_refused_once(worked: list[dict]) -> None:
    kind, line = worked[0]["refused"]
    assert kind == "FieldError" and "batch 9" in line and "2 processes" in line
    assert worked[1]["refused"] == ("SystemExit", "2")


def test_slices_have_the_loss_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Term by term, on average, where what they share is that of both."""
    model = trainer(tmp_path).model
    whole = BodyStream(BodyModel.load(), training_poses(BodyModel.load(), None), STREAM).draw(BATCH)
    parts = [part_of(whole, slice(rank, None, 2)) for rank in range(2)]

    def terms(batch: Batch) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            output = model(batch.pose, batch.queries, batch.identity.shape[1])
        return training_loss(output, batch)[1]

    alone = terms(whole)
    told: list[list[torch.Tensor]] = [[], []]
    for rank, part in enumerate(parts):
        own = told[rank]
        monkeypatch.setattr(distributed, "mean", lambda value, own=own: own.append(value) or value)
        terms(part)
    shared = [torch.stack(values).mean(0) for values in zip(*told, strict=True)]
    found = []
    for part in parts:
        answers = iter(shared)
        monkeypatch.setattr(distributed, "mean", lambda value, answers=answers: next(answers))
        found.append(terms(part))
    for name, term in alone.items():
        mean = torch.stack([terms[name] for terms in found]).mean()
        assert float(mean) == pytest.approx(float(term), rel=1e-5), name


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert distributed.start(CPU) == CPU
    assert distributed.world() == 1 and distributed.first() and distributed.finish()
    assert distributed.own_share(9) == 9 and distributed.agreed(1.5) == 1.5
    assert torch.equal(distributed.mean(torch.ones(3)), torch.ones(3))


def test_every_process_and_step_draws_from_a_seed_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distributed, "_joined", lambda: True)
    seeds = set()
    for rank in range(4):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        seeds |= {distributed.step_seed(3, samples) for samples in range(0, 800, 8)}
    assert len(seeds) == 400
    torch.Generator().manual_seed(max(seeds))


def test_devices_that_cannot_be_shared_out_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(torch.cuda.device_count() + 1))
    for name in ("mps", "cuda:0", "cuda"):
        with pytest.raises(UsageError):
            distributed.start(torch.device(name))


if __name__ == "__main__":
    work(Path(sys.argv[1]))
