"""MAPConNet: the network, its contrastive losses on known features, the unsupervised loss."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from posetx.data.stream import EDGES, Batch
from posetx.geometry.frames import normalise_pose
from posetx.models.mapconnet import MAPConNet, MAPConNetConfig, Matched, halves
from posetx.training import contrastive
from posetx.training.contrastive import aligned_terms, supervised_terms
from posetx.training.learners import learner_of
from posetx.training.unsupervised import WEIGHTS, UnpairedBatch, unsupervised_loss

PUBLISHED = 23_773_319
#: no contrastive terms: what is left is what rebuilding teaches
REBUILD = {**WEIGHTS, "mesh": 0.0, "point": 0.0}


@pytest.fixture
def model() -> MAPConNet:
    torch.manual_seed(0)
    return MAPConNet(MAPConNetConfig(width=8)).eval()


def matched(identity: Tensor, pose: Tensor, warped: Tensor, plan: Tensor) -> Matched:
    """An output of which only these are looked at; features without the batch axis."""
    none = torch.zeros(1, len(identity), 3)
    return Matched(none, none, plan[None], identity[None], pose[None], warped[None])


def test_size_is_the_published_one() -> None:
    count = sum(p.numel() for p in MAPConNet().parameters())
    assert count == PUBLISHED - 2 * 3 * 1024 - (64 + 128 + 256 + 8 * 256)


def test_style_is_of_the_identity_half_alone(model: MAPConNet, batch: Batch) -> None:
    output = model(batch.pose, batch.queries)
    features = output.identity_features.detach().requires_grad_()
    identity, pose = halves(features)
    model.refiner(output.warped.detach(), identity).square().sum().backward()
    assert features.grad is not None
    of_identity, of_pose = halves(features.grad)
    assert identity.shape == pose.shape and of_identity.abs().max() > 0
    assert not of_pose.any()


@pytest.mark.parametrize(("pose_points", "points"), [(128, 160), (50, 33)])
def test_any_vertex_counts(model: MAPConNet, pose_points: int, points: int) -> None:
    with torch.no_grad():
        output = model(torch.randn(2, pose_points, 3) * 0.3, torch.randn(2, points, 3) * 0.3)
    assert output.positions.shape == output.warped.shape == (2, points, 3)
    assert output.plan.shape == (2, points, pose_points)
    assert output.identity_features.shape == output.warped_features.shape == (2, points, 32)
    assert output.pose_features.shape == (2, pose_points, 32)


def test_order_does_not_matter(model: MAPConNet, batch: Batch) -> None:
    """Nor to the losses, but for the points that the point loss draws."""
    model = model.double()
    pose, points = batch.pose.double(), batch.queries.double()
    order, pose_order = torch.randperm(points.shape[1]), torch.randperm(pose.shape[1])
    with torch.no_grad():
        output = model(pose, points)
        again = model(pose[:, pose_order], points[:, order])
    assert torch.allclose(output.positions[:, order], again.positions, atol=1e-9)
    terms = supervised_terms(output)["mesh"], supervised_terms(again)["mesh"]
    assert torch.allclose(*terms, atol=1e-9)


def test_everything_has_a_gradient(model: MAPConNet, batch: Batch) -> None:
    pose = batch.pose.clone().requires_grad_()
    output = model.train()(pose, batch.queries)
    loss = (output.positions - batch.truth).square().mean()
    torch.stack([loss, *supervised_terms(output).values()]).sum().backward()
    assert pose.grad is not None and pose.grad.isfinite().all() and pose.grad.abs().max() > 0
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all() and parameter.grad.abs().max() > 0, name


def test_triplets_of_known_features() -> None:
    """Distances to the positive are 3 and 0, to the negative 1 and 5."""
    anchor = torch.zeros(1, 2, 2)
    positive = torch.tensor([[[3.0, 0.0], [0.0, 0.0]]])
    negative = torch.tensor([[[0.0, 1.0], [3.0, 4.0]]])
    gap = contrastive.distance_gap(anchor, positive, negative)
    assert torch.equal(gap, torch.tensor([[2.0, -5.0]]))
    # the mean is -1.5: a hinge at margin 1 is shut, at margin 2 half open
    assert contrastive.mesh_triplet(anchor, positive, negative) == 0.0
    assert contrastive.mesh_triplet(anchor, positive, negative, margin=2.0) == 0.5
    # by points: 1 + 2 and nothing
    assert contrastive.point_triplet(anchor, positive, negative) == 1.5


def test_equal_features_give_finite_gradients() -> None:
    same = torch.ones(1, 4, 6, requires_grad=True)
    contrastive.point_triplet(same, same * 1, same * 1).backward()
    assert same.grad is not None and same.grad.isfinite().all()


def test_terms_of_known_features() -> None:
    """One channel each of identity and pose; the plan lists the pose's points backwards."""
    identity = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    warped = torch.tensor([[1.0, 7.0], [2.0, 9.0]])
    pose = torch.tensor([[5.0, 9.0], [5.0, 7.0]])
    plan = torch.tensor([[0.2, 0.8], [0.6, 0.4]])
    output = matched(identity, pose, warped, plan)
    # identity half: own is 0 away, the pose's 4 and 3; pose half: 0, and the identity's 7 and 9
    assert supervised_terms(output)["mesh"] == 0.0
    wrong = matched(identity, pose, torch.tensor([[5.0, 0.0], [5.0, 0.0]]), plan)
    # identity: 1 + (4 + 3) / 2 - 0; pose: 1 + (7 + 9) / 2 - 0
    assert supervised_terms(wrong)["mesh"] == 4.5 + 9.0
    # of two points the other one is the negative: |w - u| = (7, 9), |w - other| = (50, 82)^0.5
    expected = (1 + 7 - 50**0.5 + 1 + 9 - 82**0.5) / 2
    assert supervised_terms(output)["point"] == pytest.approx(expected, abs=1e-5)


