"""Simulated scan sequences whose motion is known, and what `posetx animate` makes of them.

A clip, a body, the virtual scanner; `python -m examples.make.sequences` runs it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline
from torch.nn import functional as F

from posetx.arrays import Floats
from posetx.bodies.body import BodyModel, forward_kinematics, global_rotations, relative_rotations
from posetx.bodies.metrics import position_metrics
from posetx.bodies.skeleton import LEG_BONES
from posetx.data.scanner import ScannerSettings, cell_of, simulate_scans
from posetx.files.scans import Scan
from posetx.files.sources import array_scan
from posetx.geometry.smoothing import best_window, noise_variance
from posetx.geometry.triangles import barycentric
from posetx.pipeline.motion import Motion
from posetx.pipeline.options import Options
from posetx.pipeline.pipeline import Pipeline
from posetx.pipeline.sequence import Follower, motion_of

FPS, VIEWS, POINTS = 30.0, 2, 20_000
#: samples of a body's surface that the scanner looks at: the views see a half of them
SAMPLES = 60_000
#: of the bank, the body that the motions are given to
OTHER = 7


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
        cell=cell_of(SAMPLES),
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


@dataclass(frozen=True)
class Quality:
    """Of one motion beside the truth, in metres of its body.

    Attributes
    ----------
    joints_mm : mean distance of the joints
    acceleration : mean error of their acceleration, as a share of the mean of the true one
    pmd : mean squared coordinate difference of another body's vertices in each frame, boxes
        centred, in m²
    """

    joints_mm: float
    acceleration: float
    pmd: float


@dataclass(frozen=True)
class Row:
    """What was made of one sequence: as it was read, and smoothed over ``window`` frames."""

    clip: str
    frames: int
    noise_mm: float
    restarts: int
    gaps: int
    read: Quality
    smoothed: Quality
    window: int
    seconds: float


def measure(
    pipeline: Pipeline,
    clip: Path,
    frames: int,
    seed: int,
    on_frame: Callable[[], None] = lambda: None,
) -> Row:
    """Simulate a sequence of a clip, read it as `posetx animate` does, and compare."""
    body = pipeline.body
    known = simulate(body, denser(Motion.of_bvh(clip), FPS, frames), seed)

    def load(path: Path) -> Scan:
        return replace(array_scan(known.scans[int(path.stem)]), path=path)

    paths = [Path(f"{index}.npy") for index in range(len(known.scans))]
    begun = time.process_time()
    follower = Follower(pipeline, Options(), load=load)
    follower.know(paths)
    found = []
    for frame in follower.frames(paths):
        found.append(frame)
        on_frame()
    seconds = time.process_time() - begun
    motion = motion_of(body, found, FPS)
    smooth = motion.smoothed()
    of = next(frame.body for frame in found if frame.body is not None)
    coefficients = body.bank.new_zeros(1, body.bank.shape[1])
    coefficients[0, : len(of.shape)] = torch.as_tensor(of.shape)
    rest = of.scale * body.rest_joints(coefficients).double()
    true = known.motion, known.joints
    return Row(
        clip.stem,
        len(found),
        1000 * math.sqrt(noise_variance(motion.joints)),
        sum(frame.restarted for frame in found),
        sum(frame.body is None for frame in found),
        _quality(body, rest, motion, *true),
        _quality(body, rest, smooth, *true),
        best_window(motion.calm.joints),
        seconds,
    )


def jittered(body: BodyModel, clip: Path, frames: int, degrees: float) -> Row:
    """The same of a clip whose parts jitter by ``degrees`` and whose pelvis by 3 mm a degree."""
    motion = denser(Motion.of_bvh(clip), FPS, frames)
    rest = body.joint_template.double()[None]
    bones = [rest[0, end] - rest[0, start] for start, end in LEG_BONES]
    legs = float(torch.stack(bones).norm(dim=1).sum()) / 2
    motion = replace(motion, roots=motion.roots * legs / motion.legs, legs=legs)
    rng = np.random.default_rng(0)
    count = motion.rotations.shape[0] * motion.rotations.shape[1]
    turns = Rotation.from_rotvec(np.radians(degrees) * rng.normal(size=(count, 3))).as_matrix()
    noisy = replace(
        motion,
        rotations=turns.reshape(motion.rotations.shape) @ motion.rotations,
        roots=motion.roots + 0.003 * degrees * rng.normal(size=motion.roots.shape),
    )
    true = motion, motion.joints
    read, smooth = (_quality(body, rest, m, *true) for m in (noisy, noisy.smoothed()))
    noise, window = math.sqrt(noise_variance(noisy.joints)), best_window(noisy.calm.joints)
    name = f"{clip.stem}, {degrees:g}°"
    return Row(name, len(motion), 1000 * noise, 0, 0, read, smooth, window, 0.0)


def _quality(
    body: BodyModel, rest: torch.Tensor, motion: Motion, truth: Motion, known: Floats
) -> Quality:
    """Of a motion of a body with joints (1, 19, 3) at rest; ``known`` (F, 19, 3) are the true."""
    turns = torch.as_tensor(motion.rotations)
    placed = forward_kinematics(rest.expand(len(motion), -1, -1), turns).numpy()
    joints = placed - placed[:, :1] + motion.roots[:, None]
    true = acceleration(known)
    apart = np.linalg.norm(acceleration(joints) - true, axis=-1).mean()
    other = body.bank[OTHER : OTHER + 1]
    posed = [
        body.pose(other.expand(len(motion), -1), torch.as_tensor(m.rotations).float()).numpy()
        for m in (motion, truth)
    ]
    pmd = [position_metrics(p, t)["pmd"] for p, t in zip(*posed, strict=True)]
    return Quality(
        1000 * float(np.linalg.norm(joints - known, axis=-1).mean()),
        float(apart / np.linalg.norm(true, axis=-1).mean()),
        float(np.mean(pmd)),
    )


def table(rows: Sequence[Row]) -> str:
    """The rows as the documents show them."""
    lines = [
        "| clip | frames | noise mm | anew | gaps | MPJPE mm | acceleration | PMD ×1e-4 "
        "| window | smoothed: MPJPE mm | acceleration | PMD ×1e-4 |",
        "|---|" + "---:|" * 11,
    ]
    for row in rows:
        cells = [f"{row.frames}", f"{row.noise_mm:.2f}", f"{row.restarts}", f"{row.gaps}"]
        for quality in (row.read, row.smoothed):
            cells += [f"{quality.joints_mm:.2f}", f"{quality.acceleration:.2f}"]
            cells += [f"{1e4 * quality.pmd:.4f}"]
        cells.insert(7, f"{row.window}")
        lines.append(f"| {row.clip} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
