"""Pictures: every cell shows its subject, at one scale, without a display."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posetx.errors import MissingError, PosetxError
from posetx.report.page import BORDER, GAP, compose, gradient, shortened
from posetx.report.preview import CELL, Column, render_meshes, render_preview
from posetx.report.stage import MESH_COLOR, POINT_LIMIT, Stage, set_stage, vertex_colors

UP, FRONT = (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def box(width: float, height: float, depth: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of a box about the origin."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2.0
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [f for a, b, c, d in quads for f in ((a, b, c), (a, c, d))]
    return corners * [width, height, depth], np.array(faces)


def cloud(count: int = 3000) -> np.ndarray:
    directions = np.random.default_rng(0).normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions * [0.3, 0.9, 0.2]


def column(**options: object) -> Column:
    vertices, faces = box(0.5, 1.8, 0.3)
    return Column("box", vertices, faces, **options)  # type: ignore[arg-type]


def stage(*columns: Column) -> Stage:
    return set_stage(columns, ["front", "side"], UP, FRONT, CELL)


# Drawn pictures


@pytest.fixture(scope="module")
def preview(tmp_path_factory: pytest.TempPathFactory) -> Image.Image:
    """A preview of a scan in millimetres with a stray point, made without a display."""
    pytest.importorskip("pyvista")
    path = tmp_path_factory.mktemp("preview") / "out.png"
    scan = np.vstack([cloud() * 1000.0, [[9e4, 0.0, 0.0]], [[np.nan] * 3]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISPLAY", ":99")  # a display that is not there must not matter
        render_preview(path, scan, box(0.5, 1.8, 0.3), box(1.2, 1.6, 0.3))
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.convert("RGB")


def drawn(picture: Image.Image, i: int, j: int) -> np.ndarray:
    """Where the cell of column i and row j of a 2-row preview is not background, (h, w) bool."""
    width, height = CELL
    top = picture.height - BORDER - (2 - j) * height - (1 - j) * GAP
    cell = picture.crop((BORDER + i * width, top, BORDER + (i + 1) * width, top + height))
    background = np.asarray(gradient(width, height), int)
    marked = (np.abs(np.asarray(cell, int) - background) > 12).any(axis=2)
    marked[:40, :90] = False  # the name of the view
    return marked


def test_a_preview_has_six_cells_with_something_in_each(preview: Image.Image) -> None:
    assert preview.width == 2 * BORDER + 3 * CELL[0]
    assert preview.height > 2 * CELL[1] + GAP
    for i in range(3):
        for j in range(2):
            marked = drawn(preview, i, j)
            assert 0.03 < marked.mean() < 0.6, (i, j)
            # In the middle of its column, and nothing is cut off.
            assert abs(np.nonzero(marked)[1].mean() - CELL[0] / 2) < 0.06 * CELL[0], (i, j)
            # Not cut off; the rounded corners of the row are no background either.
            inner = marked[20:-20]
            assert inner.any() and not inner[:, :5].any() and not inner[:, -5:].any()
            assert not marked[:5, 20:-20].any()


def test_the_views_differ_and_the_scale_is_one(preview: Image.Image) -> None:
    def width_and_top(i: int, j: int) -> tuple[int, int]:
        rows, columns = np.nonzero(drawn(preview, i, j)[20:260])  # above the shadows
        return int(np.ptp(columns)), int(rows.min())

    scan, target, target_side = width_and_top(0, 0), width_and_top(1, 0), width_and_top(1, 1)
    result = width_and_top(2, 0)
    assert target_side[0] / target[0] == pytest.approx(0.3 / 0.5, abs=0.05)
    assert result[0] / target[0] == pytest.approx(1.2 / 0.5, abs=0.1)
    assert result[1] > target[1] + 20  # it is less high
    # The scan came in millimetres and is drawn as large as the result.
    assert 0.3 < scan[0] / result[0] < 0.8
    assert abs(scan[1] - result[1]) < 80


def test_a_failing_renderer_is_a_missing_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A child that cannot import pyvista stands for all that can go wrong with one.
    (tmp_path / "pyvista.py").write_text("raise ImportError('libGL.so.1: cannot open')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = tmp_path / "out.png"
    path.write_bytes(b"before")
    with pytest.raises(MissingError, match=r"libGL\.so\.1") as caught:
        render_meshes(path, [column()])
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"before"


def test_without_pyvista_the_hint_is_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingError, match="pip install pyvista"):
        render_meshes(tmp_path / "out.png", [column()])
    assert not list(tmp_path.iterdir())


# The stage


def test_subjects_stand_on_one_ground_in_the_middle() -> None:
    vertices, faces = box(0.5, 1.0, 0.3)
    far = Column("far", vertices + [1e6, 5.0, -7.0], faces)
    for subject in stage(column(), far).subjects:
        assert subject.points[:, 1].min() == pytest.approx(0.0, abs=1e-4)
        assert np.abs(subject.points[:, [0, 2]].mean(axis=0)).max() < 1e-4


def test_up_and_front_turn_the_subject() -> None:
    # Lies along z and looks along x: upright it is 1.8 high, 0.5 wide, 0.3 deep.
    vertices, faces = box(0.3, 0.5, 1.8)
    turned = set_stage([Column("", vertices, faces)], ["front"], (0, 0, 1), (1, 0, 0), CELL)
    assert np.ptp(turned.subjects[0].points, axis=0) == pytest.approx([0.5, 1.8, 0.3])
    with pytest.raises(PosetxError, match="make no frame"):
        set_stage([column()], ["front"], UP, UP, CELL)


def test_a_large_cloud_is_thinned_and_keeps_its_colours() -> None:
    points = np.random.default_rng(0).random((POINT_LIMIT + 1000, 3))
    subject = stage(Column("", points, colors=points)).subjects[0]
    assert len(subject.points) == len(subject.colors) == POINT_LIMIT
    assert 0.0 < subject.spacing < 0.1


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.full((4, 3), np.nan)])
def test_no_points_is_an_error(points: np.ndarray) -> None:
    with pytest.raises(PosetxError, match="has no points"):
        stage(Column("scan", points))


@pytest.mark.parametrize("points", [np.zeros((1, 3)), np.ones((50, 3)), np.eye(3)])
def test_degenerate_clouds_have_a_stage(points: np.ndarray) -> None:
    made = stage(Column("scan", points))
    assert np.isfinite(made.half_height)
    assert np.isfinite(made.centers).all()


def test_faces_with_vertices_that_are_nan_are_left_out() -> None:
    vertices, faces = box(1.0, 1.0, 1.0)
    vertices[0] = np.nan
    subject = stage(Column("", vertices, faces)).subjects[0]
    assert subject.faces is not None
    assert 0 < len(subject.faces) < len(faces)
    assert np.isfinite(subject.points).all()


def test_vertex_colors() -> None:
    floats = np.tile([1.0, 0.8, 0.6], (8, 1))
    assert vertex_colors(column(colors=floats), 8)[0].tolist() == [255, 204, 153]
    assert vertex_colors(column(colors=floats * 255), 8)[0].tolist() == [255, 204, 153]
    assert vertex_colors(column(color=(1, 2, 3)), 8).tolist() == [1, 2, 3]
    assert vertex_colors(column(), 8).tolist() == list(MESH_COLOR)
    scalars = vertex_colors(column(scalars=np.arange(8.0)), 8)
    assert scalars[0, 2] > scalars[0, 0] and scalars[-1, 0] > scalars[-1, 2]
    assert vertex_colors(column(scalars=np.full(8, np.nan)), 8).shape == (8, 3)
    with pytest.raises(PosetxError, match="8 points, 3 colours"):
        vertex_colors(column(colors=np.zeros((3, 3))), 8)


# The page


def test_a_page_with_notes_and_a_legend() -> None:
    plain, noted = [column()], [column(note="a note", scalars=np.arange(8.0))]
    images = np.zeros((1, 2, CELL[1], CELL[0], 4), np.uint8)
    small = compose(plain, ["front", "side"], stage(*plain), images)
    large = compose(noted, ["front", "side"], stage(*noted), images)
    assert small.width == large.width == 2 * BORDER + CELL[0]
    assert large.height > small.height


def test_a_long_title_is_cut_in_the_middle() -> None:
    from posetx.report.page import font

    text = shortened("a-very-long-file-name" * 5 + ".obj", font(20), 300)
    assert font(20).getlength(text) <= 300
    assert "…" in text and text.endswith(".obj")
