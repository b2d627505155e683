"""The fit's last stage: it ends on the surface, and knows how far to trust the points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from posetx.arrays import Floats
from posetx.bodies.body import BodyModel, global_rotations, relative_rotations
from posetx.data.poses import PoseBank
from posetx.fit.dense import DenseFit, Ended
from posetx.fit.figure import Figure, FreeBody
from posetx.fit.habits import TURNS, UNUSUAL, Habits
from posetx.fit.surface import BodySurface, outward
from posetx.geometry.mesh import cross_of_faces
from posetx.geometry.rotations import matrix_from_axis_angle
from posetx.geometry.sampling import sample_surface
from tests.measures import geodesic_degrees

COMPONENTS = 24


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def fit(body: BodyModel) -> DenseFit:
    return DenseFit(body, COMPONENTS)


@pytest.fixture(scope="module")
def truth(body: BodyModel, all_banks: dict[str, PoseBank]) -> Figure:
    generator = torch.Generator().manual_seed(0)
    rotations = all_banks["train"].draw(1, generator)
    return Figure(
        rotations, torch.zeros(1, 1, 3), torch.ones(1, 1, 1), body.bank[:1, :COMPONENTS].clone()
    )


@pytest.fixture(scope="module")
def begun(truth: Figure) -> Figure:
    """Where the early stages may end: some degrees and centimetres off, with a mean shape."""
    generator = torch.Generator().manual_seed(1)
    off = 0.06 * torch.randn(1, 19, 3, generator=generator)
    local = relative_rotations(truth.rotations) @ matrix_from_axis_angle(off)
    shape = torch.zeros_like(truth.shape)
    return replace(truth, rotations=global_rotations(local), where=truth.where + 0.02, shape=shape)


@pytest.fixture(scope="module")
def surface(fit: DenseFit, truth: Figure) -> tuple[Floats, Floats]:
    """Points of the true body and the normals there."""
    vertices, faces = fit.surface.skin(truth).vertices, fit.surface.faces
    points, of, _ = sample_surface(vertices, faces, 3000, seed=3)
    return points, cross_of_faces(vertices, faces[of])


def degrees(ended: Figure, truth: Figure) -> float:
    return float(geodesic_degrees(ended.rotations, truth.rotations).mean())


def test_it_ends_on_the_surface(
    fit: DenseFit, truth: Figure, begun: Figure, surface: tuple[Floats, Floats]
) -> None:
    ended = fit.ended(begun, *surface)
    assert degrees(ended.figure, truth) < 0.35 * degrees(begun, truth)
    assert ended.noise == fit.settings.least_noise
    skin = fit.surface.skin(ended.figure)
    apart = fit.surface.nearest(skin, surface[0]).where - surface[0]
    assert np.median(np.linalg.norm(apart, axis=1)) < 0.001


def test_noise_is_found_and_trusted_less(
    fit: DenseFit, truth: Figure, begun: Figure, surface: tuple[Floats, Floats]
) -> None:
    points = surface[0]
    rng = np.random.default_rng(0)
    found: list[Ended] = []
    for noise in (0.004, 0.015):
        found.append(fit.ended(begun, points + noise * rng.normal(size=points.shape)))
        assert 0.7 * noise < found[-1].noise < 1.3 * noise
    moved = [degrees(ended.figure, begun) for ended in found]
    assert moved[1] < moved[0]


def test_what_is_not_there_stays_where_it_was(
    fit: DenseFit, truth: Figure, begun: Figure, surface: tuple[Floats, Floats]
) -> None:
    points = surface[0]
    arm = [6, 7, 8]  # the left one
    contacts = fit.surface.nearest(fit.surface.skin(truth), points)
    weights = fit.surface.weights[fit.surface.faces[contacts.faces, 0]]
    there = weights[:, arm].sum(1).numpy() < 0.1
    ended = fit.ended(begun, points[there]).figure
    local = [relative_rotations(x.rotations)[:, arm[1:]] for x in (ended, begun)]
    assert float(geodesic_degrees(*local).max()) < 10
    assert degrees(ended[:1], truth) < degrees(begun, truth)


def test_the_same_for_any_order_of_points_and_a_start_a_hair_away(
    fit: DenseFit, begun: Figure, surface: tuple[Floats, Floats]
) -> None:
    points = surface[0]
    order = np.random.default_rng(2).permutation(len(points))
    local = relative_rotations(begun.rotations) @ matrix_from_axis_angle(
        torch.full((1, 19, 3), 2e-6)
    )
    near = replace(begun, rotations=global_rotations(local))
    joints = [
        fit.free.place(fit.ended(start, cloud).figure).joints
        for start, cloud in ((begun, points), (begun, points[order]), (near, points))
    ]
    assert (joints[0] - joints[1]).norm(dim=-1).max() < 5e-4
    assert (joints[0] - joints[2]).norm(dim=-1).max() < 5e-4


def test_normals_tell_one_side_from_the_other(
    fit: DenseFit, surface: tuple[Floats, Floats]
) -> None:
    cross = surface[1]
    of_body = cross / np.linalg.norm(cross, axis=1, keepdims=True)
    turned = outward(-3 * cross, of_body)
    assert turned is not None and np.allclose(turned, of_body)
    mixed = cross * np.where(np.arange(len(cross)) % 2, 1, -1)[:, None]
    assert outward(mixed, of_body) is None


def test_movement_across_the_surface_is_that_of_all_movement(
    body: BodyModel, truth: Figure
) -> None:
    free, surface = FreeBody(body, 60, COMPONENTS), BodySurface(body, COMPONENTS, 60)
    contacts = surface.even(surface.skin(truth))
    whole = free.jacobian(truth)[0]
    normals = torch.as_tensor(contacts.normals).float()
    across = torch.einsum("ni,nip->np", normals, whole)
    assert torch.allclose(surface.across(truth, contacts), across, atol=1e-5)


def test_habits_lead_back_to_what_people_do(all_banks: dict[str, PoseBank]) -> None:
    habits = Habits()
    drawn = all_banks["train"].draw(3, torch.Generator().manual_seed(4)).double()
    matrices, gradients = habits.normal_equations(drawn)
    assert matrices.shape == (3, TURNS, TURNS)
    assert torch.allclose(habits.normal_equations(drawn[1:])[0], matrices[1:])
    rotations, matrix, gradient = drawn[0], matrices[0], gradients[0]

    def energy(pose: torch.Tensor) -> float:
        return UNUSUAL * float(habits.unusual(pose.unsqueeze(0)).log())

    for column in range(3, TURNS, 7):
        turns = torch.zeros(19, 3, dtype=torch.float64)
        turns.view(-1)[column] = 1e-5
        ahead = global_rotations(matrix_from_axis_angle(turns)) @ rotations
        behind = global_rotations(matrix_from_axis_angle(-turns)) @ rotations
        slope = (energy(ahead) - energy(behind)) / 2e-5
        assert slope == pytest.approx(float(gradient[column]), rel=1e-3, abs=1e-3), column
    assert torch.linalg.eigvalsh(matrix).min() > -1e-6
    # the pelvis's own turn, and with it all the body's, is free
    yaw = matrix_from_axis_angle(torch.tensor([0.0, 1.3, 0.0], dtype=torch.float64))
    assert energy(yaw @ rotations) == pytest.approx(energy(rotations))
