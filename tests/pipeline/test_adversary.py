"""Adversarial scans: the scan as it was, moved within the budget, and the harm is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from posetx.attacks.methods import METHODS as NAMES
from posetx.attacks.scan import carried
from posetx.attacks.settings import AttackSettings
from posetx.bodies.body import BodyModel
from posetx.bodies.skeleton import JOINTS
from posetx.cli import app
from posetx.errors import UsageError
from posetx.files.scans import Scan, read_scan
from posetx.files.targets import read_target
from posetx.pipeline.adversary import Adversarial, Adversary, Wanted, scan_of_clip
from posetx.pipeline.options import Options
from posetx.pipeline.pipeline import Pipeline
from tests.data.test_poses import bvh_text

SWIFT = Options(refine=False, restore=False, up="y", front="z", target_up="y", target_front="z")


@pytest.fixture(scope="module")
def files(standing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a target and a scan of it on a floor, coloured."""
    folder = tmp_path_factory.mktemp("adversary")
    shutil.copy(standing / "target.obj", folder)
    vertices = BodyModel.load().template.double().numpy()
    rng = np.random.default_rng(0)
    floor = rng.uniform(-1, 1, (6000, 3)) * [1, 0, 1] + [0, vertices[:, 1].min(), 0]
    np.savez(folder / "scan.npz", points=np.concatenate([vertices, floor]))
    return folder


@pytest.fixture(scope="module")
def adversary() -> Adversary:
    return Adversary(Pipeline.load())


@pytest.fixture(scope="module")
def target(files: Path):
    return read_target(files / "target.obj")


@pytest.fixture(scope="module")
def scan(files: Path) -> Scan:
    return read_scan(files / "scan.npz")


def settings_of(method: str) -> AttackSettings:
    norm = "linf" if method.startswith("igsm") else "point"
    return AttackSettings(method, norm, epsilon=0.03, steps=2)


@pytest.fixture(scope="module")
def attacked(adversary: Adversary, target, scan: Scan) -> Callable[[str], Adversarial]:
    """What comes of a method; an attack takes seconds."""

    @cache
    def attack(method: str) -> Adversarial:
        wanted = Wanted(turn_degrees=30.0) if method == "igsm-t" else None
        return adversary.attack(scan, target, settings_of(method), SWIFT, wanted)

    return attack


FAST = ("pgd", "drop", "igsm-t")
METHODS = [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in NAMES]


@pytest.mark.parametrize("method", METHODS)
def test_it_is_the_same_scan_with_points_moved_within_the_budget(
    attacked: Callable[[str], Adversarial], target, scan: Scan, method: str
) -> None:
    settings, norm = settings_of(method), settings_of(method).norm
    before = scan.points.copy()
    result = attacked(method)
    assert np.array_equal(scan.points, before), "the scan that was given is left alone"
    body = np.zeros(len(scan.points), dtype=bool)
    body[: len(target.vertices)] = True
    report = result.report
    if method == "drop":
        assert len(result.scan.points) == report["points_out"] < len(scan.points)
        assert report["sample"]["points_left"] == 922
        rows = set(map(tuple, scan.points.tolist()))
        assert all(tuple(p) in rows for p in result.scan.points.tolist())
        return
    assert result.scan.points.shape == scan.points.shape
    moved = np.linalg.norm(result.scan.points - scan.points, axis=1)
    assert (moved[~body] == 0).mean() > 0.99 and (moved[body] > 0).mean() > 0.9
    assert 1000 * result.perturbation.max() <= 30 * (3**0.5 if norm == "linf" else 1) * 1.01
    assert report["sample"]["displacement_mm"][norm] <= 30.01
    pmd = report["sample"]["pmd"]
    if method == "igsm-t":
        assert pmd["attacked"] < pmd["clean"]
    else:
        # (C&W goes no farther than it has to)
        assert pmd["attacked"] > (pmd["clean"] if method == "cw" else pmd["noise"] / 2) > 0
        assert report["success"] == (pmd["attacked"] >= settings.success)


def test_the_same_in_any_unit_and_every_time(
    adversary: Adversary, attacked: Callable[[str], Adversarial], target, scan: Scan
) -> None:
    one, settings = attacked("pgd"), settings_of("pgd")
    again = adversary.attack(scan, target, settings, SWIFT)
    assert np.array_equal(one.scan.points, again.scan.points)
    assert one.report == again.report
    large = adversary.attack(replace(scan, points=scan.points * 1000), target, settings, SWIFT)
    move = (large.scan.points / 1000 - one.scan.points)[: len(target.vertices)]
    assert np.abs(move).mean() < 1e-3 and np.abs(move).max() < 1e-2
    assert large.report["perturbation_mm"]["mean"] == pytest.approx(
        one.report["perturbation_mm"]["mean"], rel=0.05
    )


def test_points_go_along_with_the_sampled_ones_next_to_them() -> None:
    rng = np.random.default_rng(0)
    sample = rng.random((200, 3))
    shift = np.tile([0.1, 0.2, 0.3], (200, 1))
    assert np.allclose(carried(rng.random((50, 3)), sample, shift), [0.1, 0.2, 0.3])
    field = sample * [1.0, 0.0, 0.0]
    points = 0.2 + 0.6 * rng.random((300, 3))
    along = carried(points, sample, field)
    assert np.abs(along[:, 0] - points[:, 0]).mean() < 0.06 and not along[:, 1:].any()


