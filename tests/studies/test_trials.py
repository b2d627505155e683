"""The search for the better learner: every trial is what it says, and the table is what ran."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from posetx.bodies.body import BodyModel, relative_rotations
from posetx.bodies.skeleton import ARMS, JOINTS, LEGS, TRUNK
from posetx.cli import app
from posetx.data.poses import PoseBank, mirrored
from posetx.data.stream import Batch, BodyStream
from posetx.models.encoder import PartPool, PointFeatures
from posetx.models.pose_mae import Output, PoseMAE
from posetx.studies.trials import search as search_module
from posetx.studies.trials import study as command
from posetx.studies.trials.catalogue import ABLATION, BASELINE, TRIALS, Trial
from posetx.studies.trials.results import Plan, Results, Run, setup
from posetx.studies.trials.search import search, train
from posetx.studies.trials.table import KINDS, table
from posetx.studies.trials.variants import ABSOLUTE, ONE, TEN, FewerParts, GroupPool, NoAttention
from posetx.training import validation
from posetx.training.loop import Trainer, TrainSettings
from posetx.training.losses import WEIGHTS, training_loss

CPU = torch.device("cpu")
PLAN = Plan(128, 32, 0, 32, "the shipped pose prior", "a machine")
NAMED = {trial.name: trial for trial in TRIALS}


def shrunk(trial: Trial) -> Trial:
    """The trial with a small network and a quarter of the points."""
    network, stream, train = trial.network, trial.stream, dict(trial.train)
    points = {
        "pose_points": network.pose_points // 4,
        "identity_points": network.identity_points // 4,
    }
    seen = {**points, "pose_points": stream.pose_points // 4}
    sizes = {"width": network.width // 8, "values": 8, "code": 32, "depth": 1, "refine_width": 16}
    decoder = {"decoder_width": 16, "decoder_blocks": 1}
    return replace(
        trial,
        network=replace(network, **sizes, **decoder, **points),
        stream=replace(stream, **seen, pool=256),
        train=train,
    )


SMALL = [shrunk(trial) for trial in TRIALS]
SMALL_NAMED = {trial.name: trial for trial in SMALL}
TINY = SMALL[0].network


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def batch(body: BodyModel, banks: dict[str, PoseBank]) -> Batch:
    return BodyStream(body, banks["train"], SMALL[0].stream).draw(4)


@pytest.fixture(scope="module")
def output(batch: Batch) -> Output:
    torch.manual_seed(0)
    with torch.no_grad():
        return PoseMAE(TINY).eval()(batch.pose, batch.queries, batch.identity.shape[1])


# --- the trials ---------------------------------------------------------------------------------


@pytest.mark.parametrize("trial", SMALL, ids=lambda trial: trial.name)
def test_every_trial_takes_a_step(
    trial: Trial, body: BodyModel, banks: dict[str, PoseBank], tmp_path: Path
) -> None:
    settings = replace(TrainSettings(samples=64, batch=4), **trial.train)
    bank = trial.bank(banks["train"].local)
    trainer = Trainer(
        tmp_path, body, bank, settings, trial.network, trial.stream, CPU, trial.learner
    )
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    terms = trainer.step()
    assert all(torch.isfinite(term) for term in terms.values())
    after = dict(trainer.model.named_parameters())
    assert all(torch.isfinite(p).all() for p in after.values())
    moved = sum(not torch.equal(before[name], p) for name, p in after.items())
    assert moved > len(before) / 2


def test_every_trial_is_another_change() -> None:
    assert len(NAMED) == len({trial.what for trial in TRIALS}) == len(TRIALS)
    assert TRIALS[0] == Trial(BASELINE, TRIALS[0].what), "it changes nothing"
    alike = [
        (trial.network, trial.stream, trial.train, trial.learner, trial.bank) for trial in TRIALS
    ]
    assert all(alike.count(one) == 1 for one in alike)
    for trial in TRIALS:
        assert trial.network.pose_points <= trial.stream.pose_points
        assert trial.network.identity_points == trial.stream.identity_points
    assert {name for row in ABLATION.values() for name in row} <= set(NAMED)


def test_without_attention_is_attention_that_has_no_weight(batch: Batch) -> None:
    torch.manual_seed(0)
    whole, without = PoseMAE(TINY).eval(), NoAttention(TINY).eval()
    missing, left_out = without.load_state_dict(whole.state_dict(), strict=False)
    assert not missing
    assert {name.split(".")[3] for name in left_out} == {"query", "key", "value", "gamma"}
    with torch.no_grad():
        for part in (whole, without):
            torch.nn.init.ones_(part.decoder.out.weight)
        inputs = (batch.pose, batch.queries, batch.identity.shape[1])
        plain = without(*inputs).positions
        torch.testing.assert_close(whole(*inputs).positions, plain)
        for block in whole.decoder.blocks:
            block.gamma.fill_(1.0)
        assert (whole(*inputs).positions - plain).abs().max() > 1e-3


def test_the_ablation_adds_one_thing_a_row() -> None:
    skin, coords = zip(*ABLATION.values(), strict=True)
    for names, head in ((skin, "skin"), (coords, "coords")):
        vanilla, masked, full = (NAMED[name] for name in names)
        assert {trial.network.head for trial in (vanilla, masked, full)} == {head}
        assert (vanilla.network.mask_ratio, vanilla.network.scales) == (0.0, 1)
        usual = NAMED[BASELINE].network
        assert masked.network == full.network == replace(usual, head=head)
        assert vanilla.learner == masked.learner != full.learner


def test_grouped_points_are_pooled_together() -> None:
    torch.manual_seed(0)
    points, hidden = torch.randn(2, 32, 3), torch.rand(2, 32, 16)
    features = PointFeatures(hidden, 3 * torch.randn(2, 32, len(JOINTS)))
    part = PartPool(16, 8, len(JOINTS))

    def pooled(groups: tuple[int, ...], features: PointFeatures = features) -> torch.Tensor:
        group = GroupPool(16, 8, groups)
        group.values.load_state_dict(part.values.state_dict())
        return untrimmed(group, features, max(groups) + 1)

    def untrimmed(pool: PartPool, features: PointFeatures, count: int) -> torch.Tensor:
        """What is pooled where no distance from a part's middle is too far."""
        assert pool.log_reach is not None
        torch.nn.init.constant_(pool.log_reach, 12.0)
        out = pool(points, features)
        assert out.shape[1] == count * part.size + 16
        return out

    each = untrimmed(part, features, len(JOINTS))
    torch.testing.assert_close(pooled(tuple(range(len(JOINTS)))), each, atol=1e-5, rtol=1e-4)
    share = each[:, :-16].unflatten(1, (len(JOINTS), -1))[..., 0]
    ten = pooled(TEN)[:, :-16].unflatten(1, (10, -1))[..., 0]
    torch.testing.assert_close(ten[:, 0], share[:, :3].sum(1))
    torch.testing.assert_close(ten[:, 9], share[:, 17:].sum(1))
    other = PointFeatures(hidden, torch.randn(2, 32, len(JOINTS)))
    torch.testing.assert_close(pooled(ONE), pooled(ONE, other))
    assert not torch.allclose(pooled(TEN), pooled(TEN, other), atol=1e-2)


