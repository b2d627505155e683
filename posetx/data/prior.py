"""A pose prior that ships: Gaussian mixtures over joint angles, fitted once to motion capture.

``python -m posetx.data.prior MOCAP_DIR`` fits one mixture per split of subjects and writes the
file that everything else reads. The file holds means, covariances and ranges, never a frame.

Each joint's local rotation is ``exp(basis @ z + offset) @ reference``. The basis is the joint's
own principal axes, and axes that the clips hardly use are left out: elbows and knees are hinges
by construction, and clamping ``z`` to the range of the clips keeps them from bending backwards.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from posetx.arrays import AnyFloats, Mask
from posetx.bodies.body import BodyModel, global_rotations
from posetx.data.poses import PoseBank
from posetx.errors import MissingError, UsageError
from posetx.geometry.rotations import matrix_from_axis_angle

CACHE = Path(__file__).with_name("pose_prior.safetensors")
SPLITS = ("train", "unseen")
#: No sample is further from its component's mean, in standard deviations along each axis.
TAIL = 2.5

#: To begin with: those that end up too small are dropped.
COMPONENTS = 96
ITERATIONS = 30
#: Frames a component stands for at least: a component of one frame would be that frame.
SMALLEST_COMPONENT = 20.0
#: Principal axes of a joint with a smaller standard deviation (radians) are left out.
LEAST_SPREAD = np.radians(0.7)
#: How many frames' worth of the common covariance each component's own is mixed with.
PULL = 30.0

#: Elbows and knees: the joints at the far ends of their two bones.
HINGES = {7: (6, 8), 11: (10, 12), 14: (13, 15), 17: (16, 18)}
HINGE_RANGE = np.radians([-12.0, 160.0])
#: Frames in which a joint is further from its reference are faults of the capture.
LARGEST_ANGLE = np.radians(150.0)


@dataclass
class PosePrior:
    """One mixture: K components over D coordinates of J = 19 joints.

    ``weights`` (K,) sum to 1, ``means`` (K, D), ``factors`` (K, D, D) lower triangular roots of
    the covariances, ``low`` and ``high`` (D,) the clips' range, ``columns`` (D,) which of the
    3 J coordinates they are, ``basis`` and ``reference`` (J, 3, 3), ``offset`` (J, 3). Radians.
    """

    weights: Tensor
    means: Tensor
    factors: Tensor
    low: Tensor
    high: Tensor
    columns: Tensor
    basis: Tensor
    reference: Tensor
    offset: Tensor

    @classmethod
    def load(cls, split: str, path: Path = CACHE) -> PosePrior:
        """Read one split's mixture. Raises MissingError when the file is not there."""
        from safetensors.torch import load_file

        if split not in SPLITS:
            raise UsageError(f"no pose prior for {split!r}; choose {' or '.join(SPLITS)}")
        if not path.is_file():
            raise MissingError(f"{path}: pose prior missing; reinstall posetx, or pass `mocap` DIR")
        data = load_file(str(path))
        prior = cls(**{f.name: data[f"{split}.{f.name}"] for f in fields(cls)})
        for field in fields(cls):
            value = getattr(prior, field.name)
            setattr(prior, field.name, value.long() if field.name == "columns" else value.float())
        return prior

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Local rotations (count, 19, 3, 3); the generator is a CPU one."""
        picked = torch.multinomial(self.weights, count, True, generator=generator)
        unit = torch.randn(count, self.means.shape[1], generator=generator).clamp(-TAIL, TAIL)
        z = self.means[picked] + (self.factors[picked] @ unit.unsqueeze(-1)).squeeze(-1)
        return self.rotations(torch.minimum(torch.maximum(z, self.low), self.high))

    def rotations(self, z: Tensor) -> Tensor:
        """Local rotations (N, 19, 3, 3) of coordinates (N, D)."""
        joints = len(self.basis)
        full = torch.zeros(len(z), 3 * joints).index_copy(1, self.columns, z)
        vectors = (self.basis @ full.view(-1, joints, 3, 1)).squeeze(-1) + self.offset
        return matrix_from_axis_angle(vectors) @ self.reference


@lru_cache(maxsize=2)
def shipped_prior(split: str) -> PosePrior:
    """One split's mixture, read once."""
    return PosePrior.load(split)


