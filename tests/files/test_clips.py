"""Clips in GLBs: at every key the vertices are where they were meant to be; all else is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posetx.errors import UsageError
from posetx.files.codecs.gltf import decode_gltf
from posetx.files.targets import Target, read_target
from posetx.files.targets.clip import MorphClip, Skeleton, SkeletonClip
from posetx.files.targets.clip_write import write_clip
from posetx.files.targets.gltf_skeleton import INFLUENCES, strongest
from tests.files.dressed import EXAMPLE
from tests.files.player import keys, played
from tests.files.test_gltf import NORMALS, POINTS, ROTATION, Scene, tetra

FRAMES, FPS = 7, 24.0
PARENTS = (-1, 0, 1, 0)


def random_rotations(*shape: int, seed: int = 0) -> np.ndarray:
    count = int(np.prod(shape))
    return Rotation.random(count, random_state=seed).as_matrix().reshape(*shape, 3, 3)


def skeleton_clip(target: Target, still: np.ndarray | None = None) -> SkeletonClip:
    """Four joints anywhere, each vertex moved by three of them, all wildly turned."""
    rng = np.random.default_rng(1)
    weights = rng.random((len(target.vertices), 4)) * (rng.random((len(target.vertices), 4)) < 0.7)
    weights[:, 0] += 0.1
    if still is not None:
        weights[still] = 0.0
    skeleton = Skeleton(
        ("a", "b", "c", "d"), PARENTS, random_rotations(4, seed=2), rng.normal(size=(4, 3)), weights
    )
    return SkeletonClip(
        "walk",
        FPS,
        skeleton,
        random_rotations(FRAMES, 4, seed=3),
        rng.normal(size=(FRAMES, 3)),
    )


def skinned(target: Target, clip: SkeletonClip, frame: int) -> np.ndarray:
    """Linear blend skinning, joint by joint."""
    s = clip.skeleton
    turns, places = [], []
    for joint, parent in enumerate(PARENTS):
        if parent < 0:
            turns.append(clip.rotations[frame, joint])
            places.append(clip.roots[frame])
            continue
        bone = s.rotations[parent].T @ (s.places[joint] - s.places[parent])
        turns.append(turns[parent] @ clip.rotations[frame, joint])
        places.append(places[parent] + turns[parent] @ bone)
    weights = s.weights / np.maximum(s.weights.sum(1, keepdims=True), 1e-300)
    out = np.zeros_like(target.vertices)
    for joint in range(4):
        local = (target.vertices - s.places[joint]) @ s.rotations[joint]
        out += weights[:, joint, None] * (local @ turns[joint].T + places[joint])
    still = s.weights.sum(1) == 0
    out[still] = target.vertices[still]
    return out


def scene(matrix: np.ndarray | None = None, **more: Any) -> Scene:
    """A tetrahedron that moves, at a node that stands anywhere; another one beside it."""
    made = Scene()
    made.document["meshes"] = [{"primitives": [tetra(made)]}, {"primitives": [tetra(made)]}]
    made.document["nodes"] = [
        {"name": "figure", "mesh": 0} | more,
        {"name": "crate", "mesh": 1, "translation": [5, 0, 0]},
    ]
    if matrix is not None:
        made.document["nodes"][0]["matrix"] = matrix.T.ravel().tolist()
    made.document["scenes"] = [{"nodes": [0, 1]}]
    return made


def target_of(tmp_path: Path, made: Scene) -> Target:
    (tmp_path / "t.glb").write_bytes(made.glb())
    return read_target(tmp_path / "t.glb")


def placed() -> np.ndarray:
    """A node that is turned, mirrored, stretched and moved."""
    matrix = np.eye(4)
    matrix[:3, :3] = ROTATION @ np.diag([2.0, 0.5, -1.5])
    matrix[:3, 3] = 1, 2, 3
    return matrix


@pytest.mark.parametrize("matrix", [None, placed()])
def test_a_skeleton_puts_vertices_where_skinning_does(
    tmp_path: Path, matrix: np.ndarray | None
) -> None:
    target = target_of(tmp_path, scene(matrix))
    clip = skeleton_clip(target, still=np.arange(8) >= 4)
    assert write_clip(tmp_path / "o.glb", target, clip) == []
    np.testing.assert_allclose(keys(tmp_path / "o.glb"), np.arange(FRAMES) / FPS, atol=1e-6)
    np.testing.assert_allclose(read_target(tmp_path / "o.glb").vertices, target.vertices, atol=2e-6)
    for frame in range(FRAMES):
        found = played(tmp_path / "o.glb", frame)
        np.testing.assert_allclose(found, skinned(target, clip, frame), atol=5e-6)
    document = decode_gltf((tmp_path / "o.glb").read_bytes(), tmp_path / "o.glb").document
    assert [a["name"] for a in document["animations"]] == ["walk"]
    assert document["extras"] == {"kept": [1, 2.5, "x"]}
    assert "skin" not in document["nodes"][1] and len(document["skins"]) == 1


def test_vertices_normals_and_all_else_of_a_skinned_clip_are_stored_as_they_were(
    tmp_path: Path,
) -> None:
    target = target_of(tmp_path, scene(placed()))
    write_clip(tmp_path / "o.glb", target, skeleton_clip(target))
    gltf = decode_gltf((tmp_path / "o.glb").read_bytes(), tmp_path / "o.glb")
    attributes = gltf.document["meshes"][0]["primitives"][0]["attributes"]
    assert set(attributes) == {"POSITION", "NORMAL", "JOINTS_0", "WEIGHTS_0"}
    np.testing.assert_array_equal(gltf.floats(attributes["POSITION"]), POINTS)
    np.testing.assert_array_equal(gltf.floats(attributes["NORMAL"]), NORMALS)


def test_a_mesh_that_something_else_shows_too_is_not_bound_there(tmp_path: Path) -> None:
    made = scene()
    made.document["nodes"][1]["mesh"] = 0
    target = target_of(tmp_path, made)
    clip = skeleton_clip(target, still=np.arange(8) >= 4)
    write_clip(tmp_path / "o.glb", target, clip)
    found = played(tmp_path / "o.glb", 3)
    np.testing.assert_allclose(found, skinned(target, clip, 3), atol=5e-6)
    np.testing.assert_allclose(found[4:], target.vertices[4:])


def test_a_figure_that_has_a_skeleton_is_moved_by_the_clips(tmp_path: Path) -> None:
    """Its own one has turned each vertex another way: they are stored as they are shown."""
    made = scene()
    joints = np.array([[0, 1, 0, 0]] * 4, "u1")
    shares = np.array([[0.5, 0.5, 0, 0], [1, 0, 0, 0], [0.25, 0.75, 0, 0], [0, 1, 0, 0]], "<f4")
    attributes = made.document["meshes"][0]["primitives"][0]["attributes"]
    attributes |= {"JOINTS_0": made.add(joints, "VEC4"), "WEIGHTS_0": made.add(shares, "VEC4")}
    made.document["nodes"] += [
        {"name": "one", "translation": [0, 1, 0]},
        {"name": "two", "rotation": [0, 0.6, 0, 0.8]},
    ]
    made.document["scenes"][0]["nodes"] += [2, 3]
    made.document["nodes"][0]["skin"] = 0
    made.document["skins"] = [{"joints": [2, 3]}]
    target = target_of(tmp_path, made)
    clip = skeleton_clip(target, still=np.arange(8) >= 4)
    notes = write_clip(tmp_path / "o.glb", target, clip)
    assert any("own skeleton no longer moves it" in note for note in notes)
    found = played(tmp_path / "o.glb", 2)
    np.testing.assert_allclose(found, skinned(target, clip, 2), atol=1e-5)


def test_the_clips_of_a_file_come_after_the_new_one(tmp_path: Path) -> None:
    made = scene()
    times, turns = np.array([[0.0], [1.0]], "<f4"), np.array([[0, 0, 0, 1]] * 2, "<f4")
    sampler = {"input": made.add(times, "SCALAR"), "output": made.add(turns, "VEC4")}
    made.document["animations"] = [
        {
            "name": "old",
            "samplers": [sampler],
            "channels": [{"sampler": 0, "target": {"node": 1, "path": "rotation"}}],
        }
    ]
    target = target_of(tmp_path, made)
    write_clip(tmp_path / "o.glb", target, skeleton_clip(target))
    gltf = decode_gltf((tmp_path / "o.glb").read_bytes(), tmp_path / "o.glb")
    new, old = gltf.document["animations"]
    assert (new["name"], old["name"]) == ("walk", "old")
    assert old["samplers"] == [sampler]


def morph_clip(target: Target, still: slice) -> MorphClip:
    rng = np.random.default_rng(4)
    shapes = rng.normal(size=(3, *target.vertices.shape)).astype(np.float32)
    shapes[:, still] = 0.0
    return MorphClip("wave", FPS, shapes, rng.random((FRAMES, 3)))


@pytest.mark.parametrize("matrix", [None, placed()])
def test_morph_targets_put_vertices_where_the_mixture_is(
    tmp_path: Path, matrix: np.ndarray | None
) -> None:
    target = target_of(tmp_path, scene(matrix))
    clip = morph_clip(target, slice(4, None))
    assert write_clip(tmp_path / "o.glb", target, clip) == []
    for frame in range(FRAMES):
        meant = target.vertices + np.tensordot(clip.weights[frame], clip.shapes, 1)
        np.testing.assert_allclose(played(tmp_path / "o.glb", frame), meant, atol=1e-5)
    document = decode_gltf((tmp_path / "o.glb").read_bytes(), tmp_path / "o.glb").document
    assert all("targets" not in p for p in document["meshes"][1]["primitives"])


def test_morph_targets_turn_normals_with_the_surface(tmp_path: Path) -> None:
    target = target_of(tmp_path, scene())
    turn = Rotation.from_euler("y", 50, degrees=True).as_matrix()
    shape = target.vertices @ turn.T - target.vertices
    shape[4:] = 0.0
    clip = MorphClip("turn", FPS, shape[None].astype(np.float32), np.array([[0.0], [1.0]]))
    write_clip(tmp_path / "o.glb", target, clip)
    gltf = decode_gltf((tmp_path / "o.glb").read_bytes(), tmp_path / "o.glb")
    (added,) = gltf.document["meshes"][0]["primitives"][0]["targets"]
    np.testing.assert_allclose(NORMALS + gltf.floats(added["NORMAL"]), NORMALS @ turn.T, atol=1e-5)


def test_morph_targets_that_are_there_stay_with_their_clips(tmp_path: Path) -> None:
    made = scene()
    (primitive,) = made.document["meshes"][0]["primitives"]
    smile = np.array([[0, 0, 0.5]] * 4, "<f4")
    primitive["targets"] = [{"POSITION": made.add(smile, "VEC3")}]
    made.document["meshes"][0] |= {"weights": [0.5], "extras": {"targetNames": ["smile"]}}
    times, values = np.array([[0.0], [1.0]], "<f4"), np.array([[0.0], [1.0]], "<f4")
    made.document["animations"] = [
        {
            "samplers": [
                {"input": made.add(times, "SCALAR"), "output": made.add(values, "SCALAR")}
            ],
            "channels": [{"sampler": 0, "target": {"node": 0, "path": "weights"}}],
        }
    ]
    target = target_of(tmp_path, made)
    clip = morph_clip(target, slice(4, None))
    notes = write_clip(tmp_path / "o.glb", target, clip)
    assert notes == ["its morph targets stay, and add to the clip"]
    meant = target.vertices + np.tensordot(clip.weights[5], clip.shapes, 1)
    np.testing.assert_allclose(played(tmp_path / "o.glb", 5), meant, atol=1e-5)
    gltf = decode_gltf((tmp_path / "o.glb").read_bytes(), tmp_path / "o.glb")
    mesh = gltf.document["meshes"][0]
    assert len(mesh["primitives"][0]["targets"]) == len(mesh["weights"]) == 4
    assert mesh["extras"]["targetNames"] == ["smile", "wave 0", "wave 1", "wave 2"]
    old = gltf.document["animations"][1]
    sampler = old["samplers"][old["channels"][0]["sampler"]]
    wide = gltf.floats(sampler["output"]).reshape(2, 4)
    np.testing.assert_array_equal(wide, [[0, 0, 0, 0], [1, 0, 0, 0]])


@pytest.mark.parametrize("kind", ["skeleton", "morphs"])
def test_an_obj_keeps_its_looks(tmp_path: Path, kind: str) -> None:
    """Vertices along the seams of its texture are there more than once."""
    target = read_target(EXAMPLE)
    clip = skeleton_clip(target)
    meant = skinned(target, clip, 4)
    made: SkeletonClip | MorphClip = clip
    if kind == "morphs":
        shape = (meant - target.vertices)[None].astype(np.float32)
        made = MorphClip("pose", FPS, shape, np.ones((FRAMES, 1)))
    assert write_clip(tmp_path / "o.glb", target, made) == []
    found, again = played(tmp_path / "o.glb", 4), read_target(tmp_path / "o.glb")
    corners = found[again.faces]
    assert len(corners) == len(target.faces)
    size = float(np.ptp(meant, axis=0).max())
    # the triangles come in another order, by their objects and materials
    mine = np.sort(meant[target.faces].mean(1) @ [1.0, 10.0, 100.0])
    np.testing.assert_allclose(
        np.sort(corners.mean(1) @ [1.0, 10.0, 100.0]), mine, atol=1e-4 * size
    )
    assert again.looks() is not None and "materials" in again.extras


def test_the_strongest_joints_of_a_vertex_have_all_of_it() -> None:
    rng = np.random.default_rng(5)
    weights = rng.random((1000, 19)) ** 4
    weights[0] = 0.0
    weights[1] = np.eye(19)[7]
    index, share = strongest(weights)
    assert index.shape == share.shape == (1000, INFLUENCES)
    assert np.abs(share.astype(np.float64).sum(1) - 1).max() < 2e-7
    assert index[0, 0] == 0 and share[0, 0] == 1.0
    assert index[1].tolist() == [8, 0, 0, 0] and share[1].tolist() == [1, 0, 0, 0]
    assert (index[2:, 0] == weights[2:].argmax(1) + 1).all() and (share >= 0).all()


def test_a_clip_is_a_glb(tmp_path: Path) -> None:
    target = target_of(tmp_path, scene())
    with pytest.raises(UsageError, match=r"is written as \.glb"):
        write_clip(tmp_path / "o.gltf", target, skeleton_clip(target))
