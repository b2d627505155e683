"""The adversarial stage: what is attacked how, what learns from it, and which weights are kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from posetx.attacks.ascent import random_start
from posetx.attacks.budget import Budget
from posetx.attacks.methods import perturbed
from posetx.attacks.objective import transfer_damage
from posetx.bodies.body import BodyModel
from posetx.data.poses import PoseBank
from posetx.data.stream import Batch, BodyStream, StreamSettings
from posetx.errors import FieldError
from posetx.models.pose_mae import PoseMAE, PoseMAEConfig
from posetx.models.registry import build, config_named
from posetx.training import watch
from posetx.training.adversarial import (
    AdversarialSettings,
    Attacker,
    harm_of,
    misaligned,
    misalignment,
    planned,
)
from posetx.training.command import train_model
from posetx.training.loop import Progress, Trainer, TrainSettings
from posetx.training.options import TrainOptions
from posetx.training.pose_side import POSE_SIDE, KnownIdentities, pose_side
from posetx.training.watch import Watch

CPU = torch.device("cpu")
TINY = PoseMAEConfig(width=32, code=32, decoder_width=16, decoder_blocks=1, depth=1)
STREAM = StreamSettings(pose_points=32, identity_points=32, pool=128)
BATCH, STEPS = 8, 6


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    """Looks at few samples, and one after each step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "SAMPLES", 8)
        patch.setattr(watch, "STEPS", 2)
        patch.setattr(watch, "PATIENCE", 0)
        yield


@pytest.fixture
def tiny() -> PoseMAE:
    torch.manual_seed(0)
    model = PoseMAE(TINY)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)  # zeros, of which it has some, hide
    return model


def trainer(folder: Path, data: tuple[BodyModel, PoseBank], begin: float) -> Trainer:
    adversarial = AdversarialSettings("pgd", begin=begin, pgd_steps=2, alignment=0.1)
    budget = TrainSettings(
        samples=BATCH * STEPS, batch=BATCH, precision="fp32", adversarial=adversarial
    )
    return Trainer(folder, *data, budget, TINY, STREAM, CPU, unseen=lambda: data[1])


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.items()}


def test_gradients_of_a_plane_agree_and_of_a_bowl_differ_by_what_is_known() -> None:
    clouds, budget = torch.randn(3, 20, 3, generator=generator(1)), Budget("l2", 0.5)
    slope = torch.randn(3, 20, 3, generator=generator(2))
    plane = misalignment(lambda x: (slope * x).sum((1, 2)), clouds, budget, generator())
    assert abs(float(plane.detach())) < 1e-6
    near = (clouds + budget.random(clouds, generator())).flatten(1)
    expected = 1 - torch.cosine_similarity(clouds.flatten(1), near).mean()
    bowl = misalignment(lambda x: x.square().sum((1, 2)), clouds, budget, generator())
    assert float(bowl.detach()) == pytest.approx(float(expected), rel=1e-5) and bowl > 0.05
    # a ridge between the two places turns the gradient round
    ridge = misalignment(
        lambda x: -(slope * x).sum((1, 2)).abs(), torch.zeros(3, 20, 3) + 1e-3, budget, generator()
    )
    assert min(abs(float(ridge.detach()) - 2 * n / 3) for n in range(4)) < 1e-5


def test_misalignment_teaches_by_its_true_gradient() -> None:
    """Of how strongly a bowl is bent, against finite differences."""
    clouds = torch.randn(2, 10, 3, generator=generator(1)).double()
    slope, budget = torch.randn(2, 10, 3, generator=generator(2)).double(), Budget("l2", 0.5)

    def term(bend: Tensor) -> Tensor:
        def harm(x: Tensor) -> Tensor:
            return (slope * x + bend * x.square()).sum((1, 2))

        return misalignment(harm, clouds, budget, generator())

    bend = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    term(bend).backward()
    with torch.no_grad():
        rise = (term(bend + 1e-5) - term(bend - 1e-5)) / 2e-5
    assert float(bend.grad) == pytest.approx(float(rise), rel=1e-5) and rise > 0


