"""What a body touches is one piece with it to cleaning; the body fitted to it tells them apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from posetx.bodies.body import BodyModel
from posetx.bodies.skeleton import JOINTS
from posetx.geometry.rotations import matrix_from_axis_angle
from posetx.geometry.sampling import sample_surface
from posetx.models.checkpoint import load_model
from posetx.models.pose_mae import PoseCode
from posetx.models.predictor import Predictor
from posetx.reading.reader import PoseReader
from tests.measures import geodesic_degrees


@pytest.fixture(scope="module")
def reader() -> PoseReader:
    predictor = Predictor(load_model("posemae")[0], torch.device("cpu"))
    return PoseReader(predictor, BodyModel.load())


@pytest.fixture(scope="module")
def rotations() -> torch.Tensor:
    """(19, 3, 3): arms spread."""
    rotations = torch.eye(3).repeat(len(JOINTS), 1, 1)
    for side, degrees in ((".L", 20.0), (".R", -20.0)):
        raised = matrix_from_axis_angle(torch.deg2rad(torch.tensor([0.0, 0.0, degrees])))
        for part in ("upperarm", "forearm", "hand"):
            rotations[JOINTS.index(part + side)] = raised
    return rotations


@pytest.fixture(scope="module")
def person(rotations: torch.Tensor) -> np.ndarray:
    body = BodyModel.load()
    vertices = body.pose(torch.zeros_like(body.bank[:1]), rotations[None])[0].double().numpy()
    return sample_surface(vertices, body.faces.numpy(), 12_000)[0]


@pytest.fixture(scope="module")
def with_table(person: np.ndarray) -> np.ndarray:
    """The person, then a table top that the left hand lies on."""
    x, y, z = person[person[:, 0].argmax()]
    table = trimesh.creation.box(bounds=[[x - 0.05, y - 0.03, z - 0.4], [x + 0.6, y, z + 0.4]])
    return np.concatenate([person, trimesh.sample.sample_surface(table, 4_000, seed=0)[0]])


def degrees_off(code: PoseCode, rotations: torch.Tensor) -> float:
    return float(geodesic_degrees(code.estimate.rotations[0].cpu(), rotations).mean())


def test_a_table_is_told_from_who_leans_on_it(reader, person, with_table, rotations) -> None:
    told = reader.read(with_table, up="y", front="z")
    assert told.of_body[: len(person)].mean() > 0.97
    assert told.of_body[len(person) :].mean() < 0.4
    assert degrees_off(told.code, rotations) < 12


@pytest.mark.slow
def test_the_table_told_apart_is_no_more_in_the_way(reader, with_table, rotations) -> None:
    plain = reader.read(with_table, up="y", front="z", furniture=False)
    told = reader.read(with_table, up="y", front="z")
    assert plain.of_body.all()
    assert degrees_off(told.code, rotations) < degrees_off(plain.code, rotations)
    # the whole scan is what the confidence is about
    assert (told.distance, told.missed) == (plain.distance, plain.missed)


def test_of_a_body_alone_nothing_is_left_out(reader, person, rotations) -> None:
    read = reader.read(person, up="y", front="z")
    assert read.of_body.all()
    assert degrees_off(read.code, rotations) < 10


def test_the_network_alone_leaves_nothing_out(reader, with_table) -> None:
    swift = PoseReader(reader.predictor, BodyModel.load(), refine=False)
    read = swift.read(with_table, up="y", front="z")
    assert read.of_body.all() and read.missed is None
