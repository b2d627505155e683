"""Outputs appear whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from posetx.errors import PosetxError, UsageError
from posetx.files import unfinished
from posetx.files.atomic import (
    atomic_file,
    check_output,
    check_outputs,
    write_bytes_atomic,
    write_text_atomic,
    written,
)
from posetx.files.unfinished import Unfinished, sweep


@pytest.fixture(params=["nameless", "named"], autouse=True)
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Systems that have files without names, and those that have none."""
    if request.param == "named":
        monkeypatch.setattr(unfinished, "_NAMELESS", 0)
    return str(request.param)


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text_atomic(path, "é\n")
    write_bytes_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.obj"
    path.write_text("old")
    with pytest.raises(error), atomic_file(path) as stream:
        stream.write(b"half")
        stream.flush()
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.obj"]


def test_full_disk_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PosetxError, match="disk is full"), atomic_file(tmp_path / "a.ply"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not os.listdir(tmp_path)


def test_other_errors_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "a.ply"):
        (tmp_path / "missing").read_bytes()


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(PosetxError, match="does not exist"):
        write_text_atomic(tmp_path / "no" / "a.txt", "")
    (tmp_path / "file").write_text("")
    with pytest.raises(PosetxError, match="is not a folder"):
        write_text_atomic(tmp_path / "file" / "a.txt", "")
    with pytest.raises(PosetxError, match="is a folder"):
        write_text_atomic(tmp_path, "")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PosetxError, match="no permission"):
            write_text_atomic(tmp_path / "a.txt", "")
    finally:
        tmp_path.chmod(0o700)


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "a.txt", tmp_path / "link.txt"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    write_text_atomic(link, "new")
    assert link.is_symlink() and path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_check_output(tmp_path: Path) -> None:
    path = tmp_path / "a.obj"
    check_output(path, overwrite=False)
    path.write_text("")
    check_output(path, overwrite=True)
    with pytest.raises(UsageError, match="overwrite"):
        check_output(path, overwrite=False)
    with pytest.raises(UsageError, match="is a folder"):
        check_output(tmp_path, overwrite=True)


def test_what_is_of_no_use_alone_is_there_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, beside = (tmp_path / name for name in ("one", "other", "beside"))
    other.write_text("old")
    with written({one: b"1", other: b"2"}) as made:
        assert os.listdir(tmp_path) == ["other"] or unfinished._NAMELESS == 0
        beside.write_text("x")
        made.append(beside)
    assert [p.read_text() for p in (one, other, beside)] == ["1", "2", "x"]
    one.unlink()
    place = Unfinished.place

    def placed(file: Unfinished) -> None:
        if file.path == other:
            raise OSError(errno.ENOSPC, "")
        place(file)

    monkeypatch.setattr(Unfinished, "place", placed)
    told = pytest.raises(PosetxError, match="other: cannot be written: the disk is full")
    with told, written({one: b"3", other: b"4"}) as made:
        made.append(beside)
    assert os.listdir(tmp_path) == ["other"] and other.read_text() == "2"


def test_what_was_there_before_is_not_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("old")
    monkeypatch.setattr(os, "fsync", lambda _: other.mkdir(exist_ok=True))
    with pytest.raises(PosetxError, match="other"), written({one: b"1", other: b"2"}):
        pass
    assert one.read_text() in ("old", "1") and sorted(os.listdir(tmp_path)) == ["one", "other"]


KILLED = """
import os, signal, sys
from pathlib import Path
from posetx.files import unfinished
from posetx.files.atomic import write_bytes_atomic
path, world, moment = sys.argv[1:]
if world == "named":
    unfinished._NAMELESS = 0
setattr(os, moment, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
write_bytes_atomic(Path(path), b"new" * 10_000)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("moment", ["fsync", "fchmod", "link", "replace"])
def test_what_a_kill_leaves_is_swept(tmp_path: Path, world: str, moment: str, old: bool) -> None:
    path, mine = tmp_path / "a", tmp_path / ".posetx-notes"
    mine.write_text("no writer's")
    if old:
        path.write_text("old")
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), world, moment], check=False, cwd=Path.cwd()
    )
    done = child.returncode == 0  # that was never called
    assert done or child.returncode == -signal.SIGKILL
    left = [p for p in tmp_path.glob(".posetx-*") if p != mine]
    if world == "nameless" and sys.platform == "linux":
        assert len(left) == (moment == "replace" and old), "a name only for what takes a place"
    if done:
        assert path.read_bytes() == b"new" * 10_000
    elif old:
        assert path.read_text() == "old"
    else:
        assert not path.exists()
    check_outputs({"output": path}, [], overwrite=True)
    assert set(tmp_path.iterdir()) == {mine, *([path] if done or old else [])}


def test_what_is_being_written_is_not_swept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with atomic_file(path) as stream:
        stream.write(b"new")
        sweep(tmp_path)
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a"]


def test_a_sweep_just_before_the_lock_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, swept = unfinished._lock, []

    def late(descriptor: int) -> None:
        if not swept:
            swept.append(sorted(os.listdir(tmp_path)))
            sweep(tmp_path)
        lock(descriptor)

    monkeypatch.setattr(unfinished, "_lock", late)
    write_bytes_atomic(tmp_path / "a", b"new")
    assert swept and (tmp_path / "a").read_bytes() == b"new" and os.listdir(tmp_path) == ["a"]


def test_links_and_folders_of_that_name_are_not_swept(tmp_path: Path) -> None:
    (tmp_path / ".posetx-0123456789ab").mkdir()
    (tmp_path / "mine").write_text("x")
    (tmp_path / ".posetx-0123456789ac").symlink_to("mine")
    sweep(tmp_path)
    assert len(os.listdir(tmp_path)) == 3
    sweep(tmp_path / "missing")
