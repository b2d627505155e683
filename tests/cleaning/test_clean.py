"""Cleaning made-up scans whose every point is known to be body or not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posetx.cleaning.clean import clean_scan
from posetx.errors import PosetxError

# Capsules of a body 1.76 m tall, y up, soles at y = 0: two ends and a radius, metres.
LIMBS = [
    ((0, 0.95, 0), (0, 1.35, 0), 0.15),
    ((0, 1.60, 0), (0, 1.66, 0), 0.10),
    ((0, 1.45, 0), (0, 1.55, 0), 0.06),
    ((-0.10, 0.50, 0), (-0.10, 0.90, 0), 0.08),
    ((0.10, 0.50, 0), (0.10, 0.90, 0), 0.08),
    ((-0.12, 0.10, 0), (-0.10, 0.50, 0), 0.055),
    ((0.12, 0.10, 0), (0.10, 0.50, 0), 0.055),
    ((-0.12, 0.04, -0.03), (-0.14, 0.04, 0.16), 0.04),
    ((0.12, 0.04, -0.03), (0.14, 0.04, 0.16), 0.04),
    ((-0.18, 1.38, 0), (-0.45, 1.25, 0.05), 0.05),
    ((0.18, 1.38, 0), (0.45, 1.30, 0.05), 0.05),
    ((-0.45, 1.25, 0.05), (-0.68, 1.15, 0.20), 0.04),
    ((0.45, 1.30, 0.05), (0.70, 1.40, 0.15), 0.04),
]


def capsule(start, end, radius, count, rng):
    start, end = np.array(start, float), np.array(end, float)
    length = np.linalg.norm(end - start)
    axis = (end - start) / length
    across = np.cross(axis, [0.3, 0.5, 0.7])
    across /= np.linalg.norm(across)
    height = rng.uniform(-radius, length + radius, count)
    over = np.maximum(np.maximum(-height, height - length), 0.0)
    ring = np.sqrt(np.maximum(radius**2 - over**2, 0.0))[:, None]
    angle = rng.uniform(0, 2 * np.pi, count)[:, None]
    round_ = np.cos(angle) * across + np.sin(angle) * np.cross(axis, across)
    return start + height[:, None] * axis + ring * round_


def body(count, rng, noise=0.003):
    """Unevenly sampled: some limbs several times as dense as others."""
    areas = [r * (np.linalg.norm(np.subtract(b, a)) + 2 * r) for a, b, r in LIMBS]
    shares = np.array(areas) * np.exp(rng.normal(size=len(LIMBS)) * 0.55)
    counts = rng.multinomial(count, shares / shares.sum())
    parts = [capsule(*limb, k, rng) for limb, k in zip(LIMBS, counts, strict=True)]
    points = np.concatenate(parts)
    return points + rng.normal(size=points.shape) * noise


def floor(count, rng, radius=1.2, noise=0.003):
    angle, away = rng.uniform(0, 2 * np.pi, count), radius * np.sqrt(rng.random(count))
    disc = np.stack([away * np.cos(angle), np.zeros(count), away * np.sin(angle)], axis=1)
    return disc + rng.normal(size=disc.shape) * noise


def wall(count, rng, noise=0.003):
    flat = np.stack(
        [rng.uniform(-1.3, 1.3, count), rng.uniform(0, 2.2, count), np.full(count, -0.9)], axis=1
    )
    return flat + rng.normal(size=flat.shape) * noise


def strays(count, rng):
    return rng.uniform([-1.5, -0.3, -1.2], [1.5, 2.3, 1.5], (count, 3))


def scene(*parts):
    """All parts in one cloud, and which of its points are body (the first part)."""
    points = np.concatenate(parts)
    return points, np.arange(len(points)) < len(parts[0])


def shares(points, is_body, **options):
    """Share of the body kept, share of non-body points among the kept, mask of kept."""
    cleaned = clean_scan(points, **options)
    assert np.array_equal(cleaned.points, points[cleaned.index])
    assert (np.diff(cleaned.index) > 0).all()
    kept = np.zeros(len(points), dtype=bool)
    kept[cleaned.index] = True
    return kept[is_body].mean(), (kept & ~is_body).sum() / kept.sum(), kept


@pytest.mark.parametrize("count", [1500, 6000, 40000])
@pytest.mark.parametrize("seed", [0, 1])
def test_clean_body_stays_whole(count, seed):
    points, is_body = scene(body(count, np.random.default_rng(seed)))
    kept, _, _ = shares(points, is_body)
    assert kept >= 0.995


@pytest.mark.parametrize("seed", range(3))
def test_one_sided_body_stays_whole(seed):
    points = body(20000, np.random.default_rng(seed), noise=0.002)
    points = points[points[:, 2] > np.where(points[:, 1] > 0.1, 0.02, -1.0)]
    kept, _, _ = shares(*scene(points))
    assert kept >= 0.99


@pytest.mark.parametrize("count", [3000, 20000])
@pytest.mark.parametrize(("unit", "seed"), [(1.0, 0), (1000.0, 1), (39.37, 2), (1e-3, 3)])
def test_floor_wall_strays_and_cluster_go(count, unit, seed):
    rng = np.random.default_rng(seed)
    blob = rng.normal(size=(count // 6, 3)) * 0.1 + [1.0, 0.5, 0.6]
    points, is_body = scene(
        body(count, rng), floor(count, rng), wall(count, rng), strays(count // 50, rng), blob
    )
    feet = is_body & (points[:, 1] < 0.1)
    turn = Rotation.random(rng=seed).as_matrix()
    kept, foreign, mask = shares((points @ turn.T + [3.0, -2.0, 5.0]) * unit, is_body)
    assert kept >= 0.98
    assert foreign <= 0.03
    assert mask[feet].mean() >= 0.8


@pytest.fixture(scope="module")
def on_a_floor() -> tuple[np.ndarray, np.ndarray]:
    """A body on a floor, and what is kept of it."""
    rng = np.random.default_rng(3)
    points = np.concatenate([body(20_000, rng), floor(5_000, rng)])
    return points, clean_scan(points).index


@pytest.mark.parametrize("far", [1e3, 1e6, 1e9, 1e25])
@pytest.mark.parametrize("count", [1, 900])
def test_strays_a_mile_away_change_nothing(on_a_floor, far: float, count: int) -> None:
    points, alone = on_a_floor
    rng = np.random.default_rng(4)
    stray = far * (1 + rng.random((count, 3))) * rng.choice([-1, 1], (count, 3))
    found = clean_scan(np.concatenate([points, stray]))
    assert (found.index < len(points)).all()
    assert len(np.setxor1d(found.index, alone)) < 0.01 * len(alone)


def test_an_empty_pixel_among_map_coordinates_changes_nothing() -> None:
    rng = np.random.default_rng(4)
    place = np.array([3_412_345.0, 5_412_345.0, 420.0])
    points = body(20_000, rng) + place
    found = clean_scan(np.concatenate([np.zeros((1, 3)), points]))
    assert 0 not in found.index and len(found.index) > 0.99 * len(points)


@pytest.mark.parametrize("radius", [0.5, 1.5])
def test_noisy_floor_leaves_the_feet(radius):
    rng = np.random.default_rng(5)
    points, is_body = scene(body(15000, rng, 0.008), floor(15000, rng, radius, 0.008))
    kept, foreign, mask = shares(points, is_body)
    assert kept >= 0.975
    assert foreign <= 0.03
    toes = is_body & (points[:, 1] > 0.035) & (points[:, 1] < 0.08)
    assert mask[toes].mean() >= 0.95


def test_table_goes_and_the_body_behind_it_stays():
    rng = np.random.default_rng(2)
    board = np.stack(
        [rng.uniform(-0.8, 0.8, 9000), np.full(9000, 0.8), rng.uniform(0.2, 1.1, 9000)], axis=1
    )
    points, is_body = scene(body(15000, rng), board + rng.normal(size=board.shape) * 0.003)
    kept, foreign, _ = shares(points, is_body)
    assert kept >= 0.98
    assert foreign <= 0.03


def test_arm_behind_a_gap_stays():
    points = body(20000, np.random.default_rng(0))
    hidden = (points[:, 0] > 0.25) & (points[:, 0] < 0.36)  # 6 % of the height
    points = points[~hidden]
    kept, _, mask = shares(*scene(points))
    assert kept >= 0.995
    assert mask[points[:, 0] > 0.4].all()


@pytest.mark.parametrize("seed", range(3))
def test_what_one_camera_cuts_off_stays(seed):
    """No upper arm, no knee and no neck: forearm, foot and head hang in the air, and are kept."""
    points = body(20000, np.random.default_rng(seed))
    x, y = points[:, 0], points[:, 1]
    hidden = (x > 0.17) & (x < 0.45) | (x < 0) & (y > 0.25) & (y < 0.5) | (y > 1.43) & (y < 1.5)
    kept, _, mask = shares(*scene(points[~hidden]))
    assert kept >= 0.995
    assert mask[points[~hidden][:, 0] > 0.5].all()


def test_things_of_a_limbs_size_stay_out_when_they_stand_aside():
    rng = np.random.default_rng(3)
    ball = rng.normal(size=(800, 3))
    ball = 0.12 * ball / np.linalg.norm(ball, axis=1, keepdims=True)
    points, is_body = scene(body(15000, rng), ball + [1.3, 0.12, 0.3])
    kept, foreign, _ = shares(points, is_body)
    assert kept >= 0.99
    assert foreign == 0


def test_larger_of_two_people_is_kept_and_named():
    rng = np.random.default_rng(1)
    points, is_body = scene(body(12000, rng), body(12000, rng) * 0.7 + [1.6, 0.0, 0.3])
    kept, foreign, _ = shares(points, is_body)
    assert kept >= 0.99
    assert foreign <= 0.01
    cleaned = clean_scan(points)
    assert "other large objects" in cleaned.stages[-2].why
    assert len(cleaned.notes) == 1 and "second person" in cleaned.notes[0]
    assert not clean_scan(points[is_body]).notes


def test_same_result_in_any_order_and_any_unit():
    rng = np.random.default_rng(3)
    points, is_body = scene(body(6000, rng), floor(6000, rng), strays(200, rng))
    first = clean_scan(points)
    assert np.array_equal(first.index, clean_scan(points).index)
    order = rng.permutation(len(points))
    shuffled = clean_scan(points[order])
    assert np.array_equal(np.sort(order[shuffled.index]), first.index)
    _, _, mask = shares(points, is_body)
    _, _, scaled = shares(points * 1024.0, is_body)  # a power of two rounds alike
    assert np.array_equal(mask, scaled)


def test_large_scan_is_thinned_and_bad_points_go():
    rng = np.random.default_rng(4)
    points = body(30000, rng)
    points[::100] = np.nan
    points[1::100] = points[2::100]
    cleaned = clean_scan(points, most=8000)
    assert np.isfinite(cleaned.points).all()
    assert [stage.name for stage in cleaned.stages[:2]] == ["duplicates", "thinning"]
    assert 4000 < cleaned.stages[1].points_out <= 8000
    counts = [(stage.points_in, stage.points_out) for stage in cleaned.stages]
    assert all(a[1] == b[0] for a, b in pairwise(counts))


def huge_scene(monkeypatch: pytest.MonkeyPatch):
    """A scene that counts as huge, in single precision as files have it, with its body's mask."""
    monkeypatch.setattr("posetx.cleaning.clean.HUGE", 20_000)
    rng = np.random.default_rng(6)
    points, is_body = scene(body(20000, rng), floor(20000, rng), strays(200, rng))
    return np.round(points, 6), is_body


