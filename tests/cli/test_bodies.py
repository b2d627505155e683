"""`posetx bodies`: the files, the two layouts, the options that do not go together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from posetx.cli import app
from posetx.files.codecs.obj import decode_obj
from posetx.files.codecs.ply import decode_ply

VERTICES, FACES = 13492, 26972


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        app(["bodies", *map(str, arguments)], prog_name="posetx")
    return int(ended.value.code or 0)


def ply(path: Path) -> tuple[np.ndarray, np.ndarray]:
    decoded = decode_ply(path.read_bytes(), path)
    vertex = decoded.element("vertex")
    assert vertex is not None
    return vertex.columns("x", "y", "z"), decoded.triangles()


def obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    decoded = decode_obj(path.read_bytes(), path)
    return decoded.vertices, decoded.faces


def test_plain_with_scans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "bodies"
    assert run(out, "-n", 2, "--scan", "--scan-points", 3000, "--json") == 0
    names = ["body_0000.ply", "body_0001.ply", "scan_0000.ply", "scan_0001.ply"]
    assert sorted(p.name for p in out.iterdir()) == names
    summary = json.loads(capsys.readouterr().out)
    assert summary["bodies"] == summary["scans"] == 2
    assert sorted(Path(p).name for p in summary["files"]) == names

    vertices, faces = ply(out / "body_0000.ply")
    assert vertices.shape == (VERTICES, 3)
    assert faces.shape == (FACES, 3)
    assert vertices[:, 1].min() == pytest.approx(0.0, abs=1e-6)
    scan, none = ply(out / "scan_0000.ply")
    assert scan.shape == (3000, 3)
    assert len(none) == 0
    gap = np.abs(np.median(scan, 0) - np.median(vertices, 0))
    assert gap.max() < 0.3, "the scan is where the body is"
    assert not np.allclose(vertices, ply(out / "body_0001.ply")[0])


def test_npt_layout(tmp_path: Path) -> None:
    """Two people in three poses: the faces shared, pose j the same for everyone."""
    assert run(tmp_path, "--layout", "npt", "-n", 3, "--identities", 2, "-q") == 0
    assert {p.name for p in tmp_path.iterdir()} == {
        f"id{i}_{j}.obj" for i in (0, 1) for j in (0, 1, 2)
    }
    meshes = {(i, j): obj(tmp_path / f"id{i}_{j}.obj") for i in (0, 1) for j in (0, 1, 2)}
    assert all(np.array_equal(m[1], meshes[0, 0][1]) for m in meshes.values())
    assert meshes[0, 0][0].shape == (VERTICES, 3)

    def shape(i: int, j: int) -> np.ndarray:
        centred = meshes[i, j][0] - meshes[i, j][0].mean(0)
        return centred / np.linalg.norm(centred)

    for j in range(3):
        others = [np.linalg.norm(shape(0, j) - shape(1, k)) for k in range(3)]
        assert int(np.argmin(others)) == j


def test_the_seed_decides(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert run(tmp_path / name, "-n", 1, "--scan", "--seed", seed, "-q") == 0
    for file in ("body_0000.ply", "scan_0000.ply"):
        first, same, other = ((tmp_path / n / file).read_bytes() for n in "abc")
        assert first == same
        assert first != other


def test_rest_poses_stand(tmp_path: Path) -> None:
    assert run(tmp_path, "-n", 2, "--poses", "rest", "--format", "obj", "-q") == 0
    for path in tmp_path.glob("*.obj"):
        size = np.ptp(obj(path)[0], axis=0)
        assert size[1] > size[2] * 2


def test_existing_files_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep = tmp_path / "body_0001.ply"
    keep.write_text("mine")
    assert run(tmp_path, "-n", 2) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert keep.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [keep], "nothing is written before the check"
    assert run(tmp_path, "-n", 2, "--overwrite") == 0
    assert keep.read_bytes().startswith(b"ply")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--poses", "clips"], 2, "--mocap DIR"),
        (["--poses", "rest", "--mocap", "."], 2, "does not go with"),
        (["--mocap", "nowhere"], 1, "no BVH files"),
        (["--layout", "npt", "--format", "ply"], 2, "OBJ"),
        (["--count", "0"], 2, "count"),
        (["--views", "9"], 2, "views"),
    ],
)
def test_errors(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert run(out, *arguments) == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert not out.exists()


def test_the_folder_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    assert run(path, "-n", 1) == 2
    assert "is a file" in capsys.readouterr().err
