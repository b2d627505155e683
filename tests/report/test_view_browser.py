"""Pages in a browser: they draw, move, colour, take keys and fingers, and say no error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trimesh

from posetx.files.scan_write import encode_ply
from posetx.report.view.files import view_of_files
from posetx.report.view.page import write_page
from posetx.report.view.subject import Fact, Frame, Layer, Subject, View
from tests.report.browser import FLAGS, Browser, find_browser
from tests.report.pages import sphere, write_obj

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX"),
    pytest.mark.skipif(find_browser() is None, reason="no Chromium here"),
]

#: How far a ball moves between the files.
MOVED = 0.6


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A red cloud, a ball whose upper half is red and whose lower half is blue, the ball moved."""
    folder = tmp_path_factory.mktemp("page")
    points, faces, uv = sphere()
    red = np.tile(np.uint8([230, 20, 20]), (len(points), 1))
    (folder / "cloud.ply").write_bytes(encode_ply(1000 * points, colors=red))
    write_obj(folder / "before.obj", points, faces, uv)
    write_obj(folder / "after.obj", points + [MOVED, 0, 0], faces, uv)
    files = [folder / name for name in ("cloud.ply", "before.obj", "after.obj")]
    write_page(folder / "page.html", view_of_files(files))
    return folder / "page.html"


@pytest.fixture(scope="module")
def browser(page: Path) -> Iterator[Browser]:
    with Browser((900, 600)) as running:
        running.open(page)
        yield running


@pytest.fixture
def seen(browser: Browser) -> Iterator[Browser]:
    """The page as it was at first; afterwards nothing is wrong with it."""
    browser.value("posetxView.bar.theme('light'), posetxView.bar.reset()")
    browser.settle()
    yield browser
    assert browser.errors == []


def drawn(browser: Browser) -> tuple[np.ndarray, np.ndarray]:
    """The picture (h, w, 3) of the stage, and where it is not background: coloured, or dark."""
    top, height = browser.value(
        "(() => { const b = document.querySelector('#stage').getBoundingClientRect();"
        " return [b.y, b.height]; })()"
    )
    image = browser.picture()[int(top) : int(top + height)].astype(int)
    return image, np.ptp(image, axis=2) > 40


def thirds(mask: np.ndarray) -> list[float]:
    """The share of each third of the width that is drawn on."""
    return [float(part.mean()) for part in np.array_split(mask, 3, axis=1)]


def test_it_asks_for_nothing_and_shows_three(seen: Browser) -> None:
    assert all(url.startswith(("file:", "blob:", "data:")) for url in seen.asked), seen.asked
    image, mask = drawn(seen)
    assert min(thirds(mask)) > 0.03, thirds(mask)
    # the texture: red above blue, in the middle column
    middle = np.array_split(image, 3, axis=1)[1]
    red = middle[..., 0] > middle[..., 2] + 60
    blue = middle[..., 2] > middle[..., 0] + 60
    assert red.sum() > 500 and blue.sum() > 500
    assert np.nonzero(red)[0].mean() < np.nonzero(blue)[0].mean()
    # names and counts
    text = seen.value("document.body.innerText")
    for words in ("cloud.ply", "1,152 points", "before.obj", "2,162 triangles", "after.obj"):
        assert words in text, words