def test_fewer_parts_have_fewer_parameters() -> None:
    count = {
        len(set(g)): sum(p.numel() for p in FewerParts(TINY, g).parameters()) for g in (TEN, ONE)
    }
    assert count[1] < count[10] < sum(p.numel() for p in PoseMAE(TINY).parameters())


@pytest.mark.parametrize(
    ("name", "truths"),
    [
        ("no-rotations", ("pose_rotations", "identity_rotations")),
        ("no-joints", ("pose_joints", "identity_joints", "truth_joints")),
        ("no-parts", ("pose_part", "pose_place", "pose_lift")),
        ("no-places", ("pose_place", "pose_lift")),
    ],
)
def test_a_loss_without_weight_is_not_felt(
    name: str, truths: tuple[str, ...], batch: Batch, output: Output
) -> None:
    other = replace(batch, **{truth: getattr(batch, truth).flip(0) for truth in truths})
    loss = NAMED[name].learner.loss
    assert torch.equal(loss(output, batch)[0], loss(output, other)[0])
    assert not torch.equal(training_loss(output, batch)[0], training_loss(output, other)[0])


def test_losses_of_positions_and_edges(batch: Batch, output: Output) -> None:
    loss, terms = training_loss(output, batch)
    edge = WEIGHTS["edge"] * terms["edge"]
    assert edge > 0
    torch.testing.assert_close(NAMED["edge-0"].learner.loss(output, batch)[0], loss - edge)
    torch.testing.assert_close(NAMED["edge-x10"].learner.loss(output, batch)[0], loss + 9 * edge)
    absolute, told = NAMED["l1"].learner.loss(output, batch)
    error = (output.positions - batch.truth).abs().mean()
    torch.testing.assert_close(absolute, loss - terms["position"] + ABSOLUTE * error)
    assert told["position"] == error


