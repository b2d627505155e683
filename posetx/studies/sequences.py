"""Simulated scan sequences whose motion is known: a clip, a body, the virtual scanner.

What the smoothing of `posetx animate` is chosen on; `python -m examples.make.sequences` runs it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline
from torch.nn import functional as F

from posetx.arrays import Floats
from posetx.bodies.body import BodyModel, forward_kinematics, global_rotations, relative_rotations
from posetx.bodies.skeleton import LEG_BONES
from posetx.data.scanner import ScannerSettings, simulate_scans
from posetx.geometry.triangles import barycentric
from posetx.pipeline.motion import Motion

FPS, VIEWS, POINTS = 30.0, 2, 20_000
#: samples of a body's surface that the scanner looks at: the views see a half of them
SAMPLES = 60_000


@dataclass(frozen=True)
class KnownSequence:
    """Scans of a body in motion, in metres, y up, in any heading.

    Attributes
    ----------
    scans : (F, P, 3)
    motion : what is true of the frames
    joints : (F, 19, 3) where the body's joints are
    shape : (S,) of the body
    """

    scans: Floats
    motion: Motion
    joints: Floats
    shape: torch.Tensor


def denser(motion: Motion, fps: float, frames: int) -> Motion:
    """So many frames of a motion at another rate, by splines: clips are thinned for training."""
    count = len(motion)
    old, new = np.arange(count) / motion.fps, np.arange(frames) / fps
    new = new[new <= old[-1]]
    local = relative_rotations(torch.as_tensor(motion.rotations)).numpy()
    dense = np.empty((len(new), *local.shape[1:]))
    for joint in range(local.shape[1]):
        spline = RotationSpline(old, Rotation.from_matrix(local[:, joint]))
        dense[:, joint] = spline(new).as_matrix()
    roots: Floats = CubicSpline(old, motion.roots)(new)
    turned: Floats = global_rotations(torch.as_tensor(dense)).numpy()
    return Motion(turned, roots, motion.legs, fps)


def simulate(
    body: BodyModel, motion: Motion, seed: int, points: int = POINTS, views: int = VIEWS
) -> KnownSequence:
    """What ``views`` depth cameras that stand still measure of a random adult in a motion."""
    generator = torch.Generator().manual_seed(seed)
    adult = int(torch.randint(len(body.bank) // 2, (1,), generator=generator))
    shape = body.bank[adult : adult + 1]
    rotations = torch.as_tensor(motion.rotations).float()
    rest, joints = body.rest(shape)
    legs = sum(float((joints[0, b] - joints[0, a]).norm()) for a, b in LEG_BONES) / 2
    roots = legs / motion.legs * torch.as_tensor(motion.roots - motion.roots[0]).float()
    height = rest[0, :, 1].max() - rest[0, :, 1].min()
    stands = body.pose(shape.expand(len(rotations), -1), rotations) + roots[:, None]
    samples, normals = _samples(body, stands, generator)
    scans, _ = simulate_scans(
        samples,
        normals,
        points,
        generator,
        cell=2.0 * (1.8 / SAMPLES) ** 0.5,
        settings=ScannerSettings((views, views)),
        height=height.expand(len(samples)),
        sequence=True,
    )
    placed = forward_kinematics(joints.expand(len(rotations), -1, -1), rotations) + roots[:, None]
    true = Motion(motion.rotations, placed[:, 0].double().numpy(), legs, motion.fps)
    return KnownSequence(scans.double().numpy(), true, placed.double().numpy(), shape[0])


def _samples(
    body: BodyModel, vertices: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples (B, SAMPLES, 3) of bodies' surfaces (B, V, 3) and their normals."""
    corners = vertices[:, body.faces]
    cross = torch.cross(
        corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0], dim=-1
    )
    faces = torch.multinomial(cross.norm(dim=-1), SAMPLES, True, generator=generator)
    shares = barycentric(torch.rand(2, *faces.shape, generator=generator))
    batch = torch.arange(len(vertices)).unsqueeze(1)
    samples = (corners[batch, faces] * shares.unsqueeze(-1)).sum(2)
    return samples, F.normalize(cross[batch, faces], dim=-1)


def acceleration(joints: Floats) -> Floats:
    """(F - 2, J, 3) of joints (F, J, 3): second differences, a frame's time as the unit."""
    out: Floats = joints[2:] - 2 * joints[1:-1] + joints[:-2]
    return out
