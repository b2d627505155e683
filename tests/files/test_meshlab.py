"""Formats that only MeshLab reads, written by MeshLab itself; and what is said when it dies."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from posetx.errors import MissingError, PosetxError, UsageError
from posetx.files.codecs import meshlab
from posetx.files.scans import read_scan
from posetx.files.targets import read_target
from posetx.files.targets.base import check_output_suffix, result_suffix
from posetx.system.child import Ended, run_module

# A figure with nothing symmetric about it, far enough from the origin that a lost place shows.
VERTICES = np.array([[5, 0, 0], [6, 0, 0], [5, 2, 0], [5, 0, 3], [7, 1, 1.5]], dtype=np.float64)
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 4], [2, 3, 4], [3, 1, 4]])
COLORS = np.array([[250, 0, 10], [0, 240, 0], [0, 0, 230], [9, 99, 199], [255, 255, 255]])
COLOURED = (".dae", ".x3d", ".x3dv", ".wrl")
WRITE = """
import sys, numpy as np, pymeshlab
vertices, faces, colors = (np.array(eval(a)) for a in sys.argv[2:5])
colors = np.concatenate([colors / 255.0, np.ones((len(colors), 1))], axis=1)
meshes = pymeshlab.MeshSet()
meshes.add_mesh(pymeshlab.Mesh(vertices, faces, v_color_matrix=colors))
meshes.save_current_mesh(sys.argv[1])
"""


@cache
def written(suffix: str) -> bytes:
    """The figure in the format of the suffix; in a child, as posetx does."""
    # MeshLab writes no classic-encoded X3D, which is VRML with another first line.
    if suffix == ".x3dv":
        return written(".wrl").replace(b"#VRML V2.0 utf8", b"#X3D V3.0 utf8\nPROFILE Interchange\n")
    arrays = [str(a.tolist()) for a in (VERTICES, FACES, COLORS)]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"made{suffix}"
        child = [sys.executable, "-c", WRITE, str(made), *arrays]
        subprocess.run(child, check=True, capture_output=True)
        return made.read_bytes()


def write(path: Path) -> Path:
    """A file of the figure."""
    path.write_bytes(written(path.suffix.lower()))
    return path


def same_surface(vertices: np.ndarray, faces: np.ndarray) -> None:
    """The figure's triangles, whatever order its vertices and faces have come in."""
    near = np.linalg.norm(vertices[:, None] - VERTICES, axis=2)
    assert near.min(axis=1).max() < 1e-3  # CTM rounds
    found = near.argmin(axis=1)[faces]
    turned = [tuple(np.roll(face, -int(face.argmin()))) for face in found]
    expected = [tuple(np.roll(face, -int(face.argmin()))) for face in FACES]
    assert sorted(turned) == sorted(expected)


@pytest.mark.parametrize("suffix", meshlab.SUFFIXES)
def test_scan_and_target(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}")
    scan = read_scan(path)
    assert scan.faces is not None
    same_surface(scan.points, scan.faces)
    assert (scan.colors is not None) == (suffix in COLOURED)
    if scan.colors is not None:
        nearest = np.linalg.norm(scan.points[:, None] - VERTICES, axis=2).argmin(axis=1)
        assert np.abs(scan.colors.astype(int) - COLORS[nearest]).max() <= 1

    target = read_target(path)
    same_surface(target.vertices, target.faces)
    for written in (".obj", ".ply", ".glb"):
        notes = target.save(tmp_path / f"out{written}", target.vertices + [0.0, 1.0, 0.0])
        assert len(notes) == 1 and suffix in notes[0]
        back = read_target(tmp_path / f"out{written}")
        same_surface(back.vertices - [0.0, 1.0, 0.0], back.faces)


