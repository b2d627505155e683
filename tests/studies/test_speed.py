"""`posetx bench speed`: stages, sizes, growth and ratios are what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from posetx.cli import app
from posetx.files.targets import read_target
from posetx.pipeline.options import Options
from posetx.pipeline.stages import READ
from posetx.studies.bench import speed
from posetx.studies.bench.speed import ALL, Clock, Row, growth, of_networks, scan_of, write_target


def rows(stage: str, *of: tuple[int, float]) -> list[Row]:
    return [Row("vertices", size, stage, 9.0, spent) for size, spent in of]


def test_growth_is_the_exponent_of_what_is_large() -> None:
    linear = rows("give", (100, 5.0), (10_000, 0.2), (100_000, 2.0), (1_000_000, 20.0))
    worse = rows("restore", (10_000, 0.1), (100_000, 0.1 * 10**1.5))
    short = rows("write", (10_000, 0.001), (100_000, 0.02))
    found = growth([*linear, *worse, *short])
    assert set(found) == {"vertices"} and set(found["vertices"]) == {"give", "restore"}
    assert found["vertices"]["give"] == pytest.approx(1.0)
    assert found["vertices"]["restore"] == pytest.approx(1.5)


def test_a_clock_adds_what_has_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([1.0, 3.0, 4.0, 8.0])
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(ticks))
    monkeypatch.setattr(speed.time, "process_time", lambda: 2.0)
    clock = Clock(torch.device("cpu"))
    for stage in ("clean", "read", "clean", "end"):
        clock(stage)
    of = {row.stage: row.seconds for row in clock.rows("points", 5)}
    assert of == {"clean": 6.0, "read": 1.0, ALL: 7.0}


@pytest.mark.parametrize("count", [500, 10_000, 60_000])
def test_targets_and_scans_have_the_size_asked_for(count: int, tmp_path: Path) -> None:
    write_target(tmp_path / "t.obj", count)
    target = read_target(tmp_path / "t.obj")
    assert len(target.vertices) == pytest.approx(count, rel=0.03)
    assert 1.4 < np.ptp(target.vertices, axis=0).max() < 2.1
    scan = scan_of(count)
    assert scan.points.shape == (count, 3) and np.array_equal(scan.points, scan_of(count).points)


def test_a_network_that_is_out_of_patience_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def cost(name: str, size: int, patience: float, threads: int) -> dict[str, object]:
        asked.append((name, size))
        if name == "slow":
            return {"failed": f"over {patience:.0f} s"}
        return {"ms": 1.0, "processor_ms": size * {"posemae": 1.0, "npt": 3.0}[name]}

    monkeypatch.setattr(speed, "forward_cost", cost)
    found = list(of_networks((10, 100), ("npt", "slow"), 5.0, lambda told: None))
    assert ("slow", 10) in asked and ("slow", 100) not in asked
    assert [row["ratio"] for row in found if row["network"] == "npt"] == [3.0, 3.0]
    assert [row["failed"] for row in found if row["network"] == "slow"] == ["over 5 s"]


@pytest.mark.slow
def test_the_command_times_each_stage(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    arguments = ["bench", "speed", "--vertices", "1000", "--vertices", "20000", "--points"]
    arguments += ["5000", "-n", "npt-mp", "-o", str(path), "--device", "cpu"]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.output
    found = json.loads(path.read_text())
    stages = [stage for stage in Options(bake=True).stages() if stage not in READ]
    for size in (1000, 20_000):
        of = {row["stage"]: row for row in found["rows"] if row["size"] == size}
        assert {"read file", *stages, "write file", ALL} <= of.keys()
        assert not of.keys() & set(READ)
        parts = sum(row["processor"] for name, row in of.items() if name != ALL)
        assert 0 < parts < of[ALL]["processor"]
    of = {row["stage"]: row for row in found["rows"] if row["what"] == "points"}
    assert {"read file", "clean", "orient", "read", ALL} <= of.keys()
    assert [row["network"] for row in found["networks"]] == ["posemae", "npt-mp"] * 2
    assert found["command"]["processor"] > of[ALL]["processor"] / 2
    assert "by vertices" in run.stdout and "npt-mp" in run.stdout