def draw_prior(split: str, count: int, seed: int) -> PoseBank:
    """A bank of ``count`` poses of the "train" or the "unseen" subjects' kind, headings removed.

    The same seed gives the same poses on every machine.
    """
    generator = torch.Generator().manual_seed(seed)
    return PoseBank.from_global(global_rotations(shipped_prior(split).sample(count, generator)))


# --- fitting ---------------------------------------------------------------------------------


def fit_file(mocap: Path, path: Path = CACHE) -> dict[str, dict[str, int]]:
    """Fit both splits to a folder of BVH clips and write the file; returns counts of each."""
    from safetensors.torch import save_file

    body = BodyModel.load()
    tensors: dict[str, Tensor] = {}
    report = {}
    for split in SPLITS:
        bank = PoseBank.from_bvh(mocap, body, split)
        prior, kept = fit(bank.local.double().numpy(), body.joint_template.double().numpy())
        for field in fields(prior):
            value = getattr(prior, field.name)
            if field.name in ("means", "factors"):  # half precision is 0.001 rad here
                value = value.half()
            elif field.name == "columns":
                value = value.to(torch.uint8)
            tensors[f"{split}.{field.name}"] = value.contiguous()
        report[split] = {"frames": len(bank), "used": kept, "components": len(prior.weights)}
    save_file(tensors, str(path), metadata={"source": "fitted to CMU motion capture clips"})
    return report


def fit(
    local: AnyFloats, rest_joints: AnyFloats, components: int = COMPONENTS, seed: int = 0
) -> tuple[PosePrior, int]:
    """Fit a mixture to local rotations (F, 19, 3, 3); also says how many frames were used."""
    usable = usable_frames(local, rest_joints)
    local = local[usable]
    reference, basis, offset, z = _joint_coordinates(local)
    columns = np.flatnonzero(z.std(0) > LEAST_SPREAD)
    z = z[:, columns]
    low, high = np.quantile(z, [0.001, 0.999], axis=0)
    weights, means, covariances = fit_mixture(z, components, seed)
    prior = PosePrior(
        weights=_tensor(weights),
        means=_tensor(means),
        factors=_tensor(np.linalg.cholesky(covariances)),
        low=_tensor(low),
        high=_tensor(high),
        columns=torch.from_numpy(columns),
        basis=_tensor(basis),
        reference=_tensor(reference),
        offset=_tensor(offset),
    )
    return prior, len(local)


def _tensor(values: AnyFloats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).float()


def usable_frames(local: AnyFloats, rest_joints: AnyFloats) -> Mask:
    """Which frames (F,) have no elbow or knee bent the wrong way and no joint turned around."""
    good = np.ones(len(local), dtype=bool)
    for joint in range(local.shape[1]):
        away = _log(local[:, joint] @ _typical(local[:, joint]).T)
        good &= np.linalg.norm(away, axis=1) < LARGEST_ANGLE
    for joint, (start, end) in HINGES.items():
        bones = (rest_joints[joint] - rest_joints[start], rest_joints[end] - rest_joints[joint])
        angle = hinge_angles(local[:, joint], *bones)
        good &= (angle > HINGE_RANGE[0]) & (angle < HINGE_RANGE[1])
    return good


def hinge_angles(rotations: AnyFloats, before: AnyFloats, after: AnyFloats) -> AnyFloats:
    """How far a hinge is bent (F,), in radians: 0 is straight, negative the wrong way.

    ``rotations`` (F, 3, 3) local; ``before``, ``after`` (3,) its two bones at rest.
    """
    typical = _typical(rotations)
    vectors = _log(rotations @ typical.T)
    axis = np.linalg.eigh(vectors.T @ vectors)[1][:, -1]
    tries = np.radians(np.arange(-180.0, 180.0, 0.5))
    bent = _exp(tries[:, None] * axis) @ typical @ after
    bend = np.arccos(bent @ before / np.linalg.norm(before) / np.linalg.norm(after))
    # A typical elbow is a little bent, so the straight one is the near end of its range.
    straight = tries[np.argmin(np.where(np.abs(tries) < np.radians(90), bend, np.inf))]
    angle = vectors @ axis - straight
    if straight > 0:
        angle = -angle
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)


