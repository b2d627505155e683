"""Clips of many programs: their joints' names, and skeletons that stand along other axes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from posetx.bodies.body import BodyModel
from posetx.bodies.skeleton import BVH_NAMES, JOINTS
from posetx.data.bvh import Clip, read_clip
from posetx.data.bvh_match import match, plain
from tests.data.test_poses import ORDER, bvh_text

#: hip, head, then collar, upper arm, forearm, hand, thigh, shin and foot of the left
PROGRAMS = {
    "Mixamo": "mixamorig:Hips mixamorig:Head mixamorig:LeftShoulder mixamorig:LeftArm "
    "mixamorig:LeftForeArm mixamorig:LeftHand mixamorig:LeftUpLeg mixamorig:LeftLeg "
    "mixamorig:LeftFoot",
    "Rokoko": "Hips Head LeftShoulder LeftArm LeftForeArm LeftHand LeftThigh LeftShin LeftFoot",
    "Biovision": "Hips Head LeftCollar LeftShoulder LeftElbow LeftWrist LeftHip LeftKnee LeftAnkle",
    "Rigify": "spine spine.006 shoulder.L upper_arm.L forearm.L hand.L thigh.L shin.L foot.L",
    "VRoid": "J_Bip_C_Hips J_Bip_C_Head J_Bip_L_Shoulder J_Bip_L_UpperArm J_Bip_L_LowerArm "
    "J_Bip_L_Hand J_Bip_L_UpperLeg J_Bip_L_LowerLeg J_Bip_L_Foot",
    "MotionBuilder": "Character1_Hips Character1_Head Character1_LeftShoulder Character1_LeftArm "
    "Character1_LeftForeArm Character1_LeftHand Character1_LeftUpLeg Character1_LeftLeg "
    "Character1_LeftFoot",
    "Unreal": "pelvis head clavicle_l upperarm_l lowerarm_l hand_l thigh_l calf_l foot_l",
    "SMPL": "Pelvis Head L_Collar L_Shoulder L_Elbow L_Wrist L_Hip L_Knee L_Ankle",
    "3ds Max": "Bip01~Pelvis Bip01~Head Bip01~L~Clavicle Bip01~L~UpperArm Bip01~L~Forearm "
    "Bip01~L~Hand Bip01~L~Thigh Bip01~L~Calf Bip01~L~Foot",
}
OURS = (
    "hip",
    "head",
    *(f"l{n}" for n in ["Collar", "Shldr", "ForeArm", "Hand", "Thigh", "Shin", "Foot"]),
)
FRAMES = (
    {},
    {
        "hip": (10.0, 20.0, 30.0),
        "lShldr": (50.0, 5.0, -20.0),
        "rForeArm": (0.0, 15.0, 70.0),
        "lThigh": (3.0, -35.0, 0.0),
        "rShin": (0.0, 40.0, 0.0),
    },
)


def clip_of(text: str, folder: Path) -> Clip:
    path = folder / "clip.bvh"
    path.write_text(text)
    return read_clip(path, BodyModel.load().joint_template.numpy())


def to_right(name: str) -> str:
    """The name of the other side."""
    other = name.replace("Left", "Right").replace("~L~", "~R~")
    return re.sub(r"(?<![A-Za-z])[Ll](?=_)|(?<=[._])[Ll]$", lambda m: chr(ord(m[0]) + 6), other)


@pytest.mark.parametrize("program", PROGRAMS)
def test_joints_are_known_by_the_names_of(program: str, tmp_path: Path) -> None:
    text = plainly = bvh_text(*FRAMES)
    for ours, theirs in zip(OURS, PROGRAMS[program].split(), strict=True):
        right = to_right(theirs)
        assert (right != theirs) == ours.startswith("l")
        for own, name in ((ours, theirs), ("r" + ours[1:], right)):
            text = re.sub(rf"(ROOT|JOINT) {own}\b", rf"\1 {name.replace('~', ' ')}", text)
    assert "Shldr" not in text
    expected, found = clip_of(plainly, tmp_path), clip_of(text, tmp_path)
    np.testing.assert_array_equal(found.rotations, expected.rotations)
    np.testing.assert_array_equal(found.roots, expected.roots)
    assert found.legs == expected.legs == pytest.approx(84.0)


def z_up(text: str) -> str:
    """The same clip as Blender writes it: x stays, y is up no more but z, and the front is -y."""
    head, motion = text.split("MOTION")
    head = re.sub(
        r"OFFSET (\S+) (\S+) (\S+)", lambda m: f"OFFSET {m[1]} {-float(m[3])} {m[2]}", head
    )
    head = head.replace("Zrotation Xrotation Yrotation", "Yrotation Xrotation Zrotation")
    *told, rows = motion.partition("Frame Time: 0.1\n")
    lines = []
    for row in rows.splitlines():
        x, y, z, *angles = map(float, row.split())
        angles[::3] = [-angle for angle in angles[::3]]
        lines.append(" ".join(map(str, [x, -z, y, *angles])))
    return head + "MOTION" + "".join(told) + "\n".join(lines) + "\n"


def test_a_skeleton_that_stands_along_z_is_the_same(tmp_path: Path) -> None:
    text = bvh_text(*FRAMES)
    expected, found = clip_of(text, tmp_path), clip_of(z_up(text), tmp_path)
    np.testing.assert_allclose(found.rotations, expected.rotations, atol=1e-6)
    np.testing.assert_allclose(found.roots, expected.roots, atol=1e-9)


def test_names_in_one_form() -> None:
    for name in ("LeftUpLeg", "upleg.L", "up_leg_l", "lUpLeg", "LEFTUPLEG", "leftupleg", "L UpLeg"):
        assert plain(name) == "lupleg", name
    assert [plain(name) for name in ("Spine_01", "spine.001", "LowerBack")] == [
        "spine01",
        "spine001",
        "lowerback",
    ]
    for accepted in BVH_NAMES:
        for name in accepted:
            assert plain(name) == name


def test_each_joint_of_a_clip_is_one_of_ours() -> None:
    """A trunk of four joints has an abdomen and a chest, whatever it begins with."""
    limbs = [name.lower() for name in ORDER if name[0] in "lr"]
    for trunk, abdomen, chest in (
        ("Hips Spine Spine1 Spine2 Neck Head", "Spine", "Spine1"),
        ("Hips Spine1 Spine2 Spine3 Neck Head", "Spine1", "Spine2"),
        ("pelvis spine_01 spine_02 neck_01 head", "spine_01", "spine_02"),
        ("Hips Chest Neck Head", None, "Chest"),
        ("spine spine.001 spine.002 spine.004 spine.006", "spine.001", "spine.002"),
    ):
        names = [*trunk.split(), *limbs]
        parents = [-1, *range(len(trunk.split()) - 1), *[0] * len(limbs)]
        found = match(Path("a.bvh"), names, parents)
        assert found[0] == 0
        named = [names[i] if i >= 0 else None for i in found]
        assert named[JOINTS.index("abdomen")] == abdomen
        assert named[JOINTS.index("chest")] == chest
        assert len(set(found) - {-1}) == len(found) - found.count(-1)
