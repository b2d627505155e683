"""NPT and NPT-MP: what their definitions promise, and that they learn."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from posetx.models.instance_norm import instance_norm
from posetx.models.mesh_model import REACH
from posetx.models.npt import NPT, NPTConfig, SPAdaIN


def random_model(pool: bool) -> NPT:
    """A small model, its weights large enough that every path counts."""
    torch.manual_seed(0)
    model = NPT(NPTConfig(width=64, pool=pool)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture(params=[False, True], ids=["NPT", "NPT-MP"])
def model(request: pytest.FixtureRequest) -> NPT:
    return random_model(request.param)


def clouds(pose: int = 50, points: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        0.3 * torch.randn(2, pose, 3, generator=generator),
        0.3 * torch.randn(2, points, 3, generator=generator),
    )


@pytest.mark.parametrize("pool", [False, True])
def test_the_papers_size(pool: bool) -> None:
    model = NPT(NPTConfig(pool=pool))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(6.05e6, rel=0.02)


def test_a_quarter_of_the_width_is_a_quarter_of_all_channels() -> None:
    model = NPT(NPTConfig(width=256))
    assert [layer.out_features for layer in model.encoder.layers] == [16, 32, 256]
    assert [layer.out_features for layer in model.enter] == [259, 129, 64]


@pytest.mark.parametrize("pose, points", [(50, 77), (90, 40), (3, 60)])
def test_any_two_counts(model: NPT, pose: int, points: int) -> None:
    positions = model(*clouds(pose, points)).positions
    assert positions.shape == (2, points, 3)
    assert torch.isfinite(positions).all() and positions.abs().max() <= REACH


def test_a_samples_result_is_its_own(model: NPT) -> None:
    pose, points = clouds()
    both = model(pose, points).positions
    assert torch.allclose(both[1:], model(pose[1:], points[1:]).positions, atol=1e-5)


def test_pose_and_identity_matter(model: NPT) -> None:
    """In NPT-MP a normalisation in the first block would take the tiled pose code away."""
    pose, points = clouds()
    first = model(pose, points).positions
    bent, stout = pose.clone(), points * torch.tensor([1.3, 1.0, 1.0])
    bent[..., 2] += pose[..., 1].square()
    for other in (model(bent, points), model(pose, stout)):
        assert (first - other.positions).abs().max() > 1e-2


def test_place_of_the_pose_does_not_matter(model: NPT) -> None:
    pose, points = clouds()
    first = model(pose, points).positions
    assert torch.allclose(first, model(pose + 3, points).positions, atol=1e-3)


def test_order_of_pose_points_does_not_matter_to_the_pooled() -> None:
    model, (pose, points) = random_model(pool=True), clouds(50, 40)
    shuffled = pose[:, torch.randperm(50)]
    first = model(pose, points).positions
    assert torch.allclose(first, model(shuffled, points).positions, atol=1e-4)
    twice = torch.cat([pose, shuffled], 1)
    assert torch.allclose(first, model(twice, points).positions, atol=1e-4)


def test_order_of_identity_points_only_permutes() -> None:
    """In NPT a point keeps its pose point: its definition pairs them."""
    order = torch.randperm(50)
    pose, points = clouds()
    for model in (random_model(True), random_model(False)):
        paired = pose[:, order] if model.equal_counts else pose
        first, second = model(pose, points).positions, model(paired, points[:, order]).positions
        assert torch.allclose(first[:, order], second, atol=1e-4)


def test_missing_pose_points_are_its_first_ones_again() -> None:
    model, (pose, points) = random_model(pool=False), clouds(40, 50)
    again = torch.cat([pose, pose[:, :10]], 1)
    assert torch.equal(model(pose, points).positions, model(again, points).positions)


def test_nothing_is_without_a_gradient(model: NPT) -> None:
    """The published decoders hold normalisations and biases that nothing ever asks for."""
    pose, points = clouds(40, 50)
    pose.requires_grad_()
    model(pose, points).positions.square().mean().backward()
    for tensor in (pose, *model.parameters()):
        assert tensor.grad is not None and torch.isfinite(tensor.grad).all()
        assert tensor.grad.abs().max() > 1e-8


def test_gradient_is_finite_for_points_that_coincide(model: NPT) -> None:
    _, points = clouds()
    pose = torch.zeros(2, 50, 3, requires_grad=True)
    model(pose, points).positions.square().mean().backward()
    assert pose.grad is not None and torch.isfinite(pose.grad).all()


def test_instance_norm_is_torchs() -> None:
    x = 3 * torch.randn(2, 20, 5) + 1
    torchs = F.instance_norm(x.transpose(1, 2)).transpose(1, 2)
    assert torch.allclose(instance_norm(x), torchs, atol=1e-5)


def test_spadain_gives_each_point_its_own_style() -> None:
    spadain, x = SPAdaIN(4), torch.randn(1, 20, 4)
    points = torch.randn(1, 20, 3)
    style = points @ spadain.style.weight.T + spadain.style.bias
    expected = instance_norm(x) * style[..., :4] + style[..., 4:]
    assert torch.allclose(spadain(x, points), expected, atol=1e-6)


def test_bf16_moves_little(model: NPT) -> None:
    pose, points = clouds()
    first = model(pose, points).positions
    with torch.autocast("cpu", torch.bfloat16):
        second = model(pose, points).positions
    assert second.dtype == torch.float32
    assert (first - second).square().mean().sqrt() < 0.05 * first.square().mean().sqrt()