def fit_mixture(
    z: AnyFloats, components: int, seed: int, pull: float = PULL
) -> tuple[AnyFloats, AnyFloats, AnyFloats]:
    """Expectation maximisation: weights (K,), means (K, D), covariances (K, D, D) of (N, D)."""
    rng = np.random.default_rng(seed)
    count, size = z.shape
    common = np.cov(z.T)
    coarse = z.astype(np.float32)  # single precision is enough for who belongs where
    means = _spread_out(z / z.std(0), components, rng) * z.std(0)
    weights = np.full(components, 1.0 / components)
    covariances = np.tile(common / 4, (components, 1, 1))
    for _ in range(ITERATIONS):
        scores = log_densities(coarse, weights, means, covariances)
        shares = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
        mass = shares.sum(0)
        kept = mass >= SMALLEST_COMPONENT
        shares, mass = shares[:, kept], mass[kept]
        means = (shares.T @ z) / mass[:, None]
        scatter = np.stack([_scatter(z, *pair) for pair in zip(means, shares.T, strict=True)])
        within = scatter.sum(0) / count
        covariances = (scatter + pull * within) / (mass + pull)[:, None, None]
        covariances += np.eye(size) * np.radians(0.5) ** 2
        weights = mass / mass.sum()
    return weights, means, covariances


def _scatter(z: AnyFloats, mean: AnyFloats, share: AnyFloats) -> AnyFloats:
    near = share > 1e-6  # most frames have nothing to do with most components
    away = z[near] - mean
    return (away * share[near, None]).T @ away


def log_densities(
    z: AnyFloats, weights: AnyFloats, means: AnyFloats, covariances: AnyFloats
) -> AnyFloats:
    """Weighted log densities (N, K) of points (N, D) under each component."""
    out = np.empty((len(z), len(means)))
    for k, (mean, covariance) in enumerate(zip(means, covariances, strict=True)):
        root = np.linalg.cholesky(covariance)
        unit = (z - mean.astype(z.dtype)) @ np.linalg.inv(root).T.astype(z.dtype)
        half_log_det = np.log(np.diag(root)).sum() + 0.5 * len(mean) * np.log(2 * np.pi)
        out[:, k] = np.log(weights[k]) - 0.5 * (unit**2).sum(1) - half_log_det
    return out


def _spread_out(points: AnyFloats, count: int, rng: np.random.Generator) -> AnyFloats:
    """Starting means (count, D), each drawn by its squared distance from those before it."""
    chosen: AnyFloats = points[rng.integers(len(points))][None]
    nearest = ((points - chosen) ** 2).sum(1)
    while len(chosen) < count:
        new = points[rng.choice(len(points), p=nearest / nearest.sum())]
        chosen = np.concatenate([chosen, new[None]])
        nearest = np.minimum(nearest, ((points - new) ** 2).sum(1))
    return chosen


def _joint_coordinates(local: AnyFloats) -> tuple[AnyFloats, AnyFloats, AnyFloats, AnyFloats]:
    """Reference and basis (19, 3, 3), offset (19, 3), and the coordinates (F, 57) in them."""
    joints = local.shape[1]
    reference, basis = np.empty((joints, 3, 3)), np.empty((joints, 3, 3))
    offset, z = np.empty((joints, 3)), np.empty((len(local), joints, 3))
    for joint in range(joints):
        reference[joint] = _typical(local[:, joint])
        vectors = _log(local[:, joint] @ reference[joint].T)
        offset[joint] = vectors.mean(0)
        basis[joint] = np.linalg.eigh(np.cov(vectors.T))[1][:, ::-1]
        z[:, joint] = (vectors - offset[joint]) @ basis[joint]
    return reference, basis, offset, z.reshape(len(local), -1)


def _typical(rotations: AnyFloats) -> AnyFloats:
    """A mean rotation (3, 3) that a few turned-around frames do not move."""
    from scipy.spatial.transform import Rotation

    everything = Rotation.from_matrix(rotations)
    middle = everything.mean()
    for _ in range(5):
        away = (everything * middle.inv()).as_rotvec()
        # the spatial median's reweighting
        weight = 1.0 / np.maximum(np.linalg.norm(away, axis=1), 0.05)
        step = (away * weight[:, None]).sum(0) / weight.sum()
        middle = Rotation.from_rotvec(step) * middle
    return np.asarray(middle.as_matrix())


def _log(rotations: AnyFloats) -> AnyFloats:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(rotations).as_rotvec())


def _exp(vectors: AnyFloats) -> AnyFloats:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_rotvec(vectors).as_matrix())


if __name__ == "__main__":
    from posetx.system.console import console

    if len(sys.argv) != 2:
        sys.exit("usage: python -m posetx.data.prior MOCAP_DIR")
    for name, counts in fit_file(Path(sys.argv[1])).items():
        console.print(name, counts)
