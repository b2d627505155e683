"""Poses: relative and global, mirrored, without heading; BVH clips; the fitted prior."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from posetx.bodies.body import (
    BodyModel,
    forward_kinematics,
    global_rotations,
    relative_rotations,
)
from posetx.bodies.skeleton import JOINTS
from posetx.data import prior as prior_module
from posetx.data.bvh import read_bvh
from posetx.data.poses import PoseBank, mirrored
from posetx.data.prior import HINGES, PosePrior, draw_prior, hinge_angles
from posetx.errors import MissingError, PosetxError, UsageError
from posetx.geometry.rotations import matrix_from_axis_angle, matrix_from_yaw
from tests.measures import geodesic_degrees


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


def some_poses(count: int, spread: float = 0.5, seed: int = 0) -> Tensor:
    """Global rotations (count, 19, 3, 3)."""
    vectors = torch.randn(count, 19, 3, generator=torch.Generator().manual_seed(seed))
    return global_rotations(matrix_from_axis_angle(spread * vectors))


# Relative, global, mirrored, heading


def test_relative_and_global_are_inverse() -> None:
    rotations = some_poses(5)
    back = global_rotations(relative_rotations(rotations))
    torch.testing.assert_close(back, rotations, atol=1e-5, rtol=0.0)
    assert torch.equal(relative_rotations(rotations)[:, 0], rotations[:, 0])


def test_mirrored_twice_is_the_pose() -> None:
    rotations = some_poses(3)
    assert torch.equal(mirrored(mirrored(rotations)), rotations)
    assert not torch.allclose(mirrored(rotations), rotations)
    torch.testing.assert_close(
        global_rotations(mirrored(relative_rotations(rotations))), mirrored(rotations)
    )


def test_a_mirrored_pose_mirrors_the_mesh(body: BodyModel) -> None:
    flip = torch.tensor([-1.0, 1.0, 1.0])
    symmetric = torch.zeros(1, body.bank.shape[1])
    rest, _ = body.rest(symmetric)
    chosen = torch.arange(0, rest.shape[1], 23)
    gap, partner = torch.cdist(rest[0, chosen] * flip, rest[0]).min(1)
    assert gap.max() < 0.005
    rotations = some_poses(1, 0.4)
    posed = body.pose(symmetric, rotations)[0]
    other = body.pose(symmetric, mirrored(rotations))[0]
    assert (posed[chosen] * flip - other[partner]).norm(dim=-1).max() < 0.012


def test_heading_is_removed() -> None:
    rotations = some_poses(6, 0.3)
    turn = matrix_from_yaw(torch.linspace(-3, 3, 6)).unsqueeze(1)
    bank, turned = PoseBank.from_global(rotations), PoseBank.from_global(turn @ rotations)
    torch.testing.assert_close(bank.local, turned.local, atol=1e-4, rtol=0.0)
    forward = bank.local[:, 0, :, 2]
    assert forward[:, 0].abs().max() < 1e-5
    assert forward[:, 2].min() > 0


def test_a_lying_body_has_a_heading(body: BodyModel) -> None:
    """Flat on its back there is no forward; the head then points away from +z."""
    lying = matrix_from_axis_angle(torch.tensor([-math.pi / 2, 0.0, 0.0]))
    turn = matrix_from_yaw(torch.tensor(1.3))
    bank = PoseBank.from_global((turn @ lying).expand(1, 19, 3, 3))
    up_the_spine = bank.local[0, 0, :, 1]
    assert up_the_spine[0].abs() < 1e-5
    assert up_the_spine[2] < -0.99


def test_draws() -> None:
    bank = PoseBank.from_global(some_poses(30))
    assert len(bank) == 30
    first, second = (bank.draw(8, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)
    nearest = (relative_rotations(first)[:, None] - bank.local).abs().amax((2, 3, 4)).amin(1)
    assert nearest.max() < 1e-5, "poses as they are"

    varied = bank.draw_varied(64, torch.Generator().manual_seed(4))
    eye = (varied.transpose(-1, -2) @ varied - torch.eye(3)).abs().max()
    assert eye < 1e-4
    assert (torch.linalg.det(varied) > 0.99).all()
    nearest = (relative_rotations(varied)[:, None] - bank.local).abs().amax((2, 3, 4)).amin(1)
    assert (nearest > 0.01).float().mean() > 0.9


# BVH

SIDE = """
  JOINT {s}Collar
  {{
    OFFSET {x1} 15 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT {s}Shldr
    {{
      OFFSET {x2} 0 0
      CHANNELS 3 Zrotation Xrotation Yrotation
      JOINT {s}ForeArm
      {{
        OFFSET {x3} 0 0
        CHANNELS 3 Zrotation Xrotation Yrotation
        JOINT {s}Hand
        {{
          OFFSET {x3} 0 0
          CHANNELS 3 Zrotation Xrotation Yrotation
          End Site
          {{
            OFFSET {x1} 0 0
          }}
        }}
      }}
    }}
  }}"""

LEG = """
  JOINT {s}Thigh
  {{
    OFFSET {x2} -2 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT {s}Shin
    {{
      OFFSET 0 -42 0
      CHANNELS 3 Zrotation Xrotation Yrotation
      JOINT {s}Foot
      {{
        OFFSET 0 -42 0
        CHANNELS 3 Zrotation Xrotation Yrotation
        End Site
        {{
          OFFSET 0 -5 12
        }}
      }}
    }}
  }}"""

#: the rotated joints in the order of the file, each with three channels
ORDER = (
    "hip", "head",
    "lCollar", "lShldr", "lForeArm", "lHand", "rCollar", "rShldr", "rForeArm", "rHand",
    "lThigh", "lShin", "lFoot", "rThigh", "rShin", "rFoot",
)  # fmt: skip


def bvh_text(*frames: dict[str, tuple[float, float, float]]) -> str:
    """A T-pose skeleton facing +z; frames give Z, X, Y angles in degrees of some joints."""
    left = {"s": "l", "x1": 5, "x2": 10, "x3": 26}
    right = {"s": "r", "x1": -5, "x2": -10, "x3": -26}
    limbs = "".join(part.format(**side) for part in (SIDE, LEG) for side in (left, right))
    head = "\n  JOINT head\n  {\n    OFFSET 0 50 0\n    CHANNELS 3 Zrotation Xrotation Yrotation"
    head += "\n    End Site\n    {\n      OFFSET 0 20 0\n    }\n  }"
    channels = "6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
    root = f"HIERARCHY\nROOT hip\n{{\n  OFFSET 0 0 0\n  CHANNELS {channels}{head}{limbs}\n}}\n"
    rows = []
    for frame in frames:
        angles = [frame.get(name, (0.0, 0.0, 0.0)) for name in ORDER]
        rows.append(" ".join(str(a) for a in [0.0, 90.0, 0.0, *(a for t in angles for a in t)]))
    return f"{root}MOTION\nFrames: {len(frames)}\nFrame Time: 0.1\n" + "\n".join(rows) + "\n"


def posed_joints(text: str, body: BodyModel, folder: Path) -> Tensor:
    """Joint positions (F, 19, 3) of the mean body in the clip's frames."""
    path = folder / "clip.bvh"
    path.write_text(text)
    rotations = torch.from_numpy(read_bvh(path, body.joint_template.numpy()))
    rest = body.joint_template.expand(len(rotations), -1, -1)
    return forward_kinematics(rest, rotations)


