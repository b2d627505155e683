"""A motion: the body's pose and place in frames at an even rate, whatever it was read from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from posetx.arrays import Floats
from posetx.bodies.body import (
    BodyModel,
    forward_kinematics,
    global_rotations,
    relative_rotations,
)
from posetx.bodies.skeleton import LEG_BONES
from posetx.data.bvh import read_clip
from posetx.errors import FieldError
from posetx.geometry.rotations import matrix_from_yaw
from posetx.geometry.smoothing import (
    best_window,
    frames_in,
    smooth_places,
    smooth_rotations,
    without_jumps,
)
from posetx.pipeline.options import Heading

#: a loop's end is bent to its beginning over so many seconds, or half of the clip
BLEND = 0.5
#: a pelvis that faces up or down by more (its level part is less) has no heading; its head has
FLAT = 0.2


@dataclass(frozen=True)
class Motion:
    """F frames of a body, y up.

    Attributes
    ----------
    rotations : (F, 19, 3, 3) global, of each part from the neutral body's, which stands upright
        and faces +z
    roots : (F, 3) places of the pelvis, in any unit
    legs : the length of a leg, hip to ankle, in that unit
    fps : frames a second
    """

    rotations: Floats
    roots: Floats
    legs: float
    fps: float

    def __len__(self) -> int:
        return len(self.rotations)

    @classmethod
    def of_bvh(cls, path: Path) -> Motion:
        """That of a BVH clip, y up. Raises PosetxError for one that cannot be read."""
        clip = read_clip(path, BodyModel.load().joint_template.numpy())
        rotations = clip.rotations.astype(np.float64)
        return cls(rotations, clip.roots, clip.legs, 1.0 / clip.seconds)

    def part(self, start: int | None, stop: int | None, step: int) -> Motion:
        """Frames from ``start`` to before ``stop``, every so many, at the speed that they had.

        Raises FieldError where no frame is left.
        """
        taken = slice(start, stop, step)
        if not len(range(len(self))[taken]):
            last = len(self) - 1
            asked = ":".join("" if x is None else str(x) for x in (start, stop))
            raise FieldError("frames", asked, f"the clip has frames 0 to {last}")
        fps = self.fps / step
        return replace(self, rotations=self.rotations[taken], roots=self.roots[taken], fps=fps)

    def faced(self, heading: Heading) -> Motion:
        """Turned about y so that the first frame faces +z; as it is where ``heading`` is "scan"."""
        if heading == "scan":
            return self
        forward = self.rotations[0, 0, :, 2]
        if np.hypot(forward[0], forward[2]) < FLAT:  # on the back, or the belly: where the head is
            forward = -self.rotations[0, 0, :, 1]
        yaw = torch.tensor(-np.arctan2(forward[0], forward[2]))
        turn = matrix_from_yaw(yaw).numpy()
        return replace(self, rotations=turn @ self.rotations, roots=self.roots @ turn.T)

    @property
    def joints(self) -> Floats:
        """(F, 19, 3) where the joints of an average body would be, whose legs are as long."""
        rest = BodyModel.load().joint_template.double()
        bones = rest[[end for _, end in LEG_BONES]] - rest[[start for start, _ in LEG_BONES]]
        rest *= 2 * self.legs / bones.norm(dim=1).sum()
        turns = torch.as_tensor(self.rotations)
        placed: Floats = forward_kinematics(rest.expand(len(self), -1, -1), turns).numpy()
        return placed - placed[:, :1] + self.roots[:, None]

    @property
    def calm(self) -> Motion:
        """With parts that jump for a single frame filled."""
        return replace(self, rotations=without_jumps(self.rotations))

    def smoothed(self, seconds: float | None = None) -> Motion:
        """Smoothed over so many seconds, 0 for not at all; None finds out how much is good.

        Parts that jump for a single frame are filled first. See :mod:`posetx.geometry.smoothing`.
        """
        if seconds == 0:
            return self
        calm = self.calm
        window = best_window(calm.joints) if seconds is None else frames_in(seconds, self.fps)
        return replace(
            calm,
            rotations=smooth_rotations(calm.rotations, window),
            roots=smooth_places(calm.roots, window),
        )

    def in_place(self) -> Motion:
        """Without the way over the ground: up and down stays."""
        roots = self.roots.copy()
        roots[:, [0, 2]] = roots[0, [0, 2]]
        return replace(self, roots=roots)

    def looped(self) -> Motion:
        """One frame more, which is the first one again; the last ones are bent towards it.

        The way over the ground stays: who walks away is back where it began with a jump.
        """
        count = min(round(BLEND * self.fps), len(self) // 2)
        local = relative_rotations(torch.as_tensor(self.rotations)).numpy()
        local = np.concatenate([local, local[-1:]])
        roots = np.concatenate([self.roots, self.roots[-1:]])
        bend = np.linspace(0, 1, count + 2)[1:]
        bend = bend**2 * (3 - 2 * bend)  # begins and ends softly
        apart = local[-1].swapaxes(1, 2) @ local[0]
        away = Rotation.from_matrix(apart).as_rotvec()
        for frame, share in zip(range(len(local) - count - 1, len(local)), bend, strict=True):
            local[frame] = local[frame] @ Rotation.from_rotvec(share * away).as_matrix()
            roots[frame, 1] += share * (self.roots[0, 1] - self.roots[-1, 1])
        turned: Floats = global_rotations(torch.as_tensor(local)).numpy()
        return replace(self, rotations=turned, roots=roots)
