"""A target in motion, and the files that it is written to: a GLB, a mesh a frame, or arrays."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from posetx.arrays import Floats
from posetx.bodies.skeleton import BVH_WRITTEN, PARENTS
from posetx.errors import FieldError, UsageError
from posetx.files.atomic import write_bytes_atomic
from posetx.files.targets.base import check_output_suffix
from posetx.files.targets.clip import Clip, RigClip
from posetx.files.targets.clip_write import SUFFIX, write_clip
from posetx.geometry.rig import Rig, RigPose
from posetx.pipeline.animation import Animator, Track
from posetx.pipeline.motion import Motion

#: a frame's number in a pattern, and what files in a folder are called
NUMBER = re.compile("#+")
FRAMES = "frame_####.obj"
ARRAYS = ".npz"

#: how a GLB moves a target: by joints, its own where it has some, or by a mixture of shapes
By = Literal["skeleton", "morphs"]
#: mean distance of the target's own skin from the motion, as a share of its height, that is told
FAR = 0.01


@dataclass
class Animated:
    """A target that goes with a motion.

    Attributes
    ----------
    animator : the target
    motion : where the body is in each frame
    name : of the clip
    by : what moves it: a skeleton, the target's own where it has one that can take poses, or shapes
    restore : whether its surface detail is put back in each frame; the target's own skeleton cannot
    hold_feet : whether feet that stand stay, see :mod:`posetx.pipeline.feet`
    """

    animator: Animator
    motion: Motion
    name: str = "clip"
    by: By = "skeleton"
    restore: bool = True
    hold_feet: bool = True
    _played: tuple[list[RigPose], float] | None = field(default=None, init=False, repr=False)

    @cached_property
    def track(self) -> Track:
        """The target's joints in all frames."""
        return self.animator.track(self.motion, self.hold_feet)

    @property
    def rig(self) -> Rig | None:
        """The target's own skeleton, if it plays on that."""
        ready = self.animator.ready
        return ready.rig if self.by == "skeleton" and ready.target.rig_takes_clips else None

    def played(
        self, rig: Rig, on_frame: Callable[[], None] = lambda: None
    ) -> tuple[list[RigPose], float]:
        """Its poses, found once, and how near they come: see :meth:`Animator.rig_poses`."""
        if self._played is None:
            self._played = self.animator.rig_poses(rig, self.track, on_frame)
        return self._played

    def vertices(self, frame: int) -> Floats:
        """The target's vertices (n, 3) in a frame, in its file's frame and unit."""
        frames, rig = slice(frame, frame + 1), self.rig
        restore = self.restore and rig is None
        found: Floats = self.animator.vertices(self.track, frames, restore)[0]
        if rig is None:
            return found
        own = rig.skinned(rig.worlds(self.played(rig)[0][frame]))
        return np.where(rig.moved[:, None], own, found)

    def clip(self, on_frame: Callable[[], None] = lambda: None) -> tuple[Clip, list[str]]:
        """What a GLB holds, and notes; ``on_frame`` hears of each frame done, if one by one."""
        ready, rig = self.animator.ready, self.rig
        if self.by == "morphs":
            return self.animator.morph_clip(self.name, self.track, self.restore, on_frame), []
        if rig is None:
            why = ready.no_rig or (ready.rig and "its own is, of what its `for_clips()` returns")
            notes = [f"a new skeleton moves it: {why}"] if why else []
            return self.animator.skeleton_clip(self.name, self.track), notes
        poses, off = self.played(rig, on_frame)
        far = (
            f"the target's own skeleton comes only within {100 * off:.1f} % of its height of the "
            "motion, on average: with `morph` all of it is moved"
        )
        clip = RigClip(self.name, self.motion.fps, rig, poses)
        return clip, [far] if off > FAR else []

    def save(self, path: str | Path, on_frame: Callable[[], None] = lambda: None) -> list[str]:
        """Write it, each file whole or not at all, over what is there; returns notes.

        Parameters
        ----------
        path : a GLB; an NPZ; or meshes, a frame each: a folder, or a pattern such as a/####.obj
        on_frame : hears of each frame done, where frames are done one by one

        Raises UsageError for a format that is not written, PosetxError where it cannot be.
        """
        path, target = Path(path), self.animator.ready.target
        check_animated(path, target.path)
        if path.suffix.lower() == SUFFIX and not is_many_files(path):
            clip, notes = self.clip(on_frame)
            return notes + write_clip(path, target, clip)
        if path.suffix.lower() == ARRAYS:
            write_bytes_atomic(path, self._arrays(on_frame))
            return []
        told: dict[str, None] = {}
        for frame, file in enumerate(frame_files(path, len(self.motion))):
            told |= dict.fromkeys(target.save(file, self.vertices(frame)))
            on_frame()
        after = frame_files(path, len(self.motion) + 1)[-1]
        if after.exists():
            told[f"{after}: is of another run, as may be others after it: this one has fewer"] = (
                None
            )
        return list(told)

    def _arrays(self, on_frame: Callable[[], None]) -> bytes:
        """Vertices and joints in the target's frame, rotations of the target upright."""
        ready, vertices = self.animator.ready, []
        for frame in range(len(self.motion)):
            vertices.append(self.vertices(frame).astype(np.float32))
            on_frame()
        stream = io.BytesIO()
        np.savez(
            stream,
            vertices=np.stack(vertices),
            faces=ready.target.faces,
            joints=ready.frame.from_normal(self.track.places @ ready.rotation),
            rotations=self.track.rotations,
            names=np.array(BVH_WRITTEN),
            parents=np.array(PARENTS),
            fps=np.array(self.motion.fps),
        )
        return stream.getvalue()


def is_many_files(path: Path) -> bool:
    """Whether an output is a file for each frame: a folder, or a pattern."""
    return path.is_dir() or not path.suffix or bool(NUMBER.search(path.name))


def frame_files(path: Path, count: int) -> list[Path]:
    """The files of so many frames, numbered from 0 on."""
    if not NUMBER.search(path.name):
        path = path / FRAMES
    before, number, after = re.split("(#+)", path.name, maxsplit=1)
    return [path.with_name(f"{before}{frame:0{len(number)}}{after}") for frame in range(count)]


def check_animated(path: Path, target: Path, by: By = "skeleton") -> None:
    """Refuse an output in no format that is written, or that has no morphs. Raises UsageError."""
    many = is_many_files(path)
    if by == "morphs" and (many or path.suffix.lower() != SUFFIX):
        raise FieldError("morph", "", f"only a {SUFFIX} has morph targets, {path} has vertices")
    if many:
        check_output_suffix(frame_files(path, 1)[0], target)
    elif path.suffix.lower() not in (SUFFIX, ARRAYS):
        raise UsageError(
            f"{path}: an animated target is written as {SUFFIX} or {ARRAYS}, or as a mesh a frame: "
            "name a folder, or a pattern such as frame_####.obj"
        )
