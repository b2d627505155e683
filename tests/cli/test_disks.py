"""Every command that writes, on disks that are full or read-only: one line, nothing half-written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.forked import Ending, Run, endings
from tests.cli.writers import WRITERS, Writer, check_whole, contents, make_inputs

PAGE = 4096
DISK = 64 * 2**20
#: Pages that are free: none; some for the first and smallest files; all but the largest's last.
FREE = (0, 1, 4, 40)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    make_inputs(folder)
    return folder


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


def fill(folder: Path, pages: int) -> Path:
    """Leave so many pages of the disk free; returns what fills it."""
    filler = folder / "filler"
    left = os.statvfs(folder).f_bavail
    with filler.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, (left - pages) * PAGE)
    assert os.statvfs(folder).f_bavail == pages
    return filler


def states(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def told(ended: Ending, out: Path, words: tuple[str, ...]) -> None:
    """One line that names a file and says what the disk does."""
    assert "Traceback" not in ended.err and "unexpected" not in ended.err, ended.err
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert ended.code == 1 and errors, ended.err
    assert all(str(out) in line and any(w in line for w in words) for line in errors), errors


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_a_read_only_disk(tmp_path: Path, given: Path, name: str) -> None:
    writer = WRITERS[name]
    with disk(tmp_path / "disk") as root:
        out = root / "out"
        writer.prepare(given, out)
        before = states(out)
        subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
        (ended,) = endings([Run(writer.told(given, out))])
        told(ended, out, ("read-only", "Read-only"))
        assert states(out) == before
        assert ended.err.count("error: ") == 1, ended.err


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk(tmp_path: Path, given: Path, name: str) -> None:
    """However much of it is free: what is there is old or new, and whole."""
    writer = WRITERS[name]
    failed = 0
    with disk(tmp_path / "disk") as root:
        (whole,) = endings([Run(begun(writer, given, root / "whole"))])
        assert whole.code == 0, whole.err
        used = sum(-(-len(data) // PAGE) for data in states(root / "whole").values())
        for step, pages in enumerate((*FREE, used // 2, used - 1)):
            out = root / str(step)
            arguments = begun(writer, given, out)
            filler = fill(root, pages)
            (ended,) = endings([Run(arguments)])
            filler.unlink()
            assert contents(out) <= writer.names, (pages, contents(out), ended.err)
            check_whole(out)
            if ended.code:
                failed += 1
                told(ended, out, ("the disk is full", "No space left"))
            else:
                assert contents(out) == writer.names, pages
    assert failed >= 1


def begun(writer: Writer, given: Path, out: Path) -> list[str]:
    writer.prepare(given, out)
    return writer.told(given, out)