def at(placed: Tensor, frame: int, joint: str) -> Tensor:
    return placed[frame, JOINTS.index(joint)]


def test_bvh_t_pose(body: BodyModel, tmp_path: Path) -> None:
    """The zero frame stretches the arms of the A-pose body out to the sides."""
    placed = posed_joints(bvh_text({}), body, tmp_path)
    for side, sign in (("L", 1.0), ("R", -1.0)):
        arm = at(placed, 0, f"hand.{side}") - at(placed, 0, f"upperarm.{side}")
        length = arm.norm()
        torch.testing.assert_close(arm, length * torch.tensor([sign, 0.0, 0.0]), atol=1e-4, rtol=0)
        leg = at(placed, 0, f"foot.{side}") - at(placed, 0, f"thigh.{side}")
        assert leg[1] < -0.999 * leg.norm()


def test_bvh_left_arm_up(body: BodyModel, tmp_path: Path) -> None:
    placed = posed_joints(bvh_text({"lShldr": (90.0, 0.0, 0.0)}), body, tmp_path)
    head, shoulder = at(placed, 0, "head"), at(placed, 0, "upperarm.L")
    left = at(placed, 0, "hand.L")
    assert left[1] > head[1] + 0.1
    torch.testing.assert_close(left[[0, 2]], shoulder[[0, 2]], atol=1e-4, rtol=0.0)
    assert at(placed, 0, "hand.R")[1] < head[1]


