"""The pose and the body of a reading: of one piece with each other, the scan and their files."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

import posetx
from posetx.bodies.body import BodyModel, forward_kinematics, global_rotations
from posetx.bodies.skeleton import BVH_NAMES, BVH_WRITTEN, JOINTS, PARENTS
from posetx.data.bvh import read_bvh
from posetx.data.bvh_match import plain
from posetx.data.bvh_write import euler_angles
from posetx.data.prior import draw_prior
from posetx.errors import FieldError, UsageError
from posetx.geometry.mesh import vertex_areas
from posetx.geometry.rotations import matrix_from_yaw
from posetx.geometry.sampling import sample_surface
from posetx.geometry.triangles import distance_to_mesh, nearest_on_triangles
from posetx.geometry.units import UNITS, unit_of
from posetx.pipeline.pose import Pose, write_poses
from posetx.pipeline.results import Reading

POINTS = 6000
#: turns a cloud with y up into one with z up, as Blender does
TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


@pytest.fixture(scope="module")
def poser() -> posetx.Poser:
    return posetx.load(refine=False)


@pytest.fixture(scope="module")
def person() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of somebody who stands with lifted arms, whose part each is, and the true joints."""
    body = BodyModel.load()
    rotations = draw_prior("unseen", 40, seed=0).local
    # of a few poses the one whose hands are farthest from the trunk
    every = global_rotations(rotations)
    joints = forward_kinematics(body.joint_template.expand(len(every), -1, -1), every)
    away = (joints[:, [8, 12]] - joints[:, :1]).norm(dim=-1).amin(1)
    best = int(away.argmax())
    vertices = body.pose(body.bank.new_zeros(1, 64), every[best : best + 1])[0].double().numpy()
    faces = body.faces.numpy()
    points, face, shares = sample_surface(vertices, faces, POINTS)
    part = body.weights.argmax(1).numpy()[faces[face, shares.argmax(1)]]
    return points, part, joints[best].double().numpy()


@pytest.fixture(scope="module")
def reading(poser: posetx.Poser, person: tuple[np.ndarray, ...]) -> Reading:
    """In millimetres, z up, off the origin."""
    return poser.read(1000 * person[0] @ TO_Z_UP.T + [500, -2000, 900], up="z")


