"""The network: what must hold whatever its weights are, and so holds for random ones too."""

from __future__ import annotations

import resource

import numpy as np
import pytest
import torch

from posetx.bodies.body import BodyModel
from posetx.geometry.frames import normalise_pose
from posetx.geometry.rotations import matrix_from_yaw
from posetx.models.pose_mae import PoseMAE, PoseMAEConfig
from posetx.models.predictor import IdentityFrame, Predictor, pose_sample

SMALL = PoseMAEConfig(width=64, code=64, decoder_width=32, depth=1)


def random_model(head: str) -> PoseMAE:
    """A model whose zero-initialised parts are stirred, so that every path counts."""
    torch.manual_seed(0)
    model = PoseMAE(PoseMAEConfig(**{**SMALL.__dict__, "head": head}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(params=["skin", "coords"])
def predictor(request: pytest.FixtureRequest) -> Predictor:
    return Predictor(random_model(request.param), torch.device("cpu"))


@pytest.fixture(scope="module")
def body() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Target vertices and faces, and a pose source's points."""
    model = BodyModel.load()
    vertices, _ = model.rest(model.bank[:2])
    return vertices[0].double().numpy(), model.faces.numpy(), vertices[1].double().numpy()


def transferred(predictor: Predictor, cloud: np.ndarray, target: np.ndarray, faces) -> np.ndarray:
    frame = IdentityFrame.of(target, faces)
    normal = frame.to_normal(target)
    code = predictor.encode_pose(pose_sample(cloud, SMALL.pose_points)[None])
    context = predictor.context(code, predictor.identity_sample(normal, faces))
    return frame.from_normal(predictor.decode(context, normal)[0])


def test_order_of_pose_points_does_not_matter(predictor, body) -> None:
    target, faces, cloud = body
    shuffled = np.random.default_rng(0).permutation(cloud)
    first = transferred(predictor, cloud, target, faces)
    assert np.array_equal(first, transferred(predictor, shuffled, target, faces))


def test_inference_is_deterministic(predictor, body) -> None:
    target, faces, cloud = body
    first = transferred(predictor, cloud, target, faces)
    torch.manual_seed(5)
    assert np.array_equal(first, transferred(predictor, cloud, target, faces))


def test_order_of_target_vertices_only_permutes(predictor, body) -> None:
    target, faces, cloud = body
    new_from_old = np.random.default_rng(1).permutation(len(target))
    old_from_new = np.argsort(new_from_old)
    first = transferred(predictor, cloud, target, faces)
    second = transferred(predictor, cloud, target[new_from_old], old_from_new[faces])
    assert np.abs(first[new_from_old] - second).max() < 1e-4


def test_unit_and_place_of_the_scan_do_not_matter(predictor, body) -> None:
    target, faces, cloud = body
    first = transferred(predictor, cloud, target, faces)
    second = transferred(predictor, cloud * 1000 + [5000, -300, 40], target, faces)
    assert np.abs(first - second).max() < 2e-3


def test_unit_and_place_of_the_target_are_kept(predictor, body) -> None:
    target, faces, cloud = body
    first = transferred(predictor, cloud, target, faces)
    shift = np.array([3.0, -1.0, 2.0])
    second = transferred(predictor, cloud, target * 100 + shift, faces)
    assert np.abs(first * 100 + shift - second).max() < 0.05


def test_pose_matters(predictor, body) -> None:
    target, faces, cloud = body
    bent = cloud.copy()
    bent[bent[:, 1] > 0, 2] += 0.5 * bent[bent[:, 1] > 0, 1]
    first = transferred(predictor, cloud, target, faces)
    assert np.abs(first - transferred(predictor, bent, target, faces)).max() > 1e-3


@pytest.mark.parametrize("head", ["skin", "coords"])
def test_chunks_do_not_matter(head: str, body, monkeypatch: pytest.MonkeyPatch) -> None:
    target, faces, cloud = body
    predictor = Predictor(random_model(head), torch.device("cpu"))
    first = transferred(predictor, cloud, target, faces)
    monkeypatch.setattr("posetx.models.predictor.CHUNK", 1000)
    assert np.abs(first - transferred(predictor, cloud, target, faces)).max() < 1e-5


def test_training_and_inference_paths_agree() -> None:
    """`forward` in one pass gives what `context` and `decode` give in two."""
    for head in ("skin", "coords"):
        model = random_model(head)
        pose, points = torch.randn(2, 128, 3), torch.randn(2, 160, 3) * 0.3
        with torch.no_grad():
            whole = model(pose, points, 128)
            context = model.context(model.encode_pose(pose), points[:, :128])
            assert torch.allclose(whole.positions, model.decode(context, points), atol=1e-5)


def test_skin_head_returns_the_identity_for_its_own_pose() -> None:
    """With no correction and no offset, equal joint rotations move nothing."""
    torch.manual_seed(0)
    model = PoseMAE(SMALL).eval()
    points = torch.randn(1, 128, 3) * 0.3
    with torch.no_grad():
        model.decoder.out.weight.zero_()
        target = model.encode_identity(points)
        context = model.context(target, points)
        moved = model.decode(context, points)
    assert torch.allclose(moved, points, atol=1e-5)


def test_normalised_frame_is_equivariant() -> None:
    cloud = torch.randn(2, 50, 3)
    turn = matrix_from_yaw(torch.tensor(0.7))
    a, _, unit = normalise_pose(cloud)
    b, _, bigger = normalise_pose(3.0 * cloud @ turn.T + 7.0)
    assert torch.allclose(a @ turn.T, b, atol=1e-5)
    assert torch.allclose(3 * unit, bigger, rtol=1e-5)


def test_masks_only_in_training() -> None:
    model = random_model("skin")
    pose, points = torch.randn(1, 128, 3), torch.randn(1, 128, 3)
    with torch.no_grad():
        assert model(pose, points).pose.features.parts.shape[1] == 128
        assert model.train()(pose, points).pose.features.parts.shape[1] == 96


@pytest.mark.slow
def test_a_million_vertices_fit_in_memory() -> None:
    """Decoding is chunked: what a million vertices add is their own coordinates, not features."""
    predictor = Predictor(random_model("skin"), torch.device("cpu"))
    code = predictor.encode_pose(np.random.default_rng(0).normal(size=(1, 256, 3)))
    context = predictor.context(code, torch.randn(1, 128, 3))
    points = np.random.default_rng(1).normal(size=(1_000_000, 3))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert predictor.decode(context, points).shape == (1, 1_000_000, 3)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 700, f"{grown:.0f} MiB more for a million vertices"
