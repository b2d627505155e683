"""The training batches: repeatable, resumable, and true to their own description."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from torch import Tensor

from posetx.bodies.body import BodyModel, global_rotations
from posetx.bodies.skeleton import JOINTS
from posetx.data.poses import PoseBank
from posetx.data.stream import EDGES, BodyStream, StreamSettings
from posetx.geometry.rotations import matrix_from_axis_angle

SMALL = StreamSettings(pose_points=64, identity_points=48, pool=512)


class OnePose(PoseBank):
    """A bank that always gives the same pose, without variety."""

    def draw_varied(self, count: int, generator: torch.Generator) -> Tensor:
        return global_rotations(self.local[:1]).expand(count, -1, -1, -1)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def bank() -> PoseBank:
    vectors = 0.4 * torch.randn(20, 19, 3, generator=torch.Generator().manual_seed(0))
    return PoseBank.from_global(global_rotations(matrix_from_axis_angle(vectors)))


@pytest.fixture(scope="module")
def stream(body: BodyModel, bank: PoseBank) -> BodyStream:
    return BodyStream(body, bank, SMALL, seed=1)


def same(a: object, b: object) -> bool:
    return all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(type(a)))  # type: ignore[arg-type]


def test_shapes_and_finite(stream: BodyStream) -> None:
    batch = stream.draw(10)
    queries = 48 + 2 * EDGES
    assert batch.pose.shape == (10, 64, 3)
    assert batch.pose_part.shape == (10, 64)
    assert batch.pose_rotations.shape == batch.identity_rotations.shape == (10, 19, 3, 3)
    assert batch.identity.shape == (10, 48, 3)
    assert batch.queries.shape == batch.truth.shape == (10, queries, 3)
    assert batch.query_weights.shape == (10, queries, 19)
    assert torch.equal(batch.queries[:, :48], batch.identity)
    for field in fields(type(batch)):
        assert getattr(batch, field.name).isfinite().all(), field.name
    torch.testing.assert_close(batch.query_weights.sum(2), torch.ones(10, queries))
    assert batch.metres.min() > 0.6
    assert batch.metres.max() < 4.0, "square roots of human surface areas"


def test_the_seed_decides_and_a_saved_state_continues(body: BodyModel, bank: PoseBank) -> None:
    stream, twin = (BodyStream(body, bank, SMALL, seed=7) for _ in range(2))
    first = stream.draw(6)
    assert same(first, twin.draw(6))
    state = stream.generator.get_state()
    second = stream.draw(6)
    assert not same(first, second)
    twin.draw(2)
    twin.generator.set_state(state)
    assert same(second, twin.draw(6))


@pytest.mark.parametrize("dressed", [0.0, 1.0])
def test_an_identity_that_has_the_pose_stays_as_it_is(
    body: BodyModel, bank: PoseBank, dressed: float
) -> None:
    settings = StreamSettings(
        *(48, 48, 512),
        reposed_share=1.0,
        yaw_degrees=0.0,
        dressed_identity_share=dressed,
        stylised_share=dressed,
    )
    batch = BodyStream(body, OnePose(bank.local), settings, seed=2).draw(8)
    # all that is left between the two is the identity's own small heading
    turn = batch.identity_rotations[:, 0] @ batch.pose_rotations[:, 0].transpose(1, 2)
    torch.testing.assert_close(batch.truth @ turn.transpose(1, 2), batch.queries, atol=2e-5, rtol=0)
    joints = batch.truth_joints @ turn.transpose(1, 2)
    torch.testing.assert_close(joints, batch.identity_joints, atol=2e-5, rtol=0)


def test_truth_keeps_short_edges_short(stream: BodyStream) -> None:
    """The last queries are edges of the mesh, the first ends before the second ends."""
    batch = stream.draw(16)
    for points in (batch.queries, batch.truth):
        ends = points[:, 48:].unflatten(1, (2, EDGES))
        assert (ends[:, 0] - ends[:, 1]).norm(dim=-1).median() < 0.05


def test_part_labels_fit_the_geometry(body: BodyModel, bank: PoseBank) -> None:
    settings = StreamSettings(256, 32, 512, scan_share=0.5)
    standing = OnePose(torch.eye(3).repeat(1, 19, 1, 1))
    batch = BodyStream(body, standing, settings, seed=3).draw(8)
    assert (batch.pose_part[4:] >= 0).all(), "clean samples have no clutter"
    known = batch.pose_part >= 0
    joint = batch.pose_joints.gather(1, batch.pose_part.clamp_min(0)[..., None].expand(-1, -1, 3))
    height = (batch.pose_joints[:, 4] - batch.pose_joints[:, 15]).norm(dim=-1)
    away = (batch.pose - joint).norm(dim=-1) / height[:, None]
    assert away[known].max() < 0.6
    assert away[known].median() < 0.2
    ends = [JOINTS.index(n) for n in ("head", "hand.L", "hand.R", "foot.L", "foot.R")]
    nearest = torch.cdist(batch.pose, batch.pose_joints[:, ends]).argmin(2)
    for place, part in enumerate(ends):
        there = batch.pose_part == part
        assert (nearest[there] == place).float().mean() > 0.97, JOINTS[part]


def test_query_weights_fit_the_geometry(stream: BodyStream) -> None:
    batch = stream.draw(8)
    part = batch.query_weights.argmax(2)
    head = part == JOINTS.index("head")
    away = (batch.truth - batch.truth_joints[:, 4:5]).norm(dim=-1)
    assert away[head].median() < 0.2


def test_frames(body: BodyModel, bank: PoseBank) -> None:
    """The identity is centred; its area in its own unit is about one."""
    batch = BodyStream(body, bank, StreamSettings(64, 256, 512), seed=4).draw(4)
    assert batch.identity.mean(1).abs().max() < 1e-5
    assert batch.truth[:, :256].mean(1).abs().max() < 1e-5
    extent = (batch.identity.amax(1) - batch.identity.amin(1)).amax(1)
    assert 0.7 < extent.min() <= extent.max() < 2.2


def test_no_scans_at_all(body: BodyModel, bank: PoseBank) -> None:
    settings = StreamSettings(32, 32, 256, scan_share=0.0)
    assert (BodyStream(body, bank, settings).draw(3).pose_part >= 0).all()
