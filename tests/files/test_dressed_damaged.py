"""Damaged files with much to wear, written in another format: as far as it goes, or in one line."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from posetx.errors import PosetxError
from posetx.files.codecs.glb import encode_glb, glb_chunks
from posetx.files.targets import read_target
from tests.files.dressed import EXAMPLE, clothed, converted
from tests.files.mutants import mutations, spoil
from tests.files.test_fuzz import check_error, no_hang
from tests.files.test_textures import textured_ply

FEW = 60


def spoilt(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """A GLB with something wrong in its document."""
    text, binary, _ = glb_chunks(data, Path("a.glb"))
    generator = np.random.default_rng(seed)
    for _ in range(count):
        document = copy.deepcopy(json.loads(text))
        for _ in range(int(generator.integers(1, 3))):
            spoil(document, generator)
        yield encode_glb(document, binary or b"", [])


def ends_well(source: Path, output: Path) -> bool:
    """Whether it is written; it can be read then, and nothing is there else."""
    output.parent.mkdir()
    try:
        with no_hang():
            target = read_target(source)
            target.save(output, target.vertices[:, [1, 2, 0]] + 1)
            again = read_target(output)
            assert len(again.faces) == len(target.faces)
            again.looks()
        done = True
    except PosetxError as error:
        check_error(error)
        assert not list(output.parent.iterdir())
        done = False
    assert {p.suffix for p in output.parent.iterdir()} <= {".obj", ".glb", ".mtl", ".png"}
    shutil.rmtree(output.parent)
    return done


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", ["clothed.obj", "wardrobe.mtl", "tex/lace.png"])
def test_damaged_objs_and_what_they_name(tmp_path: Path, name: str) -> None:
    source = clothed(tmp_path / "in")
    damaged = source.parent / name
    ends = []
    for data in mutations(damaged.read_bytes(), FEW, 5):
        damaged.write_bytes(data)
        ends.append(ends_well(source, tmp_path / "out" / "o.glb"))
    assert any(ends) and (all(ends) or name == "clothed.obj")


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian"])
def test_damaged_textured_plys(tmp_path: Path, kind: str) -> None:
    source = textured_ply(tmp_path / "in", kind, images=2)
    ends = []
    for number, data in enumerate(mutations(source.read_bytes(), FEW, 7)):
        source.write_bytes(data)
        ends.append(ends_well(source, tmp_path / "out" / ("o.glb", "o.obj")[number % 2]))
    assert any(ends) and not all(ends)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("how", [mutations, spoilt])
def test_damaged_glbs(tmp_path: Path, how: object) -> None:
    converted(clothed(tmp_path / "in"), tmp_path / "g.glb")
    data = (tmp_path / "g.glb").read_bytes()
    ends = []
    for damaged in how(data, FEW, 6):  # type: ignore[operator]
        (tmp_path / "g.glb").write_bytes(damaged)
        ends.append(ends_well(tmp_path / "g.glb", tmp_path / "out" / "o.obj"))
    assert any(ends)


def test_a_full_disk_leaves_nothing_of_a_glb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from posetx.files.unfinished import Unfinished

    def full(_: Unfinished, __: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Unfinished, "write", full)
    target = read_target(EXAMPLE)
    with pytest.raises(PosetxError, match="disk is full"):
        target.save(tmp_path / "o.glb", target.vertices)
    assert not list(tmp_path.iterdir())
