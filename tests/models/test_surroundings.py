"""What lies around points: moments by their definition, bounded, the same for any order."""

from __future__ import annotations

import torch

from posetx.geometry.frames import normalise_pose
from posetx.models.encoder import MiniPointNet
from posetx.models.surroundings import MOMENTS, WIDEST, WIDTHS, AroundPoint, surroundings


def clouds(*shape: int) -> torch.Tensor:
    points = torch.randn(*shape, 3, generator=torch.Generator().manual_seed(0))
    return normalise_pose(points)[0]


def test_moments_are_what_they_are_said_to_be() -> None:
    cloud = clouds(2, 60)
    points = cloud[:, :25]
    moments = surroundings(points, cloud)
    assert moments.shape == (2, 25, WIDTHS, MOMENTS)
    offsets = cloud.double().unsqueeze(1) - points.double().unsqueeze(2)
    upper = torch.triu_indices(3, 3)
    for index in range(WIDTHS):
        width = WIDEST / 2**index
        near = (-offsets.square().sum(-1) / (2 * width**2)).exp().unsqueeze(-1)
        mass = near.sum(2)
        off = (near * offsets).sum(2) / mass
        products = (offsets.unsqueeze(-1) * offsets.unsqueeze(-2))[..., upper[0], upper[1]]
        spread = (near * products).sum(2) / mass
        expected = torch.cat([(mass - 1) / 60, off / width, spread / width**2], 2)
        torch.testing.assert_close(moments[:, :, index], expected.float(), atol=2e-4, rtol=1e-4)


def test_they_are_bounded_and_know_no_order() -> None:
    cloud = clouds(1, 80)
    cloud[0, -1] = 50.0
    moments = surroundings(cloud, cloud)
    assert moments[..., 0].min() >= 0 and moments[..., 0].max() <= 1
    assert moments[..., 1:].abs().max() < 2
    order = torch.randperm(80, generator=torch.Generator().manual_seed(1))
    again = surroundings(cloud[:, order], cloud[:, order.flip(0)])
    torch.testing.assert_close(again, moments[:, order], atol=1e-4, rtol=1e-4)


def test_a_limb_and_a_back_differ() -> None:
    along = torch.linspace(-0.5, 0.5, 21)
    line = torch.stack([along, torch.zeros(21), torch.zeros(21)], 1)
    plane = torch.cartesian_prod(along, along, torch.zeros(1))
    middle = torch.zeros(1, 1, 3)
    of_line, of_plane = (surroundings(middle, one[None])[0, 0] for one in (line, plane))
    assert (of_line[:, 4] > 0.1).all() and of_line[:, 5:].abs().max() < 1e-4
    assert (of_plane[:2, 4] - of_plane[:2, 7]).abs().max() < 1e-3, "alike along both axes"


def test_at_first_it_changes_nothing_and_then_it_learns() -> None:
    torch.manual_seed(0)
    net, cloud = MiniPointNet(16, 4, around=True), clouds(2, 40)
    net.local.begin()
    around = surroundings(cloud, cloud)
    plain, seen = net(cloud).hidden, net(cloud, around=around).hidden
    assert torch.equal(plain, seen)
    seen.square().sum().backward()
    assert isinstance(net.around, AroundPoint) and net.around.out.weight.grad.abs().max() > 0
