"""Even, repeatable sampling of surfaces and clouds."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from posetx.geometry.sampling import (
    curve_order,
    farthest_points,
    sample_surface,
    voxel_groups,
    voxel_thin,
)


def sphere(subdivisions):
    mesh = trimesh.creation.icosphere(subdivisions)
    return np.array(mesh.vertices), np.array(mesh.faces)


def cover(points, surface):
    """Largest distance from a surface point to its nearest sample."""
    return cKDTree(points).query(surface)[0].max()


def test_samples_lie_on_their_triangles():
    vertices, faces = sphere(2)
    points, face_index, barycentric = sample_surface(vertices, faces, 500, seed=1)
    assert np.allclose(barycentric.sum(axis=1), 1.0) and (barycentric >= -1e-12).all()
    corners = vertices[faces[face_index]]
    assert np.allclose(points, (corners * barycentric[:, :, None]).sum(axis=1))
    again = sample_surface(vertices, faces, 500, seed=1)[0]
    assert np.array_equal(points, again)
    assert not np.array_equal(points, sample_surface(vertices, faces, 500, seed=2)[0])


@pytest.mark.parametrize("subdivisions", [0, 2, 5])
def test_more_even_than_random(subdivisions):
    vertices, faces = sphere(subdivisions)
    dense = sample_surface(vertices, faces, 20000)[0]
    even = cover(sample_surface(vertices, faces, 400)[0], dense)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    random = cover(trimesh.sample.sample_surface(mesh, 400, seed=0)[0], dense)
    assert even < 0.85 * random


def test_area_not_tessellation_decides():
    """A square half of which is cut a thousand times finer gets as many samples on each half."""
    n = 32
    grid = np.stack(np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij"), -1) / n
    fine = np.concatenate([grid.reshape(-1, 2), np.zeros(((n + 1) ** 2, 1))], axis=1)
    i = (np.arange(n)[:, None] * (n + 1) + np.arange(n)).ravel()
    fine_faces = np.concatenate(
        [np.stack([i, i + n + 1, i + 1], 1), np.stack([i + 1, i + n + 1, i + n + 2], 1)]
    )
    coarse = np.array([[-1, 0, 0], [0, 0, 0], [0, 1, 0], [-1, 1, 0.0]])
    coarse_faces = np.array([[0, 1, 2], [0, 2, 3]]) + len(fine)
    vertices, faces = np.concatenate([fine, coarse]), np.concatenate([fine_faces, coarse_faces])
    points, _, _ = sample_surface(vertices, faces, 1000)
    assert abs((points[:, 0] > 0).sum() - 500) <= 2
    assert np.abs(points.mean(axis=0) - [0, 0.5, 0]).max() < 0.01


def test_surface_without_area():
    with pytest.raises(ValueError, match="no surface"):
        sample_surface(np.zeros((3, 3)), np.array([[0, 1, 2]]), 10)
    with pytest.raises(ValueError, match="no surface"):
        sample_surface(np.zeros((3, 3)), np.zeros((0, 3), dtype=int), 10)
    vertices, faces = sphere(1)
    assert sample_surface(vertices, faces, 0)[0].shape == (0, 3)


def test_curve_keeps_neighbours_together():
    points = np.random.default_rng(0).random((4000, 3))
    order = curve_order(points)
    assert np.array_equal(np.sort(order), np.arange(4000))
    steps = np.linalg.norm(np.diff(points[order], axis=0), axis=1)
    assert steps.mean() < 0.1 and steps.max() < 0.4


def test_voxels_do_not_depend_on_order():
    rng = np.random.default_rng(0)
    points = rng.random((5000, 3))
    kept, group = voxel_groups(points, 0.1)
    assert 900 < len(kept) <= 1000 * 1.4
    assert (np.diff(kept) > 0).all()
    assert np.array_equal(group[kept], np.arange(len(kept)))
    assert np.linalg.norm(points - points[kept[group]], axis=1).max() <= 0.1 * np.sqrt(3)
    order = rng.permutation(5000)
    assert np.array_equal(np.sort(order[voxel_thin(points[order], 0.1)]), kept)
    assert np.array_equal(voxel_thin(points, 0.0), np.arange(5000))


@pytest.mark.parametrize("count", [300, 50000])
def test_farthest_points_cover_evenly_in_any_order(count):
    rng = np.random.default_rng(1)
    points = rng.normal(size=(count, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    chosen = farthest_points(points, 128)
    assert len(np.unique(chosen)) == 128
    assert cover(points[chosen], points) < 0.33
    apart = cKDTree(points[chosen]).query(points[chosen], k=2)[0][:, 1]
    assert apart.min() > 0.5 * apart.max()
    assert np.array_equal(farthest_points(points, 40), chosen[:40])
    order = rng.permutation(count)
    assert np.array_equal(points[order][farthest_points(points[order], 128)], points[chosen])


def test_farthest_points_with_too_few():
    points = np.repeat(np.eye(3), 4, axis=0)
    chosen = farthest_points(points, 10)
    assert len(chosen) == 10
    assert len(np.unique(points[chosen], axis=0)) == 3
    with pytest.raises(ValueError, match="no points"):
        farthest_points(np.zeros((0, 3)), 5)
