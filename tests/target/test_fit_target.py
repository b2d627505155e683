"""The fit to the target: its own pose and weights where it looks like a body, nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from posetx.bodies.body import BodyModel, global_rotations, relative_rotations
from posetx.bodies.skeleton import JOINTS
from posetx.data.identities import draw_rest_poses
from posetx.data.poses import PoseBank
from posetx.data.wardrobe.wardrobe import Wardrobe
from posetx.evaluation.dressed import dressed
from posetx.evaluation.protocols import eligible_bodies
from posetx.geometry.rotations import matrix_from_axis_angle
from posetx.models.checkpoint import load_model
from posetx.models.predictor import IdentityFrame, Predictor, pose_sample
from posetx.target.prepared import PLAIN, Prepared, TargetFit, at_rest, give
from tests.measures import geodesic_degrees, improved

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(load_model("posemae", CPU)[0], CPU)


@pytest.fixture(scope="module")
def fit(predictor: Predictor, body: BodyModel) -> TargetFit:
    return TargetFit(predictor, body)


@pytest.fixture(scope="module")
def posed(body: BodyModel, all_banks: dict[str, PoseBank]) -> tuple[np.ndarray, torch.Tensor]:
    """A body in some pose, in its normalised frame, and the pose."""
    truth = all_banks["train"].draw(1, torch.Generator().manual_seed(5))
    vertices = body.pose(body.bank[7:8], truth)[0].double().numpy()
    return IdentityFrame.of(vertices, body.faces.numpy()).to_normal(vertices), truth


@pytest.fixture(scope="module")
def ready(fit: TargetFit, body: BodyModel, posed) -> Prepared:
    return fit.prepare(posed[0], body.faces.numpy())


def test_it_knows_pose_and_weights_better_than_the_network(
    ready: Prepared, predictor: Predictor, body: BodyModel, posed
) -> None:
    vertices, truth = posed
    with torch.inference_mode():
        network = predictor.model.encode_identity(ready.sample).estimate
    assert ready.estimate is not None and ready.weights is not None
    errors = [geodesic_degrees(e.rotations, truth).mean() for e in (ready.estimate, network)]
    assert errors[0] < errors[1]
    own = predictor.part_weights(ready.sample, network, vertices)
    wrong = [np.abs(w - body.weights.numpy()).sum(1).mean() for w in (ready.weights, own)]
    assert wrong[0] < 0.7 * wrong[1]
    assert wrong[0] < 0.2


def test_weights_are_weights(ready: Prepared) -> None:
    assert ready.weights is not None
    assert ready.weights.min() >= 0
    assert np.allclose(ready.weights.sum(1), 1, atol=1e-4)


def test_far_from_the_body_the_network_keeps_its_word(
    fit: TargetFit, predictor: Predictor, body: BodyModel, posed, ready: Prepared
) -> None:
    vertices, _ = posed
    flag = np.array([[0.0, 3.0, 0.0], [0.0, 3.0, 0.01], [0.01, 3.0, 0.0]])
    faces = np.concatenate([body.faces.numpy(), len(vertices) + np.array([[0, 1, 2]])])
    with_flag = fit.prepare(np.concatenate([vertices, flag]), faces)
    assert with_flag.estimate is not None and with_flag.weights is not None
    own = predictor.part_weights(with_flag.sample, with_flag.estimate, flag)
    assert np.allclose(with_flag.weights[-3:], own, atol=1e-4)
    # and a speck of surface moves no one else's
    assert np.abs(with_flag.weights[:-3] - ready.weights).mean() < 0.01


def test_the_order_of_vertices_does_not_matter(
    fit: TargetFit, body: BodyModel, posed, ready: Prepared
) -> None:
    vertices, _ = posed
    order = np.random.default_rng(0).permutation(len(vertices))
    place = np.argsort(order)
    shuffled = fit.prepare(vertices[order], place[body.faces.numpy()])
    assert shuffled.weights is not None
    assert np.abs(shuffled.weights[place] - ready.weights).max() < 1e-3


def test_its_own_pose_gives_the_target_back(
    ready: Prepared, predictor: Predictor, body: BodyModel, posed
) -> None:
    """Both fits at work: a scan of the very target leaves it (nearly) as it is."""
    from posetx.fit.cloud import BodyFit

    vertices, _ = posed
    points = torch.as_tensor(vertices[np.random.default_rng(1).permutation(len(vertices))[:6000]])
    cloud = pose_sample(points.numpy(), predictor.model.config.pose_points)[None]
    code = improved(BodyFit(body), predictor.normalised(cloud), predictor.encode_pose(cloud))
    moved = give(predictor, code, ready)
    apart = np.linalg.norm((moved - moved.mean(0)) - (vertices - vertices.mean(0)), axis=1)
    assert apart.mean() < 0.03


def test_an_arm_in_the_ribs_is_an_arm_whichever_way_the_triangles_are_wound(
    fit: TargetFit, body: BodyModel
) -> None:
    """Normals tell two surfaces apart that run through each other; without any it still works."""
    rotations = torch.eye(3).repeat(1, len(JOINTS), 1, 1)
    for side, degrees in ((".L", -40.0), (".R", 40.0)):
        hanging = matrix_from_axis_angle(torch.deg2rad(torch.tensor([0.0, 0.0, degrees])))
        for part in ("upperarm", "forearm", "hand"):
            rotations[:, JOINTS.index(part + side)] = hanging
    sunk = body.pose(body.bank[:1], rotations)[0].double().numpy()
    faces = body.faces.numpy()
    vertices = IdentityFrame.of(sunk, faces).to_normal(sunk)
    # every other triangle turned over: no side is the outside
    muddled = np.where(np.arange(len(faces))[:, None] % 2, faces, faces[:, ::-1])
    told, inward, untold = (
        fit.prepare(vertices, wound).weights for wound in (faces, faces[:, ::-1], muddled)
    )
    assert told is not None and inward is not None and untold is not None
    truth = body.weights.numpy()
    wrong = [np.abs(weights - truth).sum(1).mean() for weights in (told, inward, untold)]
    assert max(wrong[:2]) < 0.05, wrong
    assert wrong[2] < 0.1


def test_characters_are_made_at_rest(body: BodyModel, all_banks: dict[str, PoseBank]) -> None:
    rest = draw_rest_poses(body, 32, torch.Generator().manual_seed(0))
    assert all(at_rest(one) for one in rest.split(1))
    local = relative_rotations(rest[:1])
    for joint, degrees, still in (
        ("shin.L", 40, False),
        ("chest", 40, False),
        ("hand.L", 60, True),
    ):
        bent = local.clone()
        turn = matrix_from_axis_angle(torch.tensor([np.radians(degrees), 0, 0]).float())
        bent[0, JOINTS.index(joint)] = bent[0, JOINTS.index(joint)] @ turn
        assert at_rest(global_rotations(bent)) == still
    posed = all_banks["unseen"].draw(200, torch.Generator().manual_seed(0))
    assert np.mean([at_rest(one) for one in posed.split(1)]) < 0.3


def test_clothes_do_not_bend_who_stands_at_rest(fit: TargetFit, body: BodyModel) -> None:
    """The fitted body leans to where cloth and hair are; the network knows them."""
    rest = draw_rest_poses(body, 2, torch.Generator().manual_seed(0))
    wardrobe, rows, away = Wardrobe(body), eligible_bodies(body), []
    for seed, pose in enumerate(rest):
        who = dressed(wardrobe, body.bank[rows[seed]], seed)
        vertices, faces = who.pose(pose).double().numpy(), who.figure.faces.numpy()
        ready = fit.prepare(IdentityFrame.of(vertices, faces).to_normal(vertices), faces)
        assert ready.estimate is not None
        away.append(float(geodesic_degrees(ready.estimate.rotations, pose[None]).mean()))
    assert np.mean(away) < 8


def test_a_bare_body_at_rest_is_fitted_to_the_millimetre(fit: TargetFit, body: BodyModel) -> None:
    rest = draw_rest_poses(body, 1, torch.Generator().manual_seed(1))
    vertices, faces = body.pose(body.bank[9:10], rest)[0].double().numpy(), body.faces.numpy()
    ready = fit.prepare(IdentityFrame.of(vertices, faces).to_normal(vertices), faces)
    assert ready.estimate is not None and ready.noise is not None
    assert ready.noise < PLAIN
    assert float(geodesic_degrees(ready.estimate.rotations, rest)[0, :5].max()) < 1.5