def test_banks_give_the_variety_that_they_should(banks: dict[str, PoseBank]) -> None:
    local = banks["train"].local
    known = torch.cat([local, mirrored(local)])

    def share_known(name: str, joints: tuple[int, ...], poses: torch.Tensor = known) -> float:
        """How many of the poses drawn have these joints as one of the known poses has them."""
        bank = NAMED[name].bank(local)
        drawn = relative_rotations(bank.draw_varied(64, torch.Generator().manual_seed(1)))
        distance = torch.cdist(drawn[:, joints].flatten(1), poses[:, joints].flatten(1))
        return float((distance.min(1).values < 1e-2).float().mean())

    everything = TRUNK + ARMS + LEGS
    assert share_known("plain", everything, local) == 1
    assert share_known("mirror", everything) == 1 > share_known("mirror", everything, local) > 0.2
    assert 0 < share_known("mirror-mix", everything) < 0.7
    for joints in (TRUNK, ARMS[:4], ARMS[4:], LEGS):
        assert share_known("mirror-mix", joints) == 1
        assert share_known(BASELINE, joints) < 0.2


def test_adamw_is_the_one_optimiser_of_everything() -> None:
    model = PoseMAE(TINY)
    (optimiser,) = NAMED["adamw"].learner.optimizers(model, 2e-3)
    assert isinstance(optimiser, torch.optim.AdamW)
    (group,) = optimiser.param_groups
    assert group["lr"] == 1e-3 and len(group["params"]) == len(list(model.parameters()))


# --- the search ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_all_learn_as_they_should_and_are_measured_on_the_same_clouds(
    body: BodyModel, banks: dict[str, PoseBank], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    gauge = validation.frame_pmd

    def spy(predicted: torch.Tensor, batch: Batch) -> torch.Tensor:
        seen.append(torch.cat([batch.pose, batch.queries, batch.truth], 1).flatten())
        return gauge(predicted, batch)

    monkeypatch.setattr(validation, "frame_pmd", spy)
    clouds, figures = [], []
    other_pool = replace(SMALL_NAMED["no-scans"].stream, pool=128)
    for trial in (
        SMALL[0],
        SMALL_NAMED["again"],  # other training settings, bank, stream, optimiser
        SMALL_NAMED["plain"],
        replace(SMALL_NAMED["no-scans"], stream=other_pool),
        SMALL_NAMED["adamw"],
    ):
        seen.clear()
        run = train(trial, PLAN, "samples", 64, body, banks, tmp_path)
        assert tuple(run.pmd) == KINDS and len(set(run.pmd.values())) == len(KINDS)
        clouds.append(torch.stack(seen))
        figures.append(run.pmd["unseen"])
    assert len(set(figures)) == len(figures)
    again = train(SMALL[0], PLAN, "samples", 64, body, banks, tmp_path)
    assert again.pmd["unseen"] == pytest.approx(figures[0], rel=1e-6)
    assert len(clouds[0]) == len(KINDS)
    assert all(torch.equal(other, clouds[0]) for other in clouds[1:])
    assert len(clouds[0].unique(dim=0)) == len(KINDS)
    assert SMALL_NAMED["points-64"].measured_on.identity_points == 16