def test_names_of_any_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Upper case, spaces, umlauts, and relative to a folder."""
    write(tmp_path / "a.dae").rename(tmp_path / "Käse und Brot.DAE")
    monkeypatch.chdir(tmp_path)
    scan = read_scan(Path("Käse und Brot.DAE"))
    assert len(scan.points) == 5
    assert Path.cwd() == tmp_path


def test_parts_stand_in_their_places(tmp_path: Path) -> None:
    """A 3MF with one object twice, the second time larger and elsewhere."""
    source = zipfile.ZipFile(write(tmp_path / "a.3mf"))
    with zipfile.ZipFile(tmp_path / "two.3mf", "w") as out:
        for name in source.namelist():
            text = source.read(name).decode()
            again = '<item objectid="1" transform="2 0 0 0 2 0 0 0 2 10 0 0"/>'
            out.writestr(name, re.sub(r"(<item [^>]*/>)", rf"\1{again}", text))
    scan = read_scan(tmp_path / "two.3mf")
    assert scan.faces is not None and len(scan.points) == 10
    same_surface(scan.points[:5], scan.faces[:6])
    same_surface((scan.points[5:] - [10.0, 0.0, 0.0]) / 2.0, scan.faces[6:] - 5)


def test_polygons_become_triangles(tmp_path: Path) -> None:
    text = write(tmp_path / "a.x3d").read_text()
    text = re.sub(r'coordIndex="[^"]*"', 'coordIndex="0 1 2 3 -1"', text)
    text = re.sub(r'point="[^"]*"', 'point="0 0 0 1 0 0 1 1 0 0 1 0"', text)
    (tmp_path / "q.x3d").write_text(re.sub(r"<Color.*?/>", "", text))
    assert read_target(tmp_path / "q.x3d").faces.tolist() == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize("suffix", meshlab.SUFFIXES)
def test_damaged(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Garbage, half a file and an empty one: one line that names the file, exit code 1."""
    monkeypatch.setattr(meshlab, "SECONDS", 20.0)
    path = tmp_path / f"a{suffix}"
    whole = write(path).read_bytes()
    half = whole[: len(whole) // 2]
    for data, readers in (
        (b"", (read_scan,)),
        (b"garbage", (read_target,)),
        (half, (read_scan, read_target)),
    ):
        path.write_bytes(data)
        for read in readers:
            try:
                read(path)
                assert len(data) > 10  # half of a text can be a file
            except PosetxError as error:
                assert error.exit_code == 1 and "\n" not in str(error)
                assert str(error).startswith(f"{path}: ")


def stand_in(code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A scan for which the child finds a pymeshlab that does what `code` says."""
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "pymeshlab.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    path = tmp_path / "a.dae"
    path.write_text("x")
    return path


LOADS = (
    "class PyMeshLabException(Exception): pass\nclass MeshSet:\n    def load_new_mesh(self, _): "
)


@pytest.mark.parametrize("read", [read_scan, read_target])
def test_crash(read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = LOADS + "import os; os.abort()"
    path = stand_in(code, monkeypatch, tmp_path)
    with pytest.raises(PosetxError, match=r"a\.dae: pymeshlab.* crashed .*6.*; .*OBJ") as caught:
        read(path)
    assert caught.value.exit_code == 1 and "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [read_scan, read_target])
def test_hang(read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stand_in(LOADS + "import time; time.sleep(60)", monkeypatch, tmp_path)
    monkeypatch.setattr(meshlab, "SECONDS", 1.0)
    begin = time.monotonic()
    with pytest.raises(PosetxError, match=r"a\.dae: .* did not end within 1 s; ") as caught:
        read(path)
    assert time.monotonic() - begin < 10.0
    assert caught.value.exit_code == 1 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ModuleNotFoundError(\"No module named 'pymeshlab'\")", r"posetx\[formats\]"),
        ("raise ImportError('libGL.so.1: cannot open')", "libGL.so.1: cannot open"),
        ("import os; os.abort()", "signal 6"),
    ],
)
def test_library_missing_or_broken(
    code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stand_in(code, monkeypatch, tmp_path)
    with pytest.raises(MissingError, match=rf"a\.dae: DAE files need pymeshlab.*{said}") as caught:
        read_scan(path)
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value)


def test_what_the_child_leaves_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(module: str, source: str, **_: object) -> Ended:
        points = np.array([[0.0, 0.0, 0.0], [np.nan, 0.0, 0.0], [1.0, 0.0, 0.0]])
        answer = io.BytesIO()
        np.savez(answer, points=points, faces=np.array([[0, 1, 2], [0, 1, 9]]))
        return Ended(0, answer.getvalue(), f"{meshlab.STARTED}\n")

    monkeypatch.setattr(meshlab, "run_module", run)
    path = tmp_path / "a.dae"
    path.write_text("x")
    scan = read_scan(path)
    assert scan.faces is None and len(scan.points) == 2 and len(scan.notes) == 2
    with pytest.raises(PosetxError, match="vertex"):
        read_target(path)


def test_these_formats_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"out\.dae: '\.dae' is read but not written; .*\.obj"):
        check_output_suffix(tmp_path / "out.dae")
    target = read_target(write(tmp_path / "a.x3d"))
    with pytest.raises(UsageError, match="read but not written"):
        target.save(tmp_path / "out.x3d", target.vertices)
    assert not (tmp_path / "out.x3d").exists()
    assert result_suffix(tmp_path / "a.DAE") == ".obj" and result_suffix(Path("a.glb")) == ".glb"


def test_a_module_is_run_with_this_posetx() -> None:
    """Even where posetx is not installed; its exit code and words come back."""
    done = run_module("posetx", "--version", seconds=60.0)
    assert done.code == 0 and done.answer.strip()


def test_a_broken_file_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "a.dae").write_text("garbage")
    arguments = ("clean", str(tmp_path / "a.dae"), "-o", str(tmp_path / "out.ply"))
    done = run_module("posetx", *arguments, seconds=120.0)
    assert done.code == 1
    assert done.said.startswith("error: ") and done.said.count("\n") == 1
    assert not (tmp_path / "out.ply").exists()
