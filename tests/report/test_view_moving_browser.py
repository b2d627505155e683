"""Pages of motions in a browser: the slider moves what is skinned and changes the scan."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import posetx
from posetx.report.view.animated import write_animated_view
from posetx.report.view.page import write_page
from posetx.report.view.posed import PosePage
from posetx.report.view.subject import Frame, Skin, Subject, View
from tests.report.browser import Browser, find_browser
from tests.report.moving import of_scans, readings
from tests.report.pages import sphere
from tests.report.test_view_browser import drawn, thirds

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX"),
    pytest.mark.skipif(find_browser() is None, reason="no Chromium here"),
]


@pytest.fixture(scope="module")
def poser() -> posetx.Poser:
    return posetx.load(refine=False)


@pytest.fixture
def browser() -> Iterator[Browser]:
    with Browser((900, 600)) as running:
        yield running
        assert running.errors == []
        assert all(url.startswith(("file:", "blob:", "data:")) for url in running.asked)


def slide(browser: Browser, share: float) -> None:
    browser.value(
        f"(() => {{ const s = document.querySelector('#slider'); s.value = {share};"
        " s.dispatchEvent(new Event('input')); })()"
    )
    browser.settle()


def test_the_slider_moves_what_is_skinned(
    poser: posetx.Poser, tmp_path: Path, browser: Browser
) -> None:
    animated, frames = of_scans(poser, tmp_path)
    write_animated_view(tmp_path / "page.html", animated, frames, "walk.glb")
    browser.open(tmp_path / "page.html")
    size = np.ptp(animated.animator.ready.target.vertices, axis=0).max()
    seen = []
    for share, frame in ((0.0, 0), (1 / 3, 1), (1.0, 3)):
        slide(browser, share)
        meant = animated.vertices(frame)
        for vertex in (0, 4000, 13000):
            there = browser.value(f"posetxView.vertex(1, {vertex})")
            assert np.linalg.norm(there - meant[vertex]) < 3e-3 * size, (frame, vertex)
        image, mask = drawn(browser)
        assert min(np.mean(half) for half in np.array_split(mask, 2, axis=1)) > 0.01
        seen.append(image)
    # followed, as it goes two metres: it stays in the middle
    assert browser.value("document.querySelector('#follow').ariaPressed") == "true"
    assert (np.abs(seen[0] - seen[2]).max(axis=2) > 20).mean() > 0.002
    text = browser.value("document.body.innerText")
    assert "scan_2.npy, confidence 0.90" in text and "0.30 s" in text
    # halfway between two frames it is between their places
    slide(browser, 0.5)
    between = (animated.vertices(1)[4000] + animated.vertices(2)[4000]) / 2
    there = browser.value("posetxView.vertex(1, 4000)")
    assert np.linalg.norm(there - between) < 3e-3 * size
    # without being followed it is elsewhere at the end than at the beginning
    browser.key("g")
    places = []
    for share in (0.0, 1.0):
        slide(browser, share)
        _, mask = drawn(browser)
        places.append(np.nonzero(mask[:, mask.shape[1] // 2 :])[1].mean())
    assert abs(places[1] - places[0]) > 15
    # it plays, as long as the motion is
    browser.key("g")
    assert browser.value("posetxView.bar.seconds") == pytest.approx(0.4)
    slide(browser, 0.0)
    browser.key(" ")
    browser.wait("Number(document.querySelector('#slider').value) > 0.3")
    browser.key(" ")
    # the scan by how far it is from the body
    browser.key("c")
    browser.key("c")
    legend = browser.value("document.querySelector('#legend').innerText")
    assert "distance to the fitted body" in legend and "50.0 mm" in legend
    browser.key("o")
    browser.key("r")


def test_each_scan_has_its_own_points_and_body(
    poser: posetx.Poser, tmp_path: Path, browser: Browser
) -> None:
    page = PosePage(3)
    for index, reading in enumerate(readings(poser, tmp_path)):
        page.add(index, reading)
    page.write(tmp_path / "page.html", seconds=0.3)
    browser.open(tmp_path / "page.html")
    counts = []
    for share, name in ((0.0, "scan_0.npy"), (0.45, "scan_1.npy"), (1.0, "scan_2.npy")):
        slide(browser, share)
        assert name in browser.value("document.querySelector('.label').innerText")
        counts.append(
            browser.value("posetxView.figures[0].geometry.getAttribute('position').count")
        )
        colours = browser.value("posetxView.figures[0].geometry.getAttribute('tint').count")
        assert colours == counts[-1]
        assert min(thirds(drawn(browser)[1])) > 0.005
    assert counts[0] < counts[1] < counts[2]
    browser.value("posetxView.bar.colour(2)")
    browser.settle()
    legend = browser.value("document.querySelector('#legend').innerText")
    assert "confidence of each joint" in legend
    # a joint that is sure is blue, at the end of the scale that is 1
    image, mask = drawn(browser)
    body = np.array_split(mask, 3, axis=1)[2]
    color = np.array_split(image, 3, axis=1)[2][body].mean(axis=0)
    sure = page.view().layers[0].values[2].mean()
    assert (color[2] > color[0]) == (sure > 0.5)


def test_two_hundred_thousand_vertices_are_skinned_by_the_card(
    tmp_path: Path, browser: Browser
) -> None:
    """A moment costs the script next to nothing; coarse while it moves, and right at each."""
    points, faces, _ = sphere(330, 640)
    joints = np.zeros((len(points), 4), np.uint8)
    joints[:, 1] = 1
    up = np.clip(0.5 + 0.5 * points[:, 1] / np.abs(points[:, 1]).max(), 0, 1)
    shares = np.column_stack([1 - up, up, 0 * up, 0 * up])
    maps = np.tile(np.eye(3, 4), (60, 2, 1, 1))
    maps[:, 1, 0, 3] = np.linspace(0, 0.8, 60)
    names = [f"{moment / 30:.2f} s" for moment in range(60)]
    skin = Skin(joints, shares, maps, names)
    hero = Subject("hero", "result", [Frame("hero", points)], faces, begin=0.0, skin=skin)
    write_page(tmp_path / "page.html", View("many", [hero], seconds=2.0))
    assert len(points) > 200_000 and (tmp_path / "page.html").stat().st_size < 15e6
    browser.open(tmp_path / "page.html")
    top = int(points[:, 1].argmax())
    browser.value("posetxView.go(0.5)")
    there = browser.value(f"posetxView.vertex(0, {top})")
    assert there == pytest.approx(points[top] + [0.4, 0, 0], abs=1e-3)
    spent = browser.value(
        "(() => { const begin = performance.now();"
        " for (let i = 0; i < 200; i += 1) posetxView.go(i / 200);"
        " return (performance.now() - begin) / 200; })()"
    )
    assert spent < 2, f"{spent} ms of script a moment"
    # a slow machine draws fewer of its triangles while it moves, in the middle of its way, too
    few, every = browser.value(
        "(() => { posetxView.go(0.5); const f = posetxView.figures[0];"
        " const n = () => f.geometry.index.count / 3;"
        " f.setCoarse(true); const few = n(); f.setCoarse(false); return [few, n()]; })()"
    )
    assert 3_000 < few < 60_000 and every == len(faces)