def test_huge_scan_is_thinned_first_and_the_same_in_any_order(monkeypatch):
    points, _ = huge_scene(monkeypatch)
    first = clean_scan(points, most=15000)
    assert first.stages[0].name == "thinning"
    assert 7000 < first.stages[0].points_out <= 15000
    order = np.random.default_rng(0).permutation(len(points))
    shuffled = clean_scan(points[order], most=15000)
    assert np.array_equal(np.sort(order[shuffled.index]), first.index)


def test_huge_scan_can_be_had_whole(monkeypatch):
    points, is_body = huge_scene(monkeypatch)
    points[5] = np.nan
    points[7] = points[8]
    kept, foreign, mask = shares(points, is_body, most=15000, whole=True)
    assert kept > 0.98
    assert foreign < 0.03
    assert not mask[5]
    assert mask[[7, 8]].sum() <= 1
    stages = clean_scan(points, most=15000, whole=True).stages
    assert [stages[0].name, stages[-1].name] == ["not finite", "full density"]
    assert all(a.points_out == b.points_in for a, b in pairwise(stages))


def test_huge_scan_of_mostly_empty_pixels(monkeypatch):
    """What a depth camera did not see lies in one place, far from the rest."""
    points, is_body = huge_scene(monkeypatch)
    points = np.concatenate([points + [0.0, 0.0, 5000.0], np.zeros((200_000, 3))])
    is_body = np.concatenate([is_body, np.zeros(200_000, dtype=bool)])
    kept, foreign, _ = shares(points, is_body, most=30000)
    assert kept > 0.3
    assert foreign < 0.03


