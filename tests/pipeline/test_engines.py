"""Workers side by side: what one that dies, is slow or short of memory does to a batch."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posetx.bodies.body import BodyModel
from posetx.errors import FieldError, MissingError, PosetxError
from posetx.files.scans import read_scan
from posetx.files.targets import read_target
from posetx.pipeline.batch import Job, Outcome, run
from posetx.pipeline.engine import TRIES, Pool, Task, cores, side_by_side
from posetx.pipeline.engines import PAYS, Engines
from posetx.pipeline.on_ray import RayPool
from posetx.pipeline.processes import Processes
from tests.pipeline.working import Loaded, told

REPOSITORY = Path(__file__).parents[2]
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs posetx[ray]")
needs_posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def jobs_of(folder: Path, *names: str) -> list[Job]:
    return [Job(folder / f"{name}.ply", folder / f"{name}.out") for name in names]


def begun(job: Job) -> int:
    """How often it was begun."""
    log = job.scan.with_suffix(".log")
    return len(log.read_text().split()) if log.exists() else 0


def processes(task: Task) -> Pool:
    return Processes(task, 2, 1)


def actors(task: Task) -> Pool:
    return RayPool(task, 2)


@pytest.mark.parametrize(
    "pool",
    [
        pytest.param(processes, marks=needs_posix),
        pytest.param(actors, marks=[needs_ray, pytest.mark.slow]),
    ],
)
def test_workers_that_die_take_nothing_with_them(
    pool: Callable[[Task], Pool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))  # where workers find this file
    names = ["a", "dies", "bad", "short", "b", "slow1", "slow2", "c", "d"]
    jobs = jobs_of(tmp_path, *names)
    heard: list[Job] = []
    done = list(side_by_side(pool(Task(Loaded(deaths=2), told)), jobs, heard.append))
    of = {outcome.job.scan.stem: outcome for outcome in done}
    assert sorted(of) == sorted(names) and len(done) == len(jobs), "each once"
    assert {name for name, outcome in of.items() if outcome.status == "failed"} == {"bad"}
    assert of["bad"].error == f"{tmp_path / 'bad.ply'}: no body in it"
    assert [begun(job) for job in jobs] == [1, 3, 1, 2, 1, 1, 1, 1, 1]
    assert len(heard) == sum(begun(job) for job in jobs)
    assert all(job.output.read_text() == job.scan.stem for job in jobs if job.scan.stem != "bad")
    reports = [outcome.report for outcome in done if outcome.report]
    assert {report["loads"] for report in reports} == {1} and len(reports) == 8
    assert {report["threads"] for report in reports} == {1}
    pids = {report["pid"] for report in reports}
    assert os.getpid() not in pids and 2 <= len(pids) <= 4
    assert of["slow1"].seconds >= 0.5


@needs_posix
def test_a_job_that_ends_every_worker_is_given_up(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, "dies", "a")
    done = list(side_by_side(processes(Task(Loaded(deaths=99), told)), jobs, lambda job: None))
    of = {outcome.job.scan.stem: outcome for outcome in done}
    assert of["a"].status == "done"
    assert begun(jobs[0]) == TRIES
    assert f"ended with -9, {TRIES} times" in str(of["dies"].error)
    assert str(of["dies"].error).startswith(str(jobs[0].scan))


@needs_posix
def test_a_batch_that_is_left_ends_its_workers(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, "a", "slow1", "slow2", "slow3", "b")
    done = side_by_side(processes(Task(Loaded(), told)), jobs, lambda job: None)
    first = next(done)
    assert first.report
    done.close()
    pids = {int(line) for path in tmp_path.glob("*.log") for line in path.read_text().split()}
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not jobs[-1].output.exists()


def test_what_is_finished_is_skipped_and_begins_no_worker(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, "a", "b")
    for job in jobs:
        job.output.write_text("there")

    def engine(left: Any, begun: Any) -> Any:
        pytest.fail("nothing is left to do")

    assert [outcome.status for outcome in run(jobs, engine)] == ["skipped"] * 2
    jobs[0].output.unlink()
    task = Task(Loaded(), told)
    done = list(run(jobs, task.in_turn))
    assert [(o.job.scan.stem, o.status) for o in done] == [("b", "skipped"), ("a", "done")]


def test_how_many_workers_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(Loaded(), told)
    monkeypatch.setattr("posetx.pipeline.engines.cores", lambda: 4)

    def pool(count: int, **settings: Any) -> tuple[int, int]:
        made = Engines(**settings)._pool(task, count)
        if made is None:
            return 1, 0
        assert isinstance(made, Processes)
        made.close()
        return made.size, made.threads

    assert pool(2 * PAYS - 1) == (1, 0)
    assert pool(2 * PAYS) == (2, 2)
    assert pool(100 * PAYS) == (4, 1)
    assert pool(100, workers=1) == (1, 0)
    assert pool(2, workers=3) == (2, 2)
    assert pool(100, workers=8) == (8, 1)
    assert cores() >= 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"engine": "dask"}, "engine dask: use local or ray"),
        ({"address": "auto"}, "address auto: is of a Ray cluster"),
    ],
)
def test_what_is_asked_for_is_checked(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(FieldError) as told:
        Engines(**settings).check()
    assert says in str(told.value)


def test_without_ray_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posetx.pipeline.on_ray.find_spec", lambda name: None)
    with pytest.raises(MissingError, match=r"pip install 'posetx\[ray\]'"):
        Engines(engine="ray").check()
    with pytest.raises(MissingError):
        RayPool(Task(Loaded(), told))


@needs_ray
@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_one_line() -> None:
    with pytest.raises(FieldError, match="no Ray cluster there"):
        RayPool(Task(Loaded(), told), address="auto")


def scans_of_bodies(folder: Path, count: int) -> None:
    folder.mkdir()
    body = BodyModel.load()
    vertices, _ = body.rest(body.bank[:count])
    for index, points in enumerate(vertices.numpy()):
        np.save(folder / f"{index:02}.npy", points[::3])


def workers_of(parent: int, name: str) -> list[int]:
    """Processes below one whose command line has this name in it."""
    parents: dict[int, int] = {}
    named = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            command = (path / "cmdline").read_text()
        except OSError:
            continue
        parents[int(path.name)] = int(fields[1])
        if name in command:
            named.append(int(path.name))

    def below(pid: int) -> bool:
        while pid > 1:
            pid = parents.get(pid, 0)
            if pid == parent:
                return True
        return False

    return [pid for pid in named if below(pid)]


def lives(pid: int) -> bool:
    """Whether a process is there, and not only its exit code."""
    try:
        return not Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].startswith(" Z")
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the workers in /proc")
@pytest.mark.parametrize(
    ("engine", "name"),
    [("local", "multiprocessing"), pytest.param("ray", "ray::_Worker", marks=needs_ray)],
)
def test_a_worker_killed_in_mid_run_costs_no_result(
    engine: str, name: str, tmp_path: Path, standing: Path
) -> None:
    count = 8
    scans_of_bodies(tmp_path / "scans", count)
    (tmp_path / "scans" / "bad.ply").write_text("ply\nformat")
    out, target = tmp_path / "out", standing / "target.obj"
    arguments = ["transfer", "scans", str(target), "-o", "out", "--no-refine", "--json"]
    arguments += ["--engine", engine, "--workers", "2", "--summary", "s.json"]
    with (tmp_path / "said").open("wb") as said:
        command = subprocess.Popen(
            [sys.executable, "-P", "-m", "posetx", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=said,
        )
        while len(list(out.glob("*.obj"))) < 3 and command.poll() is None:
            time.sleep(0.02)
        victims = [pid for pid in workers_of(command.pid, name) if pid != command.pid]
        assert len(victims) >= 2, (tmp_path / "said").read_text()
        os.kill(victims[-1], signal.SIGKILL)
        stdout, _ = command.communicate(timeout=900)
    assert command.returncode == 1, "of the scan that is none"
    document = json.loads(stdout)
    rows = document["results"]
    assert [Path(row["scan"]).name for row in rows] == sorted(
        path.name for path in (tmp_path / "scans").iterdir()
    )
    assert [row["status"] for row in rows] == ["done"] * count + ["failed"]
    assert document == json.loads((tmp_path / "s.json").read_text())
    assert f"{count} done, 0 there already, 1 failed" in (tmp_path / "said").read_text()
    rest = read_target(target).vertices
    for row in rows[:-1]:
        points = read_scan(tmp_path / row["output"]).points
        assert points.shape == rest.shape and np.isfinite(points).all()
    assert len(list(out.iterdir())) == count and not list(out.glob(".*"))
    assert not workers_of(command.pid, name)

    # what is there is skipped, what failed is tried again
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    again = subprocess.run(
        [sys.executable, "-P", "-m", "posetx", *arguments[:-4]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
    )
    statuses = [row["status"] for row in json.loads(again.stdout)["results"]]
    assert statuses == ["skipped"] * count + ["failed"]
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the workers in /proc")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_that_is_killed_leaves_whole_files_and_no_worker(
    sent: signal.Signals, tmp_path: Path, standing: Path
) -> None:
    """Fifteen times, at as many moments; the last of its jobs may come to its end."""
    count, moments = 4, random.Random(int(sent))
    scans_of_bodies(tmp_path / "scans", count)
    out, temporary, target = tmp_path / "out", tmp_path / "tmp", standing / "target.obj"
    arguments = ["transfer", "scans", str(target), "-o", "out", "--no-refine", "--no-restore"]
    arguments += ["--up", "y", "--front", "z", "--target-up", "y", "--target-front", "z"]
    arguments += ["--workers", "2", "--summary", "s.json", "--overwrite"]
    rest, stopped = read_target(target).vertices, 0
    for trial in range(15):
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        with (tmp_path / "said").open("wb") as said:
            command = subprocess.Popen(
                [sys.executable, "-P", "-m", "posetx", *arguments],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(temporary)},
                stderr=said,
            )
            while len(list(out.glob("*.obj"))) < trial % count and command.poll() is None:
                time.sleep(0.005)
            time.sleep(moments.random() * (3.0 if trial % count == 0 else 0.2))
            workers = workers_of(command.pid, "multiprocessing")
            command.send_signal(sent)
            code = command.wait(timeout=300)
        deadline = time.monotonic() + 120
        while any(map(lives, workers)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        lines = (tmp_path / "said").read_text().splitlines()
        assert code in (0, -sent, 128 + sent), lines
        if code == 128 + signal.SIGTERM:
            assert lines[-1] == "error: terminated" and not os.listdir(temporary), lines
        stopped += code != 0
        for path in out.glob("*.obj"):
            assert read_target(path).vertices.shape == rest.shape
        assert not list(out.glob(".*")) and not list(tmp_path.glob(".*"))
        if (tmp_path / "s.json").exists():
            json.loads((tmp_path / "s.json").read_text())
    assert stopped > 10


def test_an_outcome_of_unexpected_errors_may_be_tried_again(tmp_path: Path) -> None:
    def outcome(error: Exception) -> Outcome:
        def fail(job: Job) -> dict[str, Any]:
            raise error

        return Task(fail, told).do(jobs_of(tmp_path, "a")[0])

    assert outcome(MemoryError()).again and not outcome(PosetxError("no body")).again
