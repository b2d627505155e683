"""What `posetx animate` does: the motion of scans or of a clip, given to a target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posetx.bodies.skeleton import JOINTS
from posetx.cli.common import check_input, explain, in_options
from posetx.cli.work import Work
from posetx.errors import FieldError, UsageError
from posetx.pipeline.options import Options
from posetx.system.console import console, note, progress_bar, say, shortened
from posetx.system.paths import find_model

if TYPE_CHECKING:
    from posetx.files.targets import Target
    from posetx.pipeline.animated import By
    from posetx.pipeline.motion import Motion
    from posetx.pipeline.sequence import Frame

BVH = ".bvh"
#: Characters of the bar's line that are not the scan's name.
BESIDE_NAME = 56


@dataclass(frozen=True)
class Frames:
    """Which frames: from ``start`` to before ``stop``, every ``step``-th."""

    start: int | None
    stop: int | None
    step: int

    @classmethod
    def of(cls, text: str) -> Frames:
        """That of A:B:STEP, parts of which may be missing. Raises FieldError."""
        parts = text.split(":")
        try:
            start, stop, step = (int(x) if x.strip() else None for x in [*parts, "", ""][:3])
            if not 2 <= len(parts) <= 3 or (step is not None and step < 1):
                raise ValueError
        except ValueError:
            raise FieldError("frames", text, "give A:B or A:B:STEP, such as 0:100") from None
        return cls(start, stop, step or 1)

    @property
    def slice(self) -> slice:
        return slice(self.start, self.stop, self.step)


@dataclass(frozen=True)
class Settings:
    """What a user can set of an animation beside the options of a transfer."""

    frames: Frames
    by: By
    fps: float | None
    loop: bool
    in_place: bool
    smooth: float | None
    poses: Path | None
    hold_feet: bool = True

    def check(self) -> None:
        """Raises UsageError for what is impossible."""
        from posetx.pipeline.pose import check_fps
        from posetx.pipeline.sequence import check_smooth

        if self.fps is not None:
            check_fps(self.fps)
        if self.smooth is not None:
            check_smooth(self.smooth)


class AnimateWork(Work):
    """A model and a target, to which motions are given."""

    def __init__(
        self,
        target: Path,
        options: Options,
        model: str,
        device: str,
        seed: int,
        settings: Settings,
    ) -> None:
        super().__init__(target, options, model, device, seed)
        self.settings = settings
        #: frames that an earlier run kept, by their places
        self.kept: dict[int, Frame] = {}

    def read_target(self) -> Target:
        """The target, so that its own skeleton can be animated."""
        return super().read_target().for_clips()

    def plan(self, given: list[Path], files: dict[str, Path | None], overwrite: bool) -> list[Path]:
        """The scans that are the frames, or the one clip; what is wrong is said before any work.

        ``files`` are what will be written; "output", which may be many, is one of them. Raises
        PosetxError, UsageError where an input is not there or an output cannot be.
        """
        from posetx.pipeline.animated import check_animated, is_many_files
        from posetx.pipeline.batch import find_scans

        settings = self.settings
        settings.check()
        output = files["output"]
        assert output is not None
        check_animated(output, self.target_path, settings.by)
        clip = any(path.suffix.lower() == BVH for path in given)
        if clip:
            self._check_clip(given)
        scans = given if clip else find_scans(given)
        for scan in scans:
            check_input(scan, "the clip" if clip else "the scan")
        check_input(self.target_path, "the target")
        find_model(self.model)
        if not clip:
            count = len(scans)
            scans = scans[settings.frames.slice]
            if not scans:
                raise FieldError("frames", "", f"none of the {count} scans is left")
        count = len(scans)
        if clip and is_many_files(output):
            count = len(self._of_clip(scans[0]))
        self._check_written(scans, files, count + settings.loop, overwrite)
        return scans

    def _check_written(
        self, scans: list[Path], files: dict[str, Path | None], count: int, overwrite: bool
    ) -> None:
        """Make the folders of ``count`` frames and of poses. Raises PosetxError as :meth:`plan`."""
        from posetx.files.atomic import check_distinct, check_outputs
        from posetx.pipeline.animated import frame_files, is_many_files
        from posetx.pipeline.batch import check_folder

        output, folder = files["output"], self.settings.poses
        assert output is not None
        folders = {"--poses": folder} if folder else {}
        written = dict(files)
        if is_many_files(output):
            del written["output"]
            meshes = frame_files(output, count)
            written |= {f"output {path.name}": path for path in meshes}
            folders["-o"] = meshes[0].parent
        poses = self._kept_files(scans) if folder else []
        kept: dict[str, Path | None] = {f"poses {path.name}": path for path in poses}
        read = [*scans, self.target_path]
        check_distinct({**written, **kept}, read)
        for option, path in folders.items():
            check_folder(path, option)
        check_outputs(written, read, overwrite)
        self.output = frame_files(output, 1)[0] if is_many_files(output) else output
        self.others = {name: files[name] for name in ("preview", "view", "summary")}
        check_outputs(kept, read, overwrite=True)
        self.kept = self._found(scans, poses, overwrite)

    def _check_clip(self, given: list[Path]) -> None:
        if len(given) > 1:
            raise UsageError(f"{given[0]}: one BVH at a time, and no scans beside it")
        for field in ("up", "front"):
            if getattr(self.options, field) != "auto":
                raise FieldError(field, getattr(self.options, field), "a BVH has y up, facing z")
        if self.settings.poses:
            raise FieldError("poses", self.settings.poses, "of a BVH there is nothing to keep")

    def _found(self, scans: list[Path], poses: list[Path], overwrite: bool) -> dict[int, Frame]:
        """What is to be had of kept poses. Raises PosetxError where one is something else."""
        from posetx.pipeline.kept import kept

        there = [kept(pose, scan, self._asked) for pose, scan in zip(poses, scans, strict=False)]
        if overwrite:
            return {}
        found = {index: frame for index, frame in enumerate(there) if frame is not None}
        changed = sum(path.exists() for path in poses) - len(found)
        if changed:
            what = f"{changed} of {len(scans)} frames are there of other options or scans"
            note(f"{self.settings.poses}: {what}: these are read anew")
        return found

    @property
    def _asked(self) -> dict[str, Any]:
        """What a kept pose depends on besides its scan."""
        o = self.options
        return {
            "model": self.model,
            "up": o.up,
            "front": o.front,
            "clean": o.clean,
            "refine": o.refine,
            "seed": self.seed,
        }

    def _kept_files(self, scans: list[Path]) -> list[Path]:
        """Where the pose of each scan is kept. Raises UsageError where two would be one file."""
        from posetx.pipeline.batch import plan

        assert self.settings.poses is not None
        return [job.output for job in plan(scans, self.settings.poses, ".npz", None)]

    def animate(
        self,
        scans: list[Path],
        output: Path,
        drawn: tuple[Path | None, Path | None],
        began: str,
    ) -> dict[str, Any]:
        """Do it; returns what --json shows.

        ``drawn`` are preview and page; ``began`` names it where there is no bar.
        """
        from posetx.pipeline.animated import Animated
        from posetx.pipeline.animation import Animator

        settings, clip = self.settings, scans[0].suffix.lower() == BVH
        preview, view = drawn
        glb = output.suffix.lower() == ".glb"
        shaped = settings.by == "morphs" or not glb  # a skeleton has nowhere to put surface detail
        with progress_bar() as bar:
            task = bar.add_task("loading the model", total=None)

            def step(name: str) -> None:
                bar.update(task, description=shortened(name, max(console.width - BESIDE_NAME, 8)))
                bar.advance(task)

            frames: list[Frame] = []
            if clip:
                motion = self._of_clip(scans[0])
            self.prepare(lambda name: bar.update(task, description="fitting the target"))
            assert self.pipeline is not None and self.ready is not None
            if began and not console.is_terminal:
                say(f"{began}: begun")
            if not clip:
                by_frame = shaped or self.ready.rig is not None
                bar.update(task, total=len(scans) * (1 + by_frame))
                frames = self._read(scans, step)
                motion = self._of_scans(frames)
            motion = motion.faced(self.options.heading)
            if settings.in_place:
                motion = motion.in_place()
            if settings.loop:
                motion = motion.looped()
            name = scans[0].stem if clip else scans[0].parent.resolve().name
            animator = Animator(self.pipeline.predictor, self.ready)
            restore = self.options.restore and shaped
            by: By = "morphs" if shaped else "skeleton"
            animated = Animated(animator, motion, name, by, restore, settings.hold_feet)
            notes = animated.save(output, lambda: step("giving the motion to the target"))
            if preview:
                from posetx.report.animated import draw_animated

                bar.update(task, description="drawing the preview")
                draw_animated(preview, animated)
            told = [*self.ready.target.notes, *self.ready.notes, *_gaps(frames), *notes]
            warnings = [in_options(warning) for warning in told]
            if view:
                from posetx.report.view.animated import write_animated_view

                bar.update(task, description="making the page")
                write_animated_view(view, animated, frames, output.name, warnings)
        sure = [frame.confidence for frame in frames if frame.confidence is not None]
        return {
            "output": output,
            "preview": preview,
            "view": view,
            "target": self.target_path,
            "model": self.model,
            "seed": self.seed,
            "frames": len(motion),
            "fps": motion.fps,
            "by": settings.by if glb else None,
            "vertices": len(self.ready.target.vertices),
            "confidence": sum(sure) / len(sure) if sure else None,
            "gaps": [frame.scan for frame in frames if frame.body is None],
            "scans": [_row(frame) for frame in frames],
            "warnings": warnings,
        }

    def _of_clip(self, path: Path) -> Motion:
        from posetx.pipeline.motion import Motion

        settings, frames = self.settings, self.settings.frames
        motion = Motion.of_bvh(path)
        if settings.fps:
            motion = replace(motion, fps=settings.fps)
        if settings.smooth:
            motion = motion.smoothed(settings.smooth)
        return motion.part(frames.start, frames.stop, frames.step)

    def _of_scans(self, frames: list[Frame]) -> Motion:
        from posetx.pipeline.pose import FPS
        from posetx.pipeline.sequence import motion_of

        assert self.pipeline is not None
        settings = self.settings
        fps = (settings.fps or FPS) / settings.frames.step
        return motion_of(self.pipeline.body, frames, fps).smoothed(settings.smooth)

    def _read(self, scans: list[Path], step: Callable[[str], None]) -> list[Frame]:
        """The frames; those that an earlier run kept are taken from there."""
        from posetx.pipeline.kept import keep
        from posetx.pipeline.sequence import Follower

        assert self.pipeline is not None
        o, done = self.options, self.kept
        files = self._kept_files(scans) if self.settings.poses else []
        if done:
            note(f"{self.settings.poses}: {len(done)} of {len(scans)} frames are there already")
        follower = Follower(self.pipeline, o, lambda error: explain(error)[0])
        if done:
            follower.go_on(done[min(done)])
        elif o.refine:
            follower.know(scans)
        frames: list[Frame] = []
        while len(frames) < len(scans):
            if len(frames) in done:
                frames.append(done[len(frames)])
                follower.go_on(frames[-1])
                step(scans[len(frames) - 1].name)
                continue
            end = min((index for index in done if index > len(frames)), default=len(scans))
            for frame in follower.frames(scans[len(frames) : end]):
                if files and frame.body is not None:
                    keep(files[len(frames)], frame, self._asked)
                frames.append(frame)
                step(frame.scan.name)
        return frames


def _gaps(frames: list[Frame]) -> list[str]:
    """A line on frames that are filled."""
    gaps = [frame for frame in frames if frame.body is None]
    if not gaps:
        return []
    names = ", ".join(frame.scan.name for frame in gaps[:5]) + (", …" if len(gaps) > 5 else "")
    why = " ".join(str(gaps[0].error).split())
    return [
        f"{len(gaps)} of {len(frames)} frames are filled from those about them: {names} ({why})"
    ]


def _row(frame: Frame) -> dict[str, Any]:
    row = {key: value for key, value in vars(frame).items() if key not in ("body", "joints")}
    if frame.joints is not None:
        row["joint_confidence"] = dict(zip(JOINTS, frame.joints.round(4).tolist(), strict=True))
    return {key: value for key, value in row.items() if key != "error" or value is not None}