def along_the_chain(pose: Pose, rotations: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Joints (19, 3) from the root's place, local rotations and offsets."""
    joints, turns = np.empty((19, 3)), np.empty((19, 3, 3))
    for joint, parent in enumerate(PARENTS):
        above = turns[parent] if parent >= 0 else np.eye(3)
        turns[joint] = above @ rotations[joint]
        start = joints[parent] if parent >= 0 else pose.joints[0]
        joints[joint] = start + above @ offsets[joint]
    return joints


def test_rotations_and_offsets_give_the_joints(reading: Reading) -> None:
    pose = reading.pose
    assert np.allclose(along_the_chain(pose, pose.local, pose.offsets), pose.joints, atol=1e-6)
    assert np.allclose(np.linalg.det(pose.rotations), 1.0)
    assert pose.offsets[0].tolist() == [0, 0, 0]
    assert (pose.names, pose.parents) == (JOINTS, PARENTS)


def test_a_scan_turned_and_scaled_has_the_pose_turned_and_scaled(
    poser: posetx.Poser, person: tuple[np.ndarray, ...]
) -> None:
    turn = matrix_from_yaw(torch.tensor(1.25 * np.pi)).double().numpy()
    one = poser.read(person[0], up="y").pose
    two = poser.read(100 * person[0] @ turn.T, up="y").pose
    assert np.abs(two.joints - 100 * one.joints @ turn.T).max() < 0.2  # of 170 cm
    assert np.abs(two.local[1:] - one.local[1:]).max() < 0.01
    assert np.abs(two.rotations - turn @ one.rotations).max() < 0.01
    assert np.abs(two.confidence - one.confidence).max() < 0.02
    assert (one.unit.name, two.unit.name) == ("m", "cm")


def bvh_joints(path: Path, pose: Pose) -> np.ndarray:
    """Joints (F, 19, 3) by posetx's own reader, y up: with the file's bones, from its roots."""
    lines = path.read_text().splitlines()
    rest = np.zeros((19, 3))
    heads = [i for i, line in enumerate(lines) if line.split()[0] in ("ROOT", "JOINT")]
    for joint, head in sorted((BVH_WRITTEN.index(lines[i].split()[1]), i) for i in heads):
        bone = [float(word) for word in lines[head + 2].split()[1:]]
        rest[joint] = rest[PARENTS[joint]] + bone if joint else bone
    assert sum("End Site" in line for line in lines) == 5
    rotations = torch.as_tensor(read_bvh(path, rest)).double()
    placed = forward_kinematics(torch.as_tensor(rest).expand(len(rotations), -1, -1), rotations)
    motion = lines[lines.index("MOTION") + 3 :]
    roots = np.array([[float(word) for word in line.split()[:3]] for line in motion])
    return placed.numpy() + roots[:, None]


def test_bvh_is_read_back_with_the_same_joints(reading: Reading, tmp_path: Path) -> None:
    pose = reading.pose
    pose.save(tmp_path / "a.bvh")
    found = bvh_joints(tmp_path / "a.bvh", pose)
    y_up = pose.joints @ TO_Z_UP  # what a program with z up undoes
    assert np.abs(found[0] - y_up).max() < 0.01  # mm
    assert np.allclose(pose.turn, TO_Z_UP.T)


def test_frames_of_a_bvh_have_the_mean_body_and_each_its_place(
    reading: Reading, tmp_path: Path
) -> None:
    one = reading.pose
    larger = replace(one, joints=1.1 * one.joints, scale=1.1 * one.scale)
    in_metres = replace(one, joints=one.joints / 1000, scale=one.scale / 1000, unit=unit_of(1.0))
    write_poses(tmp_path / "a.bvh", [one, larger, in_metres], fps=10)
    assert "Frame Time: 0.1\n" in (tmp_path / "a.bvh").read_text()
    found = bvh_joints(tmp_path / "a.bvh", one) @ TO_Z_UP.T
    assert np.allclose(found[[0, 2], 0], one.joints[0])
    assert np.allclose(found[1, 0], larger.joints[0])
    lengths = np.linalg.norm(found[:, 1] - found[:, 0], axis=1)
    own = np.linalg.norm(one.offsets[1])
    assert np.allclose(lengths, own * (1 + 1.1 + 1) / 3)


def test_the_names_of_a_bvh_are_known_to_its_reader() -> None:
    for name, accepted in zip(BVH_WRITTEN, BVH_NAMES, strict=True):
        assert plain(name) in accepted


def test_angles_turn_back_and_go_the_shortest_way() -> None:
    from scipy.spatial.transform import Rotation

    angles = np.linspace(0, 300, 31)
    turns = Rotation.from_euler("z", angles[:, None], degrees=True).as_matrix()[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # where axes coincide, too
        found = euler_angles(turns)
        locked = Rotation.from_euler("ZXY", [[20, 90, 0], [10, 90, 30]], degrees=True)
        again = euler_angles(locked.as_matrix()[None])
    assert np.allclose(found[:, 0], np.stack([angles, 0 * angles, 0 * angles], 1))
    assert np.allclose(
        Rotation.from_euler("ZXY", again[0], degrees=True).as_matrix(), locked.as_matrix()
    )


def test_json_and_npz_hold_all_of_all_frames(reading: Reading, tmp_path: Path) -> None:
    poses = [reading.pose, replace(reading.pose, overall=None, up="y")]
    for name in ("a.json", "a.npz"):
        write_poses(tmp_path / name, poses)
    document = json.loads((tmp_path / "a.json").read_text())
    with np.load(tmp_path / "a.npz") as arrays:
        assert tuple(arrays["names"]) == tuple(document["names"]) == JOINTS
        assert tuple(arrays["parents"]) == tuple(document["parents"]) == PARENTS
        for index, pose in enumerate(poses):
            frame = document["frames"][index]
            for field in ("joints", "rotations", "local", "offsets", "confidence"):
                values = getattr(pose, field)
                assert np.array_equal(arrays[field][index], values), field
                assert np.array_equal(np.array(frame[field]), values), field
            assert frame["up"] == arrays["up"][index] == pose.up
            assert frame["unit"] == arrays["unit"][index] == "mm"
            assert frame["units_a_metre"] == 1000.0
        assert document["frames"][1]["overall"] is None and np.isnan(arrays["overall"][1])


def test_what_cannot_be_written_is_one_line(reading: Reading, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a pose is written as one of"):
        reading.pose.save(tmp_path / "a.fbx")
    with pytest.raises(UsageError, match="a body is written as one of"):
        reading.registration.save(tmp_path / "a.stl")
    with pytest.raises(FieldError, match="fps"):
        write_poses(tmp_path / "a.bvh", [reading.pose], fps=0)
    assert not list(tmp_path.iterdir())


def test_distances_are_those_of_brute_force(reading: Reading) -> None:
    body = reading.registration
    few = np.arange(0, len(body.vertices), 97)
    truth = cdist(body.vertices[few], reading.points).min(1)
    assert body.unit.name == "mm" and np.allclose(body.distance[few], truth)
    areas = vertex_areas(body.vertices, body.faces)
    assert np.isclose(body.of_body.mean, (areas * body.distance).sum() / areas.sum())
    assert np.isclose(body.of_body.within_10, areas[body.distance <= 10].sum() / areas.sum())
    below = areas[body.distance <= body.of_body.p95].sum() / areas.sum()
    assert 0.95 <= below < 0.951
    points, corners = reading.points[::200], body.vertices[body.faces]
    exact = []
    for point in points:
        shares = nearest_on_triangles(np.broadcast_to(point, (len(corners), 3)), corners)
        places = np.einsum("tk,tki->ti", shares, corners)
        exact.append(np.linalg.norm(places - point, axis=1).min())
    assert np.abs(distance_to_mesh(points, body.vertices, body.faces) - exact).max() < 1.0  # mm


def test_the_body_stands_in_the_scan(reading: Reading) -> None:
    body, model = reading.body, BodyModel.load()
    assert np.array_equal(body.faces, model.faces.numpy())
    assert reading.registration.of_points.median < 30  # mm; of the network alone
    assert np.allclose(body.vertex_attributes["distance"], reading.registration.distance)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
def test_a_body_is_written_in_the_scan_s_frame(
    reading: Reading, tmp_path: Path, suffix: str
) -> None:
    body = reading.registration
    body.save(tmp_path / f"a{suffix}")
    back = posetx.read_scan(tmp_path / f"a{suffix}")
    vertices = body.vertices if suffix != ".glb" else body.vertices @ TO_Z_UP  # in which y is up
    assert np.abs(back.points - vertices).max() < 0.01
    assert np.array_equal(back.faces, body.faces)
    # bytes of light, which GLB has, are coarse where it is dark
    most = 1 if suffix != ".glb" else 4
    assert np.abs(back.colors.astype(int) - body.colors).max() <= most
    if suffix == ".ply":
        import trimesh

        raw = trimesh.load(tmp_path / "a.ply", process=False)
        stored = raw.metadata["_ply_raw"]["vertex"]["data"]["distance"].ravel()
        assert np.allclose(stored, body.distance, rtol=1e-5, atol=1e-5)


def test_colours_go_from_blue_to_red(reading: Reading) -> None:
    body = reading.registration
    body = replace(body, points=body.points)
    body.distance = np.linspace(0, 40, len(body.vertices))
    colors = body.colors.astype(int)
    assert colors[0, 2] > colors[0, 0] and (colors[len(colors) // 2 :] == colors[-1]).all()
    assert colors[-1, 0] > colors[-1, 2]


@pytest.mark.parametrize(
    ("metre", "name"), [(1.0, "m"), (0.7, "m"), (104.0, "cm"), (930.0, "mm"), (39.37, None)]
)
def test_the_unit_is_told_by_the_body(metre: float, name: str | None) -> None:
    unit = unit_of(metre)
    assert unit.name == name
    assert unit.metre == (metre if name is None else UNITS[name])


@pytest.mark.parametrize("refine", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_limb_that_is_not_in_the_scan_is_not_trusted(
    person: tuple[np.ndarray, ...], refine: bool
) -> None:
    points, part, joints = person
    gone = [JOINTS.index(name) for name in ("forearm.L", "hand.L")]
    pose = posetx.load(refine=refine).read(points[~np.isin(part, gone)], up="y").pose
    others = [i for i in range(19) if i not in gone and JOINTS[i] != "upperarm.L"]
    assert (pose.confidence[gone] < 0.5).all(), pose.confidence
    assert np.median(pose.confidence[others]) > 0.8, pose.confidence
    if refine:
        assert np.linalg.norm(pose.joints - joints, axis=1)[others].max() < 0.05
