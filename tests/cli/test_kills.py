"""Commands that are killed, or asked to end, at thirty moments: nothing is damaged or left over."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import pytest

from posetx.files.unfinished import sweep
from tests.cli.forked import Ending, Run, endings
from tests.cli.writers import WRITERS, check_whole, contents, make_inputs

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

KILLS = 30


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    make_inputs(folder)
    return folder


def moments(whole: Ending) -> list[Run]:
    """Both signals alike: at what is done to the disk, ten of each, and in the time between."""
    random.seed(0)
    runs = []
    for sent in (signal.SIGKILL, signal.SIGTERM):
        count, half = len(whole.events), KILLS // 2
        events = sorted({round(i * (count - 1) / 9) for i in range(10)})
        runs += [Run([], sent, event=event) for event in events]
        rest = half - len(events)
        times = [whole.seconds * (i + random.random()) / rest for i in range(rest)]
        runs += [Run([], sent, seconds=time) for time in times]
    return runs


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_killed_at_thirty_moments(tmp_path: Path, given: Path, name: str) -> None:
    writer = WRITERS[name]

    def begun(run: Run, step: object) -> Run:
        out, temporary = tmp_path / f"out{step}", tmp_path / f"tmp{step}"
        writer.prepare(given, out)
        temporary.mkdir()
        told = writer.told(given, out)
        return Run(told, run.sent, run.seconds, run.event, str(temporary))

    (whole,) = endings([begun(Run([]), "whole")])
    assert whole.code == 0, whole.err
    assert contents(tmp_path / "outwhole") == writer.names
    runs = moments(whole)
    assert len(runs) == KILLS
    stopped = {signal.SIGKILL: 0, signal.SIGTERM: 0}
    for step, (run, ended) in enumerate(
        zip(runs, endings([begun(run, step) for step, run in enumerate(runs)]), strict=True)
    ):
        out, told = tmp_path / f"out{step}", (name, run, ended.err, ended.events[-3:])
        assert ended.code in (0, -run.sent, 128 + run.sent), told
        if ended.code:
            stopped[signal.Signals(run.sent)] += 1
        if ended.code == 128 + signal.SIGTERM:
            assert ended.err.splitlines()[-1] == "error: terminated", told
        if run.sent == signal.SIGKILL:
            hidden_from_now_on(out, ended)
        assert contents(out) <= writer.names, (*told, contents(out))
        check_whole(out)
        assert not os.listdir(tmp_path / f"tmp{step}"), told
        if ended.code == 0:
            assert contents(out) == writer.names, told
    assert min(stopped.values()) >= KILLS // 4, stopped


def hidden_from_now_on(out: Path, ended: Ending) -> None:
    """What a kill leaves: a hidden name just before it takes another file's place, or less."""
    left = list(out.rglob(".posetx-*"))
    if sys.platform == "linux":
        renaming = bool(ended.events) and ended.events[-1].startswith("os.rename")
        assert len(left) <= renaming, (left, ended.events[-3:])
    for path in left:
        sweep(path.parent)
        assert not path.exists()
