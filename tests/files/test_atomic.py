"""Outputs appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from posetx.errors import PosetxError, UsageError
from posetx.files.atomic import (
    atomic_file,
    check_output,
    write_bytes_atomic,
    write_text_atomic,
)


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
