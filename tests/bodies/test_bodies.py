"""The body model: conventions, skinning, kinematics; identities and rest poses around it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from posetx.bodies.body import BodyModel, forward_kinematics
from posetx.bodies.skeleton import ARMS, JOINTS, LEGS, LEVELS, MIRROR, PARENTS
from posetx.data.identities import draw_identities, draw_rest_poses
from posetx.data.write import pose_identity
from posetx.errors import MissingError
from posetx.geometry.rotations import matrix_from_axis_angle, matrix_from_yaw

LEFT_HAND, RIGHT_HAND = JOINTS.index("hand.L"), JOINTS.index("hand.R")
HEAD, LEFT_FOOT = JOINTS.index("head"), JOINTS.index("foot.L")
STRAIGHT = torch.eye(3).repeat(1, 19, 1, 1)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


def shapes(body: BodyModel, count: int) -> Tensor:
    return body.bank[:: len(body.bank) // 2 // count][:count]


def random_rotations(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return matrix_from_axis_angle(torch.randn(count, 19, 3, generator=generator))


def test_skeleton_tables() -> None:
    assert all(parent < joint for joint, parent in enumerate(PARENTS))
    assert sorted(joint for level in LEVELS for joint in level) == list(range(1, 19))
    for joint, other in enumerate(MIRROR):
        assert MIRROR[other] == joint
        assert JOINTS[other] == JOINTS[joint].translate(str.maketrans("LR", "RL"))
    assert all(JOINTS[j][-2:] in (".L", ".R") for j in ARMS + LEGS)


def test_axes(body: BodyModel) -> None:
    """y up, the left is +x, the toes and the nose point to +z."""
    joints = body.joint_template
    assert joints[LEFT_HAND, 0] > 0.2 > -0.2 > joints[RIGHT_HAND, 0]
    assert joints[HEAD, 1] > joints[0, 1] + 0.4 > joints[LEFT_FOOT, 1] + 0.9
    part = body.weights.argmax(1)
    foot = body.template[part == LEFT_FOOT][:, 2] - joints[LEFT_FOOT, 2]
    assert foot.max() > 0.12 > 0.09 > -foot.min()
    head = body.template[part == HEAD][:, 2] - joints[HEAD, 2]
    lowest = body.template[part == HEAD][:, 1] < joints[HEAD, 1]
    assert head[lowest].max() > -head[lowest].min(), "the chin is in front of the neck"


def test_mesh(body: BodyModel) -> None:
    count = len(body.template)
    assert body.faces.min() == 0
    assert body.faces.max() == count - 1
    a, b, c = body.template[body.faces].unbind(1)
    volume = (torch.cross(a, b, dim=-1) * c).sum() / 6
    assert 0.02 < volume < 0.2, "litres of a human, and faces that look outwards"


def test_weights(body: BodyModel) -> None:
    torch.testing.assert_close(body.weights.sum(1), torch.ones(len(body.weights)))
    assert body.weights.min() >= 0
    assert set(body.weights.argmax(1).tolist()) == set(range(19))


def test_heights(body: BodyModel) -> None:
    """Adults come first in the bank, then all ages."""
    adults = body.rest(shapes(body, 24))[0][..., 1]
    height = adults.amax(1) - adults.amin(1)
    assert 1.2 < height.min() < 1.65 < 1.75 < height.max() < 2.6
    everyone = body.rest_joints(body.bank)
    size = everyone[:, HEAD, 1] - everyone[:, LEFT_FOOT, 1]
    half = len(size) // 2
    assert size[half:].quantile(0.05) < 0.85 * size[:half].quantile(0.05)


def test_shape_coefficients_have_unit_variance(body: BodyModel) -> None:
    torch.testing.assert_close(
        body.bank.std(0), torch.ones(body.bank.shape[1]), atol=0.02, rtol=0.0
    )


def test_identity_rotations_are_the_rest_body(body: BodyModel) -> None:
    some = shapes(body, 2)
    posed = body.pose(some, STRAIGHT.expand(2, -1, -1, -1))
    torch.testing.assert_close(posed, body.rest(some)[0], atol=1e-5, rtol=0.0)


def test_one_turn_of_all_joints_turns_the_body_about_its_pelvis(body: BodyModel) -> None:
    some = shapes(body, 2)
    rest, joints = body.rest(some)
    turn = matrix_from_yaw(torch.tensor([0.7, -2.0]))
    posed = body.pose(some, turn.unsqueeze(1).expand(-1, 19, -1, -1))
    pelvis = joints[:, :1]
    expected = (rest - pelvis) @ turn.transpose(1, 2) + pelvis
    torch.testing.assert_close(posed, expected, atol=1e-5, rtol=0.0)


def test_kinematics_keep_bone_lengths_and_scales_stretch_them(body: BodyModel) -> None:
    joints = body.rest_joints(shapes(body, 4))
    rotations = random_rotations(4)
    parents = list(PARENTS[1:])

    def lengths(placed: Tensor) -> Tensor:
        return (placed[:, 1:] - placed[:, parents]).norm(dim=-1)

    placed = forward_kinematics(joints, rotations)
    torch.testing.assert_close(lengths(placed), lengths(joints), atol=1e-5, rtol=0.0)
    torch.testing.assert_close(placed[:, 0], joints[:, 0])

    scales = 0.5 + torch.rand(4, 19, 1, generator=torch.Generator().manual_seed(1))
    stretched = lengths(forward_kinematics(joints, rotations, scales))
    expected = lengths(joints) * scales[:, parents, 0]
    torch.testing.assert_close(stretched, expected, atol=1e-5, rtol=0.0)


def test_a_rotation_moves_only_what_hangs_on_it(body: BodyModel) -> None:
    some, rotations = shapes(body, 1), STRAIGHT.clone()
    forearm = JOINTS.index("forearm.L")
    rotations[:, [forearm, LEFT_HAND]] = matrix_from_yaw(torch.tensor(1.0))
    moved = (body.pose(some, rotations) - body.rest(some)[0])[0].norm(dim=-1)
    hanging = body.weights[:, [forearm, LEFT_HAND]].sum(1)
    assert moved[hanging == 0].max() < 1e-5
    assert moved[body.weights[:, LEFT_HAND] > 0.99].min() > 0.05


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="body model missing"):
        BodyModel.load(path=tmp_path / "none.safetensors")


def test_plain_identities_are_the_body_models_own(body: BodyModel) -> None:
    plain = draw_identities(body, 3, torch.Generator().manual_seed(3), varied=False)
    posed = pose_identity(body, plain, STRAIGHT.expand(3, -1, -1, -1))
    torch.testing.assert_close(posed, body.rest(plain.coefficients)[0], atol=1e-5, rtol=0.0)


def test_varied_identities(body: BodyModel) -> None:
    many = draw_identities(body, 600, torch.Generator().manual_seed(3), varied=True)
    changed = (many.scales != 1).flatten(1).any(1).float().mean()
    assert 0.6 < changed < 0.74, "two thirds"
    assert 0.6 < many.scales.min() < 0.95 < 1.05 < many.scales.max() < 1.7
    strongest = int(many.amplitude.flatten(1).norm(dim=1).argmax())
    one = many[strongest : strongest + 1]
    rest, _ = body.rest(one.coefficients)
    offsets = one.offsets(rest)
    assert 0.005 < offsets.norm(dim=-1).max() < 0.3
    # soft: neighbours on the mesh move nearly alike
    edge = (offsets[0, body.faces[:, 0]] - offsets[0, body.faces[:, 1]]).norm(dim=-1)
    assert edge.median() < 0.2 * offsets.norm(dim=-1).max()


def test_rest_poses_lie_between_a_and_t(body: BodyModel) -> None:
    rotations = draw_rest_poses(body, 200, torch.Generator().manual_seed(0))
    joints = body.joint_template.expand(200, -1, -1)
    placed = forward_kinematics(joints, rotations)
    for side, upper, fore in ((1.0, "upperarm.L", "forearm.L"), (-1.0, "upperarm.R", "forearm.R")):
        bone = placed[:, JOINTS.index(fore)] - placed[:, JOINTS.index(upper)]
        raised = torch.rad2deg(torch.atan2(bone[:, 1], side * bone[:, 0]))
        assert -75 < raised.min() < -45, "arms down at the sides"
        assert -8 < raised.max() < 30, "a T and a little more"
        assert raised.std() > 12
    assert (placed[:, HEAD, 1] > placed[:, 0, 1] + 0.4).all(), "all of them stand"
    angle = rotations[:, 0, :, 2]
    assert torch.rad2deg(torch.atan2(angle[:, 0], angle[:, 2])).abs().max() < 8
