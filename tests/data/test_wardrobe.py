"""Dressed and stylised figures: their truth is the skinning, they sit on the body, look outward."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from posetx.bodies.body import BodyModel, forward_kinematics, global_rotations, skin
from posetx.bodies.skeleton import JOINTS, MIRROR
from posetx.data.identities import draw_identities, stylised_scales
from posetx.data.poses import PoseBank
from posetx.data.stream import BodyStream, StreamSettings
from posetx.data.surface import Figure
from posetx.data.wardrobe import head, sheets, shells, things
from posetx.data.wardrobe.chart import HEAD, Chart
from posetx.data.wardrobe.dice import Dice
from posetx.data.wardrobe.outfit import bare, dress
from posetx.data.wardrobe.piece import Piece, ball
from posetx.data.wardrobe.wardrobe import Wardrobe
from posetx.geometry.rotations import matrix_from_axis_angle

SEEDS = range(8)
DRESSED = StreamSettings(
    64,
    48,
    256,
    scan_share=0.0,
    noise_share=0.0,
    dressed_share=1.0,
    dressed_identity_share=1.0,
    stylised_share=0.5,
    plinth_share=0.0,
)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def chart(body: BodyModel) -> Chart:
    return Chart(body)


@pytest.fixture(scope="module")
def outfits(chart: Chart) -> list[Piece]:
    return [dress(chart, torch.Generator().manual_seed(seed)) for seed in SEEDS]


@pytest.fixture(scope="module")
def bank() -> PoseBank:
    vectors = 0.3 * torch.randn(20, 19, 3, generator=torch.Generator().manual_seed(0))
    return PoseBank.from_global(global_rotations(matrix_from_axis_angle(vectors)))


def dice(seed: int) -> Dice:
    return Dice(torch.Generator().manual_seed(seed))


def turned(body: BodyModel, piece: Piece, joint: str, vector: tuple[float, ...]) -> Tensor:
    """The piece's points (V, 3) with one joint turned against its parent."""
    local = torch.zeros(1, 19, 3)
    local[0, JOINTS.index(joint)] = torch.tensor(vector)
    turn = global_rotations(matrix_from_axis_angle(local))
    joints = body.joint_template[None]
    return skin(piece.points[None], piece.weights, joints, forward_kinematics(joints, turn), turn)[
        0
    ]


def outward(shape: tuple[Tensor, Tensor], middle: Tensor, upright: float = 1.0) -> Tensor:
    """The share of a shape's faces that look away from ``middle`` (3,); from an axis with 0."""
    points, faces = shape
    a, b, c = points[faces].unbind(1)
    away = ((a + b + c) / 3 - middle) * torch.tensor([1.0, upright, 1.0])
    return ((torch.cross(b - a, c - a, dim=-1) * away).sum(1) > 0).float().mean()


def test_outfits_are_sound_meshes(outfits: list[Piece]) -> None:
    for piece in outfits:
        assert piece.points.isfinite().all()
        torch.testing.assert_close(piece.weights.sum(1), torch.ones(len(piece.points)))
        assert piece.weights.min() >= 0
        used = piece.faces.unique()
        assert torch.equal(used, torch.arange(len(piece.points))), "no vertex without a face"
        ends = piece.points[piece.faces]
        assert (ends - ends.roll(1, 1)).norm(dim=-1).min() > 1e-5, "no edge without a length"
        torch.testing.assert_close(piece.anchors.shares.sum(1), torch.ones(len(piece.points)))


def test_the_seed_decides(chart: Chart, outfits: list[Piece]) -> None:
    again = dress(chart, torch.Generator().manual_seed(3))
    assert torch.equal(again.points, outfits[3].points)
    assert torch.equal(again.faces, outfits[3].faces)
    assert len({len(piece.points) for piece in outfits}) == len(outfits)