def test_bvh_walking(body: BodyModel, tmp_path: Path) -> None:
    """The left thigh forward, the right one back with its knee bent; then turned to +x."""
    step = {"lThigh": (0.0, -35.0, 0.0), "rThigh": (0.0, 20.0, 0.0), "rShin": (0.0, 30.0, 0.0)}
    placed = posed_joints(bvh_text(step, {**step, "hip": (0.0, 0.0, 90.0)}), body, tmp_path)
    assert at(placed, 0, "foot.L")[2] > at(placed, 0, "foot.R")[2] + 0.5
    assert at(placed, 0, "foot.R")[1] > at(placed, 0, "foot.L")[1]
    assert at(placed, 1, "foot.L")[0] > at(placed, 1, "foot.R")[0] + 0.5
    thigh = at(placed, 0, "shin.L") - at(placed, 0, "thigh.L")
    angle = math.degrees(math.atan2(float(thigh[2]), float(-thigh[1])))
    assert angle == pytest.approx(35.0, abs=0.1)


def test_bvh_bank(body: BodyModel, tmp_path: Path) -> None:
    """Subjects are split by name, and folders in the folder are read, too."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "01_02.bvh").write_text(bvh_text({}, {"hip": (0.0, 0.0, 80.0)}))
    (tmp_path / "13_01.bvh").write_text(bvh_text({"lShldr": (90.0, 0.0, 0.0)}))
    counts = {s: len(PoseBank.from_bvh(tmp_path, body, s)) for s in ("train", "unseen", "all")}
    assert counts == {"train": 2, "unseen": 1, "all": 3}
    train = PoseBank.from_bvh(tmp_path, body, "train").local
    torch.testing.assert_close(train[0], train[1], atol=1e-5, rtol=0.0)
    with pytest.raises(PosetxError, match="no BVH files"):
        PoseBank.from_bvh(tmp_path / "deep", body, "unseen")


GOOD = bvh_text({}, {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ply\nformat ascii 1.0\n",
        GOOD[: len(GOOD) // 2],
        GOOD[: GOOD.index("MOTION")],
        GOOD[:-120],
        GOOD.replace("Frames: 2", "Frames: 0"),
        GOOD.replace("Frames: 2", "Frames: -2"),
        GOOD.replace("Frames: 2", "Frames: many"),
        GOOD.replace("90.0", "high", 1),
        GOOD.replace("90.0 0.0 0.0", "90.0 0.0 nan", 1),
        GOOD.replace("OFFSET 10 0 0", "OFFSET 10 0", 1),
        GOOD.replace("3 Zrotation", "3 Wrotation", 1),
        "}\n" + GOOD,
    ],
)
def test_bvh_that_is_none(text: str, body: BodyModel, tmp_path: Path) -> None:
    with pytest.raises(PosetxError, match=r"clip\.bvh"):
        posed_joints(text, body, tmp_path)


def test_bvh_without_a_needed_joint(body: BodyModel, tmp_path: Path) -> None:
    with pytest.raises(PosetxError, match=r"no joint for the forearm\.L"):
        posed_joints(GOOD.replace("lForeArm", "tentacle"), body, tmp_path)


def test_bvh_that_is_not_there(body: BodyModel, tmp_path: Path) -> None:
    with pytest.raises(PosetxError, match="does not exist"):
        read_bvh(tmp_path / "none.bvh", body.joint_template.numpy())


# The fitted prior


def test_prior_is_repeatable() -> None:
    first, second = draw_prior("train", 20, 3), draw_prior("train", 20, 3)
    assert torch.equal(first.local, second.local)
    assert not torch.equal(first.local, draw_prior("train", 20, 4).local)
    assert not torch.equal(first.local, draw_prior("unseen", 20, 3).local)


@pytest.mark.parametrize("split", ["train", "unseen"])
def test_prior_poses(split: str, body: BodyModel) -> None:
    """Rotations, without heading, elbows and knees bent the way they bend, and various."""
    local = draw_prior(split, 1500, 0).local
    assert local.shape == (1500, 19, 3, 3)
    assert (local.transpose(-1, -2) @ local - torch.eye(3)).abs().max() < 1e-4
    assert local[:, 0, 0, 2].abs().max() < 1e-4
    joints = body.joint_template.double().numpy()
    for joint, (start, end) in HINGES.items():
        bones = (joints[joint] - joints[start], joints[end] - joints[joint])
        angle = hinge_angles(local[:, joint].double().numpy(), *bones) * 180 / math.pi
        assert angle.min() > -14, JOINTS[joint]
        assert angle.max() < 165, JOINTS[joint]
        assert angle.std() > 10, JOINTS[joint]
    placed = forward_kinematics(body.joint_template.expand(1500, -1, -1), global_rotations(local))
    upright = placed[:, JOINTS.index("head"), 1] > placed[:, 0, 1]
    assert upright.float().mean() > 0.9
    hand = placed[:, JOINTS.index("hand.L")]
    assert (hand.std(0) > 0.1).all()
    raised = (hand[:, 1] > placed[:, JOINTS.index("head"), 1]).float().mean()
    assert 0.01 < raised < 0.5


def test_prior_splits_are_different_people() -> None:
    """The two mixtures lie apart: typical poses of one are rare in the other."""
    train, unseen = draw_prior("train", 400, 0).local, draw_prior("unseen", 400, 1).local

    def nearest(a: Tensor, b: Tensor) -> Tensor:
        # squared chord of all joints, as one matrix product
        return torch.cdist(a.flatten(1), b.flatten(1)).min(1).values.median()

    again = draw_prior("train", 400, 2).local
    assert nearest(unseen, train) > 1.05 * nearest(again, train)


def test_prior_fit_finds_what_it_was_given() -> None:
    """Frames drawn from the shipped mixture, fitted anew, give the same spread."""
    joints = BodyModel.load().joint_template.double().numpy()
    local = draw_prior("train", 400, 0).local
    fitted, used = prior_module.fit(local.double().numpy(), joints, components=4)
    assert used > 380
    assert len(fitted.weights) <= 4
    torch.testing.assert_close(fitted.weights.sum(), torch.tensor(1.0))
    again = fitted.sample(400, torch.Generator().manual_seed(0))
    for joint in (6, 7, 13, 14):
        middle = local[:1, joint]
        spread = [geodesic_degrees(x[:, joint], middle).mean() for x in (local, again)]
        assert spread[1] == pytest.approx(float(spread[0]), rel=0.2)


def test_prior_fit_leaves_out_elbows_bent_the_wrong_way() -> None:
    joints = BodyModel.load().joint_template.double().numpy()
    local = draw_prior("train", 200, 0).local.double()
    before, after = joints[7] - joints[6], joints[8] - joints[7]
    angle = hinge_angles(local[:, 7].numpy(), before, after)
    spread = PosePrior.load("train")
    axis = spread.basis[7, :, 0].double()
    turn = matrix_from_axis_angle(axis * math.radians(120))
    for sign in (turn, turn.T):
        bad = local.clone()
        bad[:5, 7] = sign @ bad[:5, 7]
        moved = hinge_angles(bad[:, 7].numpy(), before, after)[:5] - angle[:5]
        if (moved < 0).all():
            good = prior_module.usable_frames(bad.numpy(), joints)
            assert not good[:5].any()
            assert good[5:].mean() > 0.95
            return
    pytest.fail("neither way bends the elbow back")


def test_prior_errors(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="pose prior missing"):
        PosePrior.load("train", tmp_path / "none.safetensors")
    with pytest.raises(UsageError, match="no pose prior for 'test'"):
        draw_prior("test", 3, 0)
