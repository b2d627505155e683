"""Attacks on a protocol: whose points are whose, what is reported, and the whole pipeline."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

from posetx.attacks.settings import AttackSettings
from posetx.errors import FieldError, PosetxError, UsageError
from posetx.evaluation.attack_dataset import DatasetAttack
from posetx.evaluation.attack_grid import AttackGrid, Harmed
from posetx.evaluation.attack_tables import (
    COLUMNS,
    COMMON,
    WORDS,
    markdown,
    parts_markdown,
    tables,
    title,
)
from posetx.evaluation.protocols import pairs
from posetx.evaluation.run import Evaluator
from posetx.evaluation.whole import WholePipeline
from posetx.geometry.mesh import vertex_areas
from posetx.models.checkpoint import load_model
from posetx.models.predictor import Predictor
from posetx.pipeline.confidence import RIGHT

CPU = torch.device("cpu")
FGM = AttackSettings("fgm", epsilon=0.08)


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    network, card = load_model("posemae")
    return Evaluator(Predictor(network, CPU), card=card)


@pytest.fixture(scope="module")
def grid(evaluator: Evaluator) -> AttackGrid:
    return AttackGrid(evaluator.pipeline.predictor, evaluator)


@pytest.fixture(scope="module")
def scans(grid: AttackGrid):
    return grid.crowd("scan", 1)


def test_a_scanned_point_lies_near_the_vertex_it_is_of(evaluator: Evaluator) -> None:
    """`scan` and `unseen` are drawn alike up to the heading: bodies of the same size and shape."""
    pair = next(pairs("scan", evaluator.body, evaluator.banks, 1))
    known = pair.origin >= 0
    assert 0.8 < known.float().mean() < 1  # the rest is floor and clutter
    # the target strikes the pose in its own shape: the places of one vertex are a body's apart
    shift = pair.points[known] - pair.truth[pair.origin[known]]
    shift = shift - shift.median(0).values
    assert shift.norm(dim=1).median() < 0.15
    shuffled = pair.truth[pair.origin[known].flip(0)] - pair.points[known]
    assert shift.norm(dim=1).median() < 0.5 * shuffled.norm(dim=1).median()


def test_after_an_attack_there_is_a_follower_and_an_excess(grid: AttackGrid, scans) -> None:
    clean = grid.figures(scans)
    assert "follower" not in clean and clean["pmd_surface"] > 0
    row = grid.cell(scans, FGM)
    for kind in ("", "_surface"):
        assert row[f"excess{kind}"] == pytest.approx(row[f"pmd{kind}"] - row[f"follower{kind}"])
    assert 1e-4 < row["follower"] < 0.1 and row["follower"] != row["follower_surface"]
    assert sum(part["points"] for part in row["by_part"].values()) == pytest.approx(1)


def test_what_is_left_untouched_has_a_follower_without_error(grid: AttackGrid, scans) -> None:
    """No attack; points that are taken away; points that nobody knows."""
    everyone = torch.ones(scans.clouds.shape[:2], dtype=torch.bool)
    still = grid.figures(scans, Harmed(scans.clouds, everyone, 0))
    assert still["follower"] < 1e-12 and still["excess"] == pytest.approx(still["pmd"])
    taken, some = scans.clouds.clone(), everyone.clone()
    taken[:, ::5], some[:, ::5] = taken[:, 1:2], False
    assert grid.figures(scans, Harmed(taken, some, 0))["follower"] < 1e-12
    nobody = replace(scans, cases=[replace(scans.cases[0], origin=None)])
    assert "follower" not in grid.figures(nobody, Harmed(taken, some, 0))
    assert "by_part" not in grid.cell(nobody, AttackSettings("noise"))


def test_errors_by_surface_are_of_the_truths_surface(evaluator: Evaluator, scans) -> None:
    case = scans.cases[0]
    predicted = case.truth.copy()
    inner = np.argsort(np.abs(case.truth - case.truth.mean(0)).max(1))[:50]
    predicted[inner] += 0.01
    errors = evaluator.errors(predicted, case.aim, case.truth, case.aim)
    areas = vertex_areas(case.truth, evaluator.faces)
    share = areas[inner].sum() / areas.sum()
    assert errors["pmd_surface"] == pytest.approx(1e-4 * share, rel=1e-6)
    assert errors["pmd"] == pytest.approx(1e-4 * 50 / len(predicted), rel=1e-6)


def test_a_scan_goes_along_with_its_sample(scans) -> None:
    case = scans.cases[0]
    points = case.pair.points.double().numpy()
    count = len(case.sample)
    everyone, nothing = np.ones(count, dtype=bool), np.zeros((count, 3))
    assert np.allclose(case.scan(nothing, everyone), points, atol=1e-12)
    moved = case.scan(nothing + [0.0, 0.1, 0.2], everyone) - points
    assert np.allclose(moved[case.body], np.array([0.0, 0.1, 0.2]) @ case.turn, atol=1e-9)
    rest = np.setdiff1d(np.arange(len(points)), case.body)
    assert len(rest) and not moved[rest].any()
    some = everyone.copy()
    some[::2] = False
    fewer = case.scan(nothing, some)
    assert len(rest) < len(fewer) < 0.8 * len(points)


def test_the_whole_pipeline_under_attack(evaluator: Evaluator, grid: AttackGrid, scans) -> None:
    """Without fits, for speed; the attack harms what the network makes of the cleaned scan."""
    told = []
    whole = WholePipeline(evaluator, scans, lambda: told.append(1))
    clean = whole.figures()
    row = grid.cell(scans, AttackSettings("pgd", epsilon=0.08, steps=3), also=whole.figures)
    assert len(told) == 2
    assert row["whole_pmd"] > 3 * clean["whole_pmd"]
    for figures in (clean, row):
        assert 0 <= figures["whole_confidence"] <= 1 and figures["whole_refused"] == 0
        assert figures["whole_wrong"] == float(figures["whole_pmd"] > RIGHT)
        unnoticed = figures["whole_wrong"] and figures["whole_confidence"] > 0.5
        assert figures["whole_unnoticed"] == float(unnoticed)


def test_a_scan_that_is_refused_is_no_wrong_result(
    evaluator: Evaluator, scans, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(*arguments: object, **settings: object) -> None:
        raise PosetxError("nobody in it")

    monkeypatch.setattr(evaluator.pipeline, "read", nobody)
    figures = WholePipeline(evaluator, scans).figures()
    assert figures == {"whole_wrong": 0, "whole_unnoticed": 0, "whole_refused": 1}


@pytest.mark.slow
def test_whole_from_the_command_line_counts_its_steps() -> None:
    from posetx.evaluation.attack_dataset import attack_protocol

    told = []
    options = DatasetAttack("scan", (FGM,), "posemae", pairs=2, whole=True)
    rows = attack_protocol(options, lambda: told.append(1))["rows"]
    assert len(told) == options.steps == 2 * 3
    assert [row["method"] for row in rows] == ["none", "fgm"]
    assert all(row["whole_pmd"] > 0 and 0 <= row["whole_confidence"] <= 1 for row in rows)


def test_impossible_attacks_are_refused() -> None:
    with pytest.raises(UsageError, match="attack-pgd: no protocol to attack; use seen, "):
        DatasetAttack("attack-pgd", (FGM,), "posemae").check()
    with pytest.raises(FieldError, match="give a `turn`"):
        DatasetAttack("seen", (AttackSettings("igsm-t", "linf"),), "posemae").check()


ROWS = [
    {"method": "none", "views": None, "pmd": 4.65e-4, "pmd_surface": 2e-4, "jdr": 1.0},
    {
        "method": "fgm",
        "norm": "l2",
        "epsilon": 0.08,
        "turn_degrees": None,
        "queries": 1,
        "pmd": 120e-4,
        "follower": 116.4e-4,
        "excess": -12.34e-4,
        "jdr": 0.705,
        "defence": "sor",
        "adaptive": False,
        "whole_unnoticed": 0.25,
        "by_part": {"head": {"perturbation": 0.3, "points": 0.2}},
    },
]
DOCUMENT = {"model": "m", "protocol": "seen", "pairs": 2, "poses": "prior", "rows": ROWS}


def test_markdown_has_what_differs_and_the_title_what_does_not() -> None:
    assert title(DOCUMENT) == "m on seen, 2 pairs, poses of the prior, norm l2, queries 1"
    lines = markdown(DOCUMENT, without=("jdr",)).splitlines()
    assert lines[2:4] == [
        "| method | epsilon mm | defence | known to the attack | PMD ×1e-4 | follower ×1e-4 | "
        "excess ×1e-4 | PMD by surface ×1e-4 | whole: unnoticed |",
        "|---|---:|---|---|---:|---:|---:|---:|---:|",
    ]
    assert lines[4:] == [
        "| none |  |  |  | 4.65 |  |  | 2 |  |",
        "| fgm | 80 | sor | no | 120 | 116 | -12.3 |  | 0.25 |",
    ]
    assert "| head | 30.0 | 20.0 | 1.50 |" in parts_markdown(ROWS[1])


def test_the_terminal_has_the_whole_pipeline_in_a_table_of_its_own() -> None:
    network, whole = tables(DOCUMENT)
    assert [column.header for column in whole.columns][-1] == "whole: unnoticed"
    assert "whole: unnoticed" not in [column.header for column in network.columns]
    assert list(whole.columns[-1].cells) == ["", "0.25"]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_word_of_the_tables_is_broken_or_lost(width: int) -> None:
    numbers = {n: 1.234 for n in COLUMNS if n not in (*WORDS, *COMMON)}
    common = dict.fromkeys(COMMON, 3) | {"norm": "l2"}
    rows = [{"method": "none"} | numbers, {"method": "igsm-t", "defence": "sor"} | numbers | common]
    document = {**DOCUMENT, "rows": rows}
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    for table in tables(document, width):
        console.print(table)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    words = Counter(" ".join(lines).split())
    shown = [*"".join(COLUMNS[name][0] + " " for name in numbers).split(), *title(document).split()]
    assert {*shown, "igsm-t", "sor", "1234"} <= {*words}
    assert words["1.23"] >= 2 * sum(COLUMNS[name][1] == 1 for name in numbers)
