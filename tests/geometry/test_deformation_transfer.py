"""Deformation transfer where the right answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from posetx.arrays import Floats, Indices
from posetx.bodies.body import BodyModel
from posetx.data.poses import PoseBank
from posetx.geometry.deformation_transfer import _mesh, _regular, deformation_transfer
from posetx.geometry.mesh import cross_of_faces

TURN = Rotation.from_euler("xyz", [40, 110, -20], degrees=True).as_matrix()
SHIFT = np.array([5.0, -3.0, 2.0])
#: How many nearest triangles are searched for one that faces the same way, round by round.
NEIGHBOURS = (16, 256)


def triangle_correspondences(
    source_rest: Floats, source_faces: Indices, target_rest: Floats, target_faces: Indices
) -> Indices:
    """The source triangle for each target triangle: the closest that faces the same way.

    Closest by the distance of centroids, among those whose normals are within 90 degrees (the
    paper's closest compatible triangle). The caller aligns the two meshes before, in place, size
    and pose, for instance by a body model fitted to each; nothing is aligned here.

    Parameters
    ----------
    source_rest : (n_source, 3), in the unit of the target
    source_faces : (m_source, 3); degenerate triangles correspond to none
    target_rest : (n_target, 3)
    target_faces : (m_target, 3); degenerate ones get a triangle as well

    Returns
    -------
    (m_target,) indices into `source_faces`. Where none of the 256 nearest faces the same way
    (a target turned inside out), the nearest whichever way it faces.

    Raises
    ------
    ValueError : shapes, faces out of range, non-finite coordinates, a source without area
    """
    source_rest, source_faces = _mesh("source", source_rest, source_faces)
    target_rest, target_faces = _mesh("target", target_rest, target_faces)
    candidates = _regular("source", source_rest, source_faces)
    normals = cross_of_faces(source_rest, source_faces[candidates])
    own_normals = cross_of_faces(target_rest, target_faces)
    tree = cKDTree(source_rest[source_faces[candidates]].mean(axis=1))
    centres = target_rest[target_faces].mean(axis=1)
    nearest = tree.query(centres)[1].astype(np.int64)
    left = np.flatnonzero(np.einsum("mi,mi->m", normals[nearest], own_normals) < 0.0)
    for count in NEIGHBOURS:
        index = tree.query(centres[left], k=np.arange(min(count, len(normals))) + 1)[1]
        same = np.einsum("mki,mi->mk", normals[index], own_normals[left]) >= 0.0
        found = same.any(axis=1)
        nearest[left[found]] = index[found, same[found].argmax(axis=1)]
        left = left[~found]
    chosen: Indices = candidates[nearest]
    return chosen


def ball(subdivisions=3, scale=(1.0, 2.0, 0.7)):
    """An egg of which no two triangles are alike: (n, 3), (m, 3)."""
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions)
    points = np.array(mesh.vertices, dtype=np.float64)
    points += 0.05 * np.sin(points @ [[7.0, 3, 1], [2, 5, 4], [1, 3, 6]] + [0.3, 0.5, 0.9])
    return points * scale, np.array(mesh.faces, dtype=np.int64)


def bend(points, angle=1.2):
    """Turn about z by an angle that grows smoothly along y: shear, stretch and rotation."""
    turn = angle / (1 + np.exp(-3 * points[:, 1]))
    x, y, z = points.T
    return np.stack(
        [
            x * np.cos(turn) - y * np.sin(turn),
            x * np.sin(turn) + y * np.cos(turn),
            1.1 * z + 0.2 * y,
        ],
        axis=1,
    )


def joined(*meshes):
    """Several meshes as one with several parts."""
    starts = np.cumsum([0] + [len(points) for points, _ in meshes])
    return (
        np.concatenate([points for points, _ in meshes]),
        np.concatenate([faces + start for (_, faces), start in zip(meshes, starts, strict=False)]),
    )


def every(faces):
    return np.arange(len(faces))


def away(a, b):
    return np.abs(a - b).max() / np.ptp(b, axis=0).max()


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def pair(body: BodyModel, all_banks: dict[str, PoseBank]):
    """Two bodies of much the same build at rest and in one pose: rest, posed, rest, posed."""
    rotations = all_banks["train"].draw(1, torch.Generator().manual_seed(5))
    shapes = body.bank[[7, 100]]
    at_rest = body.rest(shapes)[0].double().numpy()
    posed = body.pose(shapes, rotations.expand(2, -1, -1, -1)).double().numpy()
    return at_rest[0], posed[0], at_rest[1], posed[1]


def test_the_source_itself_takes_its_own_pose():
    rest, faces = ball()
    posed = bend(rest)
    assert away(deformation_transfer(rest, posed, faces, rest, faces, every(faces)), posed) < 1e-9


def test_a_body_with_eyes_takes_its_own_pose(body: BodyModel, pair):
    rest, posed, _, _ = pair
    faces = body.faces.numpy()
    same = triangle_correspondences(rest, faces, rest, faces)
    assert (same == every(faces)).all()
    assert away(deformation_transfer(rest, posed, faces, rest, faces, same), posed) < 1e-9


def test_another_body_takes_the_pose_and_keeps_its_eyes(body: BodyModel, pair):
    rest, posed, other, truth = pair
    faces = body.faces.numpy()
    result = deformation_transfer(rest, posed, faces, other, faces, every(faces))
    error = np.linalg.norm((result - result.mean(0)) - (truth - truth.mean(0)), axis=1)
    assert error.mean() < 0.01
    # the eyes are parts of their own and lie in a head that is 20 cm lower than the source's
    part = trimesh.graph.connected_component_labels(trimesh.Trimesh(other, faces).edges)
    for label in np.argsort(np.bincount(part))[:2]:
        assert error[part == label].max() < 0.02


@pytest.mark.parametrize("origin", [0.0, 1e4])
def test_a_rigid_motion_is_carried_over(origin):
    source, source_faces = ball()
    target, faces = joined(
        ball(2, (1.1, 1.9, 0.8)), (ball(1)[0] * 0.1 + [1.4, 0, 0], ball(1)[1]), ball(1, (0.2,) * 3)
    )
    target = np.concatenate([target, [[0.0, 3.0, 0.0]]])
    source, target = source + origin, target + origin
    correspondence = triangle_correspondences(source, source_faces, target, faces)
    moved = source @ TURN.T + SHIFT
    result = deformation_transfer(source, moved, source_faces, target, faces, correspondence)
    assert np.abs(result - (target @ TURN.T + SHIFT)).max() < 1e-10 * max(origin, 1.0)


def test_the_order_of_vertices_and_triangles_does_not_matter(body: BodyModel, pair):
    rest, posed, other, _ = pair
    faces = body.faces.numpy()
    random = np.random.default_rng(0)
    order, turn = random.permutation(len(other)), random.permutation(len(faces))
    shuffled = np.argsort(order)[faces][turn]
    first = deformation_transfer(rest, posed, faces, other, faces, every(faces))
    second = deformation_transfer(rest, posed, faces, other[order], shuffled, turn)
    assert away(second, first[order]) < 1e-9


def test_scaling_the_target_scales_the_result():
    source, faces = ball()
    target, _ = ball(scale=(1.2, 1.8, 0.8))
    posed = bend(source)
    once, twice = (
        deformation_transfer(source, posed, faces, unit * target, faces, every(faces))
        for unit in (1.0, 1e3)
    )
    assert away((twice - twice.mean(0)) / 1e3, once - once.mean(0)) < 1e-9
    # and with all in another unit the place scales as well, of several parts too
    pair = joined((target, faces), (target * 0.2 + [1.5, 1, 0], faces))
    both = np.concatenate([every(faces)] * 2)
    once, twice = (
        deformation_transfer(source * k, posed * k, faces, pair[0] * k, pair[1], both)
        for k in (1.0, 1e-3)
    )
    assert away(twice * 1e3, once) < 1e-9


def test_a_finer_mesh_of_the_same_surface_follows():
    source, source_faces = ball(3)
    fine, faces = trimesh.remesh.subdivide(*ball(3))
    posed = bend(source)
    wanted, _ = trimesh.remesh.subdivide(posed, source_faces)
    parents = np.repeat(every(source_faces), 4)
    found = triangle_correspondences(source, source_faces, fine, faces)
    # a corner of a long triangle may lie nearer to the centroid of the next
    for correspondence, most in ((parents, 1e-9), (found, 0.01)):
        result = deformation_transfer(source, posed, source_faces, fine, faces, correspondence)
        assert away(result, wanted) < most
    # and a coarse one that shares no vertex
    coarse, faces = ball(3)
    coarse = coarse @ Rotation.from_euler("y", 10, degrees=True).as_matrix()
    correspondence = triangle_correspondences(source, source_faces, coarse, faces)
    result = deformation_transfer(source, posed, source_faces, coarse, faces, correspondence)
    assert away(result, bend(coarse)) < 0.03
    assert away(coarse, bend(coarse)) > 0.3


@pytest.mark.slow
def test_a_very_fine_mesh_takes_seconds(body: BodyModel, pair):
    """216,000 vertices; one of the solver's orderings never comes back from this mesh."""
    rest, posed, _, _ = pair
    faces = body.faces.numpy()
    fine, fine_faces, wanted = rest, faces, posed
    for _ in range(2):
        wanted, _ = trimesh.remesh.subdivide(wanted, fine_faces)
        fine, fine_faces = trimesh.remesh.subdivide(fine, fine_faces)
    parents = np.repeat(every(faces), 16)
    result = deformation_transfer(rest, posed, faces, fine, fine_faces, parents)
    assert away(result, wanted) < 1e-9


def test_the_other_side_of_a_thin_plate_is_not_taken():
    plate = trimesh.creation.box((1.0, 0.01, 1.0)).subdivide().subdivide().subdivide()
    source, faces = np.array(plate.vertices), np.array(plate.faces)
    target = source + [0.0, 0.008, 0.0]
    normals = plate.face_normals
    chosen = triangle_correspondences(source, faces, target, faces)
    assert (np.einsum("mi,mi->m", normals[chosen], normals) > 0).all()
    inside_out = triangle_correspondences(source, faces, target, faces[:, ::-1])
    assert ((inside_out >= 0) & (inside_out < len(faces))).all()


def test_degenerate_triangles_do_no_harm():
    rest, faces = ball()
    posed = bend(rest)
    first, count = faces[0], len(rest)
    middle = rest[first[:2]].mean(0)
    # one vertex in the middle of an edge, one at its end, one on its own; nearly no height
    vertices = np.concatenate([rest, [middle, rest[first[0]], rest[7] * 1.01]])
    extra = np.array(
        [
            [first[0], first[1], count],
            [first[0], count + 1, first[1]],
            [3, 3, 9],
            [5, 5, 5],
        ]
    )
    broken = np.concatenate([extra, faces])
    posed_all = np.concatenate([posed, bend(vertices[count:])])
    correspondence = np.concatenate([every(extra), len(extra) + every(faces)])
    result = deformation_transfer(vertices, posed_all, broken, vertices, broken, correspondence)
    assert away(result[:count], posed) < 1e-9
    assert away(result, posed_all) < 0.01
    assert np.array_equal(result[count + 1], result[first[0]])
    chosen = triangle_correspondences(vertices, broken, vertices, broken)
    assert (chosen >= len(extra)).all()


def test_a_degenerate_source_triangle_is_stood_in_for():
    rest, faces = ball()
    squeezed = rest.copy()
    squeezed[faces[5, 0]] = squeezed[faces[5, 1]]
    posed = squeezed @ TURN.T + SHIFT
    result = deformation_transfer(squeezed, posed, faces, rest, faces, every(faces))
    assert away(result, rest @ TURN.T + SHIFT) < 1e-9


def test_a_source_triangle_may_lose_its_area():
    rest, faces = ball()
    posed = bend(rest)
    posed[faces[5, 0]] = posed[faces[5, 1]]
    result = deformation_transfer(rest, posed, faces, rest, faces, every(faces))
    assert away(result, posed) < 1e-9


def test_seams_do_not_open():
    rest, faces = ball()
    soup = rest[faces].reshape(-1, 3)
    own = np.arange(len(soup)).reshape(-1, 3)
    posed = bend(rest)
    result = deformation_transfer(rest, posed, faces, soup, own, every(faces))
    assert away(result, posed[faces].reshape(-1, 3)) < 1e-9


def test_many_parts_stay_where_they_are_on_the_surface():
    """Scales on a skin that is larger than the source: none flies off."""
    source, source_faces = ball()
    skin, skin_faces = source * 1.3, source_faces
    centres = skin[skin_faces].mean(1)
    corners = centres[:, None] * 1.01 + 0.3 * (skin[skin_faces] - centres[:, None])
    own = np.arange(corners.size // 3).reshape(-1, 3)
    target, faces = joined((skin, skin_faces), (corners.reshape(-1, 3), own))
    both = np.concatenate([every(source_faces)] * 2)
    posed = bend(source)
    result = deformation_transfer(source, posed, source_faces, target, faces, both)
    skin_posed = result[: len(skin)]
    gap = result[len(skin) :].reshape(-1, 3, 3).mean(1) - skin_posed[skin_faces].mean(1)
    assert np.linalg.norm(gap, axis=1).max() < 0.06  # at rest 0.026 at most


def test_what_does_not_match_is_refused():
    rest, faces = ball(1)
    fine = (rest, rest, faces, rest, faces, every(faces))
    flat = np.zeros_like(rest)
    nan = np.where(rest > 0, np.nan, rest)
    wrong = {
        0: [rest[:-1], rest[:, :2], nan, flat],
        1: [rest[:-1], nan],
        2: [faces + 1, faces[:, :2], faces - 1, faces[:0]],
        3: [rest[:-1], nan, flat],
        4: [faces + 1, faces[:-1], faces[:0]],
        5: [every(faces)[:-1], every(faces) + 1, every(faces) - 1, every(faces)[:, None]],
    }
    deformation_transfer(*fine)
    for place, values in wrong.items():
        for value in values:
            with pytest.raises(ValueError):
                deformation_transfer(*fine[:place], value, *fine[place + 1 :])
    for bad in ((rest[:-1], faces), (nan, faces), (rest, faces[:, :2])):
        with pytest.raises(ValueError):
            triangle_correspondences(*bad, rest, faces)
        with pytest.raises(ValueError):
            triangle_correspondences(rest, faces, *bad)
    with pytest.raises(ValueError):
        triangle_correspondences(flat, faces, rest, faces)
    assert triangle_correspondences(rest, faces, rest, faces[:0]).shape == (0,)