def test_command_with_report(files: Path, tmp_path: Path) -> None:
    arguments = ["attack", str(files / "scan.npz"), str(files / "target.obj"), "--no-refine"]
    arguments += ["-o", str(tmp_path / "adv.ply"), "--method", "fgm", "--json"]
    arguments += ["--report", str(tmp_path / "report"), "--defence", "sor"]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.stderr
    document = json.loads(run.stdout)
    assert document == json.loads((tmp_path / "report" / "attack.json").read_text())
    assert document["truth"] == "the clean prediction" and "attacked_defended" in str(document)
    assert len(read_scan(tmp_path / "adv.ply").points) == document["points_in"]
    names = {"before.obj", "after.obj", "perturbation.ply", "damage.ply", "attack.png"}
    assert {p.name for p in (tmp_path / "report").iterdir()} == names | {"attack.json"}
    before, after = (read_target(tmp_path / "report" / f"{n}.obj") for n in ("before", "after"))
    assert document["transfer"]["mpjpe_mm"] > 1 and 0 <= document["transfer"]["jdr"] <= 1
    assert document["transfer"]["pmd"] > 0 and not np.array_equal(before.vertices, after.vertices)
    damage = read_scan(tmp_path / "report" / "damage.ply")
    assert len(np.unique(damage.colors, axis=0)) > 10
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2 and "--overwrite" in again.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--method", "deepfool"], "--method deepfool"),
        (["--method", "igsm", "--norm", "l2"], "linf"),
        (["--method", "igsm-t"], "--toward"),
        (["--toward", "a.ply", "--turn", "10"], "two different poses"),
        (["--defence", "prayer"], "--defence prayer"),
        (["--adaptive"], "--defence"),
        (["--method", "drop", "--share", "1"], "--share"),
        (["--surrogate", "nobody"], "nobody"),
    ],
)
def test_wrong_calls_end_in_one_line_and_no_file(
    files: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    output = tmp_path / "adv.ply"
    arguments = ["attack", str(files / "scan.npz"), str(files / "target.obj"), "-o", str(output)]
    run = CliRunner().invoke(app, [*arguments, *options])
    assert run.exit_code in (2, 3) and said in run.stderr
    assert "Traceback" not in run.stderr and not output.exists()


def test_dataset_attacks_a_protocol_in_one_run(tmp_path: Path) -> None:
    arguments = ["attack-dataset", "seen", "--pairs", "1", "--steps", "4", "--json"]
    arguments += ["--method", "noise", "--method", "fgm", "--method", "ifgm"]
    arguments += ["--epsilon", "0.02", "--epsilon", "0.08", "-o", str(tmp_path / "table.json")]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.stderr
    document = json.loads(run.stdout)
    assert document == json.loads((tmp_path / "table.json").read_text())
    rows = document["rows"]
    methods = [m for m in ("noise", "fgm", "ifgm") for _ in range(2)]
    assert [row["method"] for row in rows] == ["none", *methods]
    pmd = {(row["method"], row.get("epsilon")): row["pmd"] for row in rows}
    for epsilon in (0.02, 0.08):
        assert pmd["noise", epsilon] < pmd["fgm", epsilon] < pmd["ifgm", epsilon]
    assert pmd["ifgm", 0.02] < pmd["ifgm", 0.08]
    assert all(row["size_mm"] <= 1000 * row["epsilon"] * 1.001 for row in rows[1:])
    for row in rows[1:]:
        shares = [sum(p[k] for p in row["by_part"].values()) for k in ("perturbation", "points")]
        assert shares == pytest.approx([1, 1])


def test_dataset_with_a_wanted_turn_views_and_a_defence() -> None:
    arguments = ["attack-dataset", "unseen", "--pairs", "1", "--steps", "6", "--json"]
    arguments += ["--method", "igsm-t", "--turn", "20", "--views", "2", "--defence", "smooth"]
    run = CliRunner().invoke(app, [*arguments, "--epsilon", "0.05"])
    assert run.exit_code == 0, run.stderr
    clean, row = json.loads(run.stdout)["rows"]
    assert clean["views"] == row["views"] == 2
    assert row["from_wanted_mm"] < row["clean_from_wanted_mm"]
    assert row["pmd_defended"] > 0
    wrong = CliRunner().invoke(app, ["attack-dataset", "attack"])
    assert wrong.exit_code == 2 and "attack: no protocol to attack" in wrong.stderr


def test_the_pose_wanted_may_be_a_clips(
    adversary: Adversary, target, scan: Scan, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.bvh"
    clip.write_text(bvh_text({}, {"lShldr": (70.0, 0.0, 0.0), "rShldr": (-70.0, 0.0, 0.0)}))
    body = adversary.pipeline.body
    raised = scan_of_clip(clip, 1, body)
    assert raised.points.shape == body.template.shape
    hands = raised.points[body.weights.argmax(1).cpu().numpy() == JOINTS.index("hand.L")]
    assert hands[:, 1].mean() > body.joint_template[JOINTS.index("neck"), 1] + 0.1
    settings = AttackSettings("igsm-t", "linf", epsilon=0.05, steps=3)
    wanted = Wanted(scan_of_clip(clip, -1, body))
    pmd = adversary.attack(scan, target, settings, SWIFT, wanted).report["sample"]["pmd"]
    assert pmd["attacked"] < pmd["clean"]
    with pytest.raises(UsageError, match="has 2 frames, and no frame 2"):
        scan_of_clip(clip, 2, body)
