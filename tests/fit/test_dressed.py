"""Fits to dressed figures: what the network takes for cloth moves no limb."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from posetx.bodies.body import BodyModel, forward_kinematics
from posetx.bodies.skeleton import JOINTS
from posetx.data.poses import PoseBank
from posetx.fit.cloud import BodyFit, FitSettings
from posetx.fit.dense import DenseFit
from posetx.fit.figure import Figure
from posetx.fit.seen import DRESSED, Seen, lifts
from posetx.geometry.frames import normalise_pose
from posetx.geometry.mesh import vertex_normals
from posetx.models.encoder import Places, PointFeatures
from posetx.models.pose_mae import PoseCode
from posetx.models.refine import Estimate
from tests.measures import improved

#: a coat: so far off the skin (m), on these parts
COAT = 0.08
UNDER = [
    JOINTS.index(name)
    for name in ("pelvis", "abdomen", "chest", "thigh.L", "thigh.R", "shin.L", "shin.R")
]
POINTS = 600


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def wearer(
    body: BodyModel, all_banks: dict[str, PoseBank]
) -> tuple[torch.Tensor, torch.Tensor, PoseCode, Figure]:
    """A cloud of somebody in a coat, how far its points are off the skin, who knows the pose."""
    generator = torch.Generator().manual_seed(4)
    turns = all_banks["train"].draw(1, generator)
    shape = body.bank[:1]
    vertices = body.pose(shape, turns)[0]
    normals = vertex_normals(vertices.double().numpy(), body.faces.numpy())
    coat = COAT * body.weights[:, UNDER].sum(1).round()
    dressed = vertices + coat.unsqueeze(1) * torch.from_numpy(normals).float()
    picked = torch.randperm(len(vertices), generator=generator)[:POINTS]
    cloud, centre, unit = normalise_pose(dressed[None, picked])
    joints = (forward_kinematics(body.rest_joints(shape), turns) - centre) / unit
    estimate = Estimate(turns, joints)
    parts = torch.log(body.weights[picked].clamp_min(1e-3))[None]
    features = PointFeatures(torch.zeros(1, POINTS, 1), parts)
    code = PoseCode(torch.zeros(1, 1), estimate, features, estimate, parts)
    size = 1 / unit.view(1, 1, 1)
    truth = Figure(turns, -centre.view(1, 1, 3) * size, size, shape[:, :24].clone())
    return cloud, coat[None, picked] / unit.view(1, 1), code, truth


def told(code: PoseCode, lift: torch.Tensor, error: float = 0.01) -> PoseCode:
    """The code with a word on how far the points (1, N) are off the skin."""
    spread = torch.full((*lift.shape, 2), error)
    places = Places(torch.zeros(*lift.shape, 3), lift, spread)
    return replace(code, features=replace(code.features, places=places))


def test_a_coat_makes_nobody_fat_nor_moves_their_limbs(body: BodyModel, wearer) -> None:
    cloud, lift, code, truth = wearer
    fit = BodyFit(body, FitSettings(body_points=800, rounds=1))
    off, girth = {}, {}
    for name, pose in {"told": told(code, lift), "untold": code}.items():
        figure = fit.figures(cloud, pose)
        off[name] = (fit.fine.place(figure).joints - code.joints).norm(dim=-1).mean()
        surface, right = fit.fine.place(figure).surface, fit.fine.place(truth).surface
        girth[name] = (surface - right).norm(dim=-1).mean()
    assert off["told"] < 0.7 * off["untold"]
    assert girth["told"] < 0.5 * girth["untold"]


def test_the_misfit_is_short_of_the_coat(body: BodyModel, wearer) -> None:
    cloud, lift, code, truth = wearer
    search = BodyFit(body).search
    bare = search.misfit(truth, Seen.of(cloud, code.features))
    known = search.misfit(truth, Seen.of(cloud, told(code, lift).features))
    assert float(known.cloud) < 0.5 * float(bare.cloud)
    assert float(known.body) < float(bare.body)


def test_an_unsure_word_on_cloth_changes_nothing(body: BodyModel, wearer) -> None:
    cloud, lift, code, _ = wearer
    fit = BodyFit(body, FitSettings(body_points=400, rounds=0))
    unsure = told(code, lift, error=float(lift.max()) - DRESSED / 2)
    assert not lifts(unsure.features).any()
    assert lifts(told(code, lift).features).equal(lift)
    bare = improved(fit, cloud, code).estimate
    assert improved(fit, cloud, unsure).rotations.equal(bare.rotations)


def test_the_last_stage_ends_under_the_coat(body: BodyModel, wearer) -> None:
    cloud, lift, _, truth = wearer
    dense = DenseFit(body, truth.shape.shape[1])
    points = cloud[0].double().numpy()
    skin = dense.surface.skin(truth).vertices
    away = {}
    for name, known in {"told": lift[0].double().numpy(), "untold": None}.items():
        ended = dense.ended(truth, points, lift=known)
        found = dense.surface.skin(ended.figure).vertices
        away[name] = float(((found - skin) ** 2).sum(1).mean() ** 0.5)
    assert away["told"] < 0.5 * away["untold"]
