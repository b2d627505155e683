"""Where what cleaning kept is no body, something else of the scan is read."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from posetx.bodies.body import BodyModel
from posetx.cleaning.clean import Cleaned, clean_scan
from posetx.cleaning.others import other_bodies
from posetx.cleaning.planes import flat_faces
from posetx.data.poses import PoseBank
from posetx.files.sources import array_scan
from posetx.pipeline.measured import measured
from posetx.pipeline.pipeline import Pipeline
from tests.reading.scenes import Standing, standing

#: of the scenes, a crate whose top was hardly seen
CRATE = 3


@pytest.fixture(scope="module")
def crate(all_banks: dict[str, PoseBank]) -> Standing:
    scans = standing(BodyModel.load(), all_banks["unseen"], CRATE + 1)
    return next(islice(scans, CRATE, None))


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.load("posemae")


def on_the_crate(scan: Standing) -> np.ndarray:
    """Which points (n,) are above the crate's top, at 0."""
    return scan.points[:, scan.up] > 0.02


def test_a_crate_has_flat_faces_and_a_body_none(crate: Standing) -> None:
    above = on_the_crate(crate)
    flat = flat_faces(crate.points)
    assert flat[~above].mean() > 0.8
    assert flat[above].mean() < 0.1
    body = BodyModel.load().template.double().numpy()
    assert not flat_faces(body).any()


def test_the_person_is_among_what_else_there_is(crate: Standing) -> None:
    kept = clean_scan(crate.points)
    assert not on_the_crate(crate)[kept.index].all()
    others = list(other_bodies(crate.points, kept))
    assert any(_is_person(crate, other) for other in others)
    for other in others:
        assert np.array_equal(other.points, crate.points[other.index])
        assert other.stages[0].points_in == len(crate.points)


def test_a_person_alone_is_nothing_else(crate: Standing) -> None:
    person = crate.points[on_the_crate(crate)]
    others = list(other_bodies(person, clean_scan(person)))
    assert all(len(other.index) < len(person) for other in others)


@pytest.mark.slow
def test_who_is_less_than_what_is_beside_is_read(pipeline: Pipeline, crate: Standing) -> None:
    """The rim of a turntable, apart from who stands on it, has more points."""
    person = crate.points[on_the_crate(crate)][::2]
    rng = np.random.default_rng(0)
    along, high = rng.uniform(0, 1.6 * np.pi, 6000), rng.uniform(-0.5, -0.25, 6000)
    rim = np.roll(np.stack([np.cos(along), high, np.sin(along)], 1), crate.up - 1, axis=1)
    scan = array_scan(np.concatenate([person, rim]))
    assert measured(scan).kept.min() >= len(person), "cleaning goes by size"
    reading = pipeline.read(scan)
    assert np.mean(reading.kept < len(person)) > 0.95
    assert reading.orientation.rotation[1, crate.up] > 0.9
    assert any("does not look like a person" in note for note in reading.notes)


@pytest.mark.slow
def test_who_stands_on_a_crate_is_read(pipeline: Pipeline, crate: Standing) -> None:
    reading = pipeline.read(array_scan(crate.points))
    assert reading.orientation.rotation[1, crate.up] > 0.9
    assert np.mean(on_the_crate(crate)[reading.kept]) > 0.95


def _is_person(scan: Standing, cleaned: Cleaned) -> bool:
    above = on_the_crate(scan)
    kept = np.zeros(len(above), dtype=bool)
    kept[cleaned.index] = True
    return bool(above[kept].mean() > 0.9 and kept[above].mean() > 0.9)
