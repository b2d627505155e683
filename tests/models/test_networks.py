"""Every network of the registry: trained, saved, read, attacked and measured by the same code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from posetx.attacks.budget import Budget
from posetx.attacks.fgm import fgm
from posetx.attacks.victim import Victim
from posetx.cli import app
from posetx.data.stream import Batch, BodyStream, StreamSettings
from posetx.errors import PosetxError, UsageError
from posetx.evaluation.alone import figures_alone
from posetx.evaluation.attack_grid import AttackGrid
from posetx.evaluation.subjects import Subjects
from posetx.models.checkpoint import load_model, load_network, save_model
from posetx.models.predictor import predictor_of
from posetx.models.registry import (
    ARCHITECTURES,
    CONFIGS,
    architecture_of,
    build,
    config_named,
    config_of,
    name_of,
)
from posetx.training.adversarial import AdversarialSettings
from posetx.training.learners import LEARNERS, Learner, learner_of, mesh_loss
from posetx.training.loop import Trainer, TrainSettings

CPU = torch.device("cpu")
#: small ones
WIDTHS = {"corenet": 8, "mapconnet": 8}
BASELINES = tuple(name for name in CONFIGS if name != "posemae")


def small(name: str):
    return config_named(name, width=WIDTHS.get(name, 64), pose_points=64, identity_points=64)


@pytest.fixture(scope="module")
def batch(data) -> Batch:
    settings = StreamSettings(64, 64, scan_share=0.0, noise_share=0.0, reposed_share=0.0)
    return BodyStream(*data, settings, seed=3).draw(4)


def test_every_architecture_has_a_name_and_a_learner() -> None:
    assert {architecture_of(config) for config in CONFIGS.values()} == set(ARCHITECTURES)
    assert set(LEARNERS) <= set(ARCHITECTURES)
    assert learner_of(CONFIGS["npt"]).loss is mesh_loss  # what has none of its own
    for name, config in CONFIGS.items():
        assert isinstance(learner_of(config), Learner)
        assert name_of(config) == name
        assert name_of(small(name)) == name
    with pytest.raises(UsageError, match="no such network"):
        config_named("pointnet")
    with pytest.raises(UsageError, match="npt has no head"):
        config_named("npt", head="skin")


@pytest.mark.parametrize("name", CONFIGS)
def test_a_file_brings_its_own_network(name: str, batch: Batch, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = build(small(name)).eval()
    path = tmp_path / "m.safetensors"
    save_model(path, network.config, network.state_dict(), {"training": {}})
    again, card = load_network(str(path))
    assert again.config == network.config and card["architecture"] == architecture_of(again.config)
    assert config_of(card["architecture"], card["config"]) == network.config
    sample = batch.identity.shape[1]
    with torch.no_grad():
        both = [model(batch.pose, batch.queries, sample).positions for model in (network, again)]
    assert torch.allclose(*both, atol=0.03)  # fp16
    if name == "posemae":
        load_model(str(path))
    else:
        with pytest.raises(PosetxError, match=f"{name} finds neither directions nor joints"):
            load_model(str(path))


@pytest.mark.parametrize("name", CONFIGS)
def test_what_moves_for_any_pose_is_the_forward_pass(name: str, batch: Batch) -> None:
    torch.manual_seed(1)
    network = build(small(name)).eval()
    sample = batch.identity.shape[1]
    with torch.no_grad():
        whole = network(batch.pose, batch.queries, sample).positions
        moved = network.mover(batch.queries, sample)(batch.pose)
    assert torch.allclose(whole, moved, atol=1e-5)


@pytest.mark.parametrize("name", BASELINES)
def test_it_learns_also_adversarially_and_goes_on(name: str, data, tmp_path: Path) -> None:
    settings = TrainSettings(samples=8 * 4, batch=8, adversarial=AdversarialSettings())
    stream = StreamSettings(pose_points=64, identity_points=64, pool=256)
    run = Trainer(tmp_path, *data, settings, small(name), stream, CPU)
    before = {key: value.clone() for key, value in run.model.state_dict().items()}
    for _ in range(2):
        terms = run.step()
    assert all(torch.isfinite(term) for term in terms.values()) and "pmd" in terms
    run.save()
    resumed = Trainer.resumed(tmp_path, *data, TrainSettings(samples=8 * 4), CPU)
    assert resumed.model.config == run.model.config and resumed.samples == 16
    resumed.run(lambda progress: None)
    assert resumed.samples == 32
    learnt = [torch.equal(before[key], v) for key, v in resumed.model.named_parameters()]
    assert np.mean(learnt) < 0.5  # GC-Transformer's attention hardly does before its gammas have


@pytest.mark.parametrize("name", BASELINES)
def test_it_is_attacked_as_posemae_is(name: str, batch: Batch) -> None:
    """A white box for all: the gradient's step does more harm than a random one of its size."""
    torch.manual_seed(1)
    victim = Victim(predictor_of(build(small(name)).eval(), CPU), batch.queries)
    shown = batch.identity.shape[1]
    clean = victim.predicted(batch.pose)
    # random weights are far from any truth: harm is what moves the result away from itself
    objective = victim.objective(clean + 0.05, batch.pose.shape[1])
    budget = Budget("l2", 0.05)
    attacked = fgm(objective, batch.pose, budget).clouds
    assert clean.shape[1] == batch.queries.shape[1] - shown
    chance = batch.pose + budget.random(batch.pose, torch.Generator().manual_seed(0))
    assert objective(attacked).mean() > objective(chance).mean()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["npt-mp", "mapconnet"])
def test_it_is_measured_on_the_protocols(name: str) -> None:
    torch.manual_seed(1)
    grid = AttackGrid(predictor_of(build(small(name)).eval(), CPU), Subjects())
    for protocol, count in {
        "seen": 1,
        "scan": 1,
        "attack": 1,
        "dressed": 2,
        "characters": 1,
    }.items():
        figures = figures_alone(grid, protocol, count)
        assert np.isfinite(list(figures.values())).all() and figures["pmd"] > 0


def test_commands(tmp_path: Path) -> None:
    """`train --model`, `evaluate` and `attack-dataset` of a baseline; transfer says no."""

    def run(*arguments: object):
        return CliRunner().invoke(app, [str(a) for a in arguments])

    sizes = ("--width", 32, "--pose-points", 32, "--identity-points", 32)
    learnt = run("train", tmp_path, "-m", "npt-mp", *sizes, "--batch", 4, "--samples", 8, "--json")
    assert learnt.exit_code == 0, learnt.output
    model = json.loads(learnt.stdout)["model"]
    assert Path(model).name == "npt-mp.safetensors"
    measured = run("evaluate", "-m", model, "-p", "seen", "--pairs", 1, "--json")
    assert json.loads(measured.stdout)["figures"]["seen"]["pmd"] > 0
    attack = ("attack-dataset", "seen", "-m", model, "--method", "fgm")
    harmed = run(*attack, "--pairs", 1, "--json")
    assert [row["method"] for row in json.loads(harmed.stdout)["rows"]] == ["none", "fgm"]
    examples = Path(__file__).parents[2] / "examples"
    refused = run(
        *("transfer", examples / "scan.ply", examples / "target.obj"),
        *("-o", tmp_path / "o.obj", "-m", model),
    )
    assert refused.exit_code == 1 and "take a posemae" in refused.stderr
    wrong = run("train", tmp_path / "w", "-m", "npt", "--head", "skin", "--samples", 8)
    assert wrong.exit_code == 2 and "npt has no head" in wrong.stderr