def test_the_slider_moves_vertices_and_pixels(seen: Browser) -> None:
    def place() -> float:
        found: float = seen.value("posetxView.vertex(2, 100)[0]")
        return found

    end, (_, shown) = place(), drawn(seen)
    seen.value(
        "(() => { const s = document.querySelector('#slider'); s.value = 0.5;"
        " s.dispatchEvent(new Event('input')); })()"
    )
    seen.settle()
    assert place() == pytest.approx(end - MOVED / 2, abs=1e-3)
    _, halfway = drawn(seen)
    last = slice(2 * shown.shape[1] // 3, None)
    assert (shown[:, last] != halfway[:, last]).mean() > 0.01
    first = slice(0, shown.shape[1] // 3)
    assert (shown[:, first] != halfway[:, first]).mean() < 0.002
    seen.key("ArrowLeft")
    assert place() == pytest.approx(end - 0.55 * MOVED, abs=1e-3)
    seen.key("Home")
    assert place() == pytest.approx(end - MOVED, abs=1e-3)
    seen.key(" ")
    seen.wait(f"posetxView.vertex(2, 100)[0] > {end - 0.8 * MOVED}")
    seen.key(" ")
    assert seen.value("posetxView.bar.playing") == 0


def test_overlay_puts_all_in_one_place(seen: Browser) -> None:
    _, beside = drawn(seen)
    seen.key("o")
    assert seen.value("document.querySelector('#overlay').ariaPressed") == "true"
    _, overlaid = drawn(seen)
    assert thirds(overlaid)[1] > thirds(beside)[1]
    seen.key("1")
    seen.key("2")
    _, alone = drawn(seen)
    assert 0.01 < alone.mean() < overlaid.mean()
    # from the side that was looked from
    seen.key("b")
    seen.click("#overlay")
    assert seen.value("posetxView.stage.overlaid") is False
    assert seen.value("posetxView.stage.camera.position.z") < -1


def test_colours_and_their_legend(seen: Browser) -> None:
    names = seen.value("[...document.querySelectorAll('#colours option')].map((o) => o.text)")
    assert names == ["as in the files", "one each", "distance to before.obj"]
    before, _ = drawn(seen)
    seen.key("c")
    plain, _ = drawn(seen)
    assert (np.abs(plain - before).max(axis=2) > 40).mean() > 0.02
    seen.key("c")
    legend = seen.value("document.querySelector('#legend').innerText")
    assert "distance to before.obj" in legend and "0.600 of the files' units" in legend
    assert "mean 0.600" in seen.value("document.body.innerText")
    # all of it is as far: the scale's last colour, red
    image, _ = drawn(seen)
    red = image[..., 0] > image[..., 2] + 60
    assert thirds(red)[2] > 0.03 and thirds(red)[1] < 0.002
    seen.key("c")
    assert seen.value("document.querySelector('#legend').hidden") is True


def test_the_mouse_turns_and_keys_do_what_they_say(seen: Browser) -> None:
    where = "posetxView.stage.camera.position.toArray()"
    before = seen.value(where)
    seen.drag([(450, 300), (480, 300), (560, 310)])
    turned = seen.value(where)
    assert np.linalg.norm(np.array(turned) - before) > 0.2
    seen.key("r")
    assert seen.value(where) == pytest.approx(before, abs=1e-6)
    for key in "fsbt":
        seen.key(key)
        at = seen.value(where)
        axis = {"f": at[2], "s": at[0], "b": -at[2], "t": at[1]}[key]
        assert axis == pytest.approx(max(map(abs, at)), rel=1e-3)
    seen.key("d")
    assert seen.value("document.documentElement.dataset.theme") == "dark"
    assert seen.picture()[-5, 5].mean() < 60
    seen.key("?")
    assert "overlay" in seen.value("document.querySelector('#help').innerText")
    seen.key("Escape")
    assert seen.value("document.querySelector('#help').hidden") is True
    up = seen.value("posetxView.figures[0].subject.rotation[1]")
    seen.key("u")
    assert seen.value("posetxView.figures[0].subject.rotation[1]") != up
    for _ in range(3):
        seen.key("u")
    assert np.allclose(seen.value("posetxView.figures[0].subject.rotation[1]"), up)
    seen.key("w")
    seen.key("w")


def test_fingers_on_a_phone(page: Path) -> None:
    with Browser((390, 844), touch=True, dark=True) as phone:
        phone.open(page)
        assert phone.value("document.documentElement.dataset.theme") == "dark"
        # nothing is wider than the screen
        assert phone.value("document.documentElement.scrollWidth") <= 390
        _, mask = drawn(phone)
        assert mask.mean() > 0.02
        where = "posetxView.stage.camera.position.toArray()"
        target = "posetxView.stage.controls.target.toArray()"
        before = phone.value(where)
        phone.drag([(190, 300), (200, 300), (220, 300), (260, 305)])
        assert np.linalg.norm(np.array(phone.value(where)) - before) > 0.1
        far = "posetxView.stage.camera.position.distanceTo(posetxView.stage.controls.target)"
        apart = phone.value(far)
        phone.drag([(190, 300), (170, 300), (150, 300), (120, 300)], fingers=2)
        assert phone.value(far) < 0.97 * apart
        assert phone.value(target)
        phone.click("#overlay")
        assert phone.value("posetxView.stage.overlaid") is True
        phone.click("#help-button")
        assert phone.value("document.querySelector('#help').hidden") is False
        phone.click("#close-help")
        assert phone.value("document.querySelector('#help').hidden") is True
        assert phone.errors == []


def test_hostile_texts_run_nothing(tmp_path: Path) -> None:
    text = "</script><img src=x onerror='window.broken=1'><script>window.broken=1</script>"
    points, faces, _ = sphere(6, 8)
    subject = Subject(text, "mesh", [Frame(text, points), Frame(text, points)], faces, note=text)
    layer = Layer(text, text, {0: np.arange(len(points), dtype=float)})
    view = View(text, [subject], [layer], [Fact(text, text)], [text], layer=0)
    write_page(tmp_path / "page.html", view)
    with Browser((600, 500)) as browser:
        browser.open(tmp_path / "page.html")
        assert browser.value("window.broken") is None
        assert browser.value("document.querySelectorAll('img, #labels script').length") == 0
        assert text in browser.value("document.querySelector('.label').textContent")
        assert browser.errors == []


def test_without_webgl_it_says_so(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.report.browser.FLAGS", (*FLAGS, "--disable-3d-apis"))
    with Browser((600, 500)) as browser:
        browser.open(page)
        assert browser.value("document.documentElement.dataset.ready") == "no"
        text = browser.value("document.body.innerText")
        assert "needs a browser with WebGL 2" in text and "after.obj" in text


def test_a_large_cloud_is_coarse_while_it_moves(tmp_path: Path) -> None:
    points = sphere(330, 640)[0]
    (tmp_path / "cloud.ply").write_bytes(encode_ply(points))
    write_page(tmp_path / "page.html", view_of_files([tmp_path / "cloud.ply"]))
    with Browser((500, 500)) as browser:
        browser.open(tmp_path / "page.html")
        _, fine = drawn(browser)
        browser.value("posetxView.stage.pace.set(true), posetxView.stage.render()")
        assert browser.value("posetxView.figures[0].geometry.drawRange.count") == 24_000
        _, coarse = drawn(browser)
        assert abs(coarse.mean() - fine.mean()) < 0.1 * fine.mean()
        browser.value("posetxView.stage.pace.set(false)")
        assert browser.value("posetxView.figures[0].geometry.drawRange.count") == 200_000
        _, again = drawn(browser)
        assert (again != fine).mean() < 0.002
        assert browser.errors == []


def test_moments_a_glb_and_many_vertices(tmp_path: Path) -> None:
    points, faces, _ = sphere(330, 640)  # 211,200 vertices
    trimesh.Trimesh(points, faces, process=False).export(tmp_path / "large.ply")
    few, some, at = sphere()
    frames = [Frame(f"moment {i}", few + [0, 0.1 * i, 0]) for i in range(5)]
    moving = Subject("moving", "mesh", frames, some, begin=0.0)
    mesh = trimesh.Trimesh(few, some, process=False)
    from PIL import Image

    image = Image.new("RGB", (16, 16), (20, 200, 40))
    mesh.visual = trimesh.visual.TextureVisuals(
        uv=at, material=trimesh.visual.material.PBRMaterial(baseColorTexture=image)
    )
    mesh.export(tmp_path / "green.glb")
    view = view_of_files([tmp_path / "large.ply", tmp_path / "green.glb"])
    moving.family = 7
    view.subjects.append(moving)
    write_page(tmp_path / "page.html", view)
    assert (tmp_path / "page.html").stat().st_size < 16e6
    with Browser((900, 500)) as browser:
        browser.open(tmp_path / "page.html")
        pixels, _ = drawn(browser)
        green = np.array_split(pixels, 3, axis=1)[1]
        assert (green[..., 1] > green[..., 0] + 60).sum() > 500
        browser.value("posetxView.go(0.5)")
        browser.settle()
        assert "moment 2" in browser.value("document.body.innerText")
        assert browser.value("posetxView.vertex(2, 0)[1]") == pytest.approx(0.9 + 0.2, abs=1e-3)
        # fewer triangles while a slow machine moves, all of them again afterwards
        counts = browser.value(
            "(() => { const f = posetxView.figures[0], n = () => f.geometry.index.count / 3;"
            " f.setCoarse(true); const few = n(); f.setCoarse(false); return [few, n()]; })()"
        )
        assert 3_000 < counts[0] < 60_000 and counts[1] == len(faces)
        assert browser.errors == []