def test_lifts_are_distances_to_the_place(chart: Chart, outfits: list[Piece]) -> None:
    for piece in outfits:
        place = chart.rest[piece.anchors.place]
        torch.testing.assert_close(
            (piece.points - place).norm(dim=1), piece.anchors.lift, atol=1e-4, rtol=0
        )
        assert piece.anchors.lift.quantile(0.5) < 0.05, "clothes lie on the body"
        near = chart.rest[piece.anchors.follows] - place.unsqueeze(1)
        followed = (near.norm(dim=-1) * piece.anchors.shares).sum(1)
        assert followed.max() < 0.45, "and follow what is near them"


def test_the_skin_is_whole_or_shows_less(chart: Chart, outfits: list[Piece]) -> None:
    skin_faces = [int((p.anchors.lift[p.faces] == 0).all(1).sum()) for p in outfits]
    assert max(skin_faces) == len(chart.faces)
    assert min(skin_faces) < 0.95 * len(chart.faces)
    assert (bare(chart).anchors.lift == 0).all()


@pytest.mark.parametrize("name", ["hat", "helmet", "hair"])
def test_what_is_on_the_head_moves_as_one_with_it(name: str, chart: Chart, body: BodyModel) -> None:
    for seed in SEEDS:
        for piece in getattr(head, name)(chart, dice(seed)):
            if piece.weights[:, HEAD].min() < 1:
                assert name == "hair", "hair may hang down"
                continue
            assert (chart.owner[piece.anchors.place] == HEAD).all()
            moved = turned(body, piece, "head", (0.4, 0.7, 0.2))
            torch.testing.assert_close(
                torch.pdist(moved), torch.pdist(piece.points), atol=1e-5, rtol=0
            )
            assert (moved - piece.points).norm(dim=1).max() > 0.02


def test_a_skirt_follows_both_thighs_each_on_its_side(chart: Chart, body: BodyModel) -> None:
    piece = sheets.skirt(chart, dice(0), 0.01, waist=0.2, bottom=-0.25)
    moved = (turned(body, piece, "thigh.L", (-1.0, 0, 0)) - piece.points).norm(dim=1)
    low, x = piece.points[:, 1] < -0.2, piece.points[:, 0]
    assert moved[low & (x > 0.1)].min() > 0.2
    assert moved[low & (x < -0.1)].max() < 0.03
    assert moved[piece.points[:, 1] > 0.19].max() < 0.02, "the waist stays"
    width, middle, depth = chart.girth(piece.points[:, 1])
    inside = (x / width).square() + ((piece.points[:, 2] - middle) / depth).square()
    assert inside.min() > 1, "it goes around what is under it"


def test_surfaces_look_outward(chart: Chart) -> None:
    centre = torch.tensor([0.3, 1.0, -2.0])
    for square in (1.0, 0.3):
        assert outward(ball(centre, (0.1, 0.2, 0.05), square), centre) == 1
    cap = head.dome(chart, dice(1), 0.02, 1.0, 2.0)
    assert outward(cap, chart.skull) > 0.95
    upper, _ = shells.top(chart, dice(2), 0.01)
    for piece in (upper, bare(chart)):
        trunk = (piece.weights[:, :3].sum(1) > 0.9)[piece.faces].all(1)
        axis = torch.tensor([0.0, 0.0, 0.03])
        assert outward((piece.points, piece.faces[trunk]), axis, upright=0.0) > 0.9
    for piece in things.backpack(chart, dice(3), 0.01):
        assert outward((piece.points, piece.faces), piece.points.mean(0)) == 1


def test_trousers_stay_on_their_side(chart: Chart) -> None:
    for seed in SEEDS:
        piece, _ = shells.trousers(chart, dice(seed), 0.002)
        place = chart.rest[piece.anchors.place]
        leg = chart.share["leg"][piece.anchors.place] > 0.5
        assert (piece.points[leg, 0] * place[leg, 0] >= 0).all()


