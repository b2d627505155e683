"""Pages: one file that asks for nothing, what is in it, and that texts of others stay texts."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import posetx
from posetx.bodies.body import BodyModel
from posetx.cli import app
from posetx.errors import FieldError, PosetxError, UsageError
from posetx.files.scan_write import encode_ply
from posetx.geometry.axes import upright
from posetx.report.view.content import content_of
from posetx.report.view.files import view_of_files
from posetx.report.view.pack import STEPS, Packer
from posetx.report.view.page import WEB, write_page
from posetx.report.view.stand import likely_up
from posetx.report.view.subject import Fact, Frame, Layer, Subject, View
from posetx.report.view.transfer import stretched
from tests.report.pages import array_in, data_of, points_in, sphere, write_obj

#: What would make a browser fetch something, or run what is not a script of ours.
FETCHING = re.compile(
    r"""(?:src|href|action|poster|data)\s*=\s*["']?\s*(?!data:)|url\(\s*["']?(?!data:)|@import|"""
    r"""<(?:link|iframe|object|embed|img|base|form)\b""",
    re.I,
)


def cloud(count: int = 500) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 3)) * [0.3, 0.9, 0.2] + [1e4, -5.0, 3.0]


def page_of_files(folder: Path, *files: Path, **options: object) -> dict:
    write_page(folder / "page.html", view_of_files(files, **options))  # type: ignore[arg-type]
    return data_of(folder / "page.html")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A ball with a texture, and the same one moved."""
    points, faces, uv = sphere()
    write_obj(tmp_path / "before.obj", points, faces, uv)
    write_obj(tmp_path / "after.obj", points + [0.25, 0, 0], faces, uv)
    return tmp_path / "before.obj", tmp_path / "after.obj"


# One file


def test_a_page_is_one_file_that_asks_for_nothing(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    page_of_files(tmp_path, *pair)
    text = (tmp_path / "page.html").read_text()
    assert text.startswith("<!doctype html>") and text.endswith("</html>")
    outside = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert not FETCHING.search(outside), FETCHING.search(outside)
    # three.js names the namespace of HTML; that is no address to fetch
    addresses = set(re.findall(r"https?://[^\s\"'`<)]*", text))
    assert addresses <= {"http://www.w3.org/1999/xhtml"}
    own = "".join(path.read_text() for path in WEB.glob("*.js") if "three" not in path.name)
    assert not re.search(
        r"fetch\(|XMLHttp|import\s*\(|innerHTML|insertAdjacent|eval\(|write\(", own
    )
    assert "default-src 'none'" in text and "unsafe-inline" not in text


def test_the_scripts_are_in_the_package_with_three_s_licence() -> None:
    assert "MIT License" in (WEB / "three.LICENSE.txt").read_text()
    for path in [*WEB.glob("*.js"), *WEB.glob("*.css"), *WEB.glob("*.html")]:
        if "three" not in path.name:
            assert len(path.read_text().splitlines()) <= 400, path


def test_nothing_is_left_of_a_page_that_cannot_be(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("before")
    with pytest.raises(PosetxError, match="nothing to show"):
        write_page(page, View("empty", []))
    subject = Subject("a", "mesh", [Frame("a", np.full((3, 3), np.nan))])
    with pytest.raises(PosetxError, match="not finite"):
        write_page(page, View("a", [subject]))
    frames = [Frame("a", np.zeros((3, 3))), Frame("b", np.zeros((4, 3)))]
    with pytest.raises(PosetxError, match="b: has 4 vertices, where a has 3"):
        write_page(page, View("a", [Subject("a", "mesh", frames)]))
    assert page.read_text() == "before" and [p.name for p in tmp_path.iterdir()] == ["page.html"]


# What is in it


def test_vertices_come_back_within_the_grid(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    content = page_of_files(tmp_path, *pair)
    points, faces, uv = sphere()
    before, after = content["subjects"]
    step = 1.8 / STEPS
    assert np.abs(points_in(content, before["frames"][0]) - points).max() <= step
    assert np.abs(points_in(content, after["frames"][1]) - points - [0.25, 0, 0]).max() <= step
    # the pair is one family: the second moves there from the first, whose numbers are there once
    assert before["frames"][0] == after["frames"][0]
    assert before["family"] == after["family"]
    assert (before["count"], before["triangles"]) == (len(points), len(faces))
    # triangles, by way of the corners that an image's seams part
    source = array_in(content, before["source"])
    shown = source[array_in(content, before["faces"])].reshape(-1, 3)
    assert np.array_equal(shown, faces)
    packed = before["uv"]
    grid = array_in(content, packed["buffer"]).reshape(-1, 2)
    placed = grid * np.array(packed["step"]) + packed["origin"]
    assert np.abs(placed[array_in(content, before["faces"])] - uv[faces.ravel()]).max() < 1e-4
    assert before["parts"] == [
        {"begin": 0, "end": len(faces), "color": [255, 255, 255], "image": 0, "cut": False}
    ]
    assert len(content["images"]) == 2 and content["images"][0]["kind"] == "image/png"


def test_the_distance_between_files_can_be_shown(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    content = page_of_files(tmp_path, *pair)
    (layer,) = content["layers"]
    assert layer["name"] == "distance to before.obj"
    one, other = (points_in(content, end) for end in layer["of"]["1"]["between"])
    assert np.linalg.norm(one - other, axis=1) == pytest.approx(0.25, abs=1e-4)


def test_files_stay_in_their_order(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    scan = tmp_path / "c.ply"
    scan.write_bytes(encode_ply(cloud()))
    content = page_of_files(tmp_path, pair[0], scan, pair[1])
    assert [s["name"] for s in content["subjects"]] == ["before.obj", "c.ply", "after.obj"]
    assert [s["role"] for s in content["subjects"]] == ["target", "scan", "result"]
    assert list(content["layers"][0]["of"]) == ["2"]


def test_strays_do_not_make_the_rest_coarse(tmp_path: Path) -> None:
    points = np.vstack([cloud(), [[1e9, 0.0, 0.0]]])
    packer = Packer()
    packed = packer.positions(points)
    back = points_in({"buffers": packer.buffers}, packed)
    assert np.abs(back - points)[:-1].max() < 1e-6
    assert packer.buffers[packed["buffer"]]["kind"] == "f32"
    same = Packer().positions(np.ones((4, 3)))
    assert same["origin"] == [1.0, 1.0, 1.0]


def test_what_cleaning_left_out_comes_last(tmp_path: Path) -> None:
    points = cloud()
    gone = np.zeros(len(points), dtype=bool)
    gone[::3] = True
    subject = Subject("a", "scan", [Frame("a", points)], left_out=gone)
    content = content_of(View("a", [subject], [Layer("x", "mm", {0: np.arange(500.0)})]))
    (shown,) = content["subjects"]
    assert shown["kept"] == (~gone).sum() and shown["drawn"] == len(points)
    back = points_in(content, shown["frames"][0])
    assert np.abs(back[: shown["kept"]] - points[~gone]).max() < 1e-3
    values = array_in(content, content["layers"][0]["of"][0]["values"])
    assert np.array_equal(values[: shown["kept"]], np.flatnonzero(~gone))
    assert len(array_in(content, shown["normals"])) == 3 * len(points)


def test_large_clouds_are_thinned_and_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posetx.report.view.content.CLOUD_LIMIT", 2000)
    points = np.random.default_rng(0).random((2010, 3))
    (shown,) = content_of(View("a", [Subject("a", "scan", [Frame("a", points)])]))["subjects"]
    assert (shown["count"], shown["drawn"]) == (2010, 2000)


def test_a_texture_that_cannot_be_shown_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    (tmp_path / "a.mtl").write_text("newmtl a\nmap_Kd a.png\n")
    mesh = "mtllib a.mtl\nusemtl a\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
    (tmp_path / "a.obj").write_text(f"{mesh}f 1/1 2/2 3/3\n")
    arguments = ["view", str(tmp_path / "a.obj"), "-o", str(tmp_path / "v.html"), "--json"]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0 and "note: a.obj: a texture cannot be shown" in run.stderr
    assert json.loads(run.stdout)["warnings"] == data_of(tmp_path / "v.html")["warnings"] != []


def test_many_files_of_one_mesh_are_moments(tmp_path: Path) -> None:
    points, faces, _ = sphere(6, 8)
    files = [tmp_path / f"f{i}.obj" for i in range(5)]
    for i, path in enumerate(files):
        write_obj(path, points + [0, 0.1 * i, 0], faces, None)
    (moving,) = page_of_files(tmp_path, *files)["subjects"]
    assert [frame["name"] for frame in moving["frames"]] == [path.name for path in files]
    beside = page_of_files(tmp_path, *files, arrangement="beside")
    assert [len(s["frames"]) for s in beside["subjects"]] == [1, 2, 2, 2, 2]
    with pytest.raises(UsageError, match="more than the 9"):
        view_of_files(files * 2, arrangement="beside")
    with pytest.raises(FieldError, match="arrangement none: use one of auto"):
        view_of_files(files, arrangement="none")  # type: ignore[arg-type]


def test_the_example_is_small(tmp_path: Path) -> None:
    examples = Path(__file__).parents[2] / "examples"
    files = [examples / "scan.ply", examples / "target.obj", examples / "target.obj"]
    content = page_of_files(tmp_path, *files)
    assert (tmp_path / "page.html").stat().st_size < 6e6
    assert [s["count"] for s in content["subjects"]] == [84_246, 13_314, 13_314]
    # the scan has its z up, with a floor; the target says nothing and is taller than wide
    assert np.allclose(content["subjects"][0]["rotation"][1], [0, 0, 1])
    assert np.allclose(content["subjects"][1]["rotation"], np.eye(3))


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("reach", [0.4, 1.0])
def test_which_axis_is_up(place: int, reach: float) -> None:
    """As long as it is the longest, or about as long as arms reach; x hardly ever is."""
    extents = np.full(3, 0.3)
    side = {0: 2, 1: 0, 2: 0}[place]
    extents[side], extents[place] = 1.75 * reach, 1.8
    points = (np.random.default_rng(0).random((5000, 3)) - 0.5) * extents
    expected = place if place != 0 or reach < 0.9 else 2
    assert likely_up(points, Path("a.ply"))[expected] == 1.0
    assert likely_up(points, Path("a.glb"))[1] == 1.0
    floor = (np.random.default_rng(1).random((5000, 3)) - 0.5) * 4
    floor[:, place] = -0.9
    assert likely_up(np.vstack([points, floor]), Path("a.ply"))[place] == 1.0


def test_stretched_edges() -> None:
    faces = np.array([[0, 1, 2]])
    flat = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]])
    assert np.allclose(stretched(faces, flat, flat), 0)
    assert np.allclose(stretched(faces, flat, 1.5 * flat), [0.5, 0.5, 0.5, 0])


# Texts of others


HOSTILE = "</script><script>alert(1)</script>\"'&<b>\u202e.obj"


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    points, faces, _ = sphere(6, 8)
    texts = [f"{HOSTILE}{word}" for word in "abcdef"]
    subject = Subject(texts[0], "mesh", [Frame(texts[1], points)], faces, note=texts[2])
    layer = Layer(texts[3], "mm", {0: np.zeros(len(points))})
    view = View(HOSTILE, [subject], [layer], [Fact("by", texts[4], "good")], [texts[5], "<!--"])
    write_page(tmp_path / "page.html", view)
    text = (tmp_path / "page.html").read_text()
    assert "alert(1)</script>" not in text and text.count("<script") == 3
    assert text.count("</script>") == 3 and "<!--" not in text and "\u202e" not in text
    assert f"<title>{html.escape(HOSTILE.replace(chr(0x202E), chr(0xFFFD)))}</title>" in text
    content = data_of(tmp_path / "page.html")
    assert content["subjects"][0]["name"] == texts[0].replace("\u202e", "\ufffd")
    assert content["warnings"][1] == "<!--"


@pytest.mark.parametrize("name", ["<script>x.ply", "a\"b'c.ply", "{{data}}{{x.ply", "a\nb.ply"])
def test_hostile_names_of_files(tmp_path: Path, name: str) -> None:
    scan = tmp_path / name.replace("/", "")
    scan.write_bytes(encode_ply(cloud()))
    run = CliRunner().invoke(app, ["view", str(scan), "-o", str(tmp_path / "v.html")])
    assert run.exit_code == 0, run.output
    text = (tmp_path / "v.html").read_text()
    assert text.count("<script") == 3 and len(re.findall('id="data"', text)) == 1
    assert data_of(tmp_path / "v.html")["subjects"][0]["name"] == scan.name.replace("\n", "\ufffd")


# The commands and the door


def test_a_transfer_s_page(tmp_path: Path) -> None:
    body = BodyModel.load()
    vertices, faces = body.template.double().numpy(), body.faces.numpy()
    poser = posetx.load(refine=False)
    told = {"up": "z", "front": "x", "target_up": "y", "target_front": "z"}
    points = 1000 * vertices[:, [2, 0, 1]]
    result = poser.transfer(points, (vertices, faces), restore=False, **told)
    result.warnings.append("look <at> it")
    with pytest.raises(FieldError, match="a page is HTML"):
        result.view(tmp_path / "page.txt")
    result.view(tmp_path / "page.html")
    content = data_of(tmp_path / "page.html")
    scan, target, after = content["subjects"]
    assert [s["role"] for s in content["subjects"]] == ["scan", "target", "result"]
    assert content["facts"][0]["label"] == "confidence" and "right" in content["facts"][0]["value"]
    assert content["warnings"][-1] == "look <at> it"
    assert np.abs(points_in(content, after["frames"][1]) - result.vertices).max() < 1e-4
    assert np.abs(points_in(content, target["frames"][0]) - vertices).max() < 1e-4
    # scan and result are upright alike: the scan was the target's own pose
    turned = points_in(content, scan["frames"][0]) @ np.array(scan["rotation"]).T
    assert np.ptp(turned[:, 1]) == pytest.approx(1000 * np.ptp(vertices[:, 1]), rel=0.02)
    assert after["metre"] == pytest.approx(1.0, rel=0.02)
    assert [layer["unit"] for layer in content["layers"]] == ["mm of an adult", "%"]


@pytest.mark.slow
def test_commands_make_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    body = BodyModel.load()
    vertices = body.template.double().numpy()
    floor = np.random.default_rng(0).random((4000, 3)) * [3, 0, 3] - [1.5, 0, 1.5]
    np.save("scan.npy", np.vstack([vertices, floor]))
    write_obj(Path("t.obj"), vertices, body.faces.numpy(), None)

    def run(*arguments: str) -> None:
        done = CliRunner().invoke(app, list(arguments))
        assert done.exit_code == 0, done.output

    run("clean", "scan.npy", "-o", "c.ply", "--view", "c.html")
    raw, cleaned = data_of(Path("c.html"))["subjects"]
    assert raw["count"] == len(vertices) + 4000 and cleaned["name"] == "c.ply"
    fast = ("--no-refine", "--steps", "1", "--method", "fgm")
    run("attack", "scan.npy", "t.obj", "-o", "a.ply", "--view", "a.html", *fast)
    content = data_of(Path("a.html"))
    attacked, _, after = content["subjects"]
    assert [frame["name"] for frame in attacked["frames"]] == ["scan.npy", "a.ply"]
    assert attacked["kept"] < attacked["drawn"] and len(after["frames"]) == 2
    assert array_in(content, content["layers"][0]["of"]["0"]["values"]).max() > 1
    # an attack that takes points away has none that moved
    drop = ("--no-refine", "--steps", "1", "--method", "drop")
    run("attack", "scan.npy", "t.obj", "-o", "d.ply", "--view", "d.html", *drop)
    fewer = data_of(Path("d.html"))["subjects"][0]
    assert len(fewer["frames"]) == 1 and fewer["count"] < attacked["count"]
    # of several scans, a folder of pages
    run("transfer", "scan.npy", "c.ply", "t.obj", "-o", "r", "--view", "pages", "--no-refine")
    assert data_of(Path("pages/scan.html")) and data_of(Path("pages/c.html"))


def test_axes_are_of_all_files_or_of_each(tmp_path: Path) -> None:
    files = [tmp_path / "a.ply", tmp_path / "b.ply"]
    for i, path in enumerate(files):
        path.write_bytes(encode_ply(cloud(300 + i)))
    shown = view_of_files(files, ["x"])
    assert all(np.allclose(s.rotation, upright(np.eye(3)[0])) for s in shown.subjects)
    shown = view_of_files(files, ["x", "-z"], ["auto", "y"])
    assert np.allclose(shown.subjects[1].rotation, upright(-np.eye(3)[2], np.eye(3)[1]))
    with pytest.raises(FieldError, match="up"):
        view_of_files(files, ["x", "y", "z"])
    with pytest.raises(UsageError, match="at least one file"):
        view_of_files([])
