"""Things that touch a simulated body: boxes against its skin, in the share of scans asked for."""

from __future__ import annotations

import torch

from posetx.data.objects import add_objects
from posetx.data.scanner import ScannerSettings, simulate_scans

BATCH, COUNT, LONGEST = 64, 3000, 0.6


def spheres() -> torch.Tensor:
    """(BATCH, COUNT, 3) points of unit spheres; they are their own normals."""
    points = torch.randn(BATCH, COUNT, 3, generator=torch.Generator().manual_seed(0))
    return points / points.norm(dim=-1, keepdim=True)


def added(share: float, seed: int = 0):
    points = spheres()
    generator = torch.Generator().manual_seed(seed)
    height = torch.full((BATCH,), 2.0)
    return points, *add_objects(points, points, height, share, generator, LONGEST)


def test_the_body_comes_first_and_unchanged() -> None:
    body, points, normals, real = added(1.0)
    assert torch.equal(points[:, :COUNT], body) and torch.equal(normals[:, :COUNT], body)
    assert real[:, :COUNT].all()
    assert points.shape == normals.shape == (BATCH, COUNT + COUNT // 3, 3)
    assert torch.allclose(normals.norm(dim=-1), torch.ones(()), atol=1e-5)


def test_objects_lie_against_the_skin_and_outside() -> None:
    _, points, _, real = added(1.0)
    for thing, mask in zip(points[:, COUNT:], real[:, COUNT:], strict=True):
        radius = thing[mask].norm(dim=-1)
        assert radius.min() > 0.9, "a box against a sphere does not enter it far"
        assert radius.min() < 1.5, "nor is it far away"
        assert (thing[mask].amax(0) - thing[mask].amin(0)).norm() <= 2 * LONGEST * 3**0.5


def test_their_share_is_as_asked() -> None:
    def share(asked: float) -> float:
        return float(added(asked)[3][:, COUNT:].any(1).float().mean())

    assert share(0.0) == 0 and share(1.0) == 1
    assert abs(share(0.5) - 0.5) < 0.2


def test_a_scan_knows_whose_points_are_whose() -> None:
    points = spheres()
    quiet = {"noise": 0.0, "flying": 0.0, "clutter": 0.0, "floor": 0.0, "holes": 0}
    generator = torch.Generator().manual_seed(0)
    settings = ScannerSettings((8, 8), objects=(1.0,), **quiet)
    scans, source = simulate_scans(points, points, 2000, generator, cell=0.12, settings=settings)
    ours = source >= 0
    assert torch.allclose(scans.norm(dim=-1)[ours], torch.ones(()), atol=1e-5)
    strange = (~ours).float().mean(1)
    assert (strange > 0).float().mean() > 0.9 and strange.max() < 0.5


def test_a_second_thing_touches_the_body_or_the_first() -> None:
    _, points, normals, real = added(1.0)
    generator = torch.Generator().manual_seed(1)
    height, count = torch.full((BATCH,), 2.0), points.shape[1]
    both, _, known = add_objects(points, normals, height, 0.5, generator, LONGEST, real)
    assert torch.equal(both[:, :count], points) and torch.equal(known[:, :count], real)
    there = known[:, count:].any(1)
    assert 0.3 < there.float().mean() < 0.7
    for i in there.nonzero().flatten().tolist():
        second, others = both[i, count:][known[i, count:]], points[i][real[i]]
        assert torch.cdist(second, others).min() < 0.3
