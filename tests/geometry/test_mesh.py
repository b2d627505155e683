"""Measures of meshes, best rotations, and neighbourhoods, on shapes with known answers."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from posetx.geometry import mesh, neighbours
from posetx.geometry.polar import fit_rigid_parts, nearest_rotations

BOX = trimesh.creation.box((1, 2, 3))
VERTICES, FACES = np.array(BOX.vertices), np.array(BOX.faces)


def test_areas_and_centroid():
    assert mesh.surface_area(VERTICES, FACES) == pytest.approx(22.0)
    assert mesh.vertex_areas(VERTICES, FACES).sum() == pytest.approx(22.0)
    far = VERTICES + 1e6
    assert np.allclose(mesh.area_centroid(far, FACES), 1e6, atol=1e-8)
    none = np.zeros((0, 3), dtype=int)
    assert mesh.surface_area(VERTICES, none) == 0.0
    assert np.allclose(mesh.area_centroid(VERTICES, none), 0.0)


def test_edges():
    edges = mesh.unique_edges(FACES)
    assert len(edges) == 18
    assert (edges[:, 0] < edges[:, 1]).all()
    assert np.array_equal(edges, np.unique(edges, axis=0))
    assert mesh.unique_edges(np.array([[0, 0, 0], [1, 2, 1]])).tolist() == [[1, 2]]
    assert mesh.edge_distortion(VERTICES, FACES, VERTICES * 1.1) == pytest.approx(0.1)
    assert mesh.edge_distortion(np.zeros((8, 3)), FACES, VERTICES) == 0.0


def test_flipped_triangles():
    ball = trimesh.creation.icosphere(3)
    vertices, faces = np.array(ball.vertices), np.array(ball.faces)
    turned = vertices @ Rotation.random(rng=0).as_matrix().T * 3.0
    assert mesh.flipped_share(vertices, faces, turned) == 0.0
    folded = vertices.copy()
    neighbour = mesh.unique_edges(faces)[0, 1]  # of vertex 0, which is pushed past it
    folded[0] += 1.6 * (vertices[neighbour] - vertices[0])
    assert 0.0 < mesh.flipped_share(vertices, faces, folded) < 0.01


def test_weld():
    doubled = np.concatenate([VERTICES, VERTICES[::-1], VERTICES[:1] * -1.0])
    first, group = mesh.weld(doubled)
    assert len(first) == 8
    assert np.array_equal(first, np.arange(8))
    assert np.array_equal(doubled[first][group], doubled)
    first, group = mesh.weld(np.array([[0.0, 0, 0], [-0.0, 0, 0]]))
    assert first.tolist() == [0] and group.tolist() == [0, 0]


def test_connected_parts():
    faces = np.concatenate([FACES, FACES + 8])
    count, part = mesh.connected_parts(faces, 17)
    assert count == 3
    assert len(set(part[:8])) == 1 and part[0] != part[8] and part[16] not in part[:16]


def test_nearest_rotations_are_rotations():
    rng = np.random.default_rng(0)
    turns = Rotation.random(50, rng=0).as_matrix()
    stretch = rng.normal(size=(50, 3, 3))
    stretch = stretch @ stretch.transpose(0, 2, 1)
    assert np.allclose(nearest_rotations(turns @ stretch), turns, atol=1e-6)
    odd = np.stack([np.zeros((3, 3)), np.full((3, 3), np.nan), -np.eye(3), np.ones((3, 3))])
    found = nearest_rotations(odd)
    assert np.allclose(np.linalg.det(found), 1.0)
    assert np.allclose(found @ found.transpose(0, 2, 1), np.eye(3))
    assert np.allclose(found[:2], np.eye(3))


def test_rigid_parts():
    rng = np.random.default_rng(0)
    rest = rng.normal(size=(60, 3))
    part = np.repeat([0, 1, 2], 20)
    turns = Rotation.random(3, rng=1).as_matrix()
    shifts = rng.normal(size=(3, 3))
    posed = np.einsum("nij,nj->ni", turns[part], rest) + shifts[part]
    found, before, after = fit_rigid_parts(rest, posed, rng.random(60) + 0.1, part, 3)
    assert np.allclose(found, turns)
    assert np.allclose(after, np.einsum("kij,kj->ki", turns, before) + shifts)


def test_neighbourhoods():
    line = np.stack([np.arange(10.0), np.zeros(10), np.zeros(10)], axis=1)
    assert neighbours.spacing(line, 2) == pytest.approx(1.0)
    distances, index = neighbours.neighbour_distances(line[:3], 8)
    assert distances.shape == index.shape == (3, 2)
    both = np.concatenate([line, line[:4] + np.array([0, 5, 0])])
    count, labels = neighbours.pieces(both, 1.5)
    assert count == 2 and (labels[:10] == 0).all() and (labels[10:] == 1).all()
    table = neighbours.gaps([line, line[:4] + np.array([0, 5, 0]), line + 100], 10.0)
    assert table[0, 1] == pytest.approx(5.0) and np.isinf(table[0, 2])
    kept, group = neighbours.working_set(np.random.default_rng(0).random((5000, 3)), 0.01, 400)
    assert len(kept) <= 400 and group.max() == len(kept) - 1
