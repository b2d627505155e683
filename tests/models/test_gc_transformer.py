"""GC-Transformer: what its definition promises, its geodesic loss, and that it learns."""

from __future__ import annotations

import resource

import pytest
import torch

from posetx.geometry.rotations import matrix_from_yaw
from posetx.models.gc_transformer import (
    RING,
    CGPAttention,
    GCTransformer,
    GCTransformerConfig,
    central_geodesic_loss,
)
from posetx.models.mesh_model import REACH


@pytest.fixture
def model() -> GCTransformer:
    """A small model, its weights large enough that every path counts."""
    torch.manual_seed(0)
    model = GCTransformer(GCTransformerConfig(width=64)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def clouds(pose: int = 50, points: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        0.3 * torch.randn(2, pose, 3, generator=generator),
        0.3 * torch.randn(2, points, 3, generator=generator),
    )


def test_the_papers_size() -> None:
    model = GCTransformer()
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(12.0e6, rel=0.02)
    assert [layer.out_features for layer in model.enter] == [1024, 512, 512, 256]


@pytest.mark.parametrize("pose, points", [(50, 77), (90, 40), (3, 60)])
def test_any_two_counts(model: GCTransformer, pose: int, points: int) -> None:
    positions = model(*clouds(pose, points)).positions
    assert positions.shape == (2, points, 3)
    assert torch.isfinite(positions).all() and positions.abs().max() <= REACH


def test_a_samples_result_is_its_own(model: GCTransformer) -> None:
    pose, points = clouds()
    both = model(pose, points).positions
    assert torch.allclose(both[1:], model(pose[1:], points[1:]).positions, atol=1e-4)


def test_a_common_order_of_pose_and_identity_only_permutes(model: GCTransformer) -> None:
    """A point keeps its pose point: the definition pairs them."""
    (pose, points), order = clouds(), torch.randperm(50)
    first = model(pose, points).positions
    second = model(pose[:, order], points[:, order]).positions
    assert torch.allclose(first[:, order], second, atol=1e-4)


def test_pose_and_identity_matter(model: GCTransformer) -> None:
    pose, points = clouds()
    first = model(pose, points).positions
    bent, stout = pose.clone(), points * torch.tensor([1.3, 1.0, 1.0])
    bent[..., 2] += pose[..., 1].square()
    for other in (model(bent, points), model(pose, stout)):
        assert (first - other.positions).abs().max() > 1e-2


def test_attention_is_the_papers() -> None:
    attention, pose, identity = CGPAttention(8), torch.randn(2, 20, 8), torch.randn(2, 20, 8)
    assert torch.equal(attention(pose, identity), pose)  # gamma starts at 0
    torch.nn.init.constant_(attention.gamma, 0.7)
    products = attention.query(pose) @ attention.key(identity).transpose(1, 2)
    expected = pose + 0.7 * products.softmax(-1) @ attention.value(pose)
    assert torch.allclose(attention(pose, identity), expected, atol=1e-5)


def test_attention_weights_are_not_held() -> None:
    """For 12,000 points they would take 550 MiB."""
    attention, x = CGPAttention(16), torch.randn(1, 12_000, 16)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with torch.no_grad():
        attention(x, x)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 150, f"{grown:.0f} MiB more"


def test_nothing_is_without_a_gradient(model: GCTransformer) -> None:
    """The published decoder holds normalisations and biases that nothing ever asks for."""
    pose, points = clouds(40, 50)
    pose.requires_grad_()
    model(pose, points).positions.square().mean().backward()
    for tensor in (pose, *model.parameters()):
        assert tensor.grad is not None and torch.isfinite(tensor.grad).all()
        assert tensor.grad.abs().max() > 1e-8


def test_bf16_moves_little(model: GCTransformer) -> None:
    pose, points = clouds()
    first = model(pose, points).positions
    with torch.autocast("cpu", torch.bfloat16):
        second = model(pose, points).positions
    assert second.dtype == torch.float32
    assert (first - second).square().mean().sqrt() < 0.1 * first.square().mean().sqrt()


def test_geodesic_loss_looks_at_every_point() -> None:
    """The published one loops over a batch of one: only the first vertex ever counts."""
    identity, other = clouds()
    for truth in (None, identity):
        predicted = (identity + 0.1 * other).requires_grad_()
        loss = central_geodesic_loss(predicted, identity, truth)
        (gradient,) = torch.autograd.grad(loss, predicted)
        assert gradient.norm(dim=-1).min() > 0


def test_geodesic_loss_is_that_of_a_loop_over_points() -> None:
    identity, predicted = clouds(30, 30)
    lengths, ways = [], []
    for shape, moved in zip(identity, predicted, strict=True):
        for i in range(30):
            near = (shape - shape[i]).norm(dim=1).argsort()[1 : RING + 1]
            is_, was = moved[near] - moved[i], shape[near] - shape[i]
            lengths.append((is_.norm(dim=1) - was.norm(dim=1)).square().mean())
            ways.append((is_ - was).square().mean())
    loss = central_geodesic_loss(predicted, identity)
    assert torch.allclose(loss, torch.stack(lengths).mean(), rtol=1e-4)
    loss = central_geodesic_loss(predicted, identity, identity)
    assert torch.allclose(loss, torch.stack(ways).mean(), rtol=1e-4)


def test_geodesic_loss_keeps_lengths_and_the_truths_directions() -> None:
    identity, _ = clouds()
    turned = identity @ matrix_from_yaw(torch.tensor(0.7)).T + 0.5
    assert central_geodesic_loss(turned, identity) < 1e-10
    assert central_geodesic_loss(turned, identity, turned) == 0
    assert central_geodesic_loss(turned, identity, identity) > 1e-3
    assert central_geodesic_loss(1.2 * identity, identity) > 1e-4


def test_geodesic_loss_of_coinciding_and_of_few_points() -> None:
    points = torch.zeros(1, 10, 3, requires_grad=True)
    loss = central_geodesic_loss(points, points.detach())
    (gradient,) = torch.autograd.grad(loss, points)
    assert loss == 0 and torch.isfinite(gradient).all()
    assert torch.isfinite(central_geodesic_loss(torch.randn(1, 3, 3), torch.randn(1, 3, 3)))