def fake(trial: Trial, equal: str, samples: int, rate: float) -> Run:
    """A run at so many samples a CPU second."""
    pmd = dict.fromkeys(KINDS, 1e-4)
    return Run(trial.name, equal, PLAN, setup(trial), samples, samples / rate, 1, pmd, "2026-01-01")


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Trains nothing: runs go at these speeds, and at 100 samples a CPU second where none is."""
    rates: dict[str, float] = {}

    def run(trial: Trial, plan: Plan, equal: str, samples: int, *_: object) -> Run:
        if rates.get(trial.name) == 0:
            raise KeyboardInterrupt
        return replace(fake(trial, equal, samples, rates.get(trial.name, 100.0)), plan=plan)

    monkeypatch.setattr(search_module, "train", run)
    return rates


def searched(results: Results, *names: str) -> list[tuple[str, str, int]]:
    """What a search does: trial, what is equal, samples."""
    done: list[tuple[str, str, int]] = []
    search(results, names, {}, lambda run: done.append((run.trial, run.equal, run.samples)))
    return done


def test_equal_minutes_are_samples_by_the_speeds(tmp_path: Path, speeds: dict[str, float]) -> None:
    plan = replace(PLAN, samples=3200)
    speeds.update(
        {"width-128": 200.0, "width-384": 50.0, "plain": 105.0, "l1": 112.0, "coords": 1.0}
    )
    results = Results(tmp_path / "trials.json", plan, SMALL)
    done = searched(results, "width-128", "width-384", "plain", "l1", "coords")
    assert [one for one in done if one[1] == "samples"] == [
        (name, "samples", 3200)
        for name in (BASELINE, "coords", "plain", "width-128", "width-384", "l1")
    ]
    assert [one for one in done if one[1] == "minutes"] == [
        ("coords", "minutes", 32),  # one whole batch
        ("width-128", "minutes", 6400),
        ("width-384", "minutes", 1600),
        ("l1", "minutes", 3584),
    ]
    near = results.at_equal_minutes(SMALL_NAMED["plain"])
    assert near is not None and near.equal == "samples"


def test_what_is_done_is_not_done_again(tmp_path: Path, speeds: dict[str, float]) -> None:
    path, names = tmp_path / "trials.json", ("plain", "l1", "adamw")
    speeds.update({"plain": 200.0, "l1": 0.0})
    with pytest.raises(KeyboardInterrupt):
        searched(Results(path, PLAN, SMALL), *names)
    kept = [(run["trial"], run["equal"]) for run in json.loads(path.read_text())["runs"]]
    assert kept == [(BASELINE, "samples"), ("plain", "samples"), ("plain", "minutes")]
    assert os.listdir(tmp_path) == ["trials.json"]

    speeds["l1"] = 100.0
    assert searched(Results(path, PLAN, SMALL), *names) == [
        ("l1", "samples", 128),
        ("adamw", "samples", 128),
    ]
    assert searched(Results(path, PLAN, SMALL), *names) == []
    more = replace(PLAN, samples=256)
    assert len(searched(Results(path, more, SMALL), "adamw")) == 2
    assert len(json.loads(path.read_text())["runs"]) == 7
    assert searched(Results(path, PLAN, SMALL), *names) == []
    changed = [replace(t, network=replace(t.network, values=9)) for t in SMALL]
    assert searched(Results(path, PLAN, changed), "adamw") == [
        (BASELINE, "samples", 128),
        ("adamw", "samples", 128),
    ]


# --- the table and the command ------------------------------------------------------------------


def rows(text: str, columns: int) -> list[list[str]]:
    """The cells of a Markdown document's lines of so many columns, without the tables' heads."""
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line] for line in lines if len(line) == columns][1:]


def test_the_table_is_what_ran(tmp_path: Path) -> None:
    results = Results(tmp_path / "trials.json", PLAN, SMALL)
    for name, equal, samples, rate, unseen in (
        ("vanilla", "samples", 128, 200.0, 44.4e-4),
        (BASELINE, "samples", 128, 100.0, 33.3e-4),
        ("vanilla", "minutes", 256, 200.0, 40.04e-4),
        ("no-attention", "samples", 128, 50.0, 38.0e-4),
        ("points-64", "samples", 128, 101.0, 35.0e-4),
    ):
        run = fake(SMALL_NAMED[name], equal, samples, rate)
        results.add(replace(run, pmd={**run.pmd, "unseen": unseen}))
    other = replace(PLAN, samples=9999)
    results.add(replace(fake(SMALL_NAMED["l1"], "samples", 9999, 100.0), plan=other))

    text = table(results, "the command")
    assert [(r[0], r[3], r[5], r[10], r[12]) for r in rows(text, 17)] == [
        (BASELINE, "100", "33.3", "128", "33.3"),
        ("points-64", "101", "35.0", "128", "35.0"),
        ("no-attention", "50", "38.0", "", ""),
        ("vanilla", "200", "44.4", "256", "40.0"),
    ]
    assert rows(text, 5) == [
        ["vanilla", "44.4", "40.0", "", ""],
        ["+ multi-scale masking", "38.0", "", "", ""],
        ["+ channel attention", "33.3", "33.3", "", ""],
    ]
    for word in ("the command", "2026-01-01", "a machine", "seed 0", "batch 32", "128 samples"):
        assert word in text
    assert "`points-64`: on as many" in text and "points-256" not in text
    assert "9,999" not in text and "l1" not in text


def main(arguments: list[str]) -> int:
    """The exit code of `posetx trials ARGUMENTS` in this process."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr("sys.argv", ["posetx", "trials", *arguments])
        app(["trials", *arguments], prog_name="posetx")
    return int(ended.value.code or 0)


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "TRIALS", SMALL)
    folder, path = tmp_path / "trials", tmp_path / "trials.md"
    sizes = ["--samples", "128", "--batch", "32", "--validation", "32"]
    call = [str(folder), *sizes, "--only", "plain", "--table", str(path)]
    assert main(call) == 0
    assert os.listdir(folder) == ["trials.json"]
    first = path.read_text()
    table_rows = rows(first, 17)
    assert [row[0] for row in table_rows] == [BASELINE, "plain"]
    assert all(float(cell) > 0 for row in table_rows for cell in row[3:10])
    recorded = json.loads((folder / "trials.json").read_text())["runs"]
    assert {run["samples"] for run in recorded if run["equal"] == "samples"} == {128}
    assert all(run["cpu_seconds"] > 0 for run in recorded)
    assert f"posetx trials {folder}" in first
    assert "baseline, equal samples: 128 samples in" in " ".join(capsys.readouterr().err.split())

    def not_again(*_: object) -> Run:
        raise AssertionError("was done before")

    monkeypatch.setattr(search_module, "train", not_again)
    path.unlink()
    assert main(call) == 0
    assert path.read_text() == first


def test_interrupted_it_writes_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speeds: dict[str, float]
) -> None:
    speeds["coords"] = 0.0
    path = tmp_path / "trials.md"
    assert main([str(tmp_path / "trials"), "--table", str(path)]) == 130
    assert [row[0] for row in rows(path.read_text(), 17)] == [BASELINE, "again"]


def test_wrong_use_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "trials")
    for options in (["--only", "none"], ["--samples", "0"], ["--validation", "300"]):
        assert main([folder, *options]) == 2
    assert not Path(folder).exists()
    assert main([folder, "--mocap", str(tmp_path / "clips")]) == 1
    (tmp_path / "trials" / "trials.json").write_text("[]")
    assert main([folder]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5 and all(line.startswith("error: ") for line in lines)
