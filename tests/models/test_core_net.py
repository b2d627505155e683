"""3D-CoreNet: its transport plan, and what must hold of the network whatever its weights are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from posetx.data.stream import Batch
from posetx.models.core_net import CoreNet, CoreNetConfig, SpectralLinear
from posetx.models.transport import transport

PUBLISHED = 24_461_447


@pytest.fixture
def model() -> CoreNet:
    torch.manual_seed(0)
    return CoreNet(CoreNetConfig(width=8)).eval()


def plain_plan(cost: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Sinkhorn's rule as it is usually written, with the marginals 1 / N and 1 / M."""
    count, other = cost.shape[1:]
    kernel = torch.exp(-cost / epsilon)
    rows = torch.full((len(cost), count, 1), 1 / count, dtype=cost.dtype)
    for _ in range(iterations):
        columns = 1 / other / (kernel.transpose(1, 2) @ rows)
        rows = 1 / count / (kernel @ columns)
    plan = rows * kernel * columns.transpose(1, 2)
    return plan / plan.sum(2, keepdim=True)


@pytest.mark.parametrize("iterations", [1, 5])
def test_plan_is_that_of_the_plain_iteration(iterations: int) -> None:
    torch.manual_seed(0)
    cost = 2 * torch.rand(3, 40, 25, dtype=torch.float64)
    plan = transport(cost, 0.03, iterations)
    assert torch.allclose(plan, plain_plan(cost, 0.03, iterations), rtol=1e-9, atol=1e-14)


def test_plan_keeps_both_marginals() -> None:
    torch.manual_seed(0)
    cost = torch.rand(2, 30, 50)
    assert torch.allclose(transport(cost).sum(2), torch.ones(2, 30), atol=1e-5)
    shares = transport(cost, epsilon=0.1, iterations=200).sum(1)
    assert torch.allclose(shares, torch.full((2, 50), 30 / 50), atol=1e-3)


def test_plan_finds_a_permutation() -> None:
    torch.manual_seed(0)
    points, order = torch.randn(1, 40, 3), torch.randperm(40)
    cost = torch.cdist(points, points[:, order]).square()
    assert torch.equal(order[transport(cost)[0].argmax(1)], torch.arange(40))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_extreme_costs_in_half_precision_do_no_harm(kind: torch.dtype) -> None:
    """exp(-cost / epsilon) is 0 in any precision here, and 60000 / 0.03 no half-precision number.

    At these costs each row's plan is on its cheapest point."""
    cost = torch.full((1, 6, 6), 6e4, dtype=kind)
    cost[0, torch.arange(6), torch.arange(6).flip(0)] = 5e4
    cost.requires_grad_()
    plan = transport(cost)
    plan.square().sum().backward()
    assert plan.dtype == torch.float32 and cost.grad is not None
    assert cost.grad.isfinite().all()
    assert torch.allclose(plan[0], torch.eye(6).flip(0), atol=1e-6)


def test_published_iteration_fails_where_ours_does_not() -> None:
    """Trap c of the published code: in half precision its kernel is 0, its plan 0 / 0."""
    cost = torch.full((1, 4, 4), 1.9, dtype=torch.float16)
    assert not plain_plan(cost, 0.03, 5).isfinite().all()
    assert torch.allclose(transport(cost), torch.full((1, 4, 4), 0.25))


def test_nonsense_is_refused() -> None:
    for epsilon, iterations in ((0.0, 5), (0.03, 0)):
        with pytest.raises(ValueError, match="positive"):
            transport(torch.rand(1, 3, 3), epsilon, iterations)


def test_size_is_the_published_one() -> None:
    """All that is missing: two thirds of the first layer's kernel and the biases without effect."""
    count = sum(p.numel() for p in CoreNet().parameters())
    kernel = 2 * 3 * 1024
    biases = 64 + 128 + 256 + 8 * 256
    assert count == PUBLISHED - kernel - biases
    assert abs(count / 24.5e6 - 1) < 0.02


def test_spectral_layers_have_norm_one() -> None:
    torch.manual_seed(0)
    layer = SpectralLinear(12, 20, bias=False)
    for _ in range(200):
        layer(torch.randn(1, 12))
    # of averaged weights the direction is no unit vector
    layer.direction.mul_(0.7)
    layer.eval()
    matrix = layer(torch.eye(12)).detach()
    assert torch.linalg.matrix_norm(matrix, 2) == pytest.approx(1.0, abs=1e-3)
    before = layer.direction.clone()
    layer(torch.eye(12))
    assert torch.equal(before, layer.direction)


@pytest.mark.parametrize(("pose_points", "points"), [(128, 160), (70, 33), (50, 300)])
def test_any_vertex_counts(model: CoreNet, pose_points: int, points: int) -> None:
    pose, identity = torch.randn(2, pose_points, 3) * 0.3, torch.randn(2, points, 3) * 0.3
    with torch.no_grad():
        moved = model(pose, identity).positions
    assert moved.shape == (2, points, 3) and moved.isfinite().all() and moved.abs().max() <= 2


def test_order_does_not_matter(model: CoreNet, batch: Batch) -> None:
    """Trap a of the published code: its kernel-3 convolution runs along the vertex index."""
    model = model.double()
    pose, points = batch.pose.double(), batch.queries.double()
    order, pose_order = torch.randperm(points.shape[1]), torch.randperm(pose.shape[1])
    with torch.no_grad():
        moved = model(pose, points).positions
        again = model(pose[:, pose_order], points[:, order]).positions
    assert torch.allclose(moved[:, order], again, atol=1e-9)


def test_pose_and_identity_matter(model: CoreNet, batch: Batch) -> None:
    with torch.no_grad():
        moved = model(batch.pose, batch.queries).positions
        posed = model(batch.pose.roll(1, 0), batch.queries).positions
        other = model(batch.pose, batch.queries.roll(1, 0)).positions
    assert (moved - posed).abs().max() > 1e-3 and (moved - other).abs().max() > 1e-3


def test_everything_has_a_gradient(model: CoreNet, batch: Batch) -> None:
    pose = batch.pose.clone().requires_grad_()
    moved = model.train()(pose, batch.queries).positions
    (moved - batch.truth).square().mean().backward()
    assert pose.grad is not None and pose.grad.isfinite().all() and pose.grad.abs().max() > 0
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all() and parameter.grad.abs().max() > 0, name


def test_bf16_changes_little(model: CoreNet, batch: Batch) -> None:
    with torch.no_grad():
        moved = model(batch.pose, batch.queries).positions
        with torch.autocast("cpu", torch.bfloat16):
            half = model(batch.pose, batch.queries).positions
    assert half.dtype == torch.float32
    assert (moved - half).square().mean().sqrt() < 0.1 * moved.square().mean().sqrt()