def test_aligned_terms_of_known_features() -> None:
    """Eq 9: anchored at the pose source, and by index, whatever the plan."""
    identity = torch.tensor([[1.0, 0.0], [1.0, 2.0]])
    pose = torch.tensor([[1.0, 4.0], [1.0, 8.0]])
    warped = torch.tensor([[6.0, 4.0], [3.0, 7.0]])
    plan = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    terms = aligned_terms(matched(identity, pose, warped, plan))
    assert terms["mesh"] == 0.0
    # pose: 1 + 0 when nothing of it came through, so that positive and negative are one
    lost = torch.stack([warped[:, 0], identity[:, 1]], 1)
    assert aligned_terms(matched(identity, pose, lost, plan))["mesh"] == 1.0
    # identity: 1 + 0 when the warped points inherited all that the identity has
    lost = torch.stack([pose[:, 0], warped[:, 1]], 1)
    assert aligned_terms(matched(identity, pose, lost, plan))["mesh"] == 1.0
    with pytest.raises(ValueError, match="as many"):
        aligned_terms(matched(identity, pose[:1], warped, plan[:, :1]))


def test_negatives_are_any_points_but_the_own() -> None:
    """The published code takes the next index: on a mesh that is not shuffled, the neighbour."""
    index = contrastive.others(torch.zeros(100, 20, 4), torch.Generator().manual_seed(0))
    step = (index - torch.arange(20)) % 20
    assert step.min() == 1 and step.max() == 19
    share = torch.bincount(step.flatten(), minlength=20)[1:] / step.numel()
    assert share.max() < 2 / 19


def unpaired(batch: Batch, count: int = 2, points: int = 48) -> UnpairedBatch:
    """Few bodies of few points; of bodies A the edges' ends besides."""
    whole = UnpairedBatch.of(batch)
    last = slice(-points - 2 * EDGES, None)
    return UnpairedBatch(
        whole.first[:count, last],
        whole.second[:count, last],
        whole.other[:count, :points],
        whole.metres[:count],
    )


