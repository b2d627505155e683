"""The main job, as a person runs it: files in, files out, one line when it cannot be done."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from typer.testing import CliRunner

from posetx.bodies.body import BodyModel
from posetx.bodies.metrics import position_metrics
from posetx.cli import app
from posetx.data.poses import PoseBank
from posetx.evaluation.protocols import Pair, pairs
from posetx.files.scans import Scan, read_scan
from posetx.files.sources import array_scan
from posetx.files.targets import Target, read_target
from posetx.pipeline.options import Options
from posetx.pipeline.pipeline import Pipeline
from posetx.pipeline.results import Reading
from posetx.target.ready import ReadyTarget

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def worker() -> Pipeline:
    return Pipeline.load("posemae")


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def pair(body: BodyModel, all_banks: dict[str, PoseBank]) -> Pair:
    return next(pairs("seen", body, all_banks, 1))


@pytest.fixture(scope="module")
def target(body: BodyModel, pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Target:
    """The pair's target, read from a file."""
    path = tmp_path_factory.mktemp("pair") / "target.obj"
    trimesh.Trimesh(pair.target.numpy(), body.faces.numpy(), process=False).export(path)
    return read_target(path)


@pytest.fixture(scope="module")
def ready(worker: Pipeline, target: Target) -> ReadyTarget:
    """The same, prepared by the network alone."""
    return worker.prepare(target, refine=False)


def scanned(folder: Path, pair: Pair, turn: np.ndarray, unit: float) -> Scan:
    """The pair's source as a file: turned and in another unit."""
    points = pair.points.double().numpy() @ turn.T * unit + [120.0, -40.0, 300.0]
    trimesh.PointCloud(points).export(folder / "scan.ply")
    return read_scan(folder / "scan.ply")


Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
LYING = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])