@pytest.mark.parametrize("name", ["posemae", "npt", "gc-transformer"])
def test_networks_in_training_learn_from_misalignment(name: str, batch: Batch) -> None:
    torch.manual_seed(0)
    model = build(config_named(name, width=32)).train()
    for parameter in model.parameters():  # attention that is still switched off learns nothing
        parameter.data += 0.05 * torch.randn_like(parameter)
    apart = misaligned(model, batch, AdversarialSettings(), generator())
    apart.backward()
    assert 0 < float(apart) < 2 and model.training
    for module in pose_side(model):
        slopes = [p.grad for p in module.parameters() if p.grad is not None]
        assert slopes and all(g.isfinite().all() for g in slopes)
        assert any(g.abs().max() > 0 for g in slopes), type(module).__name__
    if isinstance(model, PoseMAE):
        assert model.pose_refiner.exchange[0].qkv.weight.grad.abs().max() > 0
        assert model.identity_encoder.join[0].weight.grad is None


def test_each_cloud_has_a_budget_of_its_own_and_starts_within_it(
    tiny: PoseMAE, batch: Batch
) -> None:
    settings = AdversarialSettings("pgd", epsilon=0.1, share=1.0)
    chosen = planned(batch, settings, generator())
    harm = harm_of(tiny.eval(), batch, chosen.rows)
    epsilon = chosen.budget.epsilon
    assert sorted(chosen.rows.tolist()) == list(range(8))
    assert len(set(epsilon.tolist())) == 8 and epsilon.min() > 0 and epsilon.max() <= 0.1
    shares = torch.stack(
        [
            chosen.budget.size(random_start(chosen.clouds, chosen.budget, generator(seed)))
            / epsilon
            for seed in range(20)
        ]
    )
    assert shares.max() <= 1 + 1e-5 and shares.min() < 0.2 and 0.4 < shares.mean() < 0.6
    for steps in (2, 3):
        found = perturbed("pgd", harm, chosen.clouds, chosen.budget, generator(), steps)
        moved = chosen.budget.size(found.clouds - chosen.clouds)
        assert len(found.trace) == steps and (moved <= epsilon * (1 + 1e-4)).all()
        assert (moved > 0).all()


def test_a_free_attack_goes_on_while_its_batch_is_learnt_from(tiny: PoseMAE, batch: Batch) -> None:
    settings = AdversarialSettings("free", epsilon=0.1, share=1.0, pgd_steps=4)
    attacker, source = Attacker(settings), generator()

    class Counted(BodyStream):
        drawn = 0

        def __init__(self) -> None:
            pass

        def draw(self, count: int) -> Batch:
            self.drawn += 1
            return batch

    stream = Counted()
    tiny.train()
    harms = []
    for _ in range(8):
        hard = attacker.attacked(tiny, attacker.of_step(stream, 8), source)
        assert attacker.begun is not None and tiny.training
        plan, moved = attacker.begun
        assert (plan.budget.size(moved) <= plan.budget.epsilon * (1 + 1e-4)).all()
        assert hard.pose.shape == batch.pose.shape and not hard.pose.requires_grad
        with torch.no_grad():
            harm = harm_of(tiny.eval(), batch, plan.rows)(plan.clouds + moved)
        tiny.train()
        harms.append(float(harm.mean()))
    assert stream.drawn == 2  # each was learnt from four times
    assert harms[3] > harms[0] and harms[7] > harms[4]


def test_known_identities_change_nothing(tiny: PoseMAE, batch: Batch) -> None:
    sample, rows = batch.identity.shape[1], torch.tensor([5, 2])
    for mode in (True, False):
        tiny.train(mode)
        known = KnownIdentities(tiny, batch)
        whole = tiny(batch.pose, batch.queries, sample)
        again = known.output(batch.pose)
        assert torch.allclose(whole.positions, again.positions, atol=1e-6)
        assert torch.allclose(whole.identity.joints, again.identity.joints, atol=1e-6)
        assert not again.identity.code.requires_grad and again.positions.requires_grad
    harm = transfer_damage(tiny, batch.queries[rows], batch.truth[rows], sample)
    settings = AdversarialSettings(share=1.0)
    chosen = planned(batch, settings, generator())
    alone = harm_of(tiny, batch, chosen.rows, known)(chosen.clouds)[
        [chosen.rows.tolist().index(r) for r in (5, 2)]
    ]
    assert torch.allclose(alone, harm(batch.pose[rows]), atol=1e-4)


