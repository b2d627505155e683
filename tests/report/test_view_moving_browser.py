"""Pages of motions in a browser: the slider moves what is skinned and changes the scan."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import posetx
from posetx.report.view.animated import write_animated_view
from posetx.report.view.posed import PosePage
from tests.report.browser import Browser, find_browser
from tests.report.moving import of_scans, readings
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
