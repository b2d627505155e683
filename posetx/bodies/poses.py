"""A bank of poses and the variety made from it: mirroring, limbs of other clips, joint noise."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from posetx.bodies.body import BodyModel, global_rotations, relative_rotations
from posetx.bodies.bvh import read_bvh
from posetx.bodies.skeleton import ARMS, LEGS, MIRROR
from posetx.errors import PosetxError
from posetx.geometry.rotations import matrix_from_axis_angle, matrix_from_yaw

#: subjects of the shared CMU clips that no training sees
UNSEEN_SUBJECTS = ("13", "14")


class PoseBank:
    """Poses as parent-relative rotations (F, 19, 3, 3), each without its heading.

    The heading (the pelvis's turn about the vertical) is taken off, so that a pose faces +z.
    """

    def __init__(self, local: Tensor):
        self.local = local

    def __len__(self) -> int:
        return len(self.local)

    @classmethod
    def from_global(cls, rotations: Tensor) -> PoseBank:
        forward = rotations[:, 0, :, 2]
        # a body lying on its back has no forward to speak of; its head's side then tells
        flat = forward[:, [0, 2]].norm(dim=1, keepdim=True) < 0.2
        forward = torch.where(flat, -rotations[:, 0, :, 1], forward)
        heading = torch.atan2(forward[:, 0], forward[:, 2])
        turned = matrix_from_yaw(-heading).unsqueeze(1) @ rotations
        return cls(relative_rotations(turned))

    @classmethod
    def from_bvh(cls, folder: Path, body: BodyModel, split: str) -> PoseBank:
        """All clips of a folder (recursively); ``split`` is "train", "unseen" or "all".

        The subject is what stands before the first underscore of the file name.
        """
        paths = sorted(folder.rglob("*.bvh"))
        if split != "all":
            wanted = split == "unseen"
            paths = [p for p in paths if (p.stem.split("_")[0] in UNSEEN_SUBJECTS) == wanted]
        if not paths:
            raise PosetxError(f"{folder}: no BVH files of the {split} subjects in it")
        joints = body.joint_template.cpu().numpy()
        clips = [torch.from_numpy(read_bvh(path, joints)) for path in paths]
        return cls.from_global(torch.cat(clips))

    def to(self, device: torch.device | str) -> PoseBank:
        return PoseBank(self.local.to(device))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Poses as they are: (count, 19, 3, 3) global rotations."""
        return global_rotations(self.local[self._pick(count, generator)])

    def draw_varied(self, count: int, generator: torch.Generator) -> Tensor:
        """Poses to learn from: mirrored, limbs from different clips, noise on every joint."""
        device = self.local.device

        def rand(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator, device=device)

        local = self._drawn_and_mirrored(count, generator)
        # the limbs of another clip, and one time in four the one arm of yet another
        mixed = torch.stack([rand(count) < 0.5, rand(count) < 0.5, rand(count) < 0.25], 1)
        for column, joints in enumerate((ARMS, LEGS, ARMS[:4])):
            other = self._drawn_and_mirrored(count, generator)[:, list(joints)]
            swap = mixed[:, column].view(-1, 1, 1, 1)
            local[:, list(joints)] = torch.where(swap, other, local[:, list(joints)])
        # most poses get little noise, a few much; the root and the trunk a third of it
        spread = 0.35 * rand(count, 1, 1) ** 2
        vectors = torch.randn(count, len(MIRROR), 3, generator=generator, device=device)
        # the largest errors on unseen poses are arms where no training clip has them: one pose in
        # five gets its limbs thrown about, the hands and feet (which hang on them) less
        wild = 0.8 * rand(count, 1, 1) * (rand(count, 1, 1) < 0.2)
        reach = torch.zeros(1, len(MIRROR), 1, device=device)
        reach[:, list(ARMS)], reach[:, list(LEGS)] = 1.0, 0.5
        reach[:, [ARMS[0], ARMS[3], ARMS[4], ARMS[7], LEGS[2], LEGS[5]]] = 0.3
        spread = torch.where(reach > 0, spread + wild * reach, 0.35 * spread)
        vectors = vectors * spread
        return global_rotations(local @ matrix_from_axis_angle(vectors))

    def _pick(self, count: int, generator: torch.Generator) -> Tensor:
        device = self.local.device
        return torch.randint(len(self), (count,), generator=generator, device=device)

    def _drawn_and_mirrored(self, count: int, generator: torch.Generator) -> Tensor:
        local = self.local[self._pick(count, generator)]
        flip = torch.rand(count, generator=generator, device=local.device) < 0.5
        return torch.where(flip.view(-1, 1, 1, 1), mirrored(local), local)


def mirrored(rotations: Tensor) -> Tensor:
    """The pose (..., 19, 3, 3), local or global, with left and right exchanged."""
    sign = torch.tensor([-1.0, 1.0, 1.0], device=rotations.device, dtype=rotations.dtype)
    return rotations[..., list(MIRROR), :, :] * sign[:, None] * sign