@pytest.fixture(scope="module")
def stages(
    tmp_path_factory: pytest.TempPathFactory, data: tuple[BodyModel, PoseBank], quick: None
) -> tuple[Trainer, dict[str, Tensor], dict[str, Tensor]]:
    """A run of two stages; its weights and their average at the end of the first one."""
    run = trainer(tmp_path_factory.mktemp("stages"), data, begin=0.5)
    for _ in range(STEPS // 2):
        assert "misalignment" not in run.step()
    assert not run.hardening and run.watch is None
    weights, average = copied(run.model.state_dict()), copied(run.ema)
    assert 0 < run.step()["misalignment"] < 2
    run.save(run.folder / "broken" / "checkpoint.pt")
    run.run(lambda progress: None)
    return run, weights, average


def test_only_the_poses_side_learns_in_the_stage(stages) -> None:
    run, weights, average = stages
    assert run.hardening and run.samples == BATCH * STEPS
    learnt = set()
    for name, value in run.model.state_dict().items():
        # what stands still is the average at the stage's beginning, not the last step's weights
        if name.split(".")[0] not in POSE_SIDE:
            assert torch.equal(value, average[name]), name
            assert torch.allclose(run.ema[name], average[name], atol=1e-6), name
        elif not torch.equal(value, average[name]):
            learnt.add(name.split(".")[0])
    assert learnt == set(POSE_SIDE)
    assert any(not torch.equal(weights[n], average[n]) for n in weights if n.startswith("decoder"))


def test_without_a_clean_stage_all_learns(tmp_path: Path, data) -> None:
    run = trainer(tmp_path, data, begin=0.0)
    before = copied(run.model.state_dict())
    for _ in range(2):
        run.step()
    assert not run.hardening and run.watch is None and run.result is run.ema
    assert not torch.equal(before["identity_head.out.weight"], run.model.identity_head.out.weight)


class Scripted(Watch):
    """A watch that sees what it is told to see."""

    def __init__(self, figures: list[tuple[float, float, float]]):
        self.looks, self.kept, self.weights, self.epsilon = [], None, {}, 0.08
        self.figures: Iterator[tuple[float, float, float]] = iter(figures)
        for samples in range(len(figures)):
            self.look({"w": torch.tensor(float(samples))}, samples)

    def _measured(self, weights: dict[str, Tensor]) -> tuple[float, float, float]:
        return next(self.figures)


@pytest.mark.parametrize(
    ("figures", "best", "overfitted"),
    [
        # the last one is best
        ([(10, 100, 900), (10.5, 80, 500), (10.9, 60, 400)], 2, False),
        # robust, but too dear on clean poses
        ([(10, 100, 900), (10.5, 80, 500), (11.1, 60, 200)], 1, False),
        # dearer than the last look, not than the first
        ([(10, 100, 900), (8, 80, 500), (10.5, 60, 400)], 2, False),
        # catastrophic overfitting: lost again what was won
        ([(10, 100, 900), (10, 90, 600), (9, 20, 880)], 1, True),
        # nothing won
        ([(10, 100, 900), (12, 90, 600), (9, 90, 950)], 0, False),
    ],
)
def test_the_most_robust_weights_are_kept(
    figures: list[tuple[float, float, float]], best: int, overfitted: bool
) -> None:
    seen = Scripted(figures)
    assert seen.kept is seen.looks[best] and float(seen.weights["w"]) == best
    lines: list[str] = []
    seen.tell(lines.append)
    assert any("catastrophic overfitting" in line for line in lines) == overfitted
    assert seen.summary()["overfitted"] == overfitted
    assert any(f"after {best} samples" in line for line in lines) == (best != len(figures) - 1)
    assert "clean 100000.0" in lines[0], "in 1e-4 m²"
    again = Scripted([])
    again.load_state(seen.state())
    assert again.summary() == seen.summary() and float(again.weights["w"]) == best


def test_kept_weights_are_copies() -> None:
    seen = Scripted([])
    seen.figures = iter([(1, 1, 1)])
    weights = {"w": torch.zeros(1)}
    seen.look(weights, 0)
    weights["w"] += 1
    assert float(seen.weights["w"]) == 0


def test_looks_repeat_and_worse_attacks_do_more_harm(
    tiny: PoseMAE, data: tuple[BodyModel, PoseBank], quick: None
) -> None:
    seen = Watch(tiny, *data, STREAM, 0.08)
    random = torch.get_rng_state()
    for samples in (1, 2, 2):
        seen.look(tiny.state_dict(), samples)
    first, second = (replace(look, samples=0) for look in seen.looks)
    assert first == second and first.clean < first.fgm < first.pgd
    assert torch.equal(random, torch.get_rng_state()) and tiny.training


def test_a_resumed_stage_equals_an_unbroken_one_watched_or_not(
    stages, data: tuple[BodyModel, PoseBank]
) -> None:
    whole, *_ = stages
    budget = TrainSettings(samples=BATCH * STEPS)
    resumed = Trainer.resumed(whole.folder / "broken", *data, budget, CPU)
    assert resumed.hardening and resumed.watch is None
    resumed.run(lambda progress: None)
    for name, value in whole.model.state_dict().items():
        assert torch.allclose(value, resumed.model.state_dict()[name], atol=1e-6), name
        assert torch.allclose(whole.ema[name], resumed.ema[name], atol=1e-6), name
    again = Trainer.resumed(whole.folder, *data, budget, CPU, lambda: data[1])
    assert again.watch is not None and whole.watch is not None
    assert again.watch.summary() == whole.watch.summary()
    # one before, and one after each step but the first, which no loop ran
    half = BATCH * STEPS // 2
    assert [look.samples for look in whole.watch.looks] == [half, half + 16, half + 24]
    for name, value in whole.result.items():
        assert torch.equal(value, again.result[name]), name


def test_the_card_says_what_came_of_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    options = TrainOptions(
        tmp_path / "run",
        samples=6 * BATCH,
        batch=BATCH,
        width=32,
        pose_points=32,
        identity_points=32,
        adversarial="pgd",
        adversarial_from=0.5,
        adversarial_steps=2,
        adversarial_alignment=0.1,
        device="cpu",
    )
    options.check()
    terms: list[dict[str, float]] = []
    run = Trainer.run

    def reported(self: Trainer, on_progress) -> None:
        def note(progress: Progress) -> None:
            terms.append(progress.terms)
            on_progress(progress)

        run(self, note, report_steps=1)

    monkeypatch.setattr(Trainer, "run", reported)
    lines: list[str] = []
    document = train_model(options, lines.append)
    assert document is not None
    card = json.loads(document["model"].with_suffix(".json").read_text())["training"]
    found = card["robustness"]
    assert found == json.loads(json.dumps(document["robustness"]))
    assert found["before"]["samples"] == 3 * BATCH and found["after"]["samples"] == 6 * BATCH
    assert {"clean", "fgm", "pgd"} < found["kept"].keys()
    assert card["settings"]["adversarial"]["pgd_steps"] == 2
    assert card["settings"]["adversarial"]["alignment"] == 0.1
    assert any(line.startswith("PMD x1e-4 on unseen poses before") for line in lines)
    assert "unseen_pgd" in terms[-1] and "unseen_pgd" not in terms[0]


def test_alignment_is_of_an_attack(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="adversarial_alignment"):
        TrainOptions(tmp_path, samples=8, adversarial_alignment=0.1).check()


def test_a_baseline_learns_as_a_whole() -> None:
    model = build(config_named("npt", width=32))
    assert isinstance(model, nn.Module) and pose_side(model) == [model]
