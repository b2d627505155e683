"""The recipe for bare GPU machines: what it needs, that it stops, resumes and delivers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from posetx.bodies.body import BodyModel
from posetx.data.poses import PoseBank, read_banks, write_banks
from posetx.data.stream import StreamSettings
from posetx.errors import PosetxError
from posetx.models.checkpoint import load_model
from posetx.models.pose_mae import PoseMAE, PoseMAEConfig
from posetx.training import recipe, watch
from posetx.training.adversarial import AdversarialSettings
from posetx.training.loop import Progress, Trainer, TrainSettings
from posetx.training.recipe import PIECE, PRESETS, Preset, deliver, main
from posetx.training.validation import CASES, PlainBank, validate

REPOSITORY = Path(__file__).parents[2]
TINY = PoseMAEConfig(width=32, code=32, decoder_width=16, decoder_blocks=1, depth=1)
STREAM = StreamSettings(pose_points=32, identity_points=32, pool=128)

#: a few steps of the recipe where next to nothing is installed
BARE = """
import sys

refused = {"anny", "open3d", "trimesh", "pymeshlab", "typer", "rich", "scipy", "PIL", "pyvista"}


class Bare:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Bare())

from posetx.data.stream import StreamSettings
from posetx.models.pose_mae import PoseMAEConfig
from posetx.training.recipe import PRESETS, Preset, main

network = PoseMAEConfig(width=32, code=32, decoder_width=16, decoder_blocks=1, depth=1)
PRESETS["cpu"] = Preset(16, 2e-3, network, StreamSettings(32, 32, 128))
options = ["--device", "cpu", "--minutes", "0.5", "--total-minutes", "0.01", "--validation", "16"]
sys.exit(main([*options, "--folder", sys.argv[1], "--out", sys.argv[2]]))
"""


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "cpu", Preset(16, 2e-3, TINY, STREAM))


def test_packed_poses_are_the_poses(banks: dict[str, PoseBank], tmp_path: Path) -> None:
    path = tmp_path / "poses.safetensors"
    write_banks(path, banks)
    assert path.stat().st_size < 0.36 * sum(b.local.numel() * 4 for b in banks.values())
    for split, bank in read_banks(path).items():
        torch.testing.assert_close(bank.local, banks[split].local, atol=1e-4, rtol=0)


def test_other_files_are_no_packed_poses(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    for content in (b"", b"not safetensors at all"):
        path.write_bytes(content)
        with pytest.raises(PosetxError, match="other"):
            read_banks(path)
    with pytest.raises(PosetxError, match="not of packed poses"):
        read_banks(REPOSITORY / "posetx" / "bodies" / "anny.safetensors")
    with pytest.raises(PosetxError, match="none"):
        read_banks(tmp_path / "none.safetensors")


@pytest.fixture
def boxes(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The minutes that each call leaves for the training, which gets by with a second of them."""
    given: list[float] = []
    run = Trainer.run

    def short(self: Trainer, report, minutes: float) -> None:
        given.append(minutes)
        run(self, report, report_steps=1, minutes=1 / 60)

    monkeypatch.setattr(Trainer, "run", short)
    return given


def test_a_call_stops_and_the_next_one_goes_on(
    banks: dict[str, PoseBank], tmp_path: Path, tiny: None, boxes: list[float]
) -> None:
    poses, folder, out = tmp_path / "poses.safetensors", tmp_path / "run", tmp_path / "out"
    write_banks(poses, banks)

    def call(*more: str) -> list[dict]:
        options = ["--data", str(poses), "--folder", str(folder), "--out", str(out)]
        assert main([*options, "--device", "cpu", "--validation", "32", *more]) == 0
        return [json.loads((out / name).read_text()) for name in ("report.json", "posemae.json")]

    begin = ["--total-minutes", "20", "--adversarial", "fgm", "--adversarial-from", "0.2"]
    first, _ = call(*begin)
    assert 0 < first["share"] < 1 and set(first["validation_pmd"]) == set(CASES)
    assert 7 < boxes[0] <= 8.5, "a call is nine minutes, all in"
    second, card = call("--minutes", "5")
    assert second["samples"] > first["samples"] and second["share"] > first["share"]
    assert 3 < boxes[1] <= 4.5
    assert card["training"]["settings"]["minutes"] == 20, "what the run was begun with"
    assert card["training"]["settings"]["adversarial"]["begin"] == 0.2
    assert card["training"]["command"].startswith("python -m posetx.training.recipe")
    third, card = call("--total-minutes", "0.001")
    assert third["share"] >= 1 and third["samples"] == second["samples"]
    assert card["training"]["samples"] == second["samples"]
    assert load_model(str(out / "posemae.safetensors"))[0].config.width == TINY.width