def test_the_unit_is_of_the_whole_mesh(body: BodyModel) -> None:
    figure = Wardrobe(body).figure(torch.Generator().manual_seed(4))
    who = draw_identities(body, 4, torch.Generator().manual_seed(0), varied=False)
    joints = body.rest_joints(who.coefficients)
    guess = torch.stack(
        [figure.unit(who, joints, torch.Generator().manual_seed(s)) for s in range(20)]
    ).mean(0)
    a, b, c = figure.at(figure.faces.flatten()).rest(who).unflatten(1, (-1, 3)).unbind(2)
    area = torch.cross(b - a, c - a, dim=-1).norm(dim=-1).sum(1) / 2
    torch.testing.assert_close(guess, area.sqrt(), rtol=0.03, atol=0)


def test_a_figure_in_a_shape_stays_near_that_body(body: BodyModel, chart: Chart) -> None:
    """A shell lies as far off another body's skin as off the template's."""
    piece, _ = shells.top(chart, dice(5), 0.01)
    hung = piece.anchors
    figure = Figure(body, piece.points, piece.faces, piece.weights, hung)
    who = draw_identities(body, 3, torch.Generator().manual_seed(1), varied=False)
    rest = figure.at(torch.arange(len(piece.points))).rest(who)
    skins, _ = body.rest(who.coefficients)
    lift = (rest - skins[:, hung.place]).norm(dim=-1)
    torch.testing.assert_close(lift, hung.lift.expand(3, -1), atol=1e-5, rtol=0)


def test_stylised_proportions(body: BodyModel) -> None:
    scales = stylised_scales(200, torch.Generator().manual_seed(0))
    assert torch.equal(scales, scales[:, list(MIRROR)]), "both sides alike"
    assert scales[:, HEAD].max() > 1.6 and scales[:, 13, 1].min() < 0.6
    generator = torch.Generator().manual_seed(1)
    plain = draw_identities(body, 5, generator, varied=False, stylised=0.0)
    assert torch.equal(plain.scales, torch.ones(5, 19, 1))


def test_dressed_batches(body: BodyModel, bank: PoseBank) -> None:
    stream, twin = (BodyStream(body, bank, DRESSED, seed=6) for _ in range(2))
    batch, same = stream.draw(10), twin.draw(10)
    for field in fields(type(batch)):
        value = getattr(batch, field.name)
        assert value.isfinite().all(), field.name
        assert torch.equal(value, getattr(same, field.name)), field.name
    assert (batch.pose_part >= 0).all()
    assert batch.pose_lift.mean() > 0.005 and batch.pose_lift.min() >= 0
    assert torch.cdist(batch.pose_place[0], body.template).min(1).values.max() < 0.045
    torch.testing.assert_close(batch.query_weights.sum(2), torch.ones(10, 48 + 32))


def test_half_of_a_batch_is_dressed(body: BodyModel, bank: PoseBank) -> None:
    settings = replace(DRESSED, dressed_share=0.5, dressed_identity_share=0.0)
    batch = BodyStream(body, bank, settings, seed=6).draw(10)
    assert ((batch.pose_lift > 0).any(1)).sum() == 5


def test_scans_of_dressed_figures(body: BodyModel, bank: PoseBank) -> None:
    settings = replace(DRESSED, scan_share=1.0, pool=512)
    batch = BodyStream(body, bank, settings, seed=2).draw(8)
    assert batch.pose.shape == (8, 64, 3) and batch.pose.isfinite().all()
    known = batch.pose_part >= 0
    assert 0.3 < known.float().mean() < 1
    joint = batch.pose_joints.gather(1, batch.pose_part.clamp_min(0)[..., None].expand(-1, -1, 3))
    height = (batch.pose_joints[:, 4] - batch.pose_joints[:, 15]).norm(dim=-1)
    away = (batch.pose - joint).norm(dim=-1) / height[:, None]
    assert away[known].median() < 0.25, "each point is near its part"


def test_plinths_are_below_and_belong_to_nobody(body: BodyModel, bank: PoseBank) -> None:
    settings = replace(DRESSED, plinth_share=1.0, pose_points=128, yaw_degrees=0.0)
    batch = BodyStream(body, bank, settings, seed=3).draw(8)
    for points, part in zip(batch.pose, batch.pose_part, strict=True):
        base = part < 0
        assert 4 < base.sum() < 40
        assert points[base, 1].max() <= points[~base, 1].min() + 1e-3
