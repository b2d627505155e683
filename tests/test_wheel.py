"""The wheel: what is in it, how large it is, and that it works by itself on every Python here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
EXAMPLES = REPOSITORY / "examples"
#: what requires-python allows
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
#: MB; most of it are the weights (9.6), the body model (4) and the pose prior
LARGEST = 20

pytestmark = pytest.mark.skipif(find_spec("hatchling") is None, reason="needs posetx[test]")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def tracked(folder: str) -> set[str]:
    """Files of the repository below a folder."""
    listed = subprocess.run(
        ["git", "ls-files", folder], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    return set(listed.stdout.split("\n")) - {""}


def test_the_wheel_has_what_it_needs_and_nothing_else(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    assert wheel.stat().st_size < LARGEST * 1e6
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        told = archive.read(metadata).decode()
    inside = {name for name in names if ".dist-info/" not in name}
    weights = {"posetx/weights/posemae.safetensors", "posetx/weights/posemae.json"}
    assert inside == tracked("posetx") | weights
    assert "posetx/py.typed" in inside
    assert {Path(name).name for name in names if "/licenses/" in name} == {
        "LICENSE",
        "three.LICENSE.txt",
    }
    assert "Requires-Python: <3.15,>=3.10" in told
    for extra in ("blender", "formats", "onnx", "ray", "scanners", "test", "train"):
        assert f"Provides-Extra: {extra}" in told


def run_the_example(python: str, folder: Path, **environment: str) -> None:
    """Far from the repository, whose package must not be what is imported."""
    folder.mkdir(exist_ok=True)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "POSETX"))}
    for name in ("scan.ply", "target.obj", "target.mtl", "target.png"):
        shutil.copy(EXAMPLES / name, folder)
    done = subprocess.run(
        [python, "-m", "posetx", "transfer", "scan.ply", "target.obj", "-o", "out.obj"],
        cwd=folder,
        env={**clean, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "out.obj").stat().st_size > 0.9 * (folder / "target.obj").stat().st_size
    assert "vertices posed" in done.stderr and "no use" not in done.stderr


def test_the_example_runs_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    run_the_example(sys.executable, tmp_path / "far", PYTHONPATH=str(site), PYTHONSAFEPATH="1")


def python_of(version: str) -> str | None:
    """An interpreter of this version: on the path, or one of pyenv's."""
    for found in sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")):
        return str(found)
    return shutil.which(f"python{version}")


@pytest.mark.slow
@pytest.mark.parametrize("version", PYTHONS)
def test_the_example_runs_in_a_fresh_environment(version: str, wheel: Path, tmp_path: Path) -> None:
    """As a user installs it; the packages come from where pip takes them."""
    python = python_of(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    own = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([own, "-m", "pip", "install", "-q", "--no-compile", wheel], check=True)
    run_the_example(own, tmp_path / "far")