def test_large_offsets_keep_the_detail():
    rng = np.random.default_rng(3)
    points, is_body = scene(body(6000, rng), floor(6000, rng), strays(200, rng))
    kept, foreign, _ = shares(points + [512345.678, 5412345.678, 321.5], is_body)
    assert kept > 0.98
    assert foreign < 0.03


@pytest.mark.parametrize(
    "points",
    [np.zeros((10, 3)), np.ones((500, 3)), np.full((500, 3), np.nan), np.zeros((0, 3))],
    ids=["few", "one place", "nan", "none"],
)
def test_no_body_is_said(points):
    with pytest.raises(PosetxError, match="a body needs"):
        clean_scan(points)


def test_wrong_shape():
    with pytest.raises(ValueError, match="n, 3"):
        clean_scan(np.zeros((100, 2)))


@pytest.mark.parametrize("kind", ["line", "plane", "grid", "far"])
def test_odd_shapes_do_not_crash(kind):
    rng = np.random.default_rng(0)
    t = rng.random((2000, 3))
    points = {
        "line": t * [1, 0, 0],
        "plane": t * [1, 1, 0],
        "grid": np.stack(np.meshgrid(*[np.arange(12.0)] * 3), axis=-1).reshape(-1, 3),
        "far": t + 1e6,
    }[kind]
    try:
        assert len(clean_scan(points).points) >= 50
    except PosetxError as error:
        assert "a body needs" in str(error)