@pytest.fixture(scope="module")
def fitted(worker: Pipeline, pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Reading:
    """A scan with z up in millimetres, read with a fit, which takes seconds."""
    return worker.read(scanned(tmp_path_factory.mktemp("fitted"), pair, Z_UP, 1000.0))


@pytest.fixture(scope="module")
def plain(worker: Pipeline, pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Reading:
    """The source as it is, read by the network alone."""
    scan = scanned(tmp_path_factory.mktemp("plain"), pair, np.eye(3), 1.0)
    return worker.read(scan, refine=False)


@pytest.mark.parametrize(
    ("turn", "unit"),
    [(np.eye(3), 1.0), pytest.param(Z_UP, None, marks=pytest.mark.slow), (LYING, 39.37)],
    ids=["y", "fitted", "x"],
)
def test_any_unit_and_axis(worker, pair, ready, request, tmp_path: Path, turn, unit) -> None:
    if unit == 1.0:
        reading = request.getfixturevalue("plain")
    elif unit:
        reading = worker.read(scanned(tmp_path, pair, turn, unit), refine=False)
    else:
        reading = request.getfixturevalue("fitted")
    result = worker.give(reading, ready)
    truth = pair.truth.double().numpy()
    found = result.report.scan_rotation @ turn
    assert found[1, 1] > 0.97, "up was not found"
    assert found[2, 2] > 0.9, "front was not found"
    assert position_metrics(result.vertices, truth)["pmd"] < 80e-4
    assert result.report.edge_distortion < 0.06


@pytest.mark.slow
def test_a_character_may_face_either_way(worker) -> None:
    """The hat's brim hides it from the network alone; it mostly faces where programs have it."""
    target, turn = read_target(EXAMPLES / "target.obj"), np.diag([-1.0, 1.0, -1.0])
    target.vertices = target.vertices @ turn.T
    stand = worker.prepare(target)
    assert stand.up == "y"
    assert np.allclose(stand.rotation @ turn, np.eye(3), atol=1e-9)


def test_result_stands_where_the_target_stood(worker, plain, target, ready) -> None:
    result = worker.give(plain, ready, restore=False)
    assert np.isclose(result.vertices[:, 1].min(), target.vertices[:, 1].min(), atol=1e-6)
    middle = result.vertices.mean(0) - target.vertices.mean(0)
    assert np.abs(middle[[0, 2]]).max() < 0.3


def test_heading_of_the_scan_on_request(worker, pair, ready, tmp_path: Path) -> None:
    angle = 2.0
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    reading = worker.read(scanned(tmp_path, pair, turn, 1.0), up="y", refine=False)
    kept, turned = worker.give(reading, ready), worker.give(reading, ready, heading="scan")
    truth = pair.truth.double().numpy()
    assert position_metrics(turned.vertices, truth @ turn.T)["pmd"] < 80e-4
    assert position_metrics(kept.vertices, truth)["pmd"] < 80e-4


def test_a_second_person_is_said(worker, pair, ready, tmp_path: Path) -> None:
    scan = scanned(tmp_path, pair, np.eye(3), 1.0)
    beside = scan.points[::2] + [2.5, 0.0, 0.0]
    scan.points = np.concatenate([scan.points, beside])
    result = worker.give(worker.read(scan, up="y", refine=False), ready, restore=False)
    assert any("second person" in note for note in result.warnings)


def test_surveyors_coordinates(worker, plain, ready) -> None:
    """Six digits before the point must not cost the ones behind it."""
    far = replace(plain.scan, points=plain.scan.points + [512345.0, 5412345.0, 321.0])
    near, found = (
        worker.give(reading, ready, restore=False).vertices
        for reading in (plain, worker.read(far, refine=False))
    )
    assert np.abs(found - near).max() < 0.01


@pytest.mark.slow
def test_same_result_for_shuffled_points(worker, ready, fitted) -> None:
    shuffled = np.random.default_rng(0).permutation(fitted.scan.points)
    again = worker.read(replace(fitted.scan, points=shuffled))
    first, second = (worker.give(one, ready, restore=False) for one in (fitted, again))
    assert np.abs(second.vertices - first.vertices).max() < 1e-3


@pytest.mark.slow  # .ci/run runs the same command after all tests
def test_examples_from_the_command_line(tmp_path: Path) -> None:
    output, picture = tmp_path / "out.obj", tmp_path / "out.png"
    arguments = ["transfer", str(EXAMPLES / "scan.ply"), str(EXAMPLES / "target.obj")]
    arguments += ["-o", str(output), "--preview", str(picture), "--json"]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.output
    report = json.loads(run.stdout)
    assert report["scan_up"] == "z" and report["target_up"] == "y"
    assert np.allclose(report["target_rotation"], np.eye(3), atol=1e-9)
    assert report["points_used"] < report["points_in"] == report["points_measured"]
    assert report["edge_distortion"] < 0.05 and report["flipped_triangles"] < 0.001
    # an OBJ holds no skeleton
    assert list(report["seconds"]) == Options(bake=True).stages()
    assert picture.read_bytes()[:4] == b"\x89PNG"

    def others(path: Path) -> list[str]:
        return [x for x in path.read_text().splitlines() if not x.startswith(("v ", "vn "))]

    assert others(output) == others(EXAMPLES / "target.obj")
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2 and "--overwrite" in again.output


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["missing.ply", "TARGET", "-o", "o.obj"], 1, "missing.ply"),
        (["SCAN", "missing.obj", "-o", "o.obj"], 1, "missing.obj"),
        (["SCAN", "TARGET", "-o", "o.xyz"], 2, "o.xyz"),
        (["SCAN", "TARGET", "-o", "o.obj", "--up", "w"], 2, "not an axis"),
        (["SCAN", "TARGET", "-o", "o.obj", "--up", "y", "--front", "y"], 2, "same axis"),
        (["SCAN", "TARGET", "-o", "o.obj", "--heading", "north"], 2, "--heading"),
        (["SCAN", "TARGET", "-o", "o.obj", "-m", "nothing"], 3, "no such model"),
        (["SCAN", "TARGET", "-o", "no/such/o.obj"], 1, "no/such"),
        (["FEW", "TARGET", "-o", "o.obj", "--no-refine"], 1, "points"),
        (["SCAN", "FLAT", "-o", "o.obj"], 1, "area"),
    ],
)
def test_failures_are_one_line_and_leave_nothing(
    arguments, code, says, pair, target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scanned(tmp_path, pair, np.eye(3), 1.0)
    shutil.copy(target.path, tmp_path)
    (tmp_path / "few.xyz").write_text("0 0 0\n1 0 0\n0 1 0\n")
    (tmp_path / "flat.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    names = {"SCAN": "scan.ply", "TARGET": "target.obj", "FEW": "few.xyz", "FLAT": "flat.obj"}
    before = sorted(p.name for p in tmp_path.iterdir())
    run = CliRunner().invoke(app, ["transfer", *[names.get(a, a) for a in arguments]])
    assert run.exit_code == code, run.output
    assert says in run.output.replace("\n", " ")
    assert "Traceback" not in run.output
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_a_stray_a_mile_away_changes_nothing(worker, body, pair, ready, tmp_path) -> None:
    """As a point, uncleaned, or as the vertex of a spike in a mesh."""
    scan = scanned(tmp_path, pair, np.eye(3), 1.0)
    faces = body.faces.numpy()
    mesh = array_scan(pair.points.numpy(), faces)
    spike = array_scan(
        np.concatenate([mesh.points, [[1e6, 0.0, 0.0]]]), [*faces, [0, 1, len(mesh.points)]]
    )
    stray = replace(scan, points=np.concatenate([scan.points, [[0.0, 1e6, 0.0]]]))
    stray = replace(stray, normals=None, colors=None)
    for without, strayed, clean in ((scan, stray, True), (scan, stray, False), (mesh, spike, True)):
        expected, found = (
            worker.give(worker.read(one, "y", "z", clean, refine=False), ready, restore=False)
            for one in (without, strayed)
        )
        assert np.linalg.norm(found.vertices - expected.vertices, axis=1).mean() < 0.02
        assert found.warnings or clean


def test_a_scan_that_is_a_mesh_is_sampled_on_its_surface(
    worker, body, pair, ready, tmp_path
) -> None:
    """A mesh with few, large triangles poses the target as its dense points do."""
    scan = scanned(tmp_path, pair, np.eye(3), 1.0)
    mesh = trimesh.Trimesh(pair.points.numpy(), body.faces.numpy(), process=False)
    mesh.export(tmp_path / "mesh.ply")
    # told, as the network alone takes one of two headings that it finds about as good
    cloud, surface = (
        worker.give(worker.read(one, "y", "z", refine=False), ready)
        for one in (scan, read_scan(tmp_path / "mesh.ply"))
    )
    report = surface.report
    assert report.points_in == len(pair.points) < report.points_used <= report.points_measured
    assert f"of {report.points_measured:,} samples of a mesh of {report.points_in:,}" in (
        report.points
    )
    assert np.linalg.norm(surface.vertices - cloud.vertices, axis=1).mean() < 0.03
    assert surface.reading.kept.max() < len(pair.points)
