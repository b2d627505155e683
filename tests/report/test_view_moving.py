"""Pages of motions and poses: what is in them is where it should be, and there is not too much."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

import posetx
from posetx.bodies.body import BodyModel
from posetx.geometry.axes import upright
from posetx.reading.start import Start
from posetx.report.view import animated as of_animated
from posetx.report.view.animated import spread, view_of_animated
from posetx.report.view.content import content_of
from posetx.report.view.posed import APART, PosePage
from tests.report.moving import of_clip, of_scans, person, readings
from tests.report.pages import array_in, points_in


@pytest.fixture(scope="module")
def poser() -> posetx.Poser:
    return posetx.load(refine=False)


def test_a_body_stands_where_its_pelvis_is() -> None:
    body, turn = BodyModel.load(), upright(np.array([0.0, 0.0, 1.0]))
    template, pelvis = body.template.double().numpy(), body.joint_template[0].double().numpy()
    rotations = np.tile(turn.T, (19, 1, 1))
    start = Start(turn, "z", rotations, np.array([5.0, 6.0, 7.0]), np.zeros(8), 2.0)
    found = start.fitted(body).vertices(body, rotations, turn)
    np.testing.assert_allclose(found, 2 * (template - pelvis) @ turn + [5, 6, 7], atol=1e-5)


def skinned(content: dict[str, Any], place: int, moment: int) -> np.ndarray:
    """A subject's vertices (n, 3) as the page's script places them."""
    subject = content["subjects"][place]
    skin, frame = subject["skin"], subject["frames"][0]
    points = points_in(content, frame) - frame["origin"]
    maps = array_in(content, skin["maps"]).reshape(-1, skin["count"], 3, 4)[moment]
    joints = array_in(content, skin["joints"]).reshape(-1, 4)
    shares = array_in(content, skin["shares"]).reshape(-1, 4) / 65535
    placed = np.einsum("nkij,nj->nki", maps[joints][..., :3], points) + maps[joints][..., 3]
    moved: np.ndarray = np.einsum("nk,nki->ni", shares, placed) + frame["origin"]
    return moved


def test_a_page_skins_as_is_meant(poser: posetx.Poser) -> None:
    animated = of_clip(poser)
    content = content_of(view_of_animated(animated, name="walk.glb", warnings=["mind"]))
    assert [s["name"] for s in content["subjects"]] == ["skeleton", "walk.glb"]
    assert content["subjects"][1]["skin"]["moments"][0] == "0.00 s"
    assert content["seconds"] == pytest.approx(0.5) and content["warnings"] == ["mind"]
    size = np.ptp(person(), axis=0).max()
    for moment in (0, 11):
        off = np.linalg.norm(skinned(content, 1, moment) - animated.vertices(moment), axis=1)
        # four joints move a vertex, as in a GLB
        assert np.median(off) < 1e-5 * size and off.max() < 3e-3 * size
    # the sticks are in the body
    sticks = skinned(content, 0, 5)
    away = cKDTree(animated.vertices(5)).query(sticks)[0]
    assert np.median(away) < 0.08 * size
    # what is followed is the pelvis
    way = np.array(content["way"]["places"])
    turn, unit = animated.animator.ready.rotation, animated.animator.ready.frame.unit
    gone = unit * np.diff(animated.track.places[[0, -1], 0], axis=0)[0] * [1, 0, 1] @ turn
    np.testing.assert_allclose(way[-1], gone, atol=1e-6 * size)
    assert content["way"]["far"]


def test_scans_stand_where_the_target_is(poser: posetx.Poser, tmp_path: Path) -> None:
    animated, frames = of_scans(poser, tmp_path)
    view = view_of_animated(animated, frames)
    content = content_of(view)
    scans = content["subjects"][0]
    assert scans["apart"] and scans["times"] == pytest.approx([0, 2 / 3, 1])
    counts = [len(points_in(content, frame)) for frame in scans["frames"]]
    assert counts == sorted(counts) and counts[0] < counts[2]
    for key in ("colors", "normals"):
        assert len(array_in(content, scans[key])) == 3 * sum(counts)
    off = array_in(content, content["layers"][0]["of"][0]["values"])
    assert len(off) == sum(counts) and content["layers"][0]["ends"] == (0.0, 50.0)
    sure = array_in(content, content["layers"][1]["of"][0]["values"])
    assert len(sure) == sum(counts) and content["layers"][1]["ends"] == (1.0, 0.0)
    every = np.concatenate([frame.joints for frame in frames if frame.joints is not None])
    assert every.min() - 1e-6 <= sure.min() < sure.max() <= every.max() + 1e-6
    unknown = [replace(frames[0], joints=None), *frames[1:]]
    assert len(view_of_animated(animated, unknown).layers) == 1
    size = np.ptp(person(), axis=0).max()
    for frame, moment in zip(scans["frames"], (0, 2, 3), strict=True):
        away = cKDTree(animated.vertices(moment)).query(points_in(content, frame))[0]
        assert np.median(away) < 0.02 * size, frame["name"]
    told = {fact["label"]: fact["value"] for fact in content["facts"]}
    assert told["filled from others"] == "1 frames" and told["mean confidence"].startswith("0.90")


def test_what_goes_into_a_page_is_bounded(
    poser: posetx.Poser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert spread(1000, 5).tolist() == [0, 250, 500, 749, 999]
    assert spread(3, 5).tolist() == [0, 1, 2] and spread(7, 0).tolist() == [0]
    monkeypatch.setattr(of_animated, "MOST_POINTS", 300)
    monkeypatch.setattr(of_animated, "MOST_MOMENTS", 3)
    animated, frames = of_scans(poser, tmp_path)
    scan, hero = view_of_animated(animated, frames).subjects
    assert [len(frame.points) for frame in scan.frames] == [100, 100, 100]
    assert hero.skin is not None and len(hero.skin.maps) == 3


def test_poses_of_several_scans(poser: posetx.Poser, tmp_path: Path) -> None:
    found = readings(poser, tmp_path)
    page = PosePage(3)
    for index, reading in enumerate(found):
        page.add(index, reading)
    content = content_of(page.view(["mind"], 0.3))
    scan, pose, body = content["subjects"]
    assert all(one["apart"] and len(one["frames"]) == 3 for one in (scan, pose, body))
    assert content["seconds"] == 0.3 and content["way"]["far"]
    sure, far = content["layers"]
    assert sure["ends"] == (1.0, 0.0)
    vertices = len(points_in(content, body["frames"][0]))
    values = array_in(content, sure["of"][2]["values"])
    assert len(values) == 3 * vertices and 0 <= values.min() <= values.max() <= 1
    # upright, facing +z, a metre on each time, and the body in the scan
    first, last = (points_in(content, body["frames"][i]) for i in (0, 2))
    assert np.ptp(first, axis=0).argmax() == 1
    gone = np.linalg.norm((last.mean(0) - first.mean(0))[[0, 2]])
    assert gone == pytest.approx(2.0, abs=0.1)
    for one, other in zip(scan["frames"], body["frames"], strict=True):
        away = cKDTree(points_in(content, other)).query(points_in(content, one))[0]
        assert np.median(away) < 0.05
    assert np.median(array_in(content, far["of"][0]["values"])) < 50


def test_scans_far_apart_are_put_together(poser: posetx.Poser, tmp_path: Path) -> None:
    near, other = readings(poser, tmp_path)[:2]
    far = poser.read(other.scan.points + [0, 2 * APART, 0], up="x", front="y")
    page = PosePage(2)
    page.add(0, near)
    page.add(1, far)
    one, two = page.view().subjects[2].frames
    level = (two.points.mean(0) - one.points.mean(0))[[0, 2]]
    assert np.linalg.norm(level) < 0.1


def test_one_scan_alone_has_no_slider(poser: posetx.Poser, tmp_path: Path) -> None:
    page = PosePage(1)
    page.add(0, readings(poser, tmp_path)[0])
    size = page.write(tmp_path / "page.html")
    assert size == (tmp_path / "page.html").stat().st_size < 3e6
    content = content_of(page.view())
    assert [len(one["frames"]) for one in content["subjects"]] == [1, 1, 1]
    assert content["way"] is None
