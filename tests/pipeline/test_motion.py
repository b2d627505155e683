"""Motions: read from clips with their way, turned, cut, looped, kept in place, given to targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation, Slerp

import posetx
from posetx.bodies.body import BodyModel, global_rotations, relative_rotations
from posetx.bodies.skeleton import BVH_WRITTEN, JOINTS, PARENTS, TIPS
from posetx.data.bvh import read_clip
from posetx.data.bvh_write import encode_bvh
from posetx.data.prior import draw_prior
from posetx.errors import FieldError, UsageError
from posetx.files.targets.clip import SkeletonClip
from posetx.files.targets.gltf_skeleton import strongest
from posetx.geometry.rotations import matrix_from_yaw
from posetx.pipeline.animated import Animated, check_animated, frame_files
from posetx.pipeline.animation import CLOSE, Animator, fewest_shapes
from posetx.pipeline.motion import Motion
from tests.files.player import played

COUNT, FPS = 12, 24.0


def walked() -> Motion:
    """Poses that change evenly, over a way that is no line, in centimetres."""
    first, last = draw_prior("train", 2, seed=3).local.double().numpy()
    ends = [Rotation.from_matrix(np.stack(pair)) for pair in zip(first, last, strict=True)]
    time = np.linspace(0, 1, COUNT)
    local = np.stack([Slerp([0, 1], turns)(time).as_matrix() for turns in ends], axis=1)
    rotations = global_rotations(torch.as_tensor(local)).numpy()
    roots = np.stack([np.linspace(0, 90, COUNT), 95 + np.arange(COUNT) % 3, np.ones(COUNT)], 1)
    return Motion(rotations, roots, 85.0, FPS)


def bvh(path: Path, motion: Motion) -> Path:
    """A clip whose legs are 85 long."""
    joints = BodyModel.load().joint_template.double().numpy()
    parents = np.array(PARENTS[1:])
    offsets = np.zeros((19, 3))
    offsets[1:] = joints[1:] - joints[parents]
    legs = sum(np.linalg.norm(offsets[j]) for j in (14, 15, 17, 18)) / 2
    scale = 85.0 / legs
    tips = {joint: scale * np.array(tip) for joint, tip in TIPS.items()}
    local = relative_rotations(torch.as_tensor(motion.rotations)).numpy()
    path.write_bytes(encode_bvh(scale * offsets, tips, local, motion.roots, 1 / motion.fps))
    return path


@pytest.fixture(scope="module")
def animator() -> Animator:
    """A body whose file is in centimetres, z up."""
    body = BodyModel.load()
    vertices = 100 * body.template.double().numpy()[:, [0, 2, 1]] * [1, -1, 1]
    poser = posetx.load(refine=False)
    hero = poser.prepare((vertices, body.faces.numpy()), up="z", front="-y")
    return Animator(poser.pipeline.predictor, hero)


def test_a_clip_is_read_with_its_way_and_its_rate(tmp_path: Path) -> None:
    motion = walked()
    found = Motion.of_bvh(bvh(tmp_path / "a.bvh", motion))
    np.testing.assert_allclose(found.rotations, motion.rotations, atol=1e-5)
    np.testing.assert_allclose(found.roots, motion.roots, atol=1e-6)
    assert found.fps == pytest.approx(FPS) and found.legs == pytest.approx(85.0, rel=1e-5)


def test_the_pelvis_may_hang_on_joints_that_move(tmp_path: Path) -> None:
    text = bvh(tmp_path / "a.bvh", walked()).read_text()
    hips = text.index("ROOT Hips")
    frames = text.index("MOTION")
    above = "ROOT world\n{\n\tOFFSET 9 9 9\n\tCHANNELS 6 Xposition Yposition Zposition Yrotation "
    above += "Xrotation Zrotation\n\tJOINT Hips" + text[hips + 9 : frames] + "}\n"
    lines = text[frames:].splitlines()
    rows = [f"1 2 3 90 0 0 {line}" if line[:1] in "-0123456789" else line for line in lines]
    (tmp_path / "b.bvh").write_text(above + "\n".join(rows) + "\n")
    joints = BodyModel.load().joint_template.numpy()
    alone, below = (read_clip(tmp_path / f"{name}.bvh", joints) for name in "ab")
    turn = matrix_from_yaw(torch.tensor(np.pi / 2)).numpy()
    np.testing.assert_allclose(below.roots, alone.roots @ turn.T + [1, 2, 3], atol=1e-5)
    np.testing.assert_allclose(below.rotations, turn @ alone.rotations, atol=1e-5)


def test_a_part_has_the_speed_of_the_whole() -> None:
    motion = walked()
    part = motion.part(2, 10, 3)
    assert len(part) == 3 and part.fps == FPS / 3
    np.testing.assert_array_equal(part.rotations, motion.rotations[[2, 5, 8]])
    with pytest.raises(FieldError, match="frames 0 to 11"):
        motion.part(50, None, 1)


def test_the_first_frame_faces_front_and_the_way_turns_along() -> None:
    motion = walked()
    yaw = matrix_from_yaw(torch.tensor(2.0)).double().numpy()
    turned = Motion(yaw @ motion.rotations, motion.roots @ yaw.T, 85.0, FPS)
    faced = turned.faced("target")
    assert abs(faced.rotations[0, 0, 0, 2]) < 1e-9 < faced.rotations[0, 0, 2, 2]
    np.testing.assert_allclose(faced.roots, motion.faced("target").roots, atol=1e-6)
    assert turned.faced("scan") is turned


def test_a_loop_ends_where_it_begins() -> None:
    motion = walked()
    loop = motion.looped()
    assert len(loop) == COUNT + 1
    np.testing.assert_allclose(loop.rotations[-1], loop.rotations[0], atol=1e-9)
    assert loop.roots[-1, 1] == pytest.approx(loop.roots[0, 1])
    np.testing.assert_allclose(loop.rotations[: COUNT // 2], motion.rotations[: COUNT // 2])
    assert (motion.in_place().roots[:, [0, 2]] == motion.roots[0, [0, 2]]).all()
    assert (motion.in_place().roots[:, 1] == motion.roots[:, 1]).all()


def test_in_its_own_pose_a_target_stands_as_it_is(animator: Animator) -> None:
    still = Motion(np.tile(animator.rest, (3, 1, 1, 1)), np.zeros((3, 3)), 1.0, FPS)
    found = animator.vertices(animator.track(still), slice(0, 3), restore=False)
    target = animator.ready.target.vertices
    np.testing.assert_allclose(found, np.tile(target, (3, 1, 1)), atol=1e-3)


def test_the_way_is_as_long_as_the_legs_and_the_ground_is_the_targets(animator: Animator) -> None:
    motion = walked().faced("scan")
    track = animator.track(motion)
    every = animator.vertices(track, slice(0, COUNT), restore=False)
    ground = animator.ready.target.vertices[:, 2].min()
    assert every[..., 2].min() == pytest.approx(ground, abs=1e-2)
    skeleton = animator.skeleton_clip("a", track)
    way = np.linalg.norm(skeleton.roots[-1] - skeleton.roots[0])
    places = skeleton.skeleton.places
    legs = sum(np.linalg.norm(places[j] - places[PARENTS[j]]) for j in (14, 15, 17, 18)) / 2
    assert way / legs == pytest.approx(np.linalg.norm(motion.roots[-1] - motion.roots[0]) / 85.0)
    assert skeleton.skeleton.names == BVH_WRITTEN and len(JOINTS) == 19


@pytest.mark.parametrize("by", ["skeleton", "morphs"])
def test_a_glb_plays_what_was_meant(animator: Animator, tmp_path: Path, by: str) -> None:
    animated = Animated(animator, walked(), "walk", by, restore=False)  # type: ignore[arg-type]
    if by == "skeleton":  # of four joints a vertex
        clip, _ = animated.clip()
        assert isinstance(clip, SkeletonClip)
        index, share = strongest(animator.weights)
        four = np.zeros((len(share), 20))
        np.add.at(four, (np.arange(len(share))[:, None], index.astype(int)), share)
        limited = Animator.__new__(Animator)
        vars(limited).update(vars(animator), weights=four[:, 1:])
        meant = limited.vertices(animated.track, slice(0, COUNT), restore=False)
    else:
        meant = animator.vertices(animated.track, slice(0, COUNT), restore=False)
    animated.save(tmp_path / "o.glb")
    size = float(np.ptp(animator.ready.target.vertices, axis=0).max())
    # the file has the vertices in the order of the triangles that use them
    rest = posetx.read_target(tmp_path / "o.glb").vertices
    away, own = cKDTree(animator.ready.target.vertices).query(rest)
    assert away.max() < 1e-6 * size
    for frame in (0, COUNT // 2, COUNT - 1):
        found = played(tmp_path / "o.glb", frame)
        assert np.abs(found - meant[frame][own]).max() < 1e-4 * size


def test_the_fewest_shapes_bring_all_places_close() -> None:
    rng = np.random.default_rng(0)
    away = (rng.normal(size=(40, 3)) @ rng.normal(size=(3, 600))).astype(np.float32)
    weights, shapes = fewest_shapes(away, 1e-3)
    assert shapes.shape == (4, 600) and weights.min() >= 0 and weights.max() <= 1 + 1e-9
    assert np.abs(weights @ shapes - away).max() < 1e-3
    noise = rng.normal(size=(5, 600)).astype(np.float32)
    weights, shapes = fewest_shapes(noise, 1e-3)
    np.testing.assert_allclose(weights @ shapes, noise, atol=1e-6)
    assert CLOSE < 1e-4


def test_a_file_a_frame_and_arrays(animator: Animator, tmp_path: Path) -> None:
    animated = Animated(animator, walked().part(0, 3, 1), restore=False)
    animated.save(tmp_path / "w_###.obj")
    animated.save(tmp_path / "o.npz")
    assert sorted(p.name for p in tmp_path.glob("*.obj")) == ["w_000.obj", "w_001.obj", "w_002.obj"]
    with np.load(tmp_path / "o.npz") as arrays:
        assert arrays["vertices"].shape == (3, *animator.ready.target.vertices.shape)
        assert arrays["fps"] == FPS and arrays["joints"].shape == (3, 19, 3)
        last = posetx.read_target(tmp_path / "w_002.obj").vertices
        np.testing.assert_allclose(arrays["vertices"][2], last, atol=1e-3)
    assert [p.name for p in frame_files(tmp_path, 2)] == ["frame_0000.obj", "frame_0001.obj"]
    with pytest.raises(UsageError, match="name a folder"):
        check_animated(Path("a.fbx"), Path("t.obj"))
