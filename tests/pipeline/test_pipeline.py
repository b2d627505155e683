"""The pipeline announces its stages, and holds nothing between calls."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from posetx.bodies.body import BodyModel
from posetx.errors import UsageError
from posetx.files.sources import array_scan, array_target
from posetx.pipeline.options import Options
from posetx.pipeline.pipeline import Pipeline


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.load()


@pytest.mark.parametrize(("clean", "restore"), itertools.product([True, False], [True, False]))
def test_the_stages_that_are_told_are_those_that_come(pipeline, clean, restore) -> None:
    """With fits: tests/pipeline/test_transfer.py, at the examples."""
    body = BodyModel.load()
    scan = array_scan(body.template.numpy())
    target = array_target(body.template.numpy(), body.faces.numpy())
    told = {"up": "y", "front": "z", "target_up": "y", "target_front": "z"}
    options = Options(**told, clean=clean, refine=False, restore=restore)
    heard: list[str] = []
    result = pipeline.transfer(scan, target, options, heard.append)
    assert heard == options.stages()
    assert list(result.report.seconds) == heard


def test_readings_and_targets_do_not_mix(pipeline, banks) -> None:
    """Two scans and two targets, given crosswise, are what each pair alone gives."""
    body = BodyModel.load()
    faces, rest = body.faces.numpy(), body.template.double().numpy()
    turns = banks["unseen"].draw(2, torch.Generator().manual_seed(0))
    posed = body.pose(torch.zeros_like(body.bank[:2]), turns).double().numpy()
    scans = [array_scan(points) for points in posed]
    targets = [array_target(rest, faces), array_target(1.2 * rest, faces)]
    readings = [pipeline.read(scan, "y", "z", refine=False) for scan in scans]
    ready = [pipeline.prepare(target, "y", "z", refine=False) for target in targets]
    told = {"up": "y", "front": "z", "target_up": "y", "target_front": "z"}
    options = Options(**told, refine=False, restore=False)
    for s, t in ((0, 1), (1, 0)):
        alone = pipeline.transfer(scans[s], targets[t], options).vertices
        assert np.array_equal(pipeline.give(readings[s], ready[t], restore=False).vertices, alone)
    first, second = (pipeline.give(r, ready[0], restore=False).vertices for r in readings)
    assert np.abs(first - second).max() > 0.05, "two poses"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"heading": "north"}, "heading north"),
        ({"up": "w"}, "up w"),
        ({"target_up": "y", "target_front": "-y"}, "target_front -y"),
    ],
)
def test_impossible_options_name_the_field(settings, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Options(**settings).check()
