"""The public door: paths, trimesh objects and arrays in, results that save themselves out."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

import posetx
from posetx.bodies.body import BodyModel
from posetx.errors import PosetxError, UsageError

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def poser() -> posetx.Poser:
    return posetx.load(refine=False)


@pytest.fixture(scope="module")
def mesh() -> tuple[np.ndarray, np.ndarray]:
    body = BodyModel.load()
    return body.template.double().numpy(), body.faces.numpy()


@pytest.fixture(scope="module")
def reading(poser: posetx.Poser) -> object:
    return poser.read(EXAMPLES / "scan.ply")


def python_example() -> str:
    """README's lines of Python."""
    text = (ROOT / "README.md").read_text()
    found = re.search(r"<!-- python-example -->\s*```python\n(.*?)```", text, re.S)
    assert found, "README.md has no block of Python after <!-- python-example -->"
    return found[1]


def test_readme_s_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(EXAMPLES)
    # without fits, for speed; tests/pipeline/test_transfer.py has the examples with them
    monkeypatch.setattr(posetx, "load", partial(posetx.load, refine=False))
    lines = python_example()
    assert len([x for x in lines.splitlines() if x.strip() and not x.startswith("import")]) <= 5
    exec(compile(lines, "README.md", "exec"), {})
    written = trimesh.load(tmp_path / "out.obj", force="mesh")
    assert np.isfinite(written.vertices).all()


def docstrings() -> list[Any]:
    """Those with examples; attacks take longest."""
    modules = [import_module(name) for name in ("posetx.api", "posetx.files.sources")]
    found = [one for m in modules for one in doctest.DocTestFinder().find(m) if one.examples]
    slow = [(pytest.mark.slow,) if "attack" in one.name else () for one in found]
    return [pytest.param(one, id=one.name, marks=m) for one, m in zip(found, slow, strict=True)]


@pytest.mark.parametrize("docstring", docstrings())
def test_docstrings_show_what_happens(docstring: doctest.DocTest) -> None:
    assert doctest.DocTestRunner().run(docstring).failed == 0


def test_every_public_name_has_an_example() -> None:
    for name in posetx.__all__:
        thing = getattr(posetx, name)
        assert thing.__doc__ and ">>> " in thing.__doc__, name


def test_importing_costs_next_to_nothing() -> None:
    """At most 0.05 s over bare Python, and no library behind it."""
    code = (
        "import time, sys; t = time.perf_counter(); import posetx; t = time.perf_counter() - t;"
        "print(t, *[m for m in ('torch', 'numpy', 'scipy', 'trimesh') if m in sys.modules])"
    )
    runs = [subprocess.run([sys.executable, "-c", code], stdout=-1, check=True) for _ in range(3)]
    words = [run.stdout.decode().split() for run in runs]
    assert min(float(w[0]) for w in words) < 0.05
    assert all(len(w) == 1 for w in words)


def test_unknown_names_are_unknown() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        posetx.nothing  # noqa: B018


def test_paths_meshes_and_arrays_are_the_same_scan(poser, tmp_path: Path) -> None:
    path = tmp_path / "few.npy"
    np.save(path, posetx.read_scan(EXAMPLES / "scan.ply").points[::8])
    told = {"up": "z", "clean": False}
    raw, first = posetx.read_scan(path), poser.read(path, **told)
    assert raw.faces is None
    for source in (str(path), raw, raw.points, trimesh.PointCloud(raw.points)):
        again = poser.read(source, **told)
        assert np.allclose(again.joints, first.joints, atol=1e-9)


def test_joints_are_in_the_scan(reading) -> None:
    """In its frame and unit: inside of the body's own box, the head over the feet."""
    low, high = reading.points.min(0), reading.points.max(0)
    assert ((reading.joints > low - 50) & (reading.joints < high + 50)).all()
    from posetx.bodies.skeleton import JOINTS

    up = reading.joints[:, 2]  # the example's z is up
    assert up[JOINTS.index("head")] > 1000 + min(up)


def test_one_target_many_poses(poser, reading, mesh) -> None:
    """What was prepared once serves again, and is the same as all in one."""
    hero = poser.prepare(mesh)
    first, second = poser.give(reading, hero), poser.give(reading, hero)
    assert np.array_equal(first.vertices, second.vertices)
    whole = poser.transfer(EXAMPLES / "scan.ply", mesh)
    assert np.array_equal(first.vertices, whole.vertices)
    assert first.report.confidence == first.confidence == reading.confidence


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".glb", ".stl", ".off"])
def test_a_result_saves_itself(poser, reading, mesh, suffix: str, tmp_path: Path) -> None:
    result = poser.give(reading, poser.prepare(mesh), restore=False)
    result.save(tmp_path / f"out{suffix}")
    back = trimesh.load(tmp_path / f"out{suffix}", process=False, force="mesh")
    corners, truth = back.vertices[back.faces], result.vertices[mesh[1]]
    assert np.abs(corners - truth).max() < 1e-5
    assert np.array_equal(result.mesh.faces, mesh[1])


def test_a_trimesh_keeps_its_colours(poser, reading, mesh, tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (len(mesh[0]), 4), dtype=np.uint8)
    target = trimesh.Trimesh(*mesh, vertex_colors=colours, process=False)
    poser.give(reading, poser.prepare(target), restore=False).save(tmp_path / "out.ply")
    back = trimesh.load(tmp_path / "out.ply", process=False)
    assert np.array_equal(back.visual.vertex_colors[:, :3], colours[:, :3])


def test_a_report_is_plain(poser, reading, mesh) -> None:
    import json

    report = poser.give(reading, poser.prepare(mesh), restore=False).report
    assert json.loads(json.dumps(report.to_json()))["scan_up"] == "z"


def test_what_cannot_be_is_one_line(poser, mesh, tmp_path: Path) -> None:
    with pytest.raises(PosetxError, match="n, 3"):
        poser.read(np.zeros((4, 2)))
    with pytest.raises(PosetxError, match="no target"):
        poser.prepare(7)
    with pytest.raises(PosetxError, match=r"missing\.ply"):
        poser.read(tmp_path / "missing.ply")
    with pytest.raises(UsageError, match="up w: not an axis"):
        poser.read(mesh[0], up="w")
    with pytest.raises(UsageError, match=r"out\.xyz"):
        poser.transfer(mesh[0], mesh, tmp_path / "out.xyz")
    assert not list(tmp_path.iterdir())


def test_an_attack_returns_the_scan_in_its_frame(poser, mesh, tmp_path: Path) -> None:
    points = 1000 * mesh[0][:, [2, 0, 1]]
    found = poser.attack(points, mesh, tmp_path / "adv.ply", method="fgm", epsilon=0.05)
    moved = np.linalg.norm(found.scan.points - points, axis=1)
    assert 0 < moved.mean() < 500
    assert np.allclose(posetx.read_scan(tmp_path / "adv.ply").points, found.scan.points, atol=0.1)
