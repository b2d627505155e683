"""The bench: every network trained and measured alike, once; what is there makes the tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from posetx.cli import app
from posetx.errors import PosetxError, UsageError
from posetx.studies.bench import cost
from posetx.studies.bench.presets import NETWORKS, PRESETS, Preset
from posetx.studies.bench.study import CLASSIC, Study
from posetx.studies.bench.tables import markdown

TINY = Preset(
    samples=8,
    batch=4,
    points=32,
    pairs=1,
    minutes=5.0,
    widths={"npt-mp": 32, "corenet": 8},
    protocols=("seen", "attack"),
    sizes=(500,),
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("bench")
    work = Study(folder, TINY, None, 0, CPU)
    for _, step in work.steps(("npt-mp",)):
        step(lambda text: None)
    return work


def test_all_is_trained_and_measured(done: Study) -> None:
    results = done.results
    assert set(results["trained"]) == {"npt-mp", "npt-mp-adv"}
    assert all(run["samples"] == 8 for run in results["trained"].values())
    assert set(results["figures"]) == {"npt-mp", "npt-mp-adv", CLASSIC}
    assert set(results["figures"]["npt-mp"]) == set(TINY.protocols)
    assert results["cost"]["npt-mp"]["500"]["ms"] > 0
    assert results["cost"]["npt-mp"]["500"]["threads"] == torch.get_num_threads()
    assert results["cost"]["npt-mp"]["500"]["parameters"] == pytest.approx(6.05e6, rel=0.01)
    # the classical method is exact neither in pose nor in proportions, but no nonsense
    assert 0 < results["figures"][CLASSIC]["seen"]["pmd"] < 300e-4
    assert json.loads(done.path.read_text()) == json.loads(json.dumps(results))


def test_what_is_done_is_not_done_again(done: Study) -> None:
    again = Study(done.folder, TINY, None, 0, CPU)
    assert again.steps(("npt-mp",)) == []
    told = [name for name, _ in again.steps(("npt-mp", "corenet"))]
    assert told[0] == "train corenet" and CLASSIC not in told
    with pytest.raises(UsageError, match="a study with another seed"):
        Study(done.folder, TINY, None, 1, CPU)
    with pytest.raises(UsageError, match="a study with another preset"):
        Study(done.folder, replace(TINY, samples=16), None, 0, CPU)


def test_tables_hold_what_was_measured(done: Study) -> None:
    text = markdown(done.results)
    figures = done.results["figures"]["npt-mp"]
    assert f"{1e4 * figures['seen']['pmd']:.0f}" in text
    assert "Deformation transfer" in text and "8 samples in batches of 4" in text
    assert text.count("### ") == 5


def test_mapconnet_also_learns_without_truth(tmp_path: Path) -> None:
    work = Study(tmp_path, replace(TINY, widths={"mapconnet": 8}), None, 0, CPU)
    steps = dict(work.steps(("mapconnet",)))
    assert not any("unsupervised" in told for told, _ in work.steps(("npt", "posemae")))
    run = "mapconnet-unsupervised-point"
    assert f"train {run}" in steps and f"{run} on attack" not in steps
    for told in (f"train {run}", f"{run} on seen"):
        steps[told](lambda text: None)
    state = torch.load(tmp_path / run / "checkpoint.pt", weights_only=True)
    assert state["settings"]["unsupervised"] and state["settings"]["contrastive"] == ("point",)
    row = next(line for line in markdown(work.results).splitlines() if "point term alone" in line)
    assert f"{1e4 * work.results['figures'][run]['seen']['pmd']:.0f}" in row


def test_what_takes_too_long_or_too_much_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cost.forward_cost("npt", 100_000, 0.5, 1) == {"failed": "over 0 s"}
    with pytest.raises(PosetxError, match="npt at -1 vertices"):
        cost.forward_cost("npt", -1, 60, 1)


def test_too_little_memory_is_known_by_what_libraries_say() -> None:
    for ask in (lambda: torch.empty(10**15), lambda: np.empty(10**15)):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            ask()
        assert cost.OUT_OF_MEMORY.search(str(caught.value))
    assert not cost.OUT_OF_MEMORY.search("RuntimeError: mat1 and mat2 shapes cannot be multiplied")


def test_a_networks_memory_is_not_that_of_who_asks() -> None:
    held = np.ones(80_000_000)  # 610 MiB
    assert 5 < cost.forward_cost("posemae", 500, 60, 1)["peak_mib"] < 200
    del held


def test_networks_of_the_presets() -> None:
    for preset in PRESETS.values():
        assert set(preset.widths) <= set(NETWORKS)
    assert PRESETS["full"].widths == {}


def test_command(done: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "small", TINY)
    run = CliRunner().invoke(app, ["bench", str(done.folder), "-n", "npt-mp"])
    assert run.exit_code == 0, run.output
    assert run.stdout == markdown(done.results) + "\n"
    wrong = CliRunner().invoke(app, ["bench", str(tmp_path), "-n", "resnet"])
    assert wrong.exit_code == 2 and "use npt, npt-mp" in wrong.stderr