def test_an_adversarial_stage_goes_on_and_is_told(
    banks: dict[str, PoseBank],
    tmp_path: Path,
    tiny: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def three_steps(self: Trainer, report, minutes: float) -> None:
        for _ in range(3):
            terms = {name: float(term) for name, term in self.step().items()}
            self.seconds += 1
        self.watch.look(self.ema, self.samples)
        report(Progress(self.samples, self.seconds / 60, self.share_done(), 1.0, terms))
        self.save()

    monkeypatch.setattr(Trainer, "run", three_steps)
    monkeypatch.setattr(watch, "SAMPLES", 8)
    poses, out = tmp_path / "poses.safetensors", tmp_path / "out"
    write_banks(poses, banks)
    begin = ["--adversarial", "pgd", "--adversarial-steps", "2", "--adversarial-from", "1e-6"]

    def call(*more: str) -> tuple[dict, dict]:
        options = ["--data", str(poses), "--folder", str(tmp_path / "run"), "--out", str(out)]
        assert main([*options, "--device", "cpu", "--validation", "0", *more]) == 0
        report, card = (json.loads((out / n).read_text()) for n in ("report.json", "posemae.json"))
        assert card["training"]["robustness"] == report["robustness"]
        assert "on unseen poses before: clean" in capsys.readouterr().out
        return report, card

    first, card = call("--total-minutes", "20", "--adversarial-alignment", "0.1", *begin)
    assert card["training"]["settings"]["adversarial"] == asdict(
        AdversarialSettings("pgd", begin=1e-6, pgd_steps=2, alignment=0.1)
    )
    assert first["terms"]["misalignment"] > 0
    second, _ = call()
    assert second["robustness"]["before"] == first["robustness"]["before"]
    assert (first["robustness"]["looks"], second["robustness"]["looks"]) == (2, 3)


def test_large_models_come_in_pieces(tmp_path: Path) -> None:
    path, out = tmp_path / "model.safetensors", tmp_path / "out"
    path.with_suffix(".json").write_text("{}")
    content = os.urandom(2 * PIECE + 5)
    path.write_bytes(content)
    deliver(path, out)
    pieces = sorted(out.glob("*.part*"))
    assert [p.stat().st_size for p in pieces] == [PIECE, PIECE, 5]
    assert b"".join(p.read_bytes() for p in pieces) == content
    path.write_bytes(b"small")
    deliver(path, out)
    assert sorted(p.name for p in out.iterdir()) == ["model.json", "model.safetensors"]


def test_wrong_use_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--minutes", "0", "--folder", str(tmp_path)]) == 2
    assert main(["--data", str(tmp_path / "none.safetensors"), "--device", "cpu"]) == 1
    assert main(["--pack", str(tmp_path), str(tmp_path / "poses.safetensors")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(line.startswith("error: ") for line in lines)


def test_validation_sees_the_poses_as_they_are_and_every_time_the_same(
    body: BodyModel, banks: dict[str, PoseBank]
) -> None:
    generator = torch.Generator().manual_seed(0)
    plain = PlainBank(banks["unseen"].local)
    drawn = plain.draw_varied(4, generator)
    assert torch.equal(drawn, plain.draw(4, generator.manual_seed(0)))
    model = PoseMAE(TINY)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    figures = validate(model, weights, body, plain, STREAM, 16)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert validate(model, weights, body, plain, STREAM, 16) == figures
    assert all(0 < value < 1 for value in figures.values())
    assert len(set(figures.values())) == len(CASES)


def test_the_gpu_preset_fits_together() -> None:
    preset = PRESETS["gpu"]
    assert preset.network.pose_points < preset.stream.pose_points < preset.stream.pool
    assert preset.network.identity_points == preset.stream.identity_points
    count = sum(p.numel() for p in PoseMAE(preset.network).parameters())
    assert 2 * count < 24 * 2**20, "what ships stays under 24 MiB in half precision"


def test_it_runs_where_only_torch_is(tmp_path: Path) -> None:
    """In a process of its own, in which nothing else can be imported."""
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(tmp_path / "run"), str(tmp_path / "out")],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "out" / "posemae.safetensors").is_file()
    text = subprocess.run(
        [sys.executable, "-m", recipe.__name__, "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "--total-minutes" in text


class Waits(TorchDispatchMode):
    """Notes the operations that make the host wait for a GPU, but for optimisers' own counters."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        indices = args[1] if name.startswith("index") and isinstance(args[1], list) else []
        by_mask = any(i is not None and i.dtype == torch.bool for i in indices)
        if name in ("_local_scalar_dense", "nonzero", "masked_select") or by_mask:
            own = str(REPOSITORY / "posetx")
            line = [f for f in traceback.extract_stack() if f.filename.startswith(own)][-1].line
            if line != "optimizer.step()":
                self.seen.append(f"{name}: {line}")
        return function(*args, **(kwargs or {}))


def test_no_step_waits_for_numbers(
    body: BodyModel, banks: dict[str, PoseBank], tmp_path: Path
) -> None:
    settings = TrainSettings(samples=1000, batch=8, adversarial=AdversarialSettings())
    device = torch.device("cpu")
    # outfits are cut out by the host, for the device: no wait, but here it looks like one
    bare = replace(STREAM, dressed_share=0.0, dressed_identity_share=0.0)
    trainer = Trainer(tmp_path, body, banks["train"], settings, TINY, bare, device)
    trainer.step()
    with Waits() as waits:
        trainer.step()
    assert waits.seen == []
