"""Every command that writes: killed, asked to end, on a full disk, on one that is read-only.

Nothing is damaged, half-written or left over, and what a user is told is one line.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from posetx.files.unfinished import sweep
from tests.cli.forked import PAGE, Ended, Forks, Job, Trial, Tried
from tests.cli.writers import WRITERS, check_whole, contents, make_inputs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals of POSIX"),
]

KILLS = 30
DISK = 64 * 2**20


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    make_inputs(folder)
    return folder


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as running:
        yield running


@pytest.fixture(scope="module")
def whole(
    given: Path, forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Ended, Path]]:
    """A command by itself, and the folder that it wrote; once for each."""

    @cache
    def run(name: str) -> tuple[Ended, Path]:
        out = tmp_path_factory.mktemp("whole") / "out"
        writer = WRITERS[name]
        writer.prepare(given, out)
        ended = forks.run(Job(writer.told(given, out), str(out)))
        assert ended.code == 0, ended.err
        assert contents(out) == writer.names
        check_whole(out)
        return ended, out

    return run


def spread(count: int, among: int) -> list[int]:
    return sorted({round(i * (among - 1) / (count - 1)) for i in range(count)})


def kills(ended: Ended) -> list[Trial]:
    """Both signals alike: at what is done to the disk, up to ten of each, and between."""
    random.seed(0)
    trials = []
    for kind in ("kill", "term"):
        trials += [Trial(kind, event=event) for event in spread(10, len(ended.events))]
        rest = KILLS // 2 * (1 if kind == "kill" else 2) - len(trials)
        # Processor seconds of another run may be somewhat fewer.
        times = [0.7 * ended.seconds * (i + random.random()) / rest for i in range(rest)]
        trials += [Trial(kind, tick=time) for time in times]
    return trials


@pytest.mark.parametrize("name", WRITERS)
def test_killed_at_thirty_moments(
    tmp_path: Path, given: Path, forks: Forks, whole: Callable[[str], tuple[Ended, Path]], name: str
) -> None:
    writer, out = WRITERS[name], tmp_path / "out"
    copies, temporary = tmp_path / "copies", tmp_path / "temporary"
    writer.prepare(given, out)
    copies.mkdir()
    temporary.mkdir()
    trials = kills(whole(name)[0])
    told = writer.told(given, out)
    ended = forks.run(Job(told, str(out), str(copies), str(temporary), trials))
    assert ended.code == 0, ended.err
    assert len(ended.tried) == len(trials) == KILLS
    stopped = []
    for tried in ended.tried:
        if tried.trial.kind == "kill":
            assert tried.code == -signal.SIGKILL
            only_swept(tried)
        else:
            assert tried.code in (0, 128 + signal.SIGTERM), tried
            stopped += [tried.code] if tried.code else []
            if tried.code:
                assert tried.err.splitlines()[-1] == "error: terminated", tried
        assert contents(tried.copy) <= writer.names, (tried, contents(tried.copy))
        check_whole(tried.copy)
        assert not tried.temporary, tried
    assert len(stopped) >= KILLS // 4
    assert contents(out) == writer.names
    check_whole(out)


def only_swept(tried: Tried) -> None:
    """What a kill leaves: a hidden name just before it takes another file's place, or less."""
    left = list(tried.copy.rglob(".posetx-*"))
    if sys.platform == "linux":
        assert len(left) <= tried.event.startswith("os.rename"), (tried, left)
    for path in left:
        sweep(path.parent)
        assert not path.exists()


@contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """A small disk of its own, for root to mount."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount here")
    if done.returncode:
        pytest.skip("only root mounts a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def files(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def check_told(code: int, err: str, out: Path, *words: str) -> None:
    """One line that names a file and says what the disk does."""
    assert "Traceback" not in err and "unexpected" not in err, err
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 1 and errors, err
    assert all(str(out) in line and any(word in line for word in words) for line in errors), errors


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_is_full(
    tmp_path: Path, given: Path, forks: Forks, whole: Callable[[str], tuple[Ended, Path]], name: str
) -> None:
    """From some file on, or within one: what is there is old or new, and whole."""
    writer, copies = WRITERS[name], tmp_path / "copies"
    copies.mkdir()
    alone, written = whole(name)
    count = sum(event.startswith("open ") for event in alone.events)
    used = sum(-(-len(data) // PAGE) for data in files(written).values())
    trials = [Trial("full", file=file) for file in spread(3, count)]
    trials += [Trial("full", file=0, pages=pages) for pages in (1, used // 2, used - 1)]
    with disk(tmp_path / "disk") as root:
        out = root / "out"
        writer.prepare(given, out)
        told = writer.told(given, out)
        ended = forks.run(Job(told, str(out), str(copies), trials=trials))
        assert ended.code == 0, ended.err
        assert contents(out) == writer.names
        check_whole(out)
    # `train` saves by the clock: on a busy machine it may begin fewer files the second time.
    assert len(trials) - 1 <= len(ended.tried) <= len(trials)
    for tried in ended.tried:
        assert contents(tried.copy) <= writer.names, (tried, contents(tried.copy))
        check_whole(tried.copy)
        if tried.code or not tried.trial.pages:
            check_told(tried.code, tried.err, out, "the disk is full", "No space left")
        else:
            assert contents(tried.copy) == writer.names, tried


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_is_read_only(tmp_path: Path, given: Path, forks: Forks, name: str) -> None:
    """Told before any work, and nothing changes."""
    writer = WRITERS[name]
    with disk(tmp_path / "disk") as root:
        out = root / "out"
        writer.prepare(given, out)
        before = files(out)
        subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
        ended = forks.run(Job(writer.told(given, out), str(out)))
        check_told(ended.code, ended.err, out, "read-only", "Read-only")
        assert ended.err.count("error: ") == 1, ended.err
        assert files(out) == before
