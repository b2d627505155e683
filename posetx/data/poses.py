"""A bank of poses and the variety made from it: mirroring, limbs of other clips, joint noise."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from posetx.bodies.body import BodyModel, global_rotations, on_device, relative_rotations
from posetx.bodies.skeleton import ARMS, LEGS, MIRROR
from posetx.errors import PosetxError
from posetx.files.atomic import write_bytes_atomic
from posetx.geometry.rotations import matrix_from_6d, matrix_from_axis_angle, matrix_from_yaw

#: subjects of the shared CMU clips that no training sees
UNSEEN_SUBJECTS = ("13", "14")
#: how far the joints of a pose are thrown about: collars, hands and feet less than the limbs
_REACH = tuple(
    0.3 if joint in (ARMS[0], ARMS[3], ARMS[4], ARMS[7], LEGS[2], LEGS[5])
    else 1.0 if joint in ARMS
    else 0.5 if joint in LEGS
    else 0.0
    for joint in range(len(MIRROR))
)  # fmt: skip
#: packed poses are in this many steps from 0 to 1: 16 bits
_STEPS = 32767


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
        from posetx.data.bvh import read_bvh  # needs scipy, which drawing poses does not

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
        local = self._mixed(count, generator)
        return global_rotations(local @ self._noise(count, generator))

    def _mixed(self, count: int, generator: torch.Generator) -> Tensor:
        """Local rotations (count, 19, 3, 3), mirrored or not, with limbs from different clips."""
        local = self._drawn_and_mirrored(count, generator)
        # the limbs of another clip, and one time in four the one arm of yet another
        limbs = ((_range(ARMS), 0.5), (_range(LEGS), 0.5), (_range(ARMS[:4]), 0.25))
        chance = torch.rand(len(limbs), count, 1, 1, 1, generator=generator, device=local.device)
        for (joints, share), drawn in zip(limbs, chance, strict=True):
            other = self._drawn_and_mirrored(count, generator)[:, joints]
            local[:, joints] = torch.where(drawn < share, other, local[:, joints])
        return local

    def _noise(self, count: int, generator: torch.Generator) -> Tensor:
        """What every joint is turned by besides: (count, 19, 3, 3)."""
        device = self.local.device

        def rand(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator, device=device)

        # most poses get little noise, a few much; the root and the trunk a third of it
        spread = 0.35 * rand(count, 1, 1) ** 2
        vectors = torch.randn(count, len(MIRROR), 3, generator=generator, device=device)
        # the largest errors on unseen poses are arms where no training clip has them: one pose in
        # five gets its limbs thrown about, the hands and feet (which hang on them) less
        wild = 0.8 * rand(count, 1, 1) * (rand(count, 1, 1) < 0.2)
        reach = on_device(_REACH, device).view(1, -1, 1)
        spread = torch.where(reach > 0, spread + wild * reach, 0.35 * spread)
        return matrix_from_axis_angle(vectors * spread)

    def _pick(self, count: int, generator: torch.Generator) -> Tensor:
        device = self.local.device
        return torch.randint(len(self), (count,), generator=generator, device=device)

    def _drawn_and_mirrored(self, count: int, generator: torch.Generator) -> Tensor:
        local = self.local[self._pick(count, generator)]
        flip = torch.rand(count, generator=generator, device=local.device) < 0.5
        return torch.where(flip.view(-1, 1, 1, 1), mirrored(local), local)


def mirrored(rotations: Tensor) -> Tensor:
    """The pose (..., 19, 3, 3), local or global, with left and right exchanged."""
    sign = torch.ones(3, device=rotations.device, dtype=rotations.dtype)
    sign[0] = -1.0
    return rotations[..., on_device(MIRROR, rotations.device), :, :] * sign[:, None] * sign


def _range(joints: tuple[int, ...]) -> slice:
    """Joints that follow each other, as a slice."""
    return slice(joints[0], joints[-1] + 1)


def write_banks(path: Path, banks: dict[str, PoseBank]) -> None:
    """Pack banks into one safetensors file: two columns of each matrix, in steps of 1/32767.

    That is a hundredth of a degree at most, in a third of the space.
    """
    from safetensors.torch import save

    tensors = {}
    for split, bank in banks.items():
        columns = bank.local[..., :2].transpose(-1, -2).flatten(-2).cpu()  # (F, 19, 6)
        tensors[split] = (columns * _STEPS).round().to(torch.int16).contiguous()
    write_bytes_atomic(path, save(tensors))


def read_banks(path: Path) -> dict[str, PoseBank]:
    """What :func:`write_banks` packed. Raises PosetxError for any other file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        packed = load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise PosetxError(f"{path}: no file of packed poses ({error})") from None
    if not packed or any(t.shape[1:] != (19, 6) or not len(t) for t in packed.values()):
        raise PosetxError(f"{path}: safetensors, but not of packed poses")
    return {
        split: PoseBank(matrix_from_6d(columns.float() / _STEPS))
        for split, columns in packed.items()
    }