def test_a_batch_gives_unpaired_bodies(batch: Batch) -> None:
    one = UnpairedBatch.of(batch)
    assert torch.equal(one.other[0], batch.identity[1])
    assert one.first.shape == one.second.shape == (8, 128 + 2 * EDGES, 3)
    with pytest.raises(ValueError, match="other body"):
        UnpairedBatch.of(replace(batch, identity=batch.identity[:1]))


def test_unsupervised_terms_add_up(model: MAPConNet, batch: Batch) -> None:
    loss, terms = unsupervised_loss(model, unpaired(batch))
    names = {f"{p}_{k}" for p in ("cross", "self") for k in WEIGHTS}
    assert set(terms) == names | {"first_mesh", "first_point"}
    assert not any(term.requires_grad for term in terms.values())
    total = sum(WEIGHTS[name.split("_")[1]] * term for name, term in terms.items())
    assert torch.allclose(loss, torch.as_tensor(total))
    ratios = [WEIGHTS[kind] / WEIGHTS["position"] for kind in ("edge", "mesh", "point")]
    assert ratios == pytest.approx([0.5 / 1000, 1 / 1000, 1 / 1000])


@pytest.mark.parametrize("kinds", [("mesh",), ("point",), ()])
def test_contrastive_terms_can_be_left_out(
    model: MAPConNet, batch: Batch, kinds: tuple[str, ...]
) -> None:
    learner = learner_of(model.config, unsupervised=True, contrastive=kinds)
    loss, terms = learner.objective(model, batch)
    assert {name.split("_")[-1] for name in terms} == {"position", "edge", "pmd", *kinds}
    terms.pop("pmd")
    total = sum(WEIGHTS[name.split("_")[1]] * term for name, term in terms.items())
    assert torch.allclose(loss, torch.as_tensor(total))


def test_both_passes_rebuild_the_first_pose(batch: Batch) -> None:
    """A network that returned A in its first pose would have nothing left to learn of it."""
    one = replace(unpaired(batch), other=unpaired(batch).second)

    class Knows(MAPConNet):
        def forward(self, pose: Tensor, points: Tensor, sample: int | None = None) -> Matched:
            return replace(super().forward(pose, points, sample), positions=one.first)

    _, terms = unsupervised_loss(Knows(MAPConNetConfig(width=4)).eval(), one)
    assert terms["cross_position"] == terms["self_position"] == 0.0


def test_gradient_stops_between_the_passes(model: MAPConNet, batch: Batch) -> None:
    """The first pass alone sees B: what the second rebuilds depends on it, its gradient not."""
    one = unpaired(batch)
    other = one.other.clone().requires_grad_()
    loss, terms = unsupervised_loss(model, replace(one, other=other), REBUILD)
    loss.backward()
    assert other.grad is None or not other.grad.any()
    _, changed = unsupervised_loss(model, replace(one, other=one.other.roll(1, 0)), REBUILD)
    assert terms["self_position"] != changed["self_position"]
    assert terms["cross_position"] == changed["cross_position"]
    # the first pass does learn, of its own terms
    unsupervised_loss(model, replace(one, other=other))[0].backward()
    assert other.grad is not None and other.grad.any()


def test_second_pass_gets_a_cloud_in_its_own_frame(model: MAPConNet, batch: Batch) -> None:
    seen: list[Tensor] = []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    one = unpaired(batch)
    unsupervised_loss(model, one)
    assert len(seen) == 3
    for cloud in seen:
        assert not cloud.requires_grad
        assert torch.allclose(cloud, normalise_pose(cloud)[0], atol=1e-5)
    assert seen[2].shape == one.other.shape


@pytest.mark.slow
def test_unsupervised_loss_decreases(batch: Batch) -> None:
    torch.manual_seed(0)
    model = MAPConNet(MAPConNetConfig(width=4))
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    one = unpaired(batch)
    seen = []
    for _ in range(30):
        loss, _ = unsupervised_loss(model, one)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(float(loss.detach()))
    assert sum(seen[-5:]) < 0.5 * sum(seen[:5])
