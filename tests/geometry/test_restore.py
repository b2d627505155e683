"""Detail restoration where the right answer is known."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from posetx.geometry import restore
from posetx.geometry.mesh import edge_distortion, flipped_share
from posetx.geometry.restore import Kept, restore_detail

TURN = Rotation.from_euler("xyz", [40, 110, -20], degrees=True).as_matrix()


def tube(rows=70, columns=36):
    """A knobbly tube along y, 1 long, closed to small ends: (n, 3), (m, 3)."""
    y, angle = np.meshgrid(
        np.linspace(0, 1, rows), np.arange(columns) / columns * 2 * np.pi, indexing="ij"
    )
    knobs = 1 + 0.08 * np.sin(6 * angle) * np.sin(40 * y)
    radius = 0.12 * knobs * np.sqrt(np.clip(1 - (2 * y - 1) ** 20, 0.02, 1))
    points = np.stack([radius * np.cos(angle), y, radius * np.sin(angle)], -1).reshape(-1, 3)
    i = np.arange(rows - 1)[:, None] * columns
    j = np.arange(columns)[None]
    k = (j + 1) % columns
    a, b, c, d = i + j, i + k, i + columns + j, i + columns + k
    faces = [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)]
    return points, np.concatenate(faces)


def bend(points, angle=1.4, width=0.06):
    """Bend the tube like a knee at half its length."""
    fine = np.linspace(0, 1, 4001)
    turn = angle / (1 + np.exp(-(fine - 0.5) / width))
    x = np.concatenate([[0], np.cumsum(-np.sin(turn))[:-1]]) * fine[1]
    y = np.concatenate([[0], np.cumsum(np.cos(turn))[:-1]]) * fine[1]
    here = np.interp(points[:, 1], fine, turn)
    return np.stack(
        [
            np.interp(points[:, 1], fine, x) + points[:, 0] * np.cos(here),
            np.interp(points[:, 1], fine, y) + points[:, 0] * np.sin(here),
            points[:, 2],
        ],
        axis=1,
    )


def wrinkles(points, size, seed=0):
    """A smooth random displacement, waves some 0.2 long, as networks make it."""
    rng = np.random.default_rng(seed)
    waves = points @ (rng.normal(size=(3, 40)) * 25) + rng.random(40) * 6.28
    return size * np.sin(waves) @ rng.normal(size=(40, 3)) / np.sqrt(20)


def error(a, b):
    return np.linalg.norm(a - b, axis=1).mean()


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e4])
def test_rigid_motion_comes_out_exactly(unit):
    rest, faces = tube(30, 20)
    predicted = (rest @ TURN.T + [5.0, -3.0, 2.0]) * unit
    restored = restore_detail(rest * unit, faces, predicted)
    assert np.abs(restored.vertices - predicted).max() < 1e-10 * unit
    assert restored.notes == []


@pytest.mark.parametrize("kind", ["noise", "wrinkles", "both"])
def test_bent_tube_gets_its_surface_back(kind):
    rest, faces = tube()
    true = bend(rest)
    predicted = true.copy()
    if kind != "wrinkles":
        predicted += np.random.default_rng(0).normal(size=true.shape) * 0.006
    if kind != "noise":
        predicted += wrinkles(rest, 0.008)
    restored = restore_detail(rest, faces, predicted).vertices
    before = edge_distortion(rest, faces, predicted)
    own = edge_distortion(rest, faces, true)
    assert edge_distortion(rest, faces, restored) < max(0.5 * before, 1.5 * own)
    assert edge_distortion(rest, faces, restored) < 0.55 * before
    assert error(restored, true) < 0.8 * error(predicted, true)
    assert flipped_share(rest, faces, restored) == 0.0


def test_weight_moves_between_surface_and_prediction():
    rest, faces = tube(40, 24)
    predicted = bend(rest) + wrinkles(rest, 0.008)
    tight, loose = (restore_detail(rest, faces, predicted, weight=w).vertices for w in (3e4, 30))
    assert error(tight, predicted) < error(loose, predicted)
    assert edge_distortion(rest, faces, loose) < edge_distortion(rest, faces, tight)


def test_finer_mesh_gives_the_same_surface():
    rest, faces = tube(40, 24)
    fine, fine_faces = trimesh.remesh.subdivide(rest, faces)
    coarse = restore_detail(rest, faces, bend(rest) + wrinkles(rest, 0.008)).vertices
    finer = restore_detail(fine, fine_faces, bend(fine) + wrinkles(fine, 0.008)).vertices
    assert np.allclose(fine[: len(rest)], rest)
    # The step the restoration makes is about 8 mm; the meshes agree to a fraction of it.
    assert error(finer[: len(rest)], coarse) < 0.002


def test_slabs_of_a_large_mesh_give_the_same_surface(monkeypatch):
    rest, faces = tube()
    predicted = bend(rest) + wrinkles(rest, 0.008)
    whole = restore_detail(rest, faces, predicted)
    monkeypatch.setattr(restore, "SLAB", 300)
    slabs = restore_detail(rest, faces, predicted)
    assert whole.notes == slabs.notes == []
    moved = error(whole.vertices, predicted)
    assert 0 < error(whole.vertices, slabs.vertices) < 0.03 * moved


def test_seams_stay_closed():
    rest, faces = tube(30, 20)
    torn = rest[faces.ravel()]
    soup = np.arange(len(torn)).reshape(-1, 3)
    predicted = bend(torn) + np.random.default_rng(0).normal(size=torn.shape) * 0.003
    restored = restore_detail(torn, soup, predicted).vertices
    assert all(np.ptp(restored[faces.ravel() == v], axis=0).max() == 0.0 for v in (0, 77, 300))
    whole = np.stack([np.bincount(faces.ravel(), predicted[:, k]) for k in range(3)], axis=1)
    whole /= np.bincount(faces.ravel())[:, None]
    expected = restore_detail(rest, faces, whole).vertices
    assert np.abs(restored - expected[faces.ravel()]).max() < 1e-9


def test_small_parts_move_rigidly_and_lone_vertices_follow():
    rest, faces = tube(30, 20)
    button = trimesh.creation.icosphere(1, radius=0.02)
    small = np.array(button.vertices) + np.array([0.13, 0.7, 0.0])
    everything = np.concatenate([rest, small, [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]])
    parts = np.concatenate([faces, np.array(button.faces) + len(rest)])
    predicted = bend(everything) + np.random.default_rng(1).normal(size=everything.shape) * 0.004
    restored = restore_detail(everything, parts, predicted)
    assert restored.rigid_parts == 1
    after = restored.vertices[len(rest) : len(rest) + len(small)]
    assert np.allclose(
        np.linalg.norm(after[:, None] - after, axis=2),
        np.linalg.norm(small[:, None] - small, axis=2),
    )
    assert error(after, bend(small)) < 0.004
    assert np.array_equal(restored.vertices[-2:], predicted[-2:])


def test_long_thin_part_bends_with_its_prediction():
    rest, faces = tube(30, 20)
    stripe = trimesh.creation.cylinder(0.006, 0.9, sections=8)
    stripe = stripe.subdivide_to_size(0.04)
    line = np.array(stripe.vertices)[:, [0, 2, 1]] + [0.13, 0.5, 0.0]
    everything = np.concatenate([rest, line])
    parts = np.concatenate([faces, np.array(stripe.faces) + len(rest)])
    restored = restore_detail(everything, parts, bend(everything))
    assert restored.rigid_parts == 0
    assert error(restored.vertices, bend(everything)) < 0.01


def test_broken_meshes_stay_finite():
    rest, faces = tube(20, 16)
    extra = [
        faces[:5],  # doubled
        [[0, 0, 1], [7, 7, 7]],  # no triangle at all
        [[0, 1, 200]],  # a fin: non-manifold edge
        [[40, 41, len(rest)]],  # a zero-area triangle to a vertex on the edge
    ]
    points = np.concatenate([rest, [(rest[40] + rest[41]) / 2]])
    broken = np.concatenate([faces, *extra])
    predicted = bend(points)
    predicted[3] = np.nan
    restored = restore_detail(points, broken, predicted)
    assert np.isfinite(restored.vertices).all()
    assert len(restored.notes) == 1 and "1 vert" in restored.notes[0]
    assert error(restored.vertices[50:], bend(points)[50:]) < 0.02


@pytest.mark.parametrize(
    "faces", [np.zeros((0, 3), dtype=int), np.array([[0, 1, 2]]), np.array([[3, 3, 3]])]
)
def test_meshes_without_area_take_the_prediction(faces):
    rest = np.outer(np.arange(4.0), [1.0, 2.0, 3.0])
    predicted = np.random.default_rng(0).normal(size=(4, 3))
    assert np.isfinite(restore_detail(rest, faces, predicted).vertices).all()


def test_solver_failure_leaves_the_prediction(monkeypatch):
    def broken(*_):
        raise RuntimeError("no luck")

    monkeypatch.setattr(restore, "_factorised", broken)
    rest, faces = tube(20, 16)
    restored = restore_detail(rest, faces, bend(rest))
    assert np.allclose(restored.vertices, bend(rest))
    assert "no luck" in restored.notes[0]


def test_repeatable_and_wrong_calls():
    rest, faces = tube(20, 16)
    first = restore_detail(rest, faces, bend(rest)).vertices
    assert np.array_equal(first, restore_detail(rest, faces, bend(rest)).vertices)
    for arguments, options in [
        ((rest, faces, rest[:-1]), {}),
        ((rest, faces + 1, rest), {}),
        ((rest * np.nan, faces, rest), {}),
        ((rest, faces, rest), {"weight": 0.0}),
        ((rest, faces, rest), {"iterations": 0}),
    ]:
        with pytest.raises(ValueError):
            restore_detail(*arguments, **options)


def test_what_is_kept_serves_the_next_prediction(monkeypatch):
    """The same to the last bit, factorised once; anew where other vertices are soft."""
    rest, faces = tube(30, 16)
    made = []
    factorised = restore._factorised
    monkeypatch.setattr(restore, "_factorised", lambda system: made.append(1) or factorised(system))
    kept = Kept()
    for angle in (1.4, 0.3):
        predicted = bend(rest, angle)
        alone = restore_detail(rest, faces, predicted).vertices
        assert np.array_equal(restore_detail(rest, faces, predicted, kept=kept).vertices, alone)
    assert len(made) == 3, "two alone, one kept"
    restore_detail(rest, faces, predicted, kept=kept, weight=50.0)
    assert len(made) == 4
    # a button beside it moves rigidly with one prediction, and is soft with the other
    button = 0.02 * rest[:40] + [3.0, 0, 0]
    both = np.concatenate([rest, button])
    small = np.concatenate([faces, faces[(faces < 40).all(1)] + len(rest)])
    rng, kept, made[:] = np.random.default_rng(0), Kept(), []
    for torn in (0.0, 0.5, 0.5):
        predicted = both.copy()
        predicted[len(rest) :] += torn * rng.normal(size=button.shape)
        alone = restore_detail(both, small, predicted).vertices
        assert np.array_equal(restore_detail(both, small, predicted, kept=kept).vertices, alone)
    assert len(made) == 3 + 2
    assert pickle.loads(pickle.dumps(kept))._system is None
    monkeypatch.setattr(restore, "KEPT", 10)
    kept = Kept()
    restore_detail(rest, faces, bend(rest, 1.0), kept=kept)
    assert kept._system is None


def stick(start, length=0.9, radius=0.006):
    """A long thin part along x from `start` (3,): (n, 3), (m, 3)."""
    rod = trimesh.creation.box([length, 2 * radius, 2 * radius]).subdivide_to_size(0.05)
    return np.array(rod.vertices) + start + [length / 2, 0, 0], np.array(rod.faces)


def test_a_prop_that_the_prediction_tears_moves_with_what_carries_it():
    """A stick held at the tube's side, its far end predicted to go elsewhere."""
    rest, faces = tube()
    held, held_faces = stick([0.12, 0.8, 0.0])
    everything = np.concatenate([rest, held])
    parts = np.concatenate([faces, held_faces + len(rest)])
    predicted = bend(everything)
    far = np.clip((everything[len(rest) :, :1] - 0.3) / 0.3, 0, 1)
    predicted[len(rest) :] = (1 - far) * predicted[len(rest) :] + far * held
    restored = restore_detail(everything, parts, predicted)
    after = restored.vertices[len(rest) :]
    assert edge_distortion(held, held_faces, after) < 1e-9
    assert restored.rigid_parts == 1
    grip = held[:, 0] < 0.2
    assert error(after[grip], bend(held[grip])) < 0.02
    assert error(after, bend(held)) < 0.06  # bent about the knee, the whole stick


def test_a_limb_of_its_own_is_no_prop():
    """The tube in two: its lower half bends as predicted, though it is a part of its own."""
    rest, faces = tube()
    upper = (rest[faces][:, :, 1] > 0.62).all(axis=1)
    lower = (rest[faces][:, :, 1] < 0.62).all(axis=1)
    parts = np.concatenate([faces[upper], faces[lower]])
    restored = restore_detail(rest, parts, bend(rest))
    used = np.unique(parts)
    assert restored.rigid_parts == 0
    assert error(restored.vertices[used], bend(rest)[used]) < 0.01
