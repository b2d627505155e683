"""Skinned targets play clips on their own joints; what is not moved stays as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import posetx
from examples.make.rigged import Convention, write_skinned
from posetx.files.codecs.gltf import decode_gltf
from posetx.files.targets.clip import RigClip, SkeletonClip
from posetx.pipeline.animated import Animated
from posetx.pipeline.animation import Animator
from tests.files.player import played
from tests.pipeline.test_motion import walked
from tests.pipeline.test_own_skeleton import of_body

HOWS = (
    Convention("centimetres", "mixamorig:", unit=0.01, z_up=True, fingers=True),
    Convention("matrices", matrices=True),
)


@pytest.fixture(scope="module", params=HOWS, ids=lambda how: how.name)
def animator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Animator:
    """A body with a skeleton of another program."""
    path = tmp_path_factory.mktemp("hero") / "hero.glb"
    write_skinned(path, of_body(), request.param)
    poser = posetx.load(refine=False)
    return Animator(poser.pipeline.predictor, poser.prepare(path, up="y", front="z"))


def test_a_clip_plays_on_the_targets_own_joints(animator: Animator, tmp_path: Path) -> None:
    animated = Animated(animator, walked().part(0, 12, 4), "walk")
    clip, _ = animated.clip()
    assert isinstance(clip, RigClip)
    path, target = tmp_path / "o.glb", animator.ready.target
    animated.save(path)
    own, made = (decode_gltf(p.read_bytes(), p) for p in (target.path, path))
    assert len(made.document["nodes"]) == len(own.document["nodes"])
    assert made.document["skins"] == own.document["skins"]
    assert made.document["meshes"] == own.document["meshes"]
    assert bytes(made.buffers[0]).startswith(bytes(own.buffers[0]).rstrip(b"\0"))
    names = [a["name"] for a in made.document["animations"]]
    assert names == ["walk", *(a["name"] for a in own.document.get("animations", []))]
    # at rest it stands as it did
    rest = posetx.read_target(path).vertices
    size = float(np.ptp(rest, axis=0).max())
    assert np.abs(rest - target.vertices).max() < 1e-6 * size
    for frame in range(3):
        found = played(path, frame)
        posed = clip.rig.skinned(clip.rig.worlds(clip.poses[frame]))
        assert np.abs(found - posed)[clip.rig.moved].max() < 1e-5 * size
        assert np.abs(found - animated.vertices(frame)).max() < 1e-5 * size
        meant = animator.vertices(animated.track, slice(frame, frame + 1), False)[0]
        assert np.linalg.norm(found - meant, axis=1).mean() < 0.03 * size, frame
    moved = np.linalg.norm(played(path, 2) - played(path, 0), axis=1)
    assert moved.mean() > 0.1 * size


def test_shapes_move_it_all(animator: Animator) -> None:
    """Also of a target that has joints, where what is written holds none."""
    animated = Animated(animator, walked().part(0, 2, 1), by="morphs", restore=False)
    meant = animator.vertices(animated.track, slice(1, 2), False)[0]
    np.testing.assert_array_equal(animated.vertices(1), meant)


def test_a_target_without_a_skeleton_gets_one(tmp_path: Path) -> None:
    poser = posetx.load(refine=False)
    who = of_body()
    animator = Animator(poser.pipeline.predictor, poser.prepare((who.vertices, who.faces)))
    clip, notes = Animated(animator, walked().part(0, 2, 1)).clip()
    assert isinstance(clip, SkeletonClip) and not notes
