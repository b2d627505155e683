"""Files made to harm: little ones that ask for gigabytes."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from posetx.bodies.body import BodyModel
from posetx.data.bvh import read_clip
from posetx.errors import PosetxError
from posetx.files.scans import read_scan
from posetx.files.targets import read_target
from tests.files.bombs import BOMBS, groups_of_groups, instances_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")


LARGE = ("instances", "sparse", "overlapping", "npz", "gzip", "buffers", "images", "frames")


@pytest.mark.parametrize("name", BOMBS)
def test_what_a_file_asks_for_is_bounded_by_its_size(tmp_path: Path, name: str) -> None:
    """As a scan and as a target: under 2 s of one core and 1 GiB, or refused."""
    files = BOMBS[name]()
    for file, data in files.items():
        (tmp_path / file).write_bytes(data)
        assert len(data) < 2_000_000
    path = tmp_path / next(iter(files))
    (tmp_path / "out").mkdir()
    if path.suffix == ".bvh":
        works = [partial(read_clip_or_not, path)]
    else:
        works = [partial(read_scan_or_not, path)]
    if path.suffix in (".glb", ".gltf", ".obj", ".ply"):
        other = ".obj" if path.suffix == ".glb" else ".glb"
        for suffix in (path.suffix, other):
            works.append(partial(moved_or_not, path, tmp_path / "out" / f"o{suffix}"))
    seconds = [cpu_seconds(work) for work in works]
    assert max(seconds) < 2.0, seconds
    if name in LARGE:
        tracemalloc.start()
        works[-1]()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**30


def cpu_seconds(work: Callable[[], None]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def moved_or_not(path: Path, out: Path) -> None:
    try:
        target = read_target(path)
        target.rig(np.ones(len(target.vertices), dtype=bool))
        target.looks()
        target.save(out, target.vertices + 1)
    except PosetxError as error:
        assert "\n" not in str(error) and not out.exists()


def read_clip_or_not(path: Path) -> None:
    try:
        read_clip(path, BodyModel.load().joint_template.numpy())
    except PosetxError as error:
        assert "\n" not in str(error)


def read_scan_or_not(path: Path) -> None:
    try:
        read_scan(path)
    except PosetxError as error:
        assert "\n" not in str(error)


def test_what_meshlab_is_kept_busy_with_is_ended(tmp_path: Path) -> None:
    """Groups of groups of groups: a kilobyte shows a triangle a hundred million times."""
    path = tmp_path / "a.x3d"
    path.write_bytes(groups_of_groups(9))
    assert path.stat().st_size < 2000
    with pytest.raises(PosetxError, match=r"a\.x3d: .*pymeshlab, which reads X3D") as caught:
        read_scan(path)
    assert "\n" not in str(caught.value)


def test_usual_instances_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.glb").write_bytes(instances_of(200, 5_000))
    assert len(read_scan(tmp_path / "a.glb").points) == 1_000_000
