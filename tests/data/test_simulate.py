"""The virtual scanner: what it sees, what hides what, where the points come from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from posetx.data.scanner import ScannerSettings, simulate_scans, visible_from

EXACT = ScannerSettings(noise=0.0, flying=0.0, clutter=0.0, floor=0.0, holes=0)
FRONT = torch.tensor([[0.0, 0.0, 1.0]])


def sphere(count: int = 4000, seed: int = 0) -> Tensor:
    """(1, count, 3) points of the unit sphere; they are their own normals."""
    points = torch.randn(1, count, 3, generator=torch.Generator().manual_seed(seed))
    return points / points.norm(dim=-1, keepdim=True)


def plate(size: float, z: float, steps: int = 40) -> Tensor:
    """(1, steps², 3) points of a square, sides 2 * size, at height z along the view."""
    line = torch.linspace(-size, size, steps)
    x, y = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y, torch.full_like(x, z)], -1).reshape(1, -1, 3)


def scan(points: Tensor, count: int, settings: ScannerSettings, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return simulate_scans(points, points, count, generator, cell=0.12, settings=settings)


def test_a_camera_in_front_sees_no_back() -> None:
    points = sphere()
    seen = visible_from(points, points, FRONT, cell=0.12)[0]
    z = points[0, :, 2]
    assert not seen[z < 0.1].any()
    assert seen[z > 0.4].float().mean() > 0.97


@pytest.mark.parametrize("direction", [[0.0, 1.0, 0.0], [0.0, -1.0, 0.01], [-3.0, 0.2, 0.0]])
def test_any_direction_and_length(direction: list[float]) -> None:
    points, towards = sphere(), torch.tensor([direction])
    height = (points[0] @ towards[0]) / towards.norm()
    seen = visible_from(points, points, towards, cell=0.12)[0]
    assert not seen[height < 0.1].any()
    assert seen[height > 0.4].float().mean() > 0.97


def test_a_plate_hides_what_is_behind_it() -> None:
    front, back = plate(0.5, 1.0), plate(1.0, 0.0, steps=80)
    points = torch.cat([front, back], 1)
    normals = torch.tensor([0.0, 0.0, 1.0]).expand_as(points)
    seen = visible_from(points, normals, FRONT, cell=0.06)[0]
    front_seen, back_seen = seen[: front.shape[1]], seen[front.shape[1] :]
    assert front_seen.all()
    aside = back[0, :, :2].abs().amax(1)
    assert not back_seen[aside < 0.45].any()
    assert back_seen[aside > 0.58].all()


def test_every_body_of_a_batch_has_its_own_camera() -> None:
    points = sphere().expand(2, -1, -1)
    seen = visible_from(points, points, torch.cat([FRONT, -FRONT]), cell=0.12)
    assert not (seen[0] & seen[1]).any()
    assert seen.any(1).all()


def test_without_faults_the_points_are_samples() -> None:
    points = sphere().repeat(3, 1, 1)
    scans, source = scan(points, 500, EXACT)
    assert scans.shape == (3, 500, 3)
    assert source.min() >= 0
    assert source.max() < points.shape[1]
    expected = points.gather(1, source.unsqueeze(-1).expand(-1, -1, 3))
    torch.testing.assert_close(scans, expected, atol=0.0, rtol=0.0)
    assert all(len(row.unique()) == 500 for row in source), "no sample twice while there are enough"


def test_one_view_sees_one_side_even_when_too_few_points_are_seen() -> None:
    settings = ScannerSettings((1, 1), 0.0, 0.0, 0.0, 0.0, 0)
    for seed in range(4):
        scans, _ = scan(sphere(1500), 1500, settings, seed)
        # two normals within 84 degrees of one direction are never opposite
        assert (scans[0] @ scans[0].T).min() > -0.985
        share = len(scans[0].unique(dim=0)) / 1500
        assert 0.3 < share < 0.5


def test_more_views_see_more() -> None:
    few = scan(sphere(1500), 1500, ScannerSettings((1, 1), 0.0, 0.0, 0.0, 0.0, 0))[1]
    many = scan(sphere(1500), 1500, ScannerSettings((8, 8), 0.0, 0.0, 0.0, 0.0, 0))[1]
    assert len(many.unique()) > 1.5 * len(few.unique())


def test_noise_is_small_and_keeps_its_source() -> None:
    settings = ScannerSettings((2, 2), 0.01, 0.0, 0.0, 0.0, 0)
    points = sphere().repeat(8, 1, 1)
    scans, source = scan(points, 800, settings)
    away = (scans - points.gather(1, source.unsqueeze(-1).expand(-1, -1, 3))).norm(dim=-1)
    assert 0 < away.mean() < 0.02  # 1 % of the height, which is 2, at most
    assert away.max() < 0.12


def test_clutter_and_flying_points_have_no_source() -> None:
    settings = ScannerSettings((8, 8), 0.0, 0.3, 0.3, 0.0, 0)
    points = sphere().repeat(8, 1, 1)
    scans, source = scan(points, 800, settings)
    stray = source < 0
    assert 0.02 < stray.float().mean() < 0.4
    expected = points.gather(1, source.clamp_min(0).unsqueeze(-1).expand(-1, -1, 3))
    assert (scans - expected)[~stray].abs().max() == 0
    assert ((scans.norm(dim=-1) - 1).abs()[stray] > 1e-3).float().mean() > 0.9


def test_floor_is_at_the_feet_and_has_no_source() -> None:
    settings = ScannerSettings((4, 4), 0.0, 0.0, 0.0, 0.5, 0)
    scans, source = scan(sphere().repeat(16, 1, 1), 400, settings)
    floor = source < 0
    share = floor.float().mean(1)
    assert 0 < (share > 0).sum() < 12, "about a third of the scans"
    assert (scans[floor][:, 1] + 1).abs().max() < 0.03
    assert scans[floor][:, [0, 2]].norm(dim=1).max() < 1.2


def test_holes_take_points_away() -> None:
    points = sphere().repeat(16, 1, 1)
    whole = ScannerSettings((8, 8), 0.0, 0.0, 0.0, 0.0, 0)
    holed = ScannerSettings((8, 8), 0.0, 0.0, 0.0, 0.0, 6)
    count = points.shape[1]
    kept = [len(row.unique()) for row in scan(points, count, holed)[1]]
    full = [len(row.unique()) for row in scan(points, count, whole)[1]]
    assert sum(kept) < sum(full)
    assert min(kept) > 0.3 * count


def test_the_seed_decides() -> None:
    first, second = (scan(sphere(), 300, ScannerSettings(), seed=5) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], scan(sphere(), 300, ScannerSettings(), seed=6)[0])
    assert first[0].isfinite().all()
