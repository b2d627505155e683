"""The skeletons of glTF targets: read as they skin, posed in their nodes, everything else kept."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from examples.make.rigged import CONVENTIONS, Character, Convention, write_skinned
from posetx.bodies.body import BodyModel
from posetx.errors import PosetxError
from posetx.files.codecs.glb import encode_glb
from posetx.files.codecs.gltf import Gltf
from posetx.files.targets import Target, read_target
from posetx.geometry.rig import Rig, RigPose

PLAIN = Convention("plain")


@pytest.fixture(scope="module")
def character() -> Character:
    body = BodyModel.load()
    return Character(
        body.template.double().numpy(),
        body.faces.numpy(),
        body.weights.double().numpy(),
        body.joint_template.double().numpy(),
    )


def rig_of(target: Target) -> Rig:
    rig, why = target.rig(np.ones(len(target.vertices), dtype=bool))
    assert rig is not None, why
    return rig


def bent(rig: Rig, by: float = 0.4) -> RigPose:
    """All joints turned, all roots shifted."""
    random = np.random.default_rng(2)
    turns = Rotation.from_rotvec(random.uniform(-by, by, (len(rig.parents), 3))).as_matrix()
    turns[~rig.joints] = np.eye(3)
    return RigPose(turns, np.where(rig.roots[:, None], 0.3, 0.0) * np.ones(3))


def decoded(path: Path) -> Gltf:
    return Gltf(path.read_bytes(), path)


def rewritten(path: Path, document: dict[str, Any]) -> Target:
    path.write_bytes(encode_glb(document, decoded(path).buffers[0], []))
    return read_target(path)


@pytest.mark.parametrize("how", CONVENTIONS, ids=lambda how: how.name)
def test_a_posed_skeleton_is_read_where_its_rig_says(tmp_path, character, how) -> None:
    path, out = tmp_path / "a.glb", tmp_path / "o.glb"
    write_skinned(path, character, how)
    target = read_target(path)
    rig = rig_of(target)
    assert rig.moved.all() and rig.roots.sum() == (19 if how.flat else 1)
    still = rig.skinned(rig.worlds(rig.still))
    np.testing.assert_allclose(still, target.vertices, atol=1e-5)
    pose = bent(rig)
    shown = rig.skinned(rig.worlds(pose))
    assert np.abs(shown - still).max() > 0.3
    notes = target.save_posed(out, np.full_like(shown, 7.0), rig, pose)
    np.testing.assert_allclose(read_target(out).vertices, shown, atol=2e-6 * 2 / how.unit)
    before, after = decoded(path), decoded(out)
    assert after.buffers == before.buffers, "vertices, weights, bind matrices and clips"
    assert any("animation" in note for note in notes) == ("animations" in before.document)
    changed = {"rotation", "translation"} if not how.matrices else {"matrix"}
    for one, other in zip(before.document.pop("nodes"), after.document.pop("nodes"), strict=True):
        assert {key for key in one | other if one.get(key) != other.get(key)} <= changed
    assert after.document == before.document
    moved = [i for i, row in enumerate(rig.numbers) if rig.roots[i]]
    assert len(moved) == rig.roots.sum()


def test_only_the_root_is_shifted_and_what_is_above_stays(tmp_path, character) -> None:
    path, out = tmp_path / "a.glb", tmp_path / "o.glb"
    write_skinned(path, character, Convention("game", unit=0.01, root=True, fingers=True))
    target = read_target(path)
    rig = rig_of(target)
    target.save_posed(out, target.vertices, rig, bent(rig))
    before, after = (decoded(p).document["nodes"] for p in (path, out))
    shifted = [a["name"] for a, b in zip(before, after, strict=True)
               if a.get("translation") != b.get("translation")]  # fmt: skip
    turned = {a["name"] for a, b in zip(before, after, strict=True)
              if a.get("rotation") != b.get("rotation")}  # fmt: skip
    assert shifted == ["Hips"]
    assert "LeftHand" in turned and "hand.L_0" in turned
    assert not turned & {"Armature", "root", "ik_foot", "ik_hand", "hand.L_2"}
    lengths = [np.linalg.norm(node.get("translation", 0)) for node in after]
    kept = [np.linalg.norm(node.get("translation", 0)) for node in before]
    hips = [node["name"] for node in before].index("Hips")
    np.testing.assert_allclose(np.delete(lengths, hips), np.delete(kept, hips))


def test_a_pose_that_changes_nothing_leaves_the_bytes(tmp_path, character) -> None:
    path, out = tmp_path / "a.glb", tmp_path / "o.glb"
    write_skinned(path, character, PLAIN)
    target = read_target(path)
    rig = rig_of(target)
    target.save_posed(out, target.vertices, rig, rig.still)
    assert out.read_bytes() == path.read_bytes()
    target.save_posed(tmp_path / "o.gltf", target.vertices, rig, bent(rig))
    np.testing.assert_allclose(
        read_target(tmp_path / "o.gltf").vertices, rig.skinned(rig.worlds(bent(rig))), atol=2e-6
    )


def test_what_follows_no_joint_is_moved_in_the_buffers(tmp_path, character) -> None:
    path, out = tmp_path / "a.glb", tmp_path / "o.glb"
    write_skinned(path, character, Convention("two", parts=2))
    document = copy.deepcopy(decoded(path).document)
    loose = next(node for node in document["nodes"] if node.get("name") == "part1")
    del loose["skin"]
    target = rewritten(path, document)
    rig = rig_of(target)
    assert 0.3 < rig.moved.mean() < 0.7
    wanted = target.vertices + [0, 0, 2]
    notes = target.save_posed(out, wanted, rig, bent(rig))
    again = read_target(out).vertices
    np.testing.assert_allclose(again[~rig.moved], wanted[~rig.moved], atol=1e-6)
    np.testing.assert_allclose(
        again[rig.moved], rig.skinned(rig.worlds(bent(rig)))[rig.moved], atol=2e-6
    )
    assert not any("skinned" in note for note in notes)


def test_another_figures_skeleton_stays(tmp_path, character) -> None:
    """Two skins without a joint in common, one figure asked for."""
    path = tmp_path / "a.glb"
    write_skinned(path, character, PLAIN)
    document = copy.deepcopy(decoded(path).document)
    nodes, skin = document["nodes"], document["skins"][0]
    count = len(nodes)
    twins = copy.deepcopy(nodes)
    for node in twins:
        node["children"] = [child + count for child in node.get("children", [])] or [count]
        if node["children"] == [count]:
            del node["children"]
        if "skin" in node:
            node["skin"] = 1
    document["skins"].append(skin | {"joints": [joint + count for joint in skin["joints"]]})
    document["nodes"] = nodes + twins
    document["scenes"][0]["nodes"] += [root + count for root in document["scenes"][0]["nodes"]]
    target = rewritten(path, document)
    half = np.arange(len(target.vertices)) < len(target.vertices) // 2
    for figure, numbers in ((half, range(count)), (~half, range(count, 2 * count))):
        rig, _ = target.rig(figure)
        assert rig is not None
        assert (rig.moved == figure).all() and set(rig.numbers) <= set(numbers)


def test_skeletons_that_cannot_take_a_pose_say_why(tmp_path, character) -> None:
    path = tmp_path / "a.glb"
    write_skinned(path, character, PLAIN)
    document = decoded(path).document
    target = read_target(path)
    nothing = target.rig(np.zeros(len(target.vertices), dtype=bool))
    assert nothing == (None, "its skins move nothing of the figure")

    few = copy.deepcopy(document)
    few["skins"][0] = {"joints": few["skins"][0]["joints"][:1] * 19}
    rig, why = rewritten(path, few).rig(np.ones(len(target.vertices), dtype=bool))
    assert rig is None and "too few" in why

    write_skinned(path, character, Convention("flat scaled", parts=8))
    most = copy.deepcopy(decoded(path).document)
    for node in most["nodes"]:
        if node.get("name", "").startswith("part") and node["name"] > "part2":
            del node["skin"]
    rig, why = rewritten(path, most).rig(np.ones(len(read_target(path).vertices), dtype=bool))
    assert rig is None and "does not follow" in why

    del most["skins"]
    for node in most["nodes"]:
        node.pop("skin", None)
    bare = rewritten(path, most)
    assert bare.rig(np.ones(len(bare.vertices), dtype=bool)) == (None, "")


@pytest.mark.parametrize(
    "damage",
    [{"joints": [999] * 19}, {"joints": []}, {"joints": [0] * 3}, {"joints": "none"},
     {"inverseBindMatrices": 1}],
)  # fmt: skip
def test_a_damaged_skin_is_one_line(tmp_path, character, damage: dict[str, Any]) -> None:
    path = tmp_path / "a.glb"
    write_skinned(path, character, PLAIN)
    document = json.loads(json.dumps(decoded(path).document))
    document["skins"][0] |= damage
    with pytest.raises(PosetxError, match=r"a\.glb"):
        rig_of(rewritten(path, document))
